//! `coord firewall boot`: what `coord-firewall.service` runs before the network comes up.

use serde_json::json;

use super::rules::note_missing_interfaces;
use super::{PlaceArgs, PolicyArgs};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::shell::Shell;
use crate::edge::nft::{self, Booted, Nft, Rules};

pub(super) async fn run(
    args: PolicyArgs,
    place: &PlaceArgs,
    shell: &mut Shell<'_>,
) -> Result<Exit, CliError> {
    // A configuration that makes no rules is no reason to have none.
    let wanted = wanted(args, shell);
    let nft = Nft::find()?;
    let folder = super::folder(place, shell)?;
    let keep = super::keep(place, shell);
    let booted = nft::boot(&nft, &folder, &keep, wanted.as_ref().ok()).await?;
    let (name, sentence) = told(&booted, wanted.is_err());
    if shell.out.style().json {
        shell.out.json(&json!({ "loaded": name }))?;
    }
    shell.out.note(sentence);
    match booted {
        Booted::Configured => Ok(Exit::Ok),
        Booted::LastConfirmed | Booted::Nothing => wanted.map(|_| Exit::Ok),
        Booted::InPlaceOf(error) | Booted::Unkept(error) => Err(error.into()),
    }
}

fn wanted(args: PolicyArgs, shell: &Shell<'_>) -> Result<Rules, CliError> {
    let config = super::config(args, shell)?;
    let rules = super::wanted(&config, shell)?;
    note_missing_interfaces(&config, shell);
    Ok(rules)
}

fn told(booted: &Booted, wrong: bool) -> (&'static str, &'static str) {
    match booted {
        Booted::Configured => ("configured", "the rules of the configuration are loaded"),
        Booted::LastConfirmed if wrong => (
            "last_confirmed",
            "warning: the configuration makes no rules: those last confirmed are loaded",
        ),
        Booted::LastConfirmed => (
            "last_confirmed",
            "warning: nobody has confirmed what the configuration asks for now: the rules last confirmed \
             are loaded; `coord firewall diff` shows the difference, `coord firewall apply --confirm 60s` \
             loads the new ones",
        ),
        Booted::InPlaceOf(_) => (
            "last_confirmed",
            "warning: the rules of the configuration are refused: those last confirmed are loaded",
        ),
        Booted::Unkept(_) => (
            "configured",
            "warning: the rules last confirmed cannot be read: those of the configuration are loaded",
        ),
        Booted::Nothing => ("nothing", "warning: no rules are loaded"),
    }
}
