//! What `ports stop` refuses to stop, and the command that it suggests instead.

use std::path::Path;

use nix::unistd::geteuid;

use super::{StopArgs, StopTarget};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::table::one_line;
use crate::edge::holders::{self, Behind, Holder, INIT, Process};
use crate::edge::ports::Port;

/// A holder that cannot be seen cannot be stopped.
pub(super) fn check_visible(port: Port, found: &[Holder]) -> Result<(), CliError> {
    let Some(holder) = found.iter().find(|holder| holder.processes.is_empty()) else {
        return Ok(());
    };
    let address = holder.address;
    let held = format!("{address} is held by {}", one_line(&holder.to_string()));
    let known = holder
        .presumed
        .as_ref()
        .and_then(|process| process.behind.as_ref());
    let what = match (holder.kernel, known) {
        (Some(kernel), _) => format!("{held}: `{}` stops it", kernel.stop),
        (None, Some(behind)) => format!("{held}, which {}{}", behind.sentence(), instead(behind)),
        (None, None) if geteuid().is_root() => format!(
            "{held}: it belongs to the kernel, or to another process namespace such as a container's; run `coord \
             ports who {port}` there"
        ),
        (None, None) => format!("{held}: only that user and root can stop it"),
    };
    Err(refused(what))
}

/// Processes whose end would do more, or less, than free the port.
pub(super) fn check_stoppable(args: &StopArgs, targets: &[StopTarget]) -> Result<(), CliError> {
    let own = std::process::id();
    let ancestors = holders::ancestors(Path::new(holders::PROC), own);
    for StopTarget { process, .. } in targets {
        let what = if process.pid == own {
            Some("it is this command itself".to_owned())
        } else if process.pid == INIT {
            Some(of_init(process))
        } else if args.anyway {
            None
        } else if ancestors.contains(&process.pid) {
            Some(of_ancestor(process))
        } else {
            of_behind(process)
        };
        if let Some(what) = what.or_else(|| of_other_user(args, process)) {
            return Err(refused(what));
        }
    }
    Ok(())
}

fn refused(what: String) -> CliError {
    CliError::unmet(Exit::Denied, what)
}

/// Process 1 must not be stopped: systemd ignores the signal, and in a container everything ends with it.
fn of_init(process: &Process) -> String {
    let how = process.behind.as_ref().and_then(Behind::how);
    let how = how.unwrap_or_else(|| "stop the service with process 1's own command".to_owned());
    format!(
        "process 1 listens there ({}), as systemd does for its .socket units: this command never stops it; {how}",
        one_line(&process.program)
    )
}

fn of_ancestor(process: &Process) -> String {
    format!(
        "{}) started this command, and ending it would end this command too: run it from another terminal, or \
         give --anyway",
        one_line(&process.to_string())
    )
}

fn of_behind(process: &Process) -> Option<String> {
    let behind = process.behind.as_ref().filter(|behind| behind.refused)?;
    let name = one_line(&process.to_string());
    let (sentence, instead) = (behind.sentence(), instead(behind));
    let as_user = if process.user_id == geteuid().as_raw() {
        String::new()
    } else {
        format!(", as user {}", process.user_id)
    };
    let program = one_line(&process.program);
    Some(format!(
        "{name}) {sentence}{instead}{as_user}; --anyway ends {program} itself"
    ))
}

fn of_other_user(args: &StopArgs, process: &Process) -> Option<String> {
    let user_id = process.user_id;
    let foreign = user_id != geteuid().as_raw() && !args.any_user;
    foreign.then(|| {
        let name = one_line(&process.to_string());
        format!("{name}) runs as user {user_id}, not as you: --any-user stops it anyway")
    })
}

/// How to stop what is behind it.
fn instead(behind: &Behind) -> String {
    behind.how().map_or_else(String::new, |how| {
        if behind.stop.is_empty() {
            format!(". Instead, {how}")
        } else {
            format!(". To stop what is behind it: {how}")
        }
    })
}
