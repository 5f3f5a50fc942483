//! Works out what an installation comes to. It reads files and changes none.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::InstallArgs;
use super::choices::choices;
use super::commands::{commands, systemctl};
use super::plan::{FileAction, FilePlan, InstallPlan};
use super::system::{CONFIGURATION, below};
use crate::cli::error::CliError;
use crate::config::Environment;
use crate::edge::systemd::units::{self, Choices};

const DEFAULT_CONFIGURATION: &str = "\
# The configuration of coord.service. `coord config example` prints every setting there is,
# `coord config check FILE` says what is wrong with a file. After a change: `systemctl reload coord`,
# for ports and addresses `coord install --now`, and where the firewall is on, `coord firewall apply
# --confirm 60s` and `coord firewall confirm`: a reboot loads the rules last confirmed.
profile = \"production\"
";
pub(super) const MODE_PROGRAM: u32 = 0o755;
pub(super) const MODE_FILE: u32 = 0o644;

/// What is missing or different.
pub(super) fn install(
    args: &InstallArgs,
    environment: &dyn Environment,
) -> Result<InstallPlan, CliError> {
    let choices = Choices {
        binary: args.prefix.join("bin/coord").display().to_string(),
        ..choices(args, environment)?
    };
    let mut plan = InstallPlan::default();
    let program = own_program()?;
    let wanted = units::render(&choices);
    plan.files.push(file(
        below(args, &args.prefix.join("bin/coord")),
        program,
        MODE_PROGRAM,
    )?);
    for unit in wanted {
        let path = below(args, &args.prefix.join(unit.place));
        plan.files
            .push(file(path, unit.text.into_bytes(), MODE_FILE)?);
    }
    let mut configuration = file(
        below(args, Path::new(CONFIGURATION)),
        DEFAULT_CONFIGURATION.into(),
        MODE_FILE,
    )?;
    if configuration.action == FileAction::Replace {
        configuration.action = FileAction::Keep;
    }
    plan.files.push(configuration);
    stay_inside(args, &plan)?;
    plan.after = commands(args, &plan);
    Ok(plan)
}

/// Everything that an installation below this prefix may have left.
pub(super) fn uninstall(args: &InstallArgs) -> Result<InstallPlan, CliError> {
    let places = units::places().chain(["bin/coord"]);
    let files: Vec<FilePlan> = places
        .map(|place| removal(below(args, &args.prefix.join(place))))
        .collect();
    let there = files.iter().any(|file| file.action == FileAction::Remove);
    let unit = files.iter().any(|file| {
        file.action == FileAction::Remove && file.path.ends_with("system/coord.service")
    });
    let mut plan = InstallPlan {
        files,
        ..InstallPlan::default()
    };
    if unit {
        let mut disable = systemctl(args, &["disable"]);
        if args.root.is_none() {
            disable.push("--now".to_owned());
        }
        let all = units::ENABLED.into_iter().chain(units::OPTIONAL);
        disable.extend(all.map(str::to_owned));
        plan.before.push(disable);
    }
    if there && args.root.is_none() {
        plan.after.push(systemctl(args, &["daemon-reload"]));
    }
    stay_inside(args, &plan)?;
    Ok(plan)
}

/// A file that must go, if it is there.
pub(super) fn removal(path: PathBuf) -> FilePlan {
    let there = path.symlink_metadata().is_ok();
    FilePlan {
        action: if there {
            FileAction::Remove
        } else {
            FileAction::Absent
        },
        path,
        content: Vec::new(),
        mode: 0,
    }
}

/// A link in an image is meant for the system that will run from it: followed from here, an absolute one
/// would lead into this system.
fn stay_inside(args: &InstallArgs, plan: &InstallPlan) -> Result<(), CliError> {
    let Some(root) = &args.root else {
        return Ok(());
    };
    let inside = fs::canonicalize(root);
    let inside =
        inside.map_err(|error| CliError::input(format!("open {}", root.display()), error))?;
    for file in &plan.files {
        let mut folders = file.path.ancestors().skip(1);
        // A link that leads nowhere is there too.
        let there = folders.find(|folder| folder.symlink_metadata().is_ok());
        let there = there.and_then(|folder| fs::canonicalize(folder).ok());
        if !there.is_some_and(|folder| folder.starts_with(&inside)) {
            let what = format!("a link leads from {} out of the image", file.path.display());
            return Err(CliError::usage(
                what,
                "use a --prefix that is a folder in the image, such as /usr",
            ));
        }
    }
    Ok(())
}

pub(super) fn file(path: PathBuf, content: Vec<u8>, mode: u32) -> Result<FilePlan, CliError> {
    let action = match fs::read(&path) {
        Ok(found) if found == content => FileAction::Same,
        Ok(_) => FileAction::Replace,
        Err(error) if error.kind() == io::ErrorKind::NotFound => FileAction::Create,
        Err(error) => {
            return Err(CliError::input(format!("read {}", path.display()), error));
        }
    };
    Ok(FilePlan {
        path,
        action,
        content,
        mode,
    })
}

/// The program that runs: the file it came from may have been replaced already.
pub(super) fn own_program() -> Result<Vec<u8>, CliError> {
    fs::read("/proc/self/exe").map_err(|error| CliError::input("read this program", error))
}
