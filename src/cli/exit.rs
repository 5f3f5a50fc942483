//! Exit codes: one table for the program, its help and its man page.

use std::fmt::Write as _;
use std::process::ExitCode;

use crate::protocol::error::ErrorKind;

macro_rules! exits {
    ($($(#[doc = $doc:literal])* $variant:ident = $code:literal;)*) => {
        /// How a command ended.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Exit {
            $($(#[doc = $doc])* $variant,)*
            /// The code of the command that was run.
            Child(u8),
        }

        impl Exit {
            /// Every code of the program's own, with its meaning.
            pub const TABLE: &[(u8, &'static str)] =
                &[$(($code, concat!($($doc,)*).trim_ascii()),)*];

            pub fn code(self) -> u8 {
                match self { $(Self::$variant => $code,)* Self::Child(code) => code }
            }
        }
    };
}

exits! {
    /// The command succeeded.
    Ok = 0;
    /// It failed for a reason not listed below; `health`, `self-test`: a service or a part does not work.
    Failed = 1;
    /// The command line or the configuration is wrong.
    Usage = 2;
    /// The coordinator cannot be reached, or is unavailable.
    Unreachable = 3;
    /// The token is missing, unknown or revoked, or does not allow this.
    Denied = 4;
    /// The named object does not exist.
    NotFound = 5;
    /// The current state does not allow it: another agent holds the resource; there is nothing to claim; the
    /// idempotency key belongs to another task, or to one that is dead or cancelled.
    Conflict = 6;
    /// The fencing token is stale: stop working on the task or resource.
    StaleFence = 7;
    /// A limit is reached, the coordinator is overloaded, or the disk is full.
    Limit = 8;
    /// The wait timed out.
    TimedOut = 124;
    /// The command to run cannot be executed.
    CannotExecute = 126;
    /// The command to run was not found.
    CommandNotFound = 127;
}

/// What shells add to the number of the signal that ended a command.
const SIGNAL_BASE: u8 = 128;

impl Exit {
    /// The code that shells give a command that a signal ended.
    pub fn of_signal(signal: i32) -> Self {
        let number = u8::try_from(signal).unwrap_or_default();
        Self::Child(SIGNAL_BASE.saturating_add(number))
    }

    /// A word for it, as `kind` of an error with `--json`.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Unreachable => "unreachable",
            Self::Denied => "denied",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::StaleFence => "stale_fence",
            Self::Limit => "limit",
            Self::TimedOut => "timed_out",
            Self::CannotExecute => "cannot_execute",
            Self::CommandNotFound => "command_not_found",
            Self::Child(_) => "interrupted",
        }
    }

    /// Its meaning in the table; `None` for the code of a command that was run.
    pub(super) fn meaning(self) -> Option<&'static str> {
        let own = |(code, _): &&(u8, _)| *code == self.code() && !matches!(self, Self::Child(_));
        Self::TABLE.iter().find(own).map(|(_, meaning)| *meaning)
    }

    /// The table as the help shows it.
    pub fn help() -> String {
        let mut text = String::from("Exit codes:\n");
        for (code, meaning) in Self::TABLE {
            write_row(&mut text, &code.to_string(), meaning);
        }
        write_row(
            &mut text,
            "other",
            "The code of the command that `task work --once`, `lease run` or `ports run` ran; 128 plus the \
             signal's number if a signal ended it.",
        );
        write_row(
            &mut text,
            "serve",
            "1: it failed, and a restart may help; 65: its state is damaged; 70: its journal failed; 78: its \
             configuration is wrong.",
        );
        text
    }
}

fn write_row(text: &mut String, code: &str, meaning: &str) {
    writeln!(text, "  {code:<6} {meaning}").expect("a string takes all that is written to it");
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::ParseError
            | ErrorKind::InvalidRequest
            | ErrorKind::Internal
            | ErrorKind::CursorExpired
            | ErrorKind::EpochChanged => Self::Failed,
            ErrorKind::MethodNotFound | ErrorKind::InvalidParams => Self::Usage,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::StaleFence => Self::StaleFence,
            ErrorKind::LimitExceeded | ErrorKind::Overloaded | ErrorKind::StorageFull => {
                Self::Limit
            }
            ErrorKind::Unavailable => Self::Unreachable,
            ErrorKind::Unauthenticated | ErrorKind::Forbidden => Self::Denied,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_its_own_and_in_the_help() {
        let mut codes: Vec<u8> = Exit::TABLE.iter().map(|(code, _)| *code).collect();
        codes.dedup();
        assert_eq!(codes.len(), Exit::TABLE.len());
        let help = Exit::help();
        for (code, meaning) in Exit::TABLE {
            assert!(help.contains(&format!("  {code:<6} {meaning}")));
        }
    }

    #[test]
    fn kinds_of_errors_have_their_codes() {
        let code = |kind| Exit::from(kind).code();
        assert_eq!(code(ErrorKind::NotFound), 5);
        assert_eq!(code(ErrorKind::Conflict), 6);
        assert_eq!(code(ErrorKind::StaleFence), 7);
        assert_eq!(code(ErrorKind::StorageFull), 8);
        assert_eq!(code(ErrorKind::Unauthenticated), 4);
        assert_eq!(code(ErrorKind::Unavailable), 3);
        assert_eq!(code(ErrorKind::InvalidParams), 2);
    }

    #[test]
    fn a_signal_counts_from_128() {
        assert_eq!(Exit::of_signal(15).code(), 143);
    }
}
