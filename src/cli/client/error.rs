//! Why a request did not get its answer: what failed, and the next step.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;

use crate::cli::exit::Exit;
use crate::config::ServerUrl;
use crate::engine::ids::SessionId;
use crate::protocol::error::{ErrorKind, RpcError};

/// Why a request did not get its answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("there is no token to connect to {url} with")]
    NoToken { url: Arc<ServerUrl> },
    #[error("the token from {origin} has characters that no token has")]
    BadToken { origin: String },
    #[error("cannot connect to {url}")]
    Connect {
        url: Arc<ServerUrl>,
        #[source]
        source: io::Error,
    },
    #[error("{url} did not answer within {waited_ms} ms")]
    Slow { url: Arc<ServerUrl>, waited_ms: u64 },
    #[error("the TLS handshake with {url} failed")]
    Tls {
        url: Arc<ServerUrl>,
        #[source]
        source: io::Error,
    },
    #[error("cannot read certificates to trust")]
    Certificates(#[source] io::Error),
    #[error("{url} does not answer like a coordinator: {problem}")]
    NotACoordinator {
        url: Arc<ServerUrl>,
        problem: String,
    },
    #[error("{url} does not accept the token from {origin}{said}")]
    Unauthenticated {
        url: Arc<ServerUrl>,
        origin: String,
        said: String,
    },
    #[error("{url} does not allow the token from {origin} here{said}")]
    Forbidden {
        url: Arc<ServerUrl>,
        origin: String,
        said: String,
    },
    #[error("{url} is of another environment{said}")]
    WrongEnvironment { url: Arc<ServerUrl>, said: String },
    #[error("{url} takes no connection now{said}")]
    Busy {
        url: Arc<ServerUrl>,
        retry_after_ms: Option<u64>,
        said: String,
    },
    #[error("{}", shown(.0))]
    Refused(RpcError),
    #[error("the connection to {url} was lost: {why}")]
    Lost { url: Arc<ServerUrl>, why: String },
    #[error("the connection was lost before {operation} was answered: {why}")]
    OutcomeUnknown {
        operation: &'static str,
        why: String,
    },
    #[error("session {session} ended while the connection was lost")]
    SessionGone { session: SessionId },
    #[error("the answer to {operation} is not understood")]
    BadReply {
        operation: String,
        #[source]
        source: serde_json::Error,
    },
}

