//! `coord ports`: the table, and who holds what of it.

mod check;
mod free;
pub mod table;
mod who;

use std::process::ExitCode;

use super::error::CliError;
use super::exit::Exit;
use super::output::Output;
use crate::ports::{Port, Profile};

/// Looks at ports.
#[derive(Debug, clap::Subcommand)]
pub enum PortsCommand {
    /// Shows which service has which port in which profile
    Table(table::TableArgs),
    /// Tells who listens on a port of this host
    ///
    /// Exits with 5 when nobody does. Processes of other users can only be named by root.
    Who {
        /// From 1 to 65535
        port: Port,
    },
    /// Prints a port that nobody listens on, of any address, IPv4 and IPv6
    ///
    /// A search that begins on a profile's port stays among those of that profile; any other steps
    /// over the ports of all profiles and of their well-known neighbours. Exits with 5 when none is
    /// free. The port is free now; `coord serve` and `coord lease` keep what they take.
    Free {
        /// The first port to try, then upwards
        #[arg(long)]
        from: Port,
        /// How many ports to try
        #[arg(long, default_value = "100", value_parser = clap::value_parser!(u16).range(1..))]
        attempts: u16,
    },
    /// Tells which ports of a profile, and of its well-known neighbours, somebody listens on
    ///
    /// Exits with 6 when somebody listens on a port of the profile: that may be a coordinator that
    /// runs, which `coord health` finds out.
    Check {
        /// Whose ports: production, staging, development or testing [default: this build's]
        #[arg(long)]
        profile: Option<Profile>,
    },
}

pub(super) fn run(command: &PortsCommand, out: &mut Output<'_>) -> Result<ExitCode, CliError> {
    match command {
        PortsCommand::Table(args) => table::run(*args, out.sink())?,
        PortsCommand::Who { port } => return Ok(who::run(*port, out)?.into()),
        PortsCommand::Free { from, attempts } => {
            return Ok(free::run(*from, *attempts, out)?.into());
        }
        PortsCommand::Check { profile } => {
            let profile = profile.unwrap_or(Profile::fallback());
            return Ok(check::run(profile, out)?.into());
        }
    }
    Ok(Exit::Ok.into())
}
