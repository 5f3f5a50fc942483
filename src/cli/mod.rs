//! The command line: parses, calls, prints. The only part of the program that writes to stdout.

mod agent;
mod child;
mod client_error;
pub mod config;
mod context;
mod duration;
mod error;
mod events;
pub mod exit;
mod firewall;
mod flags;
mod generate;
mod health;
mod input;
mod install;
pub mod journal;
mod lease;
mod message;
mod misuse;
mod output;
pub mod panics;
pub mod ports;
mod project;
pub mod protocol;
mod reader;
pub mod render;
mod resources;
mod self_test;
pub mod serve;
mod server;
mod shell;
mod table;
mod task;
mod token;
mod write_file;

use std::cell::Cell;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};

use crate::build_info::LONG_VERSION;
use crate::client;
use crate::config::{Environment, Invoker};
use crate::text;
pub use duration::Millis;
pub use error::CliError;
use exit::Exit;
use output::{Output, Style};
use shell::{ConnectionFlags, Shell};

/// How long what a one-shot command holds lasts without being renewed.
const TTL_DEFAULT: &str = "10m";

/// Coordinates command-line AI agents: tasks, leases, messages and shared context on one gateway
#[derive(Debug, Parser)]
#[command(
    name = "coord",
    version,
    long_version = LONG_VERSION,
    max_term_width = 100,
    subcommand_required = true
)]
#[command(arg_required_else_help = true)]
pub struct Cli {
    /// Print results as JSON, as they come over the wire, one value a line; remarks and errors too, on
    /// stderr
    #[arg(long, global = true, help_heading = "Output")]
    json: bool,
    /// When to use colours: auto, always or never; auto means on a terminal, unless `NO_COLOR` is set
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        hide_possible_values = true,
        help_heading = "Output"
    )]
    color: ColorArg,
    /// Print only what was asked for: no hints, and of what was made only the number
    #[arg(long, short, global = true, help_heading = "Output")]
    quiet: bool,
    #[command(flatten)]
    connection: ConnectionFlags,
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum ColorArg {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, clap::Subcommand)]
enum CliCommand {
    /// Runs a coordinator until it gets SIGTERM or SIGINT
    ///
    /// Exits with 0 when it stopped in order, 65 when its state is damaged, 70 when its journal
    /// failed (a restart recovers), 78 when the configuration is wrong or a port is taken, 1 when
    /// something else is amiss that a restart may mend.
    Serve(serve::ServeCommand),
    /// Shows how the coordinator and the project are
    Status,
    /// Asks every service of the configuration, in its own protocol, whether it runs
    ///
    /// Redis must answer PING, the agents' port must take a WebSocket and name its coordinator, the
    /// metrics must parse and be a coordinator's. Where they are is what `coord serve` would be
    /// configured with, as `coord config show` shows it; `COORD_URL` does not count. Exits with 0 when all of them run, or are not used,
    /// with 1 when one does not, with 2 when the configuration is wrong.
    Health(health::HealthArgs),
    /// Tries out every part on this box, and tells what the box is
    ///
    /// For a freshly flashed box, and for support. Journal, TLS, WebSocket, Redis client, timers, clock,
    /// entropy, permissions, ports and nft are exercised within seconds, in a folder of their own that
    /// is removed at the end; the state is only looked at. Exits with 0 when all parts work, with 1
    /// when one does not; a warning is of something beside the coordinator.
    SelfTest(self_test::SelfTestArgs),
    /// Asks for a sign of life, and tells how long it took
    Ping,
    /// Makes, lists and revokes tokens
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Makes and lists projects
    #[command(subcommand)]
    Project(project::ProjectCommand),
    /// Looks at agents, and says something of yourself
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// Submits tasks, looks at them, works on them
    #[command(subcommand)]
    Task(task::TaskCommand),
    /// Holds files, ports and names, so that nobody else does
    #[command(subcommand)]
    Lease(lease::LeaseCommand),
    /// Sends and reads messages
    #[command(subcommand)]
    Message(message::MessageCommand),
    /// Reads and writes the shared context
    #[command(subcommand)]
    Context(context::ContextCommand),
    /// Follows what happens
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// Writes a consistent backup on the coordinator's host, while all goes on
    Backup(server::BackupArgs),
    /// Calls any operation by its name
    Call(server::CallArgs),
    /// Fills an empty state directory from a backup
    Restore(journal::RestoreCommand),
    /// Looks at an embedded journal, or mends it
    #[command(subcommand)]
    Journal(journal::JournalCommand),
    /// Makes a systemd service of this program, or undoes that
    ///
    /// Copies the program, writes units, user and a first configuration, and switches it on. A second
    /// run changes only what differs.
    Install(install::InstallArgs),
    /// Looks at the configuration without starting anything
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Looks at ports, frees them, takes them
    #[command(subcommand)]
    Ports(ports::PortsCommand),
    /// Makes what has to stay in step with the ports, from the configuration
    #[command(subcommand)]
    Render(render::RenderCommand),
    /// Makes firewall rules from the configuration, applies them, looks after them
    #[command(subcommand)]
    Firewall(firewall::FirewallCommand),
    /// Prints the whole interface as an OpenRPC document, or as a page to read
    Protocol(protocol::ProtocolArgs),
    /// Prints completions for a shell
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Prints the man page of `coord`, or writes those of all commands to a folder
    Man(generate::ManArgs),
    /// Runs a command below itself for a wrapper, and never lets it run without that wrapper
    #[command(hide = true)]
    Guard(child::guard::GuardArgs),
}

