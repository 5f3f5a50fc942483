//! `coord ports`: the table of ports, their holders, and free ports.

mod check;
mod free;
mod lease;
mod patience;
mod pool;
mod run;
mod stop;
pub mod table;
mod who;

use super::error::CliError;
use super::exit::Exit;
use super::shell::Shell;
use crate::config::{Config, Flags, Invoker};
use crate::edge::ports::{Port, Profile};

/// Shows, frees and reserves ports.
#[derive(Debug, clap::Subcommand)]
pub enum PortsCommand {
    /// Shows the port of each service in each profile
    Table(table::TableArgs),
    /// Shows which process listens on a port of this host
    ///
    /// Exits with 5 when no process listens. Only root can see other users' processes. Processes in other
    /// network namespaces, such as containers, are listed separately: they do not block the port here.
    Who {
        /// From 1 to 65535
        port: Port,
    },
    /// Stops the processes that listen on a port: sends TERM, then waits until the port is free
    ///
    /// Shows them and asks first, unless --yes is given. It does not stop another user's process without
    /// --any-user. Without --anyway it does not stop a process that holds the port for something else (a
    /// container, a tunnel, a virtual machine) or does more than use the port; it prints the command that
    /// stops what is behind it. It never stops process 1 or this command itself.
    ///
    /// After the stop it watches for --settle whether the port is taken again, and up to 5 s if a new process
    /// of the same command starts. With --json, `restarted_by` names that process.
    ///
    /// Exits with 0 when the port is free, 4 when this user may not stop a process or the stop is refused, 5
    /// when no process listens, 6 when the port was taken again or will be soon, 124 when a process still
    /// listens after the wait.
    Stop(stop::StopArgs),
    /// Runs a command with ports that are reserved for it while it runs
    ///
    /// With --id alone: one port of each range of the testing profile, as `REDIS_PORT`, `WEBSOCKET_PORT` and
    /// `METRICS_PORT`, with `COORD_PROFILE=testing`. With --pool: a port of that range, as `PORT` or as NAME;
    /// ports of profiles and of their well-known neighbours are skipped.
    ///
    /// The same id prefers the same ports on every machine. The ports are locked against other runs of this
    /// command, and were free on all addresses, IPv4 and IPv6. Ports of pools are also leased from the
    /// coordinator, if this user has a token and the coordinator answers (see --lease and --no-lease). Exits
    /// with the command's own code; with 6, or 124 after --wait, when no port is free, with 7 when a lease
    /// was lost.
    Run(run::PortsRunArgs),
    /// Leases ports of this machine from a coordinator, and prints them
    ///
    /// Each port is free here on all addresses. If a program without a lease listens on a port, the port is
    /// skipped and stays leased for 5 minutes, so that others skip it too. Exits with 6, or 124 after --wait,
    /// when no port is free.
    Lease(lease::LeaseArgs),
    /// Prints a port that is free on all addresses, IPv4 and IPv6
    ///
    /// A search that begins on a profile's port stays within that profile's ports; any other search skips the
    /// ports of all profiles and of their well-known neighbours. Exits with 5 when none is free. The port is
    /// free now, but it is not reserved: use `coord ports run` for that.
    Free {
        /// The first port to try, then upwards
        #[arg(long)]
        from: Port,
        /// How many ports to try
        #[arg(long, default_value = "100", value_parser = clap::value_parser!(u16).range(1..))]
        attempts: u16,
    },
    /// Shows which ports of a profile, and of its well-known neighbours, are in use
    ///
    /// Exits with 6 when a process listens on a port of the profile. That may be a running coordinator: check
    /// with `coord health`.
    Check {
        /// The profile: production, staging, development or testing [default: the one that `coord serve`
        /// would use]
        #[arg(long)]
        profile: Option<Profile>,
    },
}

pub(super) async fn run(command: PortsCommand, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let out = &mut shell.out;
    match command {
        PortsCommand::Table(args) => {
            table::run(args, out.sink())?;
            Ok(Exit::Ok)
        }
        PortsCommand::Who { port } => who::run(port, out),
        PortsCommand::Stop(args) => stop::run(args, out).await,
        PortsCommand::Run(args) => run::run(args, shell).await,
        PortsCommand::Lease(args) => lease::run(args, shell).await,
        PortsCommand::Free { from, attempts } => free::run(from, attempts, out),
        PortsCommand::Check {
            profile: Some(profile),
        } => check::run(profile, out),
        PortsCommand::Check { profile: None } => {
            let config = Config::load(&Flags::default(), shell.environment, Invoker::from(0))?;
            check::run(config.profile, out)
        }
    }
}
