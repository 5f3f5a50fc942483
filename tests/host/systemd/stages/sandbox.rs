//! That the sandbox is really there, seen from the kernel's side, and what systemd thinks of it.

use crate::host::systemd::machine::Machine;

/// The highest exposure that is allowed, in tenths.
const EXPOSURE_TENTHS_MAX: &str = "--threshold=11";

pub fn is_on(machine: &Machine) {
    let pid = machine.property("coord.service", "MainPID");
    let status = machine.ok(&["cat", &format!("/proc/{pid}/status")]);
    let value = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} is not in {status}"))
            .trim()
            .to_owned()
    };
    assert_eq!(value("NoNewPrivs:"), "1");
    // 2: a filter of system calls.
    assert_eq!(value("Seccomp:"), "2");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(value(set), "0000000000000000", "{set}");
    }
    assert!(!value("Uid:").starts_with("0\t"), "it runs as root");
    for namespace in ["mnt", "user", "ipc", "uts"] {
        let link = |of: &str| machine.ok(&["readlink", &format!("/proc/{of}/ns/{namespace}")]);
        assert_ne!(link(&pid), link("1"), "{namespace}");
    }
    let mounts = machine.ok(&["cat", &format!("/proc/{pid}/mountinfo")]);
    let options = |place: &str| {
        let of = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            (words[4] == place).then(|| words[5].to_owned())
        };
        let found = mounts.lines().filter_map(of).next_back();
        found.unwrap_or_else(|| panic!("{place} is not mounted:\n{mounts}"))
    };
    let is = |place: &str, option: &str| options(place).split(',').any(|it| it == option);
    assert!(is("/", "ro") && is("/", "noexec"), "{mounts}");
    // Nothing that can be written can be executed, and the other way round.
    for place in ["/var/lib/coord", "/tmp", "/var/tmp"] {
        assert!(is(place, "rw") && is(place, "noexec"), "{place}:\n{mounts}");
    }
    for place in ["/usr/local/bin/coord", "/usr/lib"] {
        assert!(
            is(place, "ro") && !is(place, "noexec"),
            "{place}:\n{mounts}"
        );
    }
    assert!(is("/dev/shm", "ro") && is("/dev/shm", "noexec"), "{mounts}");
    // Nothing but itself can be executed in there, not even by root.
    let listed = machine
        .run(&["nsenter", "--target", &pid, "--mount", "--", "ls", "/"])
        .unwrap();
    assert!(!listed.status.success(), "{listed:?}");
    let said = String::from_utf8_lossy(&listed.stderr);
    assert!(said.contains("Permission denied"), "{said}");
    assert_eq!(
        machine.property("coord.service", "MemoryDenyWriteExecute"),
        "yes"
    );
}

pub fn the_units_are_sound(machine: &Machine) {
    for unit in [
        "coord.service",
        "coord.socket",
        "coord-metrics.socket",
        "coord-failed.target",
        "coord-firewall.service",
        "coord-firewall-status.service",
        "coord-firewall-status.timer",
        "coord-firewall-leases.service",
        "coord-firewall-leases.timer",
    ] {
        let output = machine.run(&["systemd-analyze", "verify", unit]).unwrap();
        let silent = output.stdout.is_empty() && output.stderr.is_empty();
        assert!(output.status.success() && silent, "{unit}: {output:?}");
    }
    let security = [
        "systemd-analyze",
        "--no-pager",
        "security",
        "--offline=true",
    ];
    let words = [&security[..], &[EXPOSURE_TENTHS_MAX, "coord.service"]].concat();
    let output = machine.run(&words).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("Overall exposure level for coord.service"),
        "{text}"
    );
}
