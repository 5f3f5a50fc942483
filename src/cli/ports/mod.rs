//! `coord ports`: the table, who holds what of it, and how to get a port.

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

/// Looks at ports, frees them, takes them.
#[derive(Debug, clap::Subcommand)]
pub enum PortsCommand {
    /// Shows which service has which port in which profile
    Table(table::TableArgs),
    /// Tells who listens on a port of this host
    ///
    /// Exits with 5 when nobody does. Processes of other users can only be named by root. Those in
    /// other network namespaces, such as containers, are told apart: they are in nobody's way here.
    Who {
        /// From 1 to 65535
        port: Port,
    },
    /// Stops whoever listens on a port: TERM, then waits until nobody does
    ///
    /// Names them and asks first, unless --yes is given. What another user runs is left alone unless
    /// --any-user is given. What holds the port for something else, or is more than the port, is left alone
    /// unless --anyway is given: the command that stops what is behind it is told. The first process of the
    /// system, and this command itself, are never stopped.
    ///
    /// After the stop it looks for --settle whether the port is taken again, and up to 5 s when a new process of
    /// the same command is coming up. With --json, `restarted_by` tells who that is.
    ///
    /// Exits with 0 when the port is free, 4 when it is not this user's to free or is refused, 5 when nobody
    /// listens, 6 when the port was taken again or is about to be, 124 when they still listen after the wait.
    Stop(stop::StopArgs),
    /// Runs a command with ports that nobody else has, for as long as it runs
    ///
    /// With --id alone: one port of each of the testing profile's ranges, as `REDIS_PORT`,
    /// `WEBSOCKET_PORT` and `METRICS_PORT`, with `COORD_PROFILE=testing`. With --pool: a port of that
    /// range, as `PORT` or under the name it was given; ports of profiles and of their well-known
    /// neighbours are passed over.
    ///
    /// The same name prefers the same ports on every machine. They are locked against all others
    /// who use this command, and were free on all addresses, IPv4 and IPv6. Ports of pools are
    /// leased from the coordinator too, when this user has a token for one that answers (see
    /// --lease and --no-lease). Exits with the command's own code; with 6, or 124 after --wait, when
    /// no port is free, with 7 when a lease was lost.
    Run(run::PortsRunArgs),
    /// Leases ports of this machine from a coordinator, and prints them
    ///
    /// Each is free here on all addresses; one that a program has that no coordinator knows of is
    /// passed over, and stays leased for 5 minutes, so that others pass it over too. Exits with 6,
    /// or 124 after --wait, when no port is free.
    Lease(lease::LeaseArgs),
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
        /// Whose ports: production, staging, development or testing [default: the one that
        /// `coord serve` would have]
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
