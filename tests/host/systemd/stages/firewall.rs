//! The units of the firewall: switched on, watched, over a reboot.

use super::{CONFIGURATION, METRICS};
use crate::host::systemd::machine::{Machine, PROGRAM};
use crate::support::http;

/// A closed box that agents of one network reach. Leases may open ports.
pub const SETTINGS: &str = "\
profile = \"production\"
[websocket]
host = \"0.0.0.0\"
allow_plaintext = true
[firewall]
default_drop = true
websocket_from = [\"10.77.0.0/24\"]
lease_ports = \"20000-20009\"
";
const UNITS: [&str; 3] = [
    "coord-firewall.service",
    "coord-firewall-status.service",
    "coord-firewall-leases.service",
];
/// Run in the sandbox of each unit, after its own command; one that is not as it says fails the unit.
/// The capability is `CAP_NET_ADMIN`, alone; 2 is a filter of system calls.
const LOOK: &str = "[Service]
ExecStartPost=/bin/grep -q \"^CapEff:.0000000000001000$\" /proc/self/status
ExecStartPost=/bin/grep -q \"^CapBnd:.0000000000001000$\" /proc/self/status
ExecStartPost=/bin/grep -q \"^Seccomp:.2$\" /proc/self/status
ExecStartPost=/bin/grep -q \"^NoNewPrivs:.1$\" /proc/self/status
ExecStartPost=/bin/sh -c \"! touch /etc/here\"
";

/// The table with its handles: one that was loaded anew has others.
pub fn table(machine: &Machine) -> Option<String> {
    let listed = machine.run(&["nft", "-a", "list", "table", "inet", "coord"]);
    let listed = listed.unwrap();
    listed
        .status
        .success()
        .then(|| String::from_utf8(listed.stdout).unwrap())
}

/// What `coord firewall status` says, whatever it is.
pub fn status(machine: &Machine) -> serde_json::Value {
    let status = machine
        .run(&["/usr/local/bin/coord", "--json", "firewall", "status"])
        .unwrap();
    serde_json::from_slice(&status.stdout).unwrap_or_else(|error| panic!("{error}: {status:?}"))
}

/// What packets changed since is no difference.
pub fn rules(machine: &Machine) -> String {
    let listed = machine.ok(&["nft", "-s", "list", "table", "inet", "coord"]);
    cli_coordinator::edge::firewall::normal(&listed)
}

pub fn is_switched_on(machine: &Machine) {
    for unit in UNITS {
        machine.write(
            &format!("/etc/systemd/system/{unit}.d/look.conf"),
            "644",
            LOOK,
        );
    }
    machine.write(CONFIGURATION, "644", SETTINGS);
    machine.ok(&["systemctl", "enable", "systemd-networkd.service"]);
    assert_eq!(table(machine), None);
    machine.ok(&[PROGRAM, "install", "--now", "--firewall"]);
    for unit in ["coord-firewall.service", "coord-firewall-status.timer"] {
        let enabled = machine.ok(&["systemctl", "is-enabled", unit]);
        assert_eq!(enabled.trim(), "enabled", "{unit}");
        assert_eq!(machine.property(unit, "ActiveState"), "active", "{unit}");
    }
    assert_eq!(machine.property(UNITS[0], "Result"), "success");
    assert!(rules(machine).contains("policy drop"));
    assert_eq!(status(machine)["state"], "as_configured");
    let again = machine.ok(&["/usr/local/bin/coord", "--json", "install", "--firewall"]);
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    assert_eq!(again["commands"], serde_json::json!([]), "{again}");
    // Once more, and nothing changes.
    let before = table(machine);
    machine.ok(&["systemctl", "restart", UNITS[0]]);
    assert_eq!(table(machine), before);
}

/// Asks the unprivileged service until it says all of this.
fn metrics(machine: &Machine, lines: &[&str]) -> String {
    machine.until(&format!("metrics that say {lines:?}"), |it| {
        let page = it.network(async || http::get(METRICS, "/metrics").await);
        let text = page.ok()?.rest;
        let all = lines.iter().all(|line| text.lines().any(|it| it == *line));
        all.then_some(text)
    })
}

/// Looks anew, as the timer does; a look that began before would say what was.
fn look(machine: &Machine) {
    machine.until("the last look to end", |it| {
        (it.property(UNITS[1], "ActiveState") == "inactive").then_some(())
    });
    machine.ok(&["systemctl", "start", UNITS[1]]);
}

pub fn is_told_as_metrics(machine: &Machine) {
    // The timer does it, and nobody else.
    let text = metrics(
        machine,
        &["coord_firewall_drift 0", "coord_firewall_unreadable 0"],
    );
    assert!(
        text.contains("coord_firewall_packets_total{counter="),
        "{text}"
    );
    assert!(
        text.contains("coord_firewall_state{state=\"as_configured\"} 1"),
        "{text}"
    );
    assert_eq!(
        machine.property(UNITS[1], "Result"),
        "success",
        "{}",
        machine.log_of(UNITS[1])
    );
    let owner = machine.ok(&[
        "stat",
        "-c",
        "%U %a",
        "/run/coord-firewall-status/status.json",
    ]);
    assert_eq!(owner, "root 644\n");

    machine.ok(&["nft", "insert", "rule", "inet", "coord", "input", "accept"]);
    look(machine);
    metrics(
        machine,
        &[
            "coord_firewall_drift 1",
            "coord_firewall_state{state=\"changed_by_others\"} 1",
        ],
    );
    machine.ok(&["systemctl", "reload", UNITS[0]]);
    look(machine);
    metrics(machine, &["coord_firewall_drift 0"]);
}

fn moment(machine: &Machine, unit: &str, property: &str) -> u64 {
    let text = machine.property(unit, property);
    let moment = text
        .parse()
        .unwrap_or_else(|_| panic!("{unit}: {property}={text}"));
    assert!(moment > 0, "{unit}: {property} never came");
    moment
}

pub fn is_there_before_the_network(machine: &mut Machine) {
    let (before, kept) = (rules(machine), kept(machine));
    machine.reboot();
    assert_eq!(
        machine.property(UNITS[0], "Result"),
        "success",
        "{}",
        machine.log_of(UNITS[0])
    );
    assert_eq!(rules(machine), before);
    assert_eq!(self::kept(machine), kept, "it was written once more");
    assert_eq!(status(machine)["state"], "as_configured");
    let loaded = moment(machine, UNITS[0], "ExecMainExitTimestampMonotonic");
    for (unit, property) in [
        ("network-pre.target", "ActiveEnterTimestampMonotonic"),
        (
            "systemd-networkd.service",
            "ExecMainStartTimestampMonotonic",
        ),
        ("network.target", "ActiveEnterTimestampMonotonic"),
        ("coord.socket", "InactiveExitTimestampMonotonic"),
        ("coord.service", "ExecMainStartTimestampMonotonic"),
    ] {
        let moment = moment(machine, unit, property);
        assert!(
            loaded <= moment,
            "{unit} was there at {moment}, the rules at {loaded}"
        );
    }
}

/// When the file with the rules last confirmed was written, and which file it is.
fn kept(machine: &Machine) -> String {
    machine.ok(&[
        "stat",
        "-c",
        "%i %Y %U %a",
        "/var/lib/coord-firewall/kept.json",
    ])
}

/// Another port of SSH is nothing that anybody has to confirm.
pub fn follows_ssh(machine: &mut Machine) {
    machine.write("/etc/ssh/sshd_config", "644", "Port 2222\n");
    assert!(!rules(machine).contains("2222"));
    machine.reboot();
    assert!(
        rules(machine).contains("2222"),
        "{}",
        machine.log_of(UNITS[0])
    );
    assert_eq!(status(machine)["state"], "as_configured");
    assert_eq!(status(machine)["reboot"], "configured");
}

pub fn a_wrong_configuration_leaves_rules(machine: &mut Machine) {
    let before = rules(machine);
    let wrong = format!("{SETTINGS}redis_from = [\"192.0.2.1\"]\ndeny = [\"192.0.2.1\"]\n");
    machine.write(CONFIGURATION, "644", &wrong);
    machine.reboot();
    assert_eq!(machine.property(UNITS[0], "ActiveState"), "failed");
    let log = machine.log_of(UNITS[0]);
    assert!(log.contains("loaded the rules last confirmed"), "{log}");
    assert!(log.contains("firewall.redis_from"), "{log}");
    assert_eq!(rules(machine), before);
    look(machine);
    metrics(
        machine,
        &[
            "coord_firewall_configuration_wrong 1",
            "coord_firewall_configuration_unconfirmed 1",
        ],
    );
    machine.write(CONFIGURATION, "644", SETTINGS);
    machine.ok(&["systemctl", "start", UNITS[0]]);
    look(machine);
    metrics(
        machine,
        &[
            "coord_firewall_configuration_wrong 0",
            "coord_firewall_configuration_unconfirmed 0",
        ],
    );
}

pub fn stays_when_stopped_and_goes_when_removed(machine: &Machine) {
    let before = table(machine);
    machine.ok(&["systemctl", "stop", UNITS[0]]);
    assert_eq!(table(machine), before);
    machine.ok(&["/usr/local/bin/coord", "firewall", "remove"]);
    assert_eq!(table(machine), None);
    assert_eq!(machine.ok(&["ls", "/var/lib/coord-firewall"]), "");
    machine.ok(&["systemctl", "start", UNITS[0]]);
    assert!(table(machine).is_some());
    let said = machine.run(&[PROGRAM, "install", "--uninstall"]).unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("the loaded firewall rules stay"), "{said}");
    assert!(table(machine).is_some());
    let left =
        machine.shell("find /usr/local /etc/systemd -name '*coord*' -not -name '*.d' | sort");
    assert_eq!(left, "");
}
