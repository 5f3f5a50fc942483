//! The guard before commits, which `coord guard` puts into the clone and takes out.

use std::process::Command;

use super::report::Report;
use super::site::Site;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;

pub(super) fn install(site: &Site<'_>, report: &mut Report) -> Result<(), CliError> {
    run(site, "install", report)
}

pub(super) fn remove(site: &Site<'_>, report: &mut Report) -> Result<(), CliError> {
    run(site, "remove", report)
}

/// Whether a commit of this clone runs `coord guard`.
pub(in crate::cli) fn is_there(site: &Site<'_>) -> bool {
    let Some(clone) = &site.clone else {
        return false;
    };
    let hook = clone.git(&[
        "rev-parse",
        "--path-format=absolute",
        "--git-path",
        "hooks/pre-commit",
    ]);
    let file = hook.and_then(|path| std::fs::read_to_string(path.trim_end()).ok());
    // Newer versions of git have hooks in their configuration.
    let config = clone.git(&["config", "--get-regexp", r"^hook\..*\.command$"]);
    let mut texts = file.into_iter().chain(config);
    texts.any(|text| text.contains("coord") && text.contains("guard"))
}

fn run(site: &Site<'_>, verb: &str, report: &mut Report) -> Result<(), CliError> {
    let Some(clone) = &site.clone else {
        return Ok(());
    };
    let mut command = Command::new(&site.program);
    let output = command
        .current_dir(&clone.root)
        .args(["guard", verb])
        .output();
    let output = output.map_err(|source| CliError::Run {
        program: site.program.clone(),
        source,
    })?;
    if output.status.success() {
        report.did("ran", format!("coord guard {verb}"));
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().next().unwrap_or_default();
        report.left(Exit::Failed, format!("`coord guard {verb}` failed: {said}"));
    }
    Ok(())
}
