//! Carries out a plan.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use super::plan::{FileAction, FilePlan, InstallPlan};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;

const MODE_FOLDER: u32 = 0o755;
/// How many log lines are shown for a unit that failed to start.
const LINES_MAX: usize = 12;

pub(super) fn carry_out(plan: &InstallPlan) -> Result<(), CliError> {
    for command in &plan.before {
        run(command)?;
    }
    for file in &plan.files {
        change(file)?;
    }
    for command in &plan.after {
        run(command)?;
    }
    Ok(())
}

fn change(file: &FilePlan) -> Result<(), CliError> {
    let (what, done) = match file.action {
        FileAction::Create | FileAction::Replace => ("write", write(file)),
        FileAction::Remove => ("remove", fs::remove_file(&file.path)),
        FileAction::Same | FileAction::Keep | FileAction::Absent => return Ok(()),
    };
    done.map_err(|error| failed(what, &file.path, error))
}

fn failed(what: &str, path: &Path, error: io::Error) -> CliError {
    let denied = matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    );
    let text = format!("{what} {}", path.display());
    if denied {
        let what = format!("cannot {text}: {error}");
        return CliError::usage(
            what,
            "run it as root; on a read-only system, install into its image with --root",
        );
    }
    CliError::input(text, error)
}

/// Writes a file beside it and renames: a running program is not overwritten, and no file is ever half
/// written.
fn write(file: &FilePlan) -> io::Result<()> {
    let folder = file.path.parent().unwrap_or(Path::new("/"));
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(MODE_FOLDER).create(folder)?;
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.new"));
    // Removes what an interrupted installation left behind, so that no existing file is written to.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true);
    let mut target = options.mode(file.mode).open(&temporary)?;
    target.write_all(&file.content)?;
    // The umask of this shell must not matter.
    target.set_permissions(fs::Permissions::from_mode(file.mode))?;
    target.sync_all()?;
    fs::rename(&temporary, &file.path)
}

fn run(command: &[String]) -> Result<(), CliError> {
    let shown = command.join(" ");
    let Some((program, words)) = command.split_first() else {
        return Ok(());
    };
    let log_end = starts(command).and_then(|_| log_end());
    let output = Command::new(program).args(words).output();
    let output = output.map_err(|source| CliError::Run {
        program: program.clone(),
        source,
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let log = log_end
        .and_then(|end| words_of(starts(command)?, &end))
        .unwrap_or_default();
    let what = format!("`{shown}` failed ({}): {}{log}", output.status, said.trim());
    Err(CliError::unmet(Exit::Failed, what))
}

/// The units that a command starts.
fn starts(command: &[String]) -> Option<&[String]> {
    match command {
        [systemctl, verb, units @ ..] => {
            let starts = systemctl == "systemctl" && ["start", "restart"].contains(&verb.as_str());
            starts.then_some(units)
        }
        _ => None,
    }
}

/// The current end of the system log.
fn log_end() -> Option<String> {
    let said = journalctl(&["--lines=0", "--show-cursor"])?;
    said.trim().strip_prefix("-- cursor: ").map(str::to_owned)
}

/// The log lines of units that failed to start: systemctl only says where to look for them.
fn words_of(units: &[String], since: &str) -> Option<String> {
    // The log may lag behind.
    journalctl(&["--sync"])?;
    let (since, lines) = (
        format!("--after-cursor={since}"),
        format!("--lines={LINES_MAX}"),
    );
    let units = units.iter().map(|unit| format!("--unit={unit}"));
    let words: Vec<String> = [since, lines, "--output=cat".to_owned()]
        .into_iter()
        .chain(units)
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let said = journalctl(&words)?;
    let lines: Vec<&str> = said.lines().collect();
    Some(format!("\n  {}", lines.join("\n  ")))
}

fn journalctl(words: &[&str]) -> Option<String> {
    let mut journal = Command::new("journalctl");
    let said = journal
        .args(["--no-pager", "--quiet"])
        .args(words)
        .output()
        .ok()?;
    Some(String::from_utf8_lossy(&said.stdout).into_owned())
}
