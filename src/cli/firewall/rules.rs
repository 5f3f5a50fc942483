//! `coord firewall render | check | diff`: checks that change nothing.

use std::path::Path;

use serde_json::json;

use super::{CarefulArgs, PlaceArgs, PolicyArgs};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::shell::Shell;
use crate::config::FirewallConfig;
use crate::edge::firewall::{Policy, removal};
use crate::edge::nft::{FirewallReport, Nft, NftError, TableState, session};

pub(super) fn render(args: PolicyArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let config = super::config(args, shell)?;
    let ruleset = super::policy(&config, shell)?.ruleset();
    if shell.out.style().json {
        shell.out.json(&ruleset.json())?;
    } else {
        write!(shell.out.sink(), "{}", ruleset.text())?;
    }
    Ok(Exit::Ok)
}

pub(super) async fn check(
    args: PolicyArgs,
    careful: &CarefulArgs,
    shell: &mut Shell<'_>,
) -> Result<Exit, CliError> {
    let config = super::config(args, shell)?;
    let policy = super::policy(&config, shell)?;
    let ruleset = policy.ruleset();
    let nft = Nft::find()?;
    known_interfaces(&config, careful, shell)?;
    // The check replaces the loaded table: on top of it, nft would refuse valid rules and accept invalid
    // ones.
    nft.check(&(removal() + &ruleset.text())).await?;
    nft.check_json(&ruleset.json_in_place().to_string()).await?;
    keeps_session(&policy, careful, shell)?;
    if shell.out.style().json {
        shell.out.json(&json!({ "ok": true }))?;
    } else {
        shell.out.note("nft accepts the rules");
    }
    Ok(Exit::Ok)
}

pub(super) async fn diff(
    args: PolicyArgs,
    place: &PlaceArgs,
    shell: &mut Shell<'_>,
) -> Result<Exit, CliError> {
    let config = super::config(args, shell)?;
    let rules = super::wanted(&config, shell)?;
    let nft = Nft::find()?;
    let folder = super::folder(place, shell)?;
    let keep = super::keep(place, shell);
    let report = FirewallReport::look(&nft, &folder, &keep, Some(&rules)).await?;
    if shell.out.style().json {
        let differs = json!({ "changed_by_others": report.changed, "to_apply": report.to_apply, "reboot": report.reboot });
        shell.out.json(&differs)?;
    } else {
        let (changed, to_apply) = (&report.changed, &report.to_apply);
        shell.out.page(&format!("{changed}{to_apply}"))?;
    }
    if report.state == TableState::Unknown {
        let note = "the loaded table was not applied since boot, so it cannot be compared line by line; `coord \
                    firewall apply` replaces it";
        shell.out.note(note);
    }
    if let Some(note) = super::status::note_of(report.reboot) {
        shell.out.note(note);
    }
    let same = report.state == TableState::AsConfigured;
    Ok(if same { Exit::Ok } else { Exit::Failed })
}

/// Interfaces are matched by name, so rules for a later interface work; but an unknown name is mostly a
/// typing error, and it would close the machine.
pub(super) fn known_interfaces(
    config: &FirewallConfig,
    careful: &CarefulArgs,
    shell: &Shell<'_>,
) -> Result<(), CliError> {
    if careful.missing_interfaces {
        note_missing_interfaces(config, shell);
        return Ok(());
    }
    match session::unknown_interface(Path::new("/proc"), &config.interfaces) {
        Some(unknown) => Err(NftError::NoInterface(unknown.to_string()).into()),
        None => Ok(()),
    }
}

/// At boot, for instance.
pub(super) fn note_missing_interfaces(config: &FirewallConfig, shell: &Shell<'_>) {
    if let Some(unknown) = session::unknown_interface(Path::new("/proc"), &config.interfaces) {
        let note = format!("warning: the interface {unknown} does not exist yet");
        shell.out.note(note);
    }
}

/// The kernel tracks connections only once rules are loaded, so the rules must let this session in as a new
/// connection.
pub(super) fn keeps_session(
    policy: &Policy,
    careful: &CarefulArgs,
    shell: &Shell<'_>,
) -> Result<(), CliError> {
    let connection = shell.environment.variable("SSH_CONNECTION").ok().flatten();
    let sessions = session::own(Path::new("/proc"), connection.as_deref());
    let cut = sessions
        .iter()
        .find(|session| !policy.admits(session.peer, session.port));
    let Some(session) = cut else { return Ok(()) };
    let error = NftError::CutsOff {
        peer: session.peer.to_string(),
        port: session.port.number(),
    };
    if !careful.cut_off {
        return Err(error.into());
    }
    shell.out.note(format_args!("warning: {error}"));
    Ok(())
}
