//! `coord ports who`.

use std::path::Path;

use nix::unistd::geteuid;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::cli::table::{Table, one_line, or_nothing};
use crate::edge::holders::{self, Holder, Process};
use crate::edge::ports::{Port, neighbour, owner};

/// All that listen on a port, or why they cannot be found.
pub(super) fn holders_of(port: Port) -> Result<Vec<Holder>, CliError> {
    let found = holders::of_port(Path::new(holders::PROC), port.number());
    found.map_err(unreadable)
}

pub(super) fn unreadable(error: std::io::Error) -> CliError {
    CliError::input("read the kernel's tables of sockets", error)
}

/// The error when no process listens on a port.
pub(super) fn nobody(port: Port) -> CliError {
    let what = format!("no process listens on port {port} of this host");
    CliError::unmet(Exit::NotFound, what)
}

pub(super) fn run(port: Port, out: &mut Output<'_>) -> Result<Exit, CliError> {
    let found = holders_of(port)?;
    let elsewhere = holders::elsewhere(Path::new(holders::PROC), port.number());
    if out.style().json {
        let all: Vec<&Holder> = found.iter().chain(&elsewhere).collect();
        out.json(&all)?;
    } else {
        if !found.is_empty() {
            show(&found, out)?;
        }
        if !elsewhere.is_empty() {
            out.line("In other network namespaces, where they do not block the port here:")?;
            show(&elsewhere, out)?;
        }
    }
    if let Some((profile, service)) = owner(port) {
        out.note(format_args!(
            "port {port} is {service}'s in the {profile} profile"
        ));
    }
    if let Some(known) = neighbour(port) {
        out.note(format_args!(
            "{} is known to use it: {}",
            known.name, known.note
        ));
    }
    if found.is_empty() {
        return Err(nobody(port));
    }
    for process in found
        .iter()
        .flat_map(|holder| holder.processes.iter().chain(&holder.presumed))
    {
        tell_what_is_behind(process, out);
    }
    for kernel in found.iter().filter_map(|holder| holder.kernel) {
        out.note(format_args!(
            "{} of the kernel listens: `{}` stops it",
            kernel.name, kernel.stop
        ));
    }
    if !geteuid().is_root() && found.iter().any(|holder| holder.processes.is_empty()) {
        out.note(format_args!(
            "as root, `coord ports who {port}` names the process too"
        ));
    }
    Ok(Exit::Ok)
}

/// What a process holds the port for, and the command that stops that.
fn tell_what_is_behind(process: &Process, out: &Output<'_>) {
    let Some(behind) = &process.behind else {
        return;
    };
    let name = one_line(&process.to_string());
    let how = behind
        .how()
        .map_or_else(String::new, |how| format!("; instead: {how}"));
    out.note(format_args!("{name}) {}{how}", behind.sentence()));
}

fn show(found: &[Holder], out: &mut Output<'_>) -> Result<(), CliError> {
    let headings = [
        "ADDRESS",
        "USER",
        "PROCESS",
        "PROGRAM",
        "UNIT",
        "CONTAINER",
        "COMMAND",
    ];
    let mut table = Table::new(&headings);
    for holder in found {
        let address = holder.address.to_string();
        let user = holder.user.clone();
        let user = user.unwrap_or_else(|| holder.user_id.to_string());
        let mut processes = holder.processes.iter().chain(&holder.presumed).peekable();
        if processes.peek().is_none() {
            let nothing = || or_nothing::<String>(None);
            table.row(&[
                address,
                user,
                nothing(),
                nothing(),
                nothing(),
                nothing(),
                nothing(),
            ]);
            continue;
        }
        for process in processes {
            table.row(&[
                address.clone(),
                user.clone(),
                process.pid.to_string(),
                process.program.clone(),
                or_nothing(process.unit.as_ref()),
                or_nothing(process.container.as_ref()),
                process.command.clone(),
            ]);
        }
    }
    out.table(&table, "no listeners")?;
    Ok(())
}
