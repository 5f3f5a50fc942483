//! `coord ports check`.

use std::path::Path;

use serde::Serialize;

use super::who::unreadable;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::cli::table::Table;
use crate::edge::holders::{self, Holder};
use crate::edge::ports::{NEIGHBOURS, Port, Profile, Service};

/// One port and the processes that listen on it.
#[derive(Debug, Serialize)]
struct Checked {
    /// The service of the profile, or the program known to use the port.
    whose: &'static str,
    port: Port,
    /// Whether the profile owns it.
    ours: bool,
    holders: Vec<Holder>,
}

pub(super) fn run(profile: Profile, out: &mut Output<'_>) -> Result<Exit, CliError> {
    let ours = Service::ALL.into_iter().flat_map(|service| {
        let ports = profile.ports(service).iter();
        ports.map(move |port| (service.title(), port, true))
    });
    let ours: Vec<_> = ours.collect();
    let others = NEIGHBOURS
        .iter()
        .map(|known| (known.name, known.port, false));
    let others = others.filter(|(_, port, _)| ours.iter().all(|(_, own, _)| own != port));
    let asked: Vec<_> = ours.iter().copied().chain(others).collect();
    let wanted = |number| asked.iter().any(|(_, port, _)| port.number() == number);
    let found = holders::of_ports(Path::new(holders::PROC), wanted).map_err(unreadable)?;
    let checked: Vec<Checked> = asked
        .iter()
        .map(|(whose, port, ours)| {
            let here = |holder: &&Holder| holder.address.port() == port.number();
            Checked {
                whose,
                port: *port,
                ours: *ours,
                holders: found.iter().filter(here).cloned().collect(),
            }
        })
        .collect();
    if out.style().json {
        out.json(&checked)?;
    } else {
        show(&checked, out)?;
    }
    let taken = checked.iter().any(|it| it.ours && !it.holders.is_empty());
    Ok(if taken { Exit::Conflict } else { Exit::Ok })
}

fn show(checked: &[Checked], out: &mut Output<'_>) -> Result<(), CliError> {
    let mut table = Table::new(&["SERVICE", "PORT", "STATE", "BY"]);
    for it in checked {
        let whose = if it.ours {
            it.whose.to_owned()
        } else {
            format!("({})", it.whose)
        };
        let mut by: Vec<String> = it.holders.iter().map(named).collect();
        // A process with separate IPv4 and IPv6 sockets is listed once.
        by.dedup();
        let state = if by.is_empty() { "free" } else { "taken" };
        table.row(&[whose, it.port.to_string(), state.to_owned(), by.join("; ")]);
    }
    out.table(&table, "no listeners")?;
    Ok(())
}

/// The process, and the container, VM or tunnel behind it if there is one.
fn named(holder: &Holder) -> String {
    let behind = holder.behind().map(|behind| format!(", {}", behind.is));
    format!("{holder}{}", behind.unwrap_or_default())
}
