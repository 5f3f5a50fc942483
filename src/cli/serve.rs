//! `coord serve`: runs a coordinator in the foreground.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, reload};

use super::config::ConfigFlags;
use super::panics;
use crate::app::{self, AppError, Hangup, ListenError, Surroundings};
use crate::config::{
    Bound, Config, ConfigErrors, Environment, Flags, Invoker, LogConfig, LogFormat, LogLevel,
};
use crate::driver::recover::RecoverError;
use crate::journal::JournalError;
use crate::systemd::{Manager, socket_names};

/// The coordinator ended because it could not make anything durable any more: a restart recovers.
const EXIT_JOURNAL_FAILED: u8 = 70;
/// Something else is amiss: a restart may help.
const EXIT_OTHER: u8 = 1;
/// The configuration is wrong, or what it names cannot be had: a restart would not help.
const EXIT_CONFIG: u8 = 78;
/// The journal is damaged: a restart would not help, `coord journal verify` says more.
const EXIT_DAMAGED: u8 = 65;

/// Runs a coordinator until it gets SIGTERM or SIGINT.
#[derive(Debug, clap::Args)]
pub(super) struct ServeCommand {
    #[command(flatten)]
    flags: Box<ConfigFlags>,
}

/// Exit codes: 0 stopped in order, 65 damaged state, 70 the journal failed, 78 wrong configuration,
/// 1 any other failure.
pub(super) fn run(
    command: ServeCommand,
    environment: &dyn Environment,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<ExitCode> {
    let flags = Flags::from(*command.flags);
    let invoker = invoker(environment);
    let read = || Config::load(&flags, environment, invoker);
    let config = match read() {
        Ok(config) => config,
        Err(problems) => {
            writeln!(errors, "{problems}")?;
            tell_manager(environment, &problems);
            return Ok(EXIT_CONFIG.into());
        }
    };
    let log = start_log(config.log);
    panics::report_to_log();
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let surroundings = Surroundings {
        environment,
        configuration: &read,
        set_log_level: &|level| {
            // It fails only when the log is another one, as in tests.
            let _ = log.reload(filter(level));
        },
        hangup: if io::stderr().is_terminal() {
            Hangup::Stop
        } else {
            Hangup::Reload
        },
    };
    match app::run(&config, &surroundings, out) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            writeln!(errors, "{}", chain(&error))?;
            if is_corrupt(&error) {
                let dir = config.state_dir.display();
                writeln!(
                    errors,
                    "  next: `coord journal verify --state-dir {dir}` says what is damaged, `coord journal \
                     repair --state-dir {dir}` sets it aside"
                )?;
            }
            Ok(exit_of(&error).into())
        }
    }
}

/// Who binds the ports that systemd has not bound. Looked at once: when the sockets are taken over, what
/// tells of them is gone, and a reload asks again.
fn invoker(environment: &dyn Environment) -> Invoker {
    let names = socket_names(environment, std::process::id());
    let has = |name: &str| names.iter().any(|own| own == name);
    Invoker {
        bound: Bound {
            websocket: has("websocket"),
            metrics: has("metrics"),
        },
        ..Invoker::current()
    }
}

/// What `systemctl status` shall say of a start that never came about.
fn tell_manager(environment: &dyn Environment, problems: &ConfigErrors) {
    // Without one, stderr is all there is.
    if let Ok(manager) = Manager::from_environment(environment, std::process::id()) {
        manager.status(&format!("failed: {problems}"));
    }
}

/// Whether the journal is not what was written.
fn is_corrupt(error: &AppError) -> bool {
    matches!(
        error,
        AppError::Journal {
            source: JournalError::Corrupt { .. },
            ..
        }
    )
}

fn exit_of(error: &AppError) -> u8 {
    use JournalError as E;
    match error {
        AppError::JournalFailed(_) => EXIT_JOURNAL_FAILED,
        AppError::Recover {
            source: RecoverError::Snapshot { .. } | RecoverError::Record { .. },
            ..
        }
        | AppError::Journal {
            source: E::Corrupt { .. } | E::NewerFormat { .. },
            ..
        } => EXIT_DAMAGED,
        // Names and addresses may come with the network, a moment after the boot.
        AppError::Listen(ListenError::Resolve { .. } | ListenError::NotHere { .. }) => EXIT_OTHER,
        AppError::SharedJournal(_)
        | AppError::Listen(_)
        | AppError::Activation(_)
        | AppError::Notify(_)
        | AppError::StateDir { .. }
        | AppError::Tls(_) => EXIT_CONFIG,
        AppError::Journal {
            source: E::Io { source, .. },
            ..
        } if is_forbidden(source.kind()) => EXIT_CONFIG,
        _ => EXIT_OTHER,
    }
}

/// Whether the state directory is not ours to write to.
fn is_forbidden(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// An error with its causes, one a line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = format!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str("\n  because: ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The log goes to stderr, so that stdout stays for what was asked for. What is returned changes how
/// much is logged.
pub fn start_log(config: LogConfig) -> reload::Handle<LevelFilter, Registry> {
    let (level, handle) = reload::Layer::new(filter(config.level));
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(level);
    // A second start in one process, as in tests, keeps the first log.
    let _ = match config.format {
        LogFormat::Text => registry.with(layer).try_init(),
        LogFormat::Json => registry.with(layer.json()).try_init(),
    };
    handle
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
