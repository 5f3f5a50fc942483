//! `coord firewall status`.

use std::path::PathBuf;

use super::{PlaceArgs, PolicyArgs};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::input::check_place;
use crate::cli::output::{Output, Paint};
use crate::cli::shell::Shell;
use crate::cli::table::Table;
use crate::config::settings::FIREWALL_STATUS_FILE_DEFAULT;
use crate::edge::nft::{FirewallReport, Nft, Reboot, Rules, TableState, write_board};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct StatusArgs {
    /// Write the status to a file for the coordinator's metrics, by default `firewall.status_file`, and
    /// always exit with 0
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    #[expect(clippy::option_option, reason = "absent, without a value, with one")]
    write: Option<Option<PathBuf>>,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    policy: PolicyArgs,
}

pub(super) async fn run(args: StatusArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    // The loaded rules can be shown without it.
    let (status_file, wanted) = match super::config(args.policy, shell) {
        Ok(config) => (config.status_file.clone(), super::wanted(&config, shell)),
        Err(error) => (PathBuf::from(FIREWALL_STATUS_FILE_DEFAULT), Err(error)),
    };
    let report = look(&args.place, wanted.as_ref().ok(), shell).await?;
    if let Some(file) = args.write {
        let file = file.unwrap_or(status_file);
        check_place(&file)?;
        let written = report.board().and_then(|board| write_board(&file, &board));
        written.map_err(|error| CliError::input(format!("write {}", file.display()), error))?;
        if let Err(error) = wanted {
            shell.out.note(format_args!("warning: {}", error.text()));
        }
        return Ok(Exit::Ok);
    }
    if shell.out.style().json {
        shell.out.json(&report)?;
    } else {
        show(&report, &mut shell.out)?;
    }
    wanted?;
    let right = report.state == TableState::AsConfigured;
    Ok(if right { Exit::Ok } else { Exit::Failed })
}

async fn look(
    place: &PlaceArgs,
    wanted: Option<&Rules>,
    shell: &Shell<'_>,
) -> Result<FirewallReport, CliError> {
    let nft = Nft::find()?;
    let folder = super::folder(place, shell)?;
    let keep = super::keep(place, shell);
    Ok(FirewallReport::look(&nft, &folder, &keep, wanted).await?)
}

/// A warning about the next boot, if it will not load the rules of the configuration.
pub(super) fn note_of(reboot: Reboot) -> Option<&'static str> {
    match reboot {
        Reboot::Configured => None,
        Reboot::LastConfirmed => Some(
            "the rules of the configuration were never confirmed: a reboot loads the rules last confirmed",
        ),
        Reboot::Nothing => Some("the loaded rules were never confirmed: a reboot loads none"),
        Reboot::Unreadable => Some(
            "the rules last confirmed cannot be read: a reboot loads the rules of the configuration; `coord \
             firewall apply` saves them again",
        ),
    }
}

fn show(report: &FirewallReport, out: &mut Output<'_>) -> Result<(), CliError> {
    let (paint, state) = match report.state {
        TableState::Absent => (Paint::Faint, "no rules are loaded or applied"),
        TableState::AsConfigured => (Paint::Good, "loaded, and they match the configuration"),
        TableState::Outdated if report.configuration_wrong => (
            Paint::Bad,
            "loaded as applied, but the configuration yields no rules",
        ),
        TableState::Outdated => (
            Paint::Busy,
            "loaded, but they differ from the configuration",
        ),
        TableState::ChangedByOthers => (
            Paint::Bad,
            "changed by another program since they were applied",
        ),
        TableState::Gone => (
            Paint::Bad,
            "deleted by another program since they were applied",
        ),
        TableState::Unknown => (Paint::Bad, "a table that was not applied since boot"),
    };
    out.field("rules", out.paint(paint, state))?;
    let confirmation = match (report.pending, report.guarded, report.reverted) {
        (true, true, _) => "pending: `coord firewall confirm` keeps the last change",
        (true, false, _) => "pending, but the process that would undo the change was killed",
        (false, _, true) => "not given: the last change was undone",
        (false, _, false) => "not pending",
    };
    out.field("confirmation", confirmation)?;
    let reboot = match report.reboot {
        Reboot::Configured => "loads the rules of the configuration",
        Reboot::LastConfirmed => {
            "loads the rules last confirmed, which differ from the configuration"
        }
        Reboot::Nothing => "loads no rules: the loaded ones were never confirmed",
        Reboot::Unreadable => {
            "loads the rules of the configuration: the rules last confirmed cannot be read"
        }
    };
    out.field("a reboot", reboot)?;
    if !report.counters.is_empty() {
        let mut table = Table::new(&["COUNTER", "PACKETS", "BYTES"]);
        for counter in &report.counters {
            let (packets, bytes) = (counter.packets.to_string(), counter.bytes.to_string());
            table.row(&[counter.name.clone(), packets, bytes]);
        }
        out.table(&table, "no counters")?;
    }
    match report.state {
        TableState::AsConfigured => {}
        TableState::ChangedByOthers | TableState::Outdated => {
            out.note(
                "`coord firewall diff` shows the difference, `coord firewall apply` loads the rules of the \
                 configuration",
            );
        }
        TableState::Absent | TableState::Gone | TableState::Unknown => {
            out.note("`coord firewall apply` loads the rules");
        }
    }
    Ok(())
}
