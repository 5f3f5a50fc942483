//! Why a command could not do its work.

use std::error::Error;
use std::fmt::Write as _;
use std::io;

use serde_json::{Value, json};

use super::client::ClientError;
use super::duration::Millis;
use super::exit::Exit;
use super::journal::JournalCommandError;
use super::text;
use crate::causes;
use crate::config::ConfigErrors;
use crate::edge::firewall::PolicyErrors;
use crate::edge::nft::NftError;
use crate::edge::render::RenderError;
use crate::protocol::error::{Conflict, ErrorKind};

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("the configuration is invalid")]
    Config(#[from] ConfigErrors),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Journal(#[from] JournalCommandError),
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error("the firewall policy is invalid")]
    Policy(#[from] PolicyErrors),
    #[error(transparent)]
    Firewall(#[from] NftError),
    #[error("cannot write the output")]
    Output(#[from] io::Error),
    #[error("cannot {what}")]
    Input {
        what: String,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    #[error("{what}")]
    Usage { what: String, next: &'static str },
    /// A usage error whose next step depends on what was typed.
    #[error("{what}")]
    Misspelt { what: String, next: String },
    #[error("cannot run {program}")]
    Run {
        program: String,
        #[source]
        source: io::Error,
    },
    /// Nothing is wrong: the command did not get what it asked for.
    #[error("{what}")]
    Unmet {
        what: String,
        exit: Exit,
        /// The leases that stood in the way.
        conflicts: Vec<Conflict>,
    },
}

impl CliError {
    pub(super) fn usage(what: impl Into<String>, next: &'static str) -> Self {
        let what = what.into();
        Self::Usage { what, next }
    }

    pub(super) fn misspelt(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Misspelt {
            what: what.into(),
            next: next.into(),
        }
    }

    pub(super) fn unmet(exit: Exit, what: impl Into<String>) -> Self {
        Self::Unmet {
            what: what.into(),
            exit,
            conflicts: Vec::new(),
        }
    }

    /// The same with the leases that stood in the way.
    pub(super) fn because_of(mut self, leases: Vec<Conflict>) -> Self {
        if let Self::Unmet { conflicts, .. } = &mut self {
            *conflicts = leases;
        }
        self
    }

    /// After a wait, a conflict says that the wait timed out, and who holds the resource.
    pub(super) fn timed_out(error: ClientError, waited: Millis) -> Self {
        let what = format!("waited {waited}: {error}");
        match error {
            ClientError::Refused(error) if error.kind == ErrorKind::Conflict => {
                Self::unmet(Exit::TimedOut, what).because_of(error.detail.conflicts)
            }
            error => error.into(),
        }
    }

    pub(super) fn input(
        what: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Input {
            what: what.into(),
            source: source.into(),
        }
    }

    pub fn exit(&self) -> Exit {
        match self {
            Self::Config(_)
            | Self::Usage { .. }
            | Self::Misspelt { .. }
            | Self::Render(_)
            | Self::Input { .. }
            | Self::Policy(_)
            | Self::Journal(JournalCommandError::Config(_)) => Exit::Usage,
            Self::Client(error) => error.exit(),
            // The reader closed the pipe: `| head` is not a failure.
            Self::Output(error) | Self::Journal(JournalCommandError::Print(error))
                if error.kind() == io::ErrorKind::BrokenPipe =>
            {
                Exit::Ok
            }
            Self::Firewall(error) => of_firewall(error),
            Self::Output(_) | Self::Journal(_) => Exit::Failed,
            Self::Run { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Exit::CommandNotFound
            }
            Self::Run { .. } => Exit::CannotExecute,
            Self::Unmet { exit, .. } => *exit,
        }
    }

    /// What to do about it.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Client(error) => error.next_step(),
            Self::Render(error) => Some(error.next.clone()),
            Self::Firewall(error) => Some(error.next_step().to_owned()),
            Self::Usage { next, .. } => Some((*next).to_owned()),
            Self::Misspelt { next, .. } => Some(next.clone()),
            Self::Journal(JournalCommandError::StateDir(error)) => error.next_step(),
            Self::Unmet {
                exit: Exit::TimedOut,
                conflicts,
                ..
            } => Some(after_a_wait(conflicts).to_owned()),
            _ => None,
        }
    }

    /// What failed, why, and the next step.
    pub fn text(&self) -> String {
        let mut text = self.summary();
        if let Some(next) = self.next_step() {
            write!(text, "\n  next: {next}").expect("a string takes all that is written to it");
        }
        text
    }

    /// The same for programs, on one line: an object `error`, whose `kind`, `message` and `exit_code` are
    /// always there.
    pub fn json(&self) -> String {
        let mut error = self.detail();
        error["kind"] = json!(self.kind());
        error["message"] = json!(self.summary());
        error["exit_code"] = json!(self.exit().code());
        if let Some(next) = self.next_step() {
            error["next"] = json!(next);
        }
        let error = json!({ "error": error }).to_string();
        text::json(&error).into_owned()
    }

    /// The kind of failure: the coordinator's word if it refused, otherwise one of our own.
    fn kind(&self) -> &'static str {
        match self {
            Self::Client(error) => error.kind_name(),
            Self::Config(_) | Self::Journal(JournalCommandError::Config(_)) => "configuration",
            Self::Policy(_) => "policy",
            Self::Output(_) => "output",
            Self::Input { .. } => "input",
            other => other.exit().kind(),
        }
    }

    /// What only some failures have.
    fn detail(&self) -> Value {
        match self {
            Self::Client(ClientError::Refused(error)) => {
                serde_json::to_value(&*error.detail).unwrap_or_default()
            }
            Self::Config(errors) | Self::Journal(JournalCommandError::Config(errors)) => {
                json!({ "problems": errors })
            }
            Self::Unmet { conflicts, .. } if !conflicts.is_empty() => {
                json!({ "conflicts": conflicts })
            }
            _ => json!({}),
        }
    }

    /// What failed and why, on one line.
    pub(super) fn summary(&self) -> String {
        causes::one_line(self)
    }
}

fn after_a_wait(conflicts: &[Conflict]) -> &'static str {
    if conflicts.is_empty() {
        "give it more time with --wait"
    } else {
        "give it more time with --wait, or ask the holder: `coord lease list`"
    }
}

fn of_firewall(error: &NftError) -> Exit {
    match error {
        NftError::NotPermitted => Exit::Denied,
        NftError::NoInterface(_) => Exit::Usage,
        NftError::Pending | NftError::CutsOff { .. } => Exit::Conflict,
        NftError::NothingPending { .. } => Exit::NotFound,
        _ => Exit::Failed,
    }
}
