//! `coord hook`: what a CLI's hooks run.
//!
//! ```text
//!  stdin ──► Payload ──dialect──► Event ──► Hook ──► Answer ──dialect──► stdout
//!                                            │
//!                              repository, coordinator, memory of the session
//! ```
//!
//! A CLI starts it for every prompt, edit and tool, so it is one process, one connection and few requests. It never
//! stands in the way because of its own failure ([`quiet`]): without a coordinator, an edit goes on and the user is
//! told once a session, unless the clone is strict.
//!
//! A hook's connection opens no session: that would be two records for each edit. It says `present` when it
//! connects, and the coordinator keeps a session for the agent, which ends by itself.

mod answer;
mod claude;
mod clean;
mod codex;
pub(super) mod edit;
mod event;
mod gemini;
mod input;
mod mail;
mod memory;
mod opencode;
mod patch;
mod quiet;
mod session;
mod steps;
mod wait;
mod work;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::config::ProcessEnvironment;
use crate::text;
use event::Dialect;
pub(super) use opencode::plugin as opencode_plugin;
use quiet::Ended;

use super::shell::ConnectionFlags;

/// Hooks of a CLI.
#[derive(Debug, Clone, Copy, clap::Subcommand)]
pub(super) enum HookCommand {
    /// Answers a hook of Claude Code
    Claude,
    /// Answers a hook of Codex
    Codex,
    /// Answers a hook of Gemini CLI
    Gemini,
    /// Answers the plugin for opencode, or prints the plugin
    Opencode {
        /// Print the plugin, to be put into a file in ~/.config/opencode/plugins or .opencode/plugins
        #[arg(long)]
        plugin: bool,
    },
    /// Waits for mail while a session is idle, and wakes it
    ///
    /// For the end of a turn, as a hook that the CLI does not wait for. The newest waiter of a session replaces
    /// older ones. For Claude Code, which must run it with `asyncRewake`, it ends with 2, which wakes the session
    /// with what is on stderr. For Codex it runs `codex queue`. For the plugin of opencode it prints the mail.
    /// Gemini CLI cannot be woken.
    Wait {
        #[arg(value_enum, value_name = "CLI")]
        cli: Cli,
    },
}

/// A CLI by its name on our command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Cli {
    Claude,
    Codex,
    Gemini,
    Opencode,
}

impl Cli {
    fn dialect(self) -> Dialect {
        match self {
            Self::Claude => claude::DIALECT,
            Self::Codex => codex::DIALECT,
            Self::Gemini => gemini::DIALECT,
            Self::Opencode => opencode::DIALECT,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
            Self::Opencode => "opencode",
        }
    }
}

/// The hook of a command line without flags, as `coord setup` writes them. A CLI runs one at each tool, and half of its
/// processor time would go into the definition of all commands.
pub(super) fn plain(arguments: &[OsString]) -> Option<HookCommand> {
    let words: Option<Vec<&str>> = arguments.iter().skip(1).map(|word| word.to_str()).collect();
    Some(match words?[..] {
        ["hook", "claude"] => HookCommand::Claude,
        ["hook", "codex"] => HookCommand::Codex,
        ["hook", "gemini"] => HookCommand::Gemini,
        ["hook", "opencode"] => HookCommand::Opencode { plugin: false },
        _ => return None,
    })
}

/// Whether a command line is one of a hook, even if it is wrong: the first word that is no flag says so.
pub(super) fn is_meant(definition: &clap::Command, arguments: &[OsString]) -> bool {
    let mut words = arguments.iter().skip(1).filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        let Some(flag) = word.strip_prefix("--") else {
            if word.starts_with('-') {
                continue;
            }
            return word == "hook";
        };
        let takes_value = definition.get_arguments().any(|argument| {
            argument.get_long() == Some(flag) && argument.get_action().takes_values()
        });
        if takes_value {
            words.next();
        }
    }
    false
}

/// A wrong command line of a hook, or a wish for help. Never ends with 2.
pub(super) fn misused(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.render().to_string();
    let line = text.lines().find(|line| !line.trim().is_empty());
    quiet::say(line.unwrap_or("the command line is wrong"));
    ExitCode::FAILURE
}

pub(super) fn run(command: HookCommand, connection: ConnectionFlags) -> ExitCode {
    let cli = match command {
        HookCommand::Claude => Cli::Claude,
        HookCommand::Codex => Cli::Codex,
        HookCommand::Gemini => Cli::Gemini,
        HookCommand::Opencode { plugin: false } => Cli::Opencode,
        HookCommand::Opencode { plugin: true } => return print_plugin(),
        HookCommand::Wait { cli } => return wait::run(cli, &connection).into(),
    };
    let code = quiet::contained(move || {
        let ended = input::read().and_then(|payload| {
            let Some(payload) = payload else {
                return Ok(());
            };
            work::answer(cli, &connection, &payload, &ProcessEnvironment)
        });
        match ended {
            Ok(()) => Ended::Well,
            Err(problem) => {
                quiet::say(&problem);
                Ended::Failed
            }
        }
    });
    code.into()
}

fn print_plugin() -> ExitCode {
    let program = std::env::current_exe().ok();
    let program = program.as_deref().and_then(|path| path.to_str());
    let plugin = opencode::plugin(program.unwrap_or("coord"));
    match io::stdout().write_all(plugin.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            quiet::say(&format!(
                "cannot print: {}",
                text::one_line(&error.to_string())
            ));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests;
