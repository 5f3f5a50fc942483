//! Changes on trial where systemd is process 1: the way back is a unit of its own.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::CONFIGURATION;
use super::firewall::{SETTINGS, rules, status, table};
use crate::host::systemd::machine::Machine;

const UNITS: [&str; 5] = [
    "systemctl",
    "list-units",
    "--plain",
    "--no-legend",
    "coord-firewall-revert-*",
];

fn try_out(machine: &Machine, more: &str) {
    machine.write(CONFIGURATION, "644", &format!("{SETTINGS}{more}"));
}

/// A pipe's end that takes nothing more: whoever writes to it waits until he is killed.
fn full_pipe() -> (OwnedFd, File) {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut writer = File::from(writer);
    let error = loop {
        if let Err(error) = writer.write(&[0; 4096]) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (reader, writer)
}

/// Applies, and is killed when the rules are loaded and it has not yet said so.
fn apply_and_die(machine: &Machine, time: &str) {
    let before = table(machine);
    let script =
        format!("echo $$ >/run/applier; exec /usr/local/bin/coord firewall apply --confirm {time}");
    let (_reader, writer) = full_pipe();
    let mut command = machine.command(&["sh", "-euc", &script]);
    let mut applier = command.stderr(writer).spawn().unwrap();
    machine.until("the rules to be loaded", |it| {
        (table(it) != before).then_some(())
    });
    assert!(
        applier.try_wait().unwrap().is_none(),
        "it waits for somebody to read"
    );
    machine.shell("kill -KILL $(cat /run/applier)");
    applier.wait().unwrap();
}

pub fn is_undone_by_the_service_manager(machine: &Machine) {
    let before = rules(machine);
    try_out(machine, "log_per_minute_max = 5\n");
    apply_and_die(machine, "12s");
    // Not a child of whoever applied, and so not ended with his session.
    let units = machine.ok(&UNITS);
    assert!(units.contains("loaded active running"), "{units}");
    assert_ne!(rules(machine), before);
    machine.until("the change to be undone", |it| {
        (status(it)["reverted"] == true).then_some(())
    });
    assert_eq!(rules(machine), before);
    assert_eq!(status(machine)["reboot"], "last_confirmed");
    machine.until("the unit to be gone", |it| {
        it.ok(&UNITS).is_empty().then_some(())
    });
}

pub fn keeps_what_was_confirmed(machine: &mut Machine) {
    apply_and_die(machine, "1h");
    assert_eq!(status(machine)["guarded"], true);
    let tried = rules(machine);
    assert!(tried.contains("limit rate 5/minute"), "{tried}");
    machine.ok(&["/usr/local/bin/coord", "firewall", "confirm"]);
    machine.until("the unit to be gone", |it| {
        it.ok(&UNITS).is_empty().then_some(())
    });
    machine.lose_power();
    assert_eq!(rules(machine), tried);
    assert_eq!(status(machine)["state"], "as_configured");
}

pub fn a_power_cut_brings_back_what_was_confirmed(machine: &mut Machine) {
    let before = rules(machine);
    try_out(machine, "log_per_minute_max = 7\n");
    apply_and_die(machine, "1h");
    machine.lose_power();
    assert_eq!(rules(machine), before);
    let unit = "coord-firewall.service";
    assert_eq!(machine.property(unit, "Result"), "success");
    let log = machine.log_of(unit);
    assert!(
        log.contains("the rules of the configuration were never confirmed"),
        "{log}"
    );
    assert_eq!(status(machine)["reboot"], "last_confirmed");
    machine.write(CONFIGURATION, "644", SETTINGS);
    machine.ok(&["systemctl", "reload", unit]);
    assert_eq!(status(machine)["reboot"], "configured");
}
