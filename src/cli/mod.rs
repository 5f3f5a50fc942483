//! The command line: parses, calls, prints. The only part of the program that writes to stdout.

mod agent;
mod child;
mod client_error;
pub mod config;
mod context;
mod doctor;
mod duration;
mod error;
mod events;
pub mod exit;
mod firewall;
mod flags;
mod generate;
mod guard;
mod health;
mod hook;
mod input;
mod install;
pub mod journal;
mod lease;
mod line_rpc;
mod mcp;
mod message;
mod misuse;
mod open;
mod output;
pub mod panics;
pub mod ports;
mod project;
pub mod protocol;
mod reader;
pub mod render;
mod repository;
mod resources;
mod self_test;
pub mod serve;
mod server;
mod setup;
mod shell;
mod table;
mod task;
mod token;
mod top;
mod wait;
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

/// The time-to-live of what a one-shot command holds.
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
    /// Print results as JSON, as the coordinator sent them, one value a line; notes and errors are JSON on
    /// stderr
    #[arg(long, global = true, help_heading = "Output")]
    json: bool,
    /// When to use colours: auto, always or never; auto uses them on a terminal unless `NO_COLOR` is set
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
    /// Print only the result: no hints, and for a new object only its number
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
    /// Exits with 0 after an orderly stop, 65 when its state is damaged, 70 when its journal failed (a
    /// restart recovers), 78 when the configuration is wrong or a port is taken, 1 after any other failure (a
    /// restart may help).
    Serve(serve::ServeCommand),
    /// Shows the state of the coordinator and the project
    Status,
    /// Prints a link that opens the page in a browser, once
    ///
    /// The page shows who does what, what is stuck, and why. The link begins a session that only looks, unless
    /// `--operator` is given. On a screen a link that only looks is opened at once.
    Open(open::OpenArgs),
    /// Shows in the terminal what needs a person, who is here, and what each does; live
    ///
    /// The first view of the page, for those on ssh; q ends it. Without a terminal that can move its cursor it prints
    /// the view once, as with --once.
    Top(top::TopArgs),
    /// Checks, in its own protocol, that every service of the configuration runs
    ///
    /// Redis must answer PING, the agents' port must accept a WebSocket and name its coordinator, the metrics
    /// must parse and come from a coordinator. The addresses are those that `coord serve` would use, as
    /// `coord config show` prints them; `COORD_URL` is ignored. Exits with 0 when every service that is used
    /// runs, with 1 when one does not, with 2 when the configuration is wrong.
    Health(health::HealthArgs),
    /// Tests every part on this machine, and describes the machine
    ///
    /// For a freshly flashed machine, and for support. Tests journal, TLS, WebSocket, Redis client, timers,
    /// clock, entropy, permissions, ports and nft within seconds, in a temporary folder; the coordinator's
    /// state is only read. Exits with 0 when all parts work, with 1 when one does not; a warning concerns
    /// something outside the coordinator.
    SelfTest(self_test::SelfTestArgs),
    /// Sends a ping, and shows how long the answer took
    Ping,
    /// Creates, lists and revokes tokens
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Creates and lists projects
    #[command(subcommand)]
    Project(project::ProjectCommand),
    /// Shows agents, and updates your own status
    #[command(subcommand)]
    Agent(agent::AgentCommand),
    /// Submits tasks, shows them, works on them
    #[command(subcommand)]
    Task(task::TaskCommand),
    /// Leases files, ports and names, so that no other agent uses them
    #[command(subcommand)]
    Lease(lease::LeaseCommand),
    /// Sends and reads messages
    #[command(subcommand)]
    Message(message::MessageCommand),
    /// Reads and writes the shared context
    #[command(subcommand)]
    Context(context::ContextCommand),
    /// Prints changes as they happen
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// Writes a consistent backup on the coordinator's host; nothing stops meanwhile
    Backup(server::BackupArgs),
    /// Calls any operation by its name
    Call(server::CallArgs),
    /// Fills an empty state directory from a backup
    Restore(journal::RestoreCommand),
    /// Inspects or repairs an embedded journal
    #[command(subcommand)]
    Journal(journal::JournalCommand),
    /// Makes agents' CLIs use the coordinator in this repository, or takes that back
    ///
    /// Gives Claude Code, Codex, Gemini CLI and opencode our tools and hooks, and the repository a project of its
    /// own. Files are edited in place, comments and order stay, and what they were like is kept. A second run
    /// changes nothing.
    Setup(setup::SetupArgs),
    /// Checks that agents' CLIs really reach the coordinator, link by link
    ///
    /// Each link is tried: connects with the token, starts `coord mcp` as each CLI would, sends a sample to each
    /// hook. Exits with 0 when all is well, with 1 when something is not; each failure says what mends it.
    Doctor(doctor::DoctorArgs),
    /// Installs this program as a systemd service, or uninstalls it
    ///
    /// Copies the program, writes units and a first configuration, creates the user, and enables the service.
    /// A second run changes only what differs.
    Install(install::InstallArgs),
    /// Shows and checks the configuration; starts nothing
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Shows, frees and reserves ports
    #[command(subcommand)]
    Ports(ports::PortsCommand),
    /// Generates files that must match the ports, from the configuration
    #[command(subcommand)]
    Render(render::RenderCommand),
    /// Generates firewall rules from the configuration, applies and checks them
    #[command(subcommand)]
    Firewall(firewall::FirewallCommand),
    /// Serves tools for a model over stdin and stdout, by the Model Context Protocol
    ///
    /// For the configuration of an agent's CLI, as in `claude mcp add coord -- coord mcp`. Presence, and what
    /// the tools take, last as long as the CLI keeps the program running. Over HTTP the coordinator serves the
    /// same tools at /mcp.
    Mcp,
    /// Answers a hook of an agent's CLI: reads the event on stdin, prints what the CLI should do
    ///
    /// For the hooks of Claude Code, Codex, Gemini CLI and opencode. Before an edit it reserves the files, and
    /// refuses the edit if another agent holds one; it shows mail, and keeps the agent present. Always exits with
    /// 0 or 1: other codes are decisions to these CLIs. Without a coordinator, edits go on, and the user is told
    /// once a session.
    #[command(subcommand)]
    Hook(hook::HookCommand),
    /// Checks a commit before git makes it: no file of it may be held by another agent
    ///
    /// For git's pre-commit hook; `coord guard install` sets it up. Does nothing in a clone whose git configuration
    /// has no `coord.project`. By the clone's rules (`coord.sameTree`, `coord.otherTree`: deny, warn, off) it refuses
    /// the commit with 1, or warns. Without a coordinator the commit passes, unless `coord.strict` is true. `git
    /// commit --no-verify` passes it once.
    Guard(guard::GuardArgs),
    /// Waits until a message, a task or a free resource is there
    ///
    /// Exits with 0 when something is, with 124 when the time is over.
    Wait(wait::WaitArgs),
    /// Prints the protocol as an OpenRPC document, or as a Markdown page
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
    ChildGuard(child::guard::GuardArgs),
}