impl CliCommand {
    /// Whether only an operator may run it, or it is the same whoever does.
    fn is_operators(&self) -> bool {
        match self {
            Self::Status | Self::Ping | Self::Token(_) | Self::Backup(_) => true,
            Self::Project(command) => matches!(command, project::ProjectCommand::Create { .. }),
            Self::Agent(command) => matches!(command, agent::AgentCommand::Remove { .. }),
            Self::Lease(command) => matches!(command, lease::LeaseCommand::Revoke { .. }),
            _ => false,
        }
    }
}

/// The definition of the command line, with all that its help shows.
pub fn definition() -> clap::Command {
    Cli::command()
        .after_long_help(Exit::help())
        .after_help("`coord COMMAND --help` tells more; `coord --help` lists the exit codes.")
}

/// Runs a command line to its end.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &dyn Environment,
) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let json = misuse::wants_json(&arguments);
    let parsed = definition().try_get_matches_from(arguments);
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return misuse::report(&error, json).into(),
    };
    output::remark_in_json(cli.json);
    if cli.json {
        panics::report_as_json();
    }
    let style = Style {
        json: cli.json,
        color: wants_color(cli.color, environment),
        quiet: cli.quiet,
    };
    // Not locked: the output of commands that are run goes there from other threads.
    let mut stdout = io::stdout();
    let mut shell = Shell {
        connection: cli.connection,
        environment,
        out: Output::new(&mut stdout, style),
        tells_operator: Cell::new(!cli.command.is_operators()),
    };
    let ended = dispatch(cli.command, &mut shell);
    match ended {
        Ok(code) => code,
        Err(error) => {
            report(&error, style);
            error.exit().into()
        }
    }
}

fn dispatch(command: CliCommand, shell: &mut Shell<'_>) -> Result<ExitCode, CliError> {
    let environment = shell.environment;
    let out = &mut shell.out;
    match command {
        CliCommand::Config(command) => {
            let invoker = Invoker::current();
            let command = command.in_json(out.style().json)?;
            return config::run(command, environment, invoker, out.sink()).map_err(CliError::from);
        }
        CliCommand::Serve(command) => {
            let style = out.style();
            return Ok(serve::run(command, environment, style, out.sink())?);
        }
        CliCommand::Restore(command) => {
            journal::restore(&command, environment, out)?;
        }
        CliCommand::Journal(command) => {
            let json = out.style().json;
            return Ok(journal::run(&command, environment, json, out.sink())?);
        }
        CliCommand::Render(command) => render::run(command, environment, out)?,
        CliCommand::Guard(args) => return child::guard::run(args).map(ExitCode::from),
        CliCommand::Install(args) => {
            return install::run(&args, environment, out).map(ExitCode::from);
        }
        CliCommand::Protocol(args) => protocol::run(&args, out)?,
        CliCommand::Completions { shell } => generate::completions(shell, out)?,
        CliCommand::Man(args) => generate::man(&args, out)?,
        connected => return call(connected, shell).map(ExitCode::from),
    }
    Ok(ExitCode::SUCCESS)
}

