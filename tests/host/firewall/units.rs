//! The units that run it: sound, and shut in.

use std::fs;
use std::process::Command;

use super::bed::source_file;

const SERVICES: [&str; 3] = [
    "coord-firewall.service",
    "coord-firewall-status.service",
    "coord-firewall-leases.service",
];
/// The exposure that `systemd-analyze security` may find, in tenths.
const EXPOSURE_TENTHS_MAX: &str = "--threshold=14";
const TIMERS: [&str; 2] = ["coord-firewall-status.timer", "coord-firewall-leases.timer"];

/// It prints what it finds, and exits with 0 all the same.
#[test]
fn systemd_finds_nothing_to_say() {
    let folder = tempfile::tempdir().unwrap();
    let names = SERVICES.into_iter().chain(TIMERS);
    let paths: Vec<_> = names
        .map(|name| {
            let text = fs::read_to_string(source_file("systemd").join(name)).unwrap();
            // It would miss a program that is not installed here.
            let text = text.replace("/usr/local/bin/coord", env!("CARGO_BIN_EXE_coord"));
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        })
        .collect();
    let verify = Command::new("systemd-analyze")
        .arg("verify")
        .args(&paths)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verify.stderr);
    assert!(verify.status.success() && said.is_empty(), "{said}");
}

#[test]
fn the_units_are_shut_in() {
    for name in SERVICES {
        let analysed = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager"])
            .arg(EXPOSURE_TENTHS_MAX)
            .arg(source_file("systemd").join(name))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&analysed.stdout);
        assert!(analysed.status.success(), "{said}");
    }
}

/// No other capability, and nothing that the commands do not have.
#[test]
fn the_units_have_one_capability_and_run_real_commands() {
    for name in SERVICES {
        let text = fs::read_to_string(source_file("systemd").join(name)).unwrap();
        assert!(
            text.contains("\nCapabilityBoundingSet=CAP_NET_ADMIN\n"),
            "{name}"
        );
        let commands = text
            .lines()
            .filter_map(|line| line.strip_prefix("ExecStart="));
        for command in commands {
            let mut words: Vec<&str> = command.split(' ').skip(1).collect();
            words.push("--help");
            let help = Command::new(env!("CARGO_BIN_EXE_coord"))
                .args(words)
                .output()
                .unwrap();
            assert!(help.status.success(), "{command}");
        }
    }
}
