//! `coord firewall status`.

use std::path::PathBuf;

use super::{PlaceArgs, PolicyArgs};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Output, Paint};
use crate::cli::shell::Shell;
use crate::cli::table::Table;
use crate::nft::{Nft, Report, State, write_board};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct StatusArgs {
    /// Leave it in a file for the coordinator's metrics, by default in that of
    /// `firewall.status_file`, and
    /// exit with 0 whatever it is
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    #[expect(clippy::option_option, reason = "absent, without a value, with one")]
    write: Option<Option<PathBuf>>,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    policy: PolicyArgs,
}

pub(super) async fn run(args: StatusArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let config = super::config(args.policy, shell)?;
    let ruleset = super::policy(&config, shell)?.ruleset();
    let nft = Nft::find()?;
    let folder = super::folder(&args.place, shell)?;
    let report = Report::look(&nft, &folder, &ruleset).await?;
    if let Some(file) = args.write {
        let file = file.unwrap_or(config.status_file);
        let written = report.board().and_then(|board| write_board(&file, &board));
        written.map_err(|error| CliError::input(format!("write {}", file.display()), error))?;
        return Ok(Exit::Ok);
    }
    if shell.out.style().json {
        shell.out.json(&report)?;
    } else {
        show(&report, &mut shell.out)?;
    }
    let right = report.state == State::AsConfigured;
    Ok(if right { Exit::Ok } else { Exit::Failed })
}

fn show(report: &Report, out: &mut Output<'_>) -> Result<(), CliError> {
    let (paint, state) = match report.state {
        State::Absent => (Paint::Faint, "no rules are loaded, and none were applied"),
        State::AsConfigured => (Paint::Good, "loaded, as the configuration asks for"),
        State::Outdated => (
            Paint::Busy,
            "loaded, but the configuration has changed since",
        ),
        State::ChangedByOthers => (Paint::Bad, "changed by others since they were applied"),
        State::Gone => (Paint::Bad, "deleted by others since they were applied"),
        State::Unknown => (
            Paint::Bad,
            "a table that was not applied since the box started",
        ),
    };
    out.field("rules", out.paint(paint, state))?;
    let confirmation = match (report.pending, report.guarded, report.reverted) {
        (true, true, _) => "awaited: `coord firewall confirm` keeps the last change",
        (true, false, _) => "awaited, but the process that would undo the change was killed",
        (false, _, true) => "none came: the last change was undone",
        (false, _, false) => "not awaited",
    };
    out.field("confirmation", confirmation)?;
    if !report.counters.is_empty() {
        let mut table = Table::new(&["COUNTER", "PACKETS", "BYTES"]);
        for counter in &report.counters {
            let (packets, bytes) = (counter.packets.to_string(), counter.bytes.to_string());
            table.row(&[counter.name.clone(), packets, bytes]);
        }
        out.table(&table, "nothing counted")?;
    }
    match report.state {
        State::AsConfigured => {}
        State::ChangedByOthers | State::Outdated => {
            out.note(
                "`coord firewall diff` shows what differs, `coord firewall apply` sets it right",
            );
        }
        State::Absent | State::Gone | State::Unknown => {
            out.note("`coord firewall apply` loads the rules");
        }
    }
    Ok(())
}
