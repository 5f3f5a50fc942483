//! The commands that follow the files of an installation.

use super::InstallArgs;
use super::plan::{FileAction, FilePlan, InstallPlan};
use super::system::{CONFIGURATION, has_failed, is_firewall_on, is_masked};
use crate::edge::systemd::units;

pub(super) fn commands(args: &InstallArgs, plan: &InstallPlan) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let running = args.root.is_none();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let of_prefix = |place: &str| args.prefix.join(place).display().to_string();
    if running && plan.changes("/lib/") {
        let users = of_prefix("lib/sysusers.d/coord.conf");
        let files = of_prefix("lib/tmpfiles.d/coord.conf");
        commands.push(words(&["systemd-sysusers", &users]));
        commands.push(words(&["systemd-tmpfiles", "--create", &files]));
        commands.push(systemctl(args, &["daemon-reload"]));
    }
    // Only once: later it is the administrator who says what is switched on.
    let is_new = |file: &FilePlan| {
        file.action == FileAction::Create && file.path.ends_with("system/coord.service")
    };
    if plan.files.iter().any(is_new) {
        let mut preset = systemctl(args, &["preset"]);
        // It refuses all of them for one that is masked.
        let units = units::ENABLED.iter().filter(|unit| !is_masked(args, unit));
        preset.extend(units.map(|unit| (*unit).to_owned()));
        commands.push(preset);
    }
    if args.firewall && !is_firewall_on(args) {
        let mut enable = systemctl(args, &["enable"]);
        enable.extend(units::FIREWALL.map(|(unit, _)| unit.to_owned()));
        commands.push(enable);
    }
    if args.firewall && args.now {
        // Rules that would cut off this session are not loaded, and neither is anything started.
        let program = of_prefix("bin/coord");
        commands.push(words(&[
            &program,
            "firewall",
            "check",
            "--config",
            CONFIGURATION,
        ]));
        // Whatever was loaded since they were started, or taken away.
        let mut start = systemctl(args, &["restart"]);
        start.extend(units::FIREWALL.map(|(unit, _)| unit.to_owned()));
        commands.push(start);
    }
    if args.now {
        commands.extend(starting(args, plan));
    }
    commands
}

/// Starts the sockets and the service, or restarts what runs with older files.
fn starting(args: &InstallArgs, plan: &InstallPlan) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    // A socket cannot be opened anew while its service runs.
    let sockets = ["coord.socket", "coord-metrics.socket"];
    let mut sockets = sockets.to_vec();
    sockets.retain(|unit| !is_masked(args, unit));
    if sockets.iter().any(|unit| plan.outdates(unit, ".socket")) {
        let mut stop = systemctl(args, &["stop"]);
        stop.extend(["coord.service", "coord.socket", "coord-metrics.socket"].map(str::to_owned));
        commands.push(stop);
    }
    let verb = if plan.outdates("coord.service", "/") {
        "restart"
    } else {
        "start"
    };
    if has_failed("coord.service") {
        // One that failed too often would not be started for half an hour.
        commands.push(systemctl(args, &["reset-failed", "coord.service"]));
    }
    if !sockets.is_empty() {
        sockets.insert(0, "start");
        commands.push(systemctl(args, &sockets));
    }
    commands.push(systemctl(args, &[verb, "coord.service"]));
    commands
}

pub(super) fn systemctl(args: &InstallArgs, words: &[&str]) -> Vec<String> {
    let mut command = vec!["systemctl".to_owned()];
    if let Some(root) = &args.root {
        command.push(format!("--root={}", root.display()));
    }
    command.extend(words.iter().map(|word| (*word).to_owned()));
    command
}
