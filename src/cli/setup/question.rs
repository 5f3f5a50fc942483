//! What setup asks, on a terminal only.

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use super::SetupArgs;
use super::access::Access;
use super::front::Front;
use super::site::Site;
use crate::cli::error::CliError;
use crate::cli::output::Output;

/// How long a coordinator that was just installed may take to answer.
const START_TRIES: u32 = 50;
const START_PAUSE: Duration = Duration::from_millis(200);

/// What to set up: what was named, or those of the installed that the user wants.
pub(super) fn fronts(
    args: &SetupArgs,
    site: &Site<'_>,
    out: &Output<'_>,
) -> Result<Vec<Front>, CliError> {
    let mut fronts = args.fronts.clone();
    fronts.sort_unstable();
    fronts.dedup();
    if fronts.contains(&Front::Git) && site.clone.is_none() {
        let what = "the current folder is in no git repository";
        return Err(CliError::usage(
            what,
            "run it in the repository whose commits are to be guarded",
        ));
    }
    if !fronts.is_empty() {
        return Ok(fronts);
    }
    let fits = |front: &Front| *front != Front::Git || site.clone.is_some();
    let mut found: Vec<Front> = Front::ALL.into_iter().filter(fits).collect();
    found.retain(|front| front.installed(site.environment).is_some());
    let names: Vec<&str> = found.iter().map(|front| front.name()).collect();
    let names = names.join(" ");
    if names.is_empty() {
        let next = "install one of them, or name it all the same";
        return Err(CliError::usage(
            "neither claude, codex, gemini, opencode nor git is on PATH",
            next,
        ));
    }
    if !is_asked(out) {
        let what = "it is not said what to set up, and there is no terminal to ask on";
        return Err(CliError::misspelt(
            what,
            format!("installed are: `coord setup {names}`"),
        ));
    }
    let mut wanted = Vec::new();
    for front in found {
        if ask(&format!("set up {front}?"))? {
            wanted.push(front);
        }
    }
    if wanted.is_empty() {
        return Err(CliError::usage(
            "nothing is to be set up",
            "name what to set up",
        ));
    }
    Ok(wanted)
}

/// Whether to run a coordinator for this user, where none answers.
pub(super) fn starts_coordinator(
    access: &Access,
    site: &Site<'_>,
    out: &Output<'_>,
) -> Result<bool, CliError> {
    let is_here = access.config.operator_token.is_some();
    let has_systemd = site
        .variable("XDG_RUNTIME_DIR")
        .is_some_and(|it| it.join("systemd").is_dir());
    if !is_here || !has_systemd || !is_asked(out) {
        return Ok(false);
    }
    let url = &access.config.url;
    Ok(ask(&format!(
        "no coordinator answers at {url}; run one for you, with systemd?"
    ))?)
}

pub(super) async fn until_reached(access: &Access) -> Result<(), CliError> {
    for _ in 0..START_TRIES {
        if access.reach().await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(START_PAUSE).await;
    }
    Ok(access.reach().await?)
}

/// A question is not JSON, and a program does not answer it.
fn is_asked(out: &Output<'_>) -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal() && !out.style().json
}

fn ask(question: &str) -> io::Result<bool> {
    let mut stderr = io::stderr();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}
