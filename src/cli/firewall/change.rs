//! `coord firewall apply | confirm | remove`, and the process that waits for a confirmation.

use serde_json::json;

use super::rules::{keeps_session, known_interfaces};
use super::{CarefulArgs, PlaceArgs, PolicyArgs, confirm_time};
use crate::cli::duration::Millis;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::shell::Shell;
use crate::edge::nft::{self, Changed, Confirmed, Lasting, Nft, Removed, Revert, RulesChange};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ApplyArgs {
    /// Undo the change after this time unless `coord firewall confirm` runs, even if this process, its
    /// terminal or its connection ends
    #[arg(long, value_name = "DURATION", value_parser = confirm_time)]
    confirm: Option<Millis>,
    #[command(flatten)]
    careful: CarefulArgs,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    policy: PolicyArgs,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct RevertArgs {
    /// Of the change to undo
    #[arg(long)]
    id: String,
    #[arg(long)]
    after_ms: u64,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(super) async fn apply(args: ApplyArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let config = super::config(args.policy, shell)?;
    let policy = super::policy(&config, shell)?;
    let nft = Nft::find()?;
    known_interfaces(&config, &args.careful, shell)?;
    keeps_session(&policy, &args.careful, shell)?;
    let folder = super::folder(&args.place, shell)?;
    let keep = super::keep(&args.place, shell);
    let lasting = match args.confirm {
        Some(time) => Lasting::UntilConfirmed(revert_after(time, &args.place, shell)?),
        None => Lasting::Kept,
    };
    let change = RulesChange {
        rules: &super::rules(&config, &policy),
        lasting,
    };
    let changed = change.apply(&nft, &folder, &keep).await?;
    let waits = args.confirm.filter(|_| changed != Changed::Nothing);
    if shell.out.style().json {
        let confirm_ms = waits.map(|time| time.0);
        let applied = json!({ "changed": name(changed), "confirm_within_ms": confirm_ms });
        shell.out.json(&applied)?;
    } else {
        shell.out.note(sentence(changed));
    }
    if let Some(time) = waits {
        shell.out.note(format_args!(
            "the change is undone in {time} unless you run `coord firewall confirm`; try a new connection first"
        ));
    }
    Ok(Exit::Ok)
}

pub(super) async fn confirm(place: &PlaceArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let nft = Nft::find()?;
    let folder = super::folder(place, shell)?;
    let confirmed = nft::confirm(&nft, &folder, &super::keep(place, shell)).await?;
    if shell.out.style().json {
        let guarded = confirmed == Confirmed::Kept;
        shell
            .out
            .json(&json!({ "confirmed": true, "guarded": guarded }))?;
    } else {
        shell.out.note("the rules stay");
    }
    if confirmed == Confirmed::KeptUnguarded {
        let note = "warning: the process that would have undone the change was killed";
        shell.out.note(note);
    }
    Ok(Exit::Ok)
}

pub(super) async fn remove(place: &PlaceArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let nft = Nft::find()?;
    let folder = super::folder(place, shell)?;
    let removed = nft::remove(&nft, &folder, &super::keep(place, shell)).await?;
    if shell.out.style().json {
        let removed = removed == Removed::Table;
        shell.out.json(&json!({ "removed": removed }))?;
        return Ok(Exit::Ok);
    }
    shell.out.note(match removed {
        Removed::Table => "the rules are gone",
        Removed::Nothing => "there were no rules",
    });
    Ok(Exit::Ok)
}

pub(super) async fn revert(args: &RevertArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let nft = Nft::find()?;
    let folder = super::folder(&args.place, shell)?;
    nft::wait_and_revert(&nft, &folder, &args.id, args.after_ms).await?;
    Ok(Exit::Ok)
}

/// This very program, waiting with the same folder.
fn revert_after(time: Millis, place: &PlaceArgs, shell: &Shell<'_>) -> Result<Revert, CliError> {
    let unknown = |error| CliError::input("find the program that would undo the change", error);
    let program = std::env::current_exe().map_err(unknown)?;
    let folder = std::path::absolute(super::folder_path(place, shell)).map_err(unknown)?;
    let folder = folder.to_str().ok_or_else(|| {
        CliError::usage(
            "the runtime folder's path is not UTF-8",
            "give it another name",
        )
    })?;
    let words = ["firewall", "revert", "--runtime-dir", folder];
    Ok(Revert {
        after_ms: time.0,
        program,
        words: words.map(str::to_owned).into(),
    })
}

fn name(changed: Changed) -> &'static str {
    match changed {
        Changed::Nothing => "nothing",
        Changed::Made => "made",
        Changed::Updated => "updated",
        Changed::Replaced => "replaced",
    }
}

fn sentence(changed: Changed) -> &'static str {
    match changed {
        Changed::Nothing => "these rules were loaded already: nothing changed",
        Changed::Made => "the rules are loaded",
        Changed::Updated => "the rules are updated; counters keep their values",
        Changed::Replaced => {
            "the rules are loaded; they replace a table that another program had changed"
        }
    }
}