impl ClientError {
    /// Whether the same may work a moment later.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Slow { .. } | Self::Busy { .. } | Self::Lost { .. } => {
                true
            }
            Self::Refused(error) => is_transient(error.kind),
            _ => false,
        }
    }

    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Refused(error) => Some(error.kind),
            _ => None,
        }
    }

    /// The same as a word; failures that are no refusal have words of their own.
    pub(in crate::cli) fn kind_name(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.kind.as_str(),
            Self::NoToken { .. } => "no_token",
            Self::BadToken { .. } => "bad_token",
            Self::Unauthenticated { .. } => ErrorKind::Unauthenticated.as_str(),
            Self::Forbidden { .. } => ErrorKind::Forbidden.as_str(),
            Self::Connect { .. } | Self::Slow { .. } | Self::Lost { .. } => "unreachable",
            Self::Tls { .. } => "tls",
            Self::Certificates(_) => "certificates",
            Self::NotACoordinator { .. } => "not_a_coordinator",
            Self::WrongEnvironment { .. } => "wrong_environment",
            Self::Busy { .. } => ErrorKind::Unavailable.as_str(),
            Self::OutcomeUnknown { .. } => "outcome_unknown",
            Self::SessionGone { .. } => "session_gone",
            Self::BadReply { .. } => "bad_reply",
        }
    }

    pub fn exit(&self) -> Exit {
        match self {
            Self::NoToken { .. }
            | Self::BadToken { .. }
            | Self::Unauthenticated { .. }
            | Self::Forbidden { .. } => Exit::Denied,
            Self::Connect { .. }
            | Self::Slow { .. }
            | Self::Tls { .. }
            | Self::NotACoordinator { .. }
            | Self::Busy { .. }
            | Self::Lost { .. } => Exit::Unreachable,
            Self::Certificates(_) => Exit::Usage,
            Self::WrongEnvironment { .. } => Exit::Conflict,
            Self::Refused(error) => error.kind.into(),
            Self::SessionGone { .. } => Exit::StaleFence,
            Self::OutcomeUnknown { .. } | Self::BadReply { .. } => Exit::Failed,
        }
    }

    /// What to do about it.
    pub fn next_step(&self) -> Option<String> {
        let text = match self {
            Self::NoToken { url } if url.endpoint.host.is_loopback() => {
                "`coord serve` makes one at its first start on this machine; for another user or a coordinator elsewhere set COORD_TOKEN_FILE or COORD_TOKEN"
            }
            Self::NoToken { .. } => {
                "set COORD_TOKEN_FILE or COORD_TOKEN; `coord token create NAME` makes a token, run where the coordinator runs"
            }
            Self::BadToken { .. } => "give the token as `coord token create` printed it",
            Self::Connect { url, .. } if url.endpoint.host.is_loopback() => {
                "is a coordinator running? start one with `coord serve`, or name another with --url or COORD_URL"
            }
            Self::Connect { .. } | Self::Slow { .. } => {
                "is a coordinator running there? check --url or COORD_URL, and the firewall between"
            }
            Self::Tls { .. } => {
                "for a self-signed certificate give --tls-fingerprint as the coordinator shows it at its start, or --tls-ca-file; use ws: where the coordinator has no TLS"
            }
            Self::Certificates(_) => "give --tls-ca-file or --tls-fingerprint",
            Self::NotACoordinator { url, .. } if !url.tls => {
                "check the port and the path of --url or COORD_URL; a coordinator with TLS wants wss:"
            }
            Self::NotACoordinator { .. } => "check the port and the path of --url or COORD_URL",
            Self::Unauthenticated { .. } => {
                "it may be revoked, or of another coordinator; an operator makes a new one with `coord token create NAME`"
            }
            Self::Forbidden { .. } => {
                "choose another project with --project, or ask an operator for a token that opens it"
            }
            Self::WrongEnvironment { .. } => {
                "check COORD_PROFILE and --url or COORD_URL: `coord config show` tells where the profile comes from"
            }
            Self::Busy { retry_after_ms, .. } => return retry_after_ms.map(try_again),
            Self::Refused(error) => return of_refusal(error),
            Self::OutcomeUnknown { .. } => {
                "it may or may not have happened: look before you try again"
            }
            Self::Lost { .. } => "is the coordinator still running? `coord status` tells",
            Self::BadReply { .. } => {
                "is the coordinator of another version? `coord status` and `coord --version` tell"
            }
            Self::SessionGone { .. } => return None,
        };
        Some(text.to_owned())
    }
}

/// Kinds that a short wait can cure.
pub(super) fn is_transient(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Overloaded | ErrorKind::Unavailable)
}

fn try_again(retry_after_ms: u64) -> String {
    format!("try again in {retry_after_ms} ms")
}

fn of_refusal(error: &RpcError) -> Option<String> {
    let detail = &error.detail;
    if let Some(suggestion) = &detail.suggestion {
        return Some(format!("did you mean {suggestion}?"));
    }
    if let Some(cursor) = detail.cursor {
        return Some(format!("list the state anew, then go on from {cursor}"));
    }
    if let Some(retry_after_ms) = detail.retry_after_ms {
        return Some(try_again(retry_after_ms));
    }
    match error.kind {
        ErrorKind::Conflict if !detail.conflicts.is_empty() => {
            Some("wait for it with --wait, or ask its holder: `coord lease list`".to_owned())
        }
        ErrorKind::LimitExceeded if detail.limit.as_deref().is_some_and(is_of_files) => {
            Some("hold whole folders in place of their files, as in `file:src/`, or give back leases that you no longer need".to_owned())
        }
        ErrorKind::StorageFull => Some("make room on the coordinator's disk".to_owned()),
        _ => None,
    }
}

fn is_of_files(limit: &str) -> bool {
    limit.starts_with("files_") || limit.starts_with("file_bytes_")
}

/// The message; for several leases that stand in the way, a line each.
fn shown(error: &RpcError) -> String {
    let detail = &error.detail;
    // An older coordinator tells no time.
    let Some(now) = detail.now_ms.filter(|_| detail.conflicts.len() > 1) else {
        return crate::cli::table::lines(&error.message);
    };
    let more = detail.conflicts_more.unwrap_or_default();
    let count = detail.conflicts.len() as u64 + more;
    let mut text = format!("{count} holds of others are in the way");
    for conflict in &detail.conflicts {
        let line = crate::cli::table::one_line(&conflict.sentence(now));
        write!(text, "\n  {line}").expect("a string takes all that is written to it");
    }
    if more > 0 {
        write!(text, "\n  and {more} more").expect("a string takes all that is written to it");
    }
    text
}
