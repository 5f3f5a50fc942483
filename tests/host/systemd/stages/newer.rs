//! What only a newer systemd understands, and is given it by `coord install`.

use super::CONFIGURATION;
use crate::host::systemd::machine::{Machine, PROGRAM};

pub fn the_drop_in_holds(machine: &Machine) {
    machine.ok(&[PROGRAM, "install", "--now"]);
    machine.service("SubState", |state| state == "running");
    for (property, value) in [
        ("Type", "notify-reload"),
        ("RestartSteps", "7"),
        ("RestartMaxDelayUSec", "5min"),
        ("StartLimitIntervalUSec", "0"),
        ("ExecReload", ""),
    ] {
        assert_eq!(
            machine.property("coord.service", property),
            value,
            "{property}"
        );
    }
}

/// `systemctl reload` returns when the new configuration holds, or is refused.
pub fn a_reload_waits_for_its_end(machine: &Machine) {
    let reload = |more: &str| {
        let text = format!("profile = \"production\"\n{more}");
        machine.write(CONFIGURATION, "644", &text);
        machine.ok(&["systemctl", "reload", "coord.service"]);
        machine.property("coord.service", "StatusText")
    };
    let pid = machine.property("coord.service", "MainPID");
    let refused = reload("[websocket]\nnonsense = 1\n");
    assert!(refused.contains("the old one stays"), "{refused}");
    let needed = reload("[websocket]\nport = 9999\n");
    assert!(needed.contains("restart needed"), "{needed}");
    let right = reload("");
    assert!(right.starts_with("serving agents on"), "{right}");
    assert_eq!(machine.property("coord.service", "MainPID"), pid);
}
