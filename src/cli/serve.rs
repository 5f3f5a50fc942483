//! `coord serve`: runs a coordinator in the foreground.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use serde_json::json;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, reload};

use super::output::Style;
use super::panics;
use super::text::{self, Safe};
use crate::app::{self, AppError, Hangup, ListenError, Surroundings};
use crate::causes;
use crate::config::{
    Bound, Config, ConfigErrors, Environment, Flags, Invoker, LogConfig, LogFormat, LogLevel,
    settings,
};
use crate::driver::recover::RecoverError;
use crate::edge::systemd::{Manager, socket_names};
use crate::journal::JournalError;

/// The coordinator ended because it could not write its journal any more: a restart recovers.
const EXIT_JOURNAL_FAILED: u8 = 70;
/// Any other failure: a restart may help.
const EXIT_OTHER: u8 = 1;
/// The configuration is wrong, or what it names is not available: a restart would not help.
const EXIT_CONFIG: u8 = 78;
/// The journal is damaged: a restart would not help; see `coord journal verify`.
const EXIT_DAMAGED: u8 = 65;

/// Runs a coordinator until it gets SIGTERM or SIGINT.
#[derive(Debug, clap::Args)]
pub(super) struct ServeCommand {
    #[command(flatten)]
    flags: Flags,
}

/// Exit codes: 0 orderly stop, 65 damaged state, 70 the journal failed, 78 wrong configuration, 1 any other
/// failure.
pub(super) fn run(
    command: ServeCommand,
    environment: &dyn Environment,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<ExitCode> {
    let json = style.json;
    let mut flags = command.flags;
    if json && flags.get(&settings::LOG_FORMAT).is_none() {
        // With --json, stderr holds only JSON.
        flags.set(&settings::LOG_FORMAT, Some("json"));
    }
    let mut out = StartHints { style, inner: out };
    let invoker = invoker(environment);
    let read = || Config::load(&flags, environment, invoker);
    let config = match read() {
        Ok(config) => config,
        Err(problems) => {
            let failure = ServeFailure {
                kind: "configuration",
                text: problems.to_string(),
                next: None,
                exit: EXIT_CONFIG,
            };
            failure.tell(json)?;
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
            // It fails only if another log is installed, as in tests.
            let _ = log.reload(filter(level));
        },
        hangup: if io::stderr().is_terminal() {
            Hangup::Stop
        } else {
            Hangup::Reload
        },
    };
    match app::run(&config, &surroundings, &mut out) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            let exit = exit_of(&error);
            let failure = ServeFailure {
                kind: kind_of(exit),
                text: format!("error: {}", causes::joined(&error, "\n  because: ")),
                next: match &error {
                    AppError::StateDir(error) => error.next_step(),
                    error => is_corrupt(error).then(|| advice(&config)),
                },
                exit,
            };
            failure.tell(json)?;
            Ok(exit.into())
        }
    }
}

fn advice(config: &Config) -> String {
    let dir = config.state_dir.display();
    format!(
        "`coord journal verify --state-dir {dir}` shows the damage, `coord journal repair --state-dir {dir}` \
         removes it and keeps a copy"
    )
}

/// Why a coordinator did not start, or why it ended.
struct ServeFailure {
    kind: &'static str,
    text: String,
    next: Option<String>,
    exit: u8,
}

impl ServeFailure {
    /// Prints it on stderr: for people, or as the JSON object of `--json`.
    fn tell(&self, json: bool) -> io::Result<()> {
        let Self {
            kind, text, next, ..
        } = self;
        let told = if json {
            let mut error = json!({ "kind": kind, "message": text, "exit_code": self.exit });
            if let Some(next) = next {
                error["next"] = json!(next);
            }
            text::json(&json!({ "error": error }).to_string()).into_owned()
        } else {
            let next = next.iter().map(|next| format!("\n  next: {next}"));
            text::lines(&next.fold(text.clone(), |text, next| text + &next))
        };
        io::stderr().write_all(format!("{told}\n").as_bytes())
    }
}

fn kind_of(exit: u8) -> &'static str {
    match exit {
        EXIT_CONFIG => "configuration",
        EXIT_DAMAGED => "damaged",
        EXIT_JOURNAL_FAILED => "journal_failed",
        _ => "failed",
    }
}

/// The greeting of a start on stdout: hints, which `--quiet` hides; with `--json` each line is a note.
struct StartHints<'a> {
    style: Style,
    inner: &'a mut dyn Write,
}

impl Write for StartHints<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let said = String::from_utf8_lossy(bytes);
        // A line arrives whole; its line break comes with it or in its own write.
        let lines = said.lines().filter(|line| !line.is_empty());
        if self.style.quiet {
            return Ok(bytes.len());
        }
        if self.style.json {
            for line in lines {
                let remark = json!({ "level": "note", "message": line }).to_string();
                writeln!(self.inner, "{}", text::json(&remark))?;
            }
        } else {
            self.inner.write_all(text::lines(&said).as_bytes())?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Who binds the ports that systemd has not bound. Read once, because taking over the sockets removes the
/// variables that describe them, and a reload needs the answer again.
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

/// Tells `systemctl status` why the start failed.
fn tell_manager(environment: &dyn Environment, problems: &ConfigErrors) {
    // Without a service manager, stderr must do.
    if let Ok(manager) = Manager::from_environment(environment, std::process::id()) {
        manager.status(&format!("failed: {problems}"));
    }
}

/// Whether the journal is damaged.
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
        // Names and addresses may become available a moment after boot, with the network.
        AppError::Listen(ListenError::Resolve { .. } | ListenError::NotHere { .. }) => EXIT_OTHER,
        AppError::SharedJournal(_)
        | AppError::Listen(_)
        | AppError::Activation(_)
        | AppError::Notify(_)
        | AppError::StateDir(_)
        | AppError::Tls(_)
        | AppError::Scrape(_) => EXIT_CONFIG,
        AppError::Journal {
            source: E::Io { source, .. },
            ..
        } if is_forbidden(source.kind()) => EXIT_CONFIG,
        _ => EXIT_OTHER,
    }
}

/// Whether this user may not write to the state directory.
fn is_forbidden(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// The log goes to stderr, so that stdout holds only results. The returned handle changes the log level.
pub fn start_log(config: LogConfig) -> reload::Handle<LevelFilter, Registry> {
    let (level, handle) = reload::Layer::new(filter(config.level));
    let colours = io::stderr().is_terminal() && config.format == LogFormat::Text;
    let writer = move || Safe::log(config.format == LogFormat::Json, colours, io::stderr());
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(colours);
    let registry = tracing_subscriber::registry().with(level);
    // A second start in the same process, as in tests, keeps the first log.
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