impl CliCommand {
    /// Whether only an operator may run it, or the result does not depend on the agent.
    fn is_operators(&self) -> bool {
        match self {
            Self::Status
            | Self::Ping
            | Self::Open(_)
            | Self::Top(_)
            | Self::Token(_)
            | Self::Backup(_) => true,
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
        .after_help("See `coord COMMAND --help` for details, `coord --help` for the exit codes.")
}

/// Runs a command line to its end.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &dyn Environment,
) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(command) = hook::plain(&arguments) {
        return hook::run(command, ConnectionFlags::default());
    }
    let json = misuse::wants_json(&arguments);
    let definition = definition();
    let is_hook = hook::is_meant(&definition, &arguments);
    let parsed = definition.try_get_matches_from(arguments);
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) if is_hook => return hook::misused(&error),
        Err(error) => return misuse::report(&error, json).into(),
    };
    if let CliCommand::Hook(command) = cli.command {
        return hook::run(command, cli.connection);
    }
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
        CliCommand::ChildGuard(args) => return child::guard::run(args).map(ExitCode::from),
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
            CliCommand::Open(args) => Box::pin(open::run(&args, shell)).await,
            CliCommand::Top(args) => Box::pin(top::run(&args, shell)).await,
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
            CliCommand::Guard(args) => Box::pin(guard::run(args, shell)).await,
            CliCommand::Wait(args) => Box::pin(wait::run(args, shell)).await,
            CliCommand::Mcp => Box::pin(mcp::run(shell)).await,
            CliCommand::Setup(args) => Box::pin(setup::run(&args, shell)).await,
            CliCommand::Doctor(args) => Box::pin(doctor::run(&args, shell)).await,
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
            | CliCommand::Hook(_)
            | CliCommand::ChildGuard(_) => Ok(Exit::Ok),
        }
    });
    // A read of stdin or a write to a stuck terminal may still be under way on a helper thread.
    runtime.shutdown_background();
    answered(ended?, &shell.out)
}

/// With `--json` every exit code of our own comes with JSON: where no answer explains it, an error does.
fn answered(exit: Exit, out: &Output<'_>) -> Result<Exit, CliError> {
    let lacking = out.style().json && !out.has_answered();
    match exit.meaning().filter(|_| lacking && exit != Exit::Ok) {
        Some(meaning) => Err(CliError::unmet(exit, meaning)),
        None => Ok(exit),
    }
}

/// Prints what failed, why, and the next step. A closed pipe is not a failure, so nothing is printed for it.
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