/// The commands that talk to a coordinator, or wait for something.
fn call(command: CliCommand, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build()?;
    let ended = runtime.block_on(async {
        match command {
            CliCommand::Status => server::status(shell).await,
            CliCommand::Ping => server::ping(shell).await,
            CliCommand::Ports(command) => ports::run(command, shell).await,
            CliCommand::Health(args) => health::run(args, shell).await,
            CliCommand::SelfTest(args) => Box::pin(self_test::run(args, shell)).await,
            CliCommand::Token(command) => token::run(command, shell).await,
            CliCommand::Project(command) => project::run(command, shell).await,
            CliCommand::Agent(command) => agent::run(command, shell).await,
            CliCommand::Task(command) => Box::pin(task::run(command, shell)).await,
            CliCommand::Lease(command) => lease::run(command, shell).await,
            CliCommand::Message(command) => message::run(command, shell).await,
            CliCommand::Context(command) => context::run(command, shell).await,
            CliCommand::Events(command) => events::run(command, shell).await,
            CliCommand::Backup(args) => server::backup(args, shell).await,
            CliCommand::Call(args) => server::call(args, shell).await,
            CliCommand::Firewall(command) => Box::pin(firewall::run(command, shell)).await,
            CliCommand::Serve(_)
            | CliCommand::Restore(_)
            | CliCommand::Journal(_)
            | CliCommand::Install(_)
            | CliCommand::Config(_)
            | CliCommand::Render(_)
            | CliCommand::Protocol(_)
            | CliCommand::Completions { .. }
            | CliCommand::Man(_)
            | CliCommand::Guard(_) => Ok(Exit::Ok),
        }
    });
    // A read of stdin or a write to a stuck terminal may still be under way on a helper thread.
    runtime.shutdown_background();
    answered(ended?, &shell.out)
}

/// With `--json` no code of our own stands alone: where no answer tells why, an error does.
fn answered(exit: Exit, out: &Output<'_>) -> Result<Exit, CliError> {
    let lacking = out.style().json && !out.has_answered();
    match exit.meaning().filter(|_| lacking && exit != Exit::Ok) {
        Some(meaning) => Err(CliError::unmet(exit, meaning)),
        None => Ok(exit),
    }
}

/// What failed, why, and the next step. A closed pipe is no failure, and there is nobody to tell.
fn report(error: &CliError, style: Style) {
    if error.exit() == Exit::Ok {
        return;
    }
    let text = if style.json {
        error.json()
    } else {
        format!("coord: {}", text::lines(&error.text()))
    };
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

fn wants_color(choice: ColorArg, environment: &dyn Environment) -> bool {
    let variable = |name| environment.variable(name).ok().flatten();
    match choice {
        ColorArg::Always => true,
        ColorArg::Never => false,
        ColorArg::Auto => {
            io::stdout().is_terminal()
                && variable("NO_COLOR").is_none()
                && variable("TERM").is_none_or(|term| term != "dumb")
        }
    }
}

impl From<config::ConfigCommandError> for CliError {
    fn from(error: config::ConfigCommandError) -> Self {
        match error {
            config::ConfigCommandError::Config(errors) => Self::Config(errors),
            config::ConfigCommandError::Output(error) => Self::Output(error),
        }
    }
}

#[cfg(test)]
mod tests;
