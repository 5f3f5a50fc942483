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
    // A broken configuration must not leave the machine without rules.
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
        Booted::Configured => ("configured", "loaded the rules of the configuration"),
        Booted::LastConfirmed if wrong => (
            "last_confirmed",
            "warning: the configuration yields no rules; loaded the rules last confirmed",
        ),
        Booted::LastConfirmed => (
            "last_confirmed",
            "warning: the rules of the configuration were never confirmed; loaded the rules last \
             confirmed; `coord firewall diff` shows the difference, `coord firewall apply --confirm 60s` loads \
             the new ones",
        ),
        Booted::InPlaceOf(_) => (
            "last_confirmed",
            "warning: nft refused the rules of the configuration; loaded the rules last confirmed",
        ),
        Booted::Unkept(_) => (
            "configured",
            "warning: cannot read the rules last confirmed; loaded the rules of the configuration",
        ),
        Booted::Nothing => ("nothing", "warning: loaded no rules"),
    }
}
