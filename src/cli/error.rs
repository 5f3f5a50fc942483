//! Why a command could not do its work.

use std::error::Error;
use std::fmt::Write as _;
use std::io;

use serde_json::json;

use super::client::ClientError;
use super::exit::Exit;
use super::journal::JournalCommandError;
use crate::config::ConfigErrors;
use crate::firewall::PolicyErrors;
use crate::nft::NftError;
use crate::render::RenderError;

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("the configuration is not usable")]
    Config(#[from] ConfigErrors),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Journal(#[from] JournalCommandError),
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error("the firewall policy is not usable")]
    Policy(#[from] PolicyErrors),
    #[error(transparent)]
    Firewall(#[from] NftError),
    #[error("the output could not be written")]
    Output(#[from] io::Error),
    #[error("cannot {what}")]
    Input {
        what: String,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    #[error("{what}")]
    Usage { what: String, next: &'static str },
    #[error("cannot run {program}")]
    Run {
        program: String,
        #[source]
        source: io::Error,
    },
    /// Not an error of anybody: what was wished for did not come about.
    #[error("{what}")]
    Unmet { what: String, exit: Exit },
}

impl CliError {
    pub(super) fn usage(what: impl Into<String>, next: &'static str) -> Self {
        let what = what.into();
        Self::Usage { what, next }
    }

    pub(super) fn unmet(exit: Exit, what: impl Into<String>) -> Self {
        let what = what.into();
        Self::Unmet { what, exit }
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
            | Self::Render(_)
            | Self::Input { .. }
            | Self::Policy(_)
            | Self::Journal(JournalCommandError::Config(_)) => Exit::Usage,
            Self::Client(error) => error.exit(),
            // Whoever reads the output has seen enough: `| head` is no failure.
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

    /// The same for programs, on one line.
    pub fn json(&self) -> String {
        let mut error = match self {
            Self::Client(ClientError::Refused(error)) => {
                serde_json::to_value(&*error.detail).unwrap_or_default()
            }
            _ => json!({}),
        };
        let kind = match self {
            Self::Client(error) => error.kind(),
            _ => None,
        };
        error["message"] = json!(self.summary());
        error["exit_code"] = json!(self.exit().code());
        if let Some(kind) = kind {
            error["kind"] = json!(kind);
        }
        if let Some(next) = self.next_step() {
            error["next"] = json!(next);
        }
        json!({ "error": error }).to_string()
    }

    /// What failed and why, on one line.
    pub(super) fn summary(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(text, ": {error}").expect("a string takes all that is written to it");
            cause = error.source();
        }
        text
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
