//! `coord install --user`: a coordinator for one person, which systemd's user manager runs.

use std::path::{Path, PathBuf};

use super::InstallArgs;
use super::plan::{FileAction, InstallPlan};
use super::prepare::{MODE_FILE, MODE_PROGRAM, file, own_program, removal};
use super::steps;
use crate::cli::error::CliError;
use crate::config::Environment;
use crate::edge::systemd::units;

const UNIT: &str = "coord.service";

/// Where the program and its unit are.
struct Places {
    program: PathBuf,
    unit: PathBuf,
}

/// What is missing or different.
pub(super) fn install(
    args: &InstallArgs,
    environment: &dyn Environment,
) -> Result<InstallPlan, CliError> {
    let places = places(environment)?;
    let program = places.program.to_str().filter(|path| is_plain(path));
    let program = program.ok_or_else(|| {
        let what = format!("a unit file cannot name {}", places.program.display());
        CliError::usage(what, "run `coord serve` with another service manager")
    })?;
    let unit = units::of_user(program);
    let mut plan = InstallPlan::default();
    plan.files
        .push(file(places.program.clone(), own_program()?, MODE_PROGRAM)?);
    plan.files
        .push(file(places.unit.clone(), unit.into_bytes(), MODE_FILE)?);
    let changed = |action| matches!(action, FileAction::Create | FileAction::Replace);
    if changed(plan.files[1].action) {
        plan.after.push(systemctl(&["daemon-reload"]));
    }
    // Only once: later it is the user who says what is switched on.
    if plan.files[1].action == FileAction::Create {
        plan.after.push(systemctl(&["enable", UNIT]));
    }
    if args.now {
        let any = plan.files.iter().any(|file| changed(file.action));
        let verb = if any { "restart" } else { "start" };
        plan.after.push(systemctl(&[verb, UNIT]));
    }
    Ok(plan)
}

/// Everything that an installation may have left.
pub(super) fn uninstall(environment: &dyn Environment) -> Result<InstallPlan, CliError> {
    let places = places(environment)?;
    let files = [places.unit, places.program].map(removal);
    let mut plan = InstallPlan::default();
    if files[0].action == FileAction::Remove {
        plan.before.push(systemctl(&["disable", "--now", UNIT]));
        plan.after.push(systemctl(&["daemon-reload"]));
    }
    plan.files = files.into();
    Ok(plan)
}

/// Installs and starts it, for `coord setup`.
pub(super) fn start(environment: &dyn Environment) -> Result<(), CliError> {
    check(environment)?;
    let args = InstallArgs::of_user();
    steps::carry_out(&install(&args, environment)?)
}

/// Whether there is a user manager to run it.
pub(super) fn check(environment: &dyn Environment) -> Result<(), CliError> {
    let runtime = environment.variable("XDG_RUNTIME_DIR").ok().flatten();
    if runtime.is_some_and(|folder| Path::new(&folder).join("systemd").is_dir()) {
        return Ok(());
    }
    let what = "systemd runs no user manager for you here";
    let next = "log in as this user (not through su or sudo), or start `coord serve` with another service manager";
    Err(CliError::usage(what, next))
}

fn places(environment: &dyn Environment) -> Result<Places, CliError> {
    let folder = |name: &str| {
        let text = environment.variable(name).ok().flatten();
        text.map(PathBuf::from).filter(|path| path.is_absolute())
    };
    let home = folder("HOME").ok_or_else(|| {
        let next = "set it to your folder";
        CliError::usage("HOME is not set to an absolute path", next)
    })?;
    let config = folder("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
    Ok(Places {
        program: home.join(".local/bin/coord"),
        unit: config.join("systemd/user").join(UNIT),
    })
}

/// Whether a unit file can name it without quoting.
fn is_plain(path: &str) -> bool {
    path.chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-+@,:=".contains(c))
}

fn systemctl(words: &[&str]) -> Vec<String> {
    let all = ["systemctl", "--user"].iter().chain(words);
    all.map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MapEnvironment;

    #[test]
    fn the_plan_is_for_the_users_own_folders() {
        let home = tempfile::tempdir().expect("a folder can be made");
        let home = home.path().to_str().expect("its path is text");
        let environment = MapEnvironment::from([("HOME", home)]);
        let args = InstallArgs::of_user();
        let plan = install(&args, &environment).expect("it can be planned");
        let commands: Vec<String> = plan.commands().map(|command| command.join(" ")).collect();
        assert_eq!(
            commands,
            [
                "systemctl --user daemon-reload",
                "systemctl --user enable coord.service",
                "systemctl --user restart coord.service",
            ]
        );
        let unit = String::from_utf8_lossy(&plan.files[1].content);
        assert!(
            unit.contains(&format!("ExecStart={home}/.local/bin/coord serve\n")),
            "{unit}"
        );
        let none = uninstall(&environment).expect("it can be planned");
        assert!(
            none.files
                .iter()
                .all(|file| file.action == FileAction::Absent)
        );
        assert_eq!(none.commands().count(), 0);
        assert!(check(&environment).is_err());
        let odd = MapEnvironment::from([("HOME", "/a b")]);
        assert!(install(&args, &odd).is_err());
    }
}
