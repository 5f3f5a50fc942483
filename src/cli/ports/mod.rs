//! `coord ports`: the table, and who holds what of it.

mod check;
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
        PortsCommand::Check { profile } => {
            let profile = profile.unwrap_or(Profile::fallback());
            return Ok(check::run(profile, out)?.into());
        }
    }
    Ok(Exit::Ok.into())
}
