//! Why a request failed.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;

use super::socket::SocketError;
use crate::config::ServerUrl;
use crate::engine::ids::SessionId;
use crate::protocol::error::{ErrorKind, RpcError};
use crate::text;

/// Why a request on one connection got no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The connection cannot be used any more.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// The connection is alive, but the reply did not come.
    #[error("no answer in time")]
    Slow,
    #[error("{}", shown(.0))]
    Refused(RpcError),
}

impl From<SocketError> for CallError {
    fn from(error: SocketError) -> Self {
        Self::Lost(error.to_string())
    }
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("there is no token for {url}")]
    NoToken { url: Arc<ServerUrl> },
    #[error("the token from {origin} contains characters that no token contains")]
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
    #[error("cannot read the certificates to trust")]
    Certificates(#[source] io::Error),
    #[error("{url} is not a coordinator: {problem}")]
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
    #[error("{url} does not allow the token from {origin}{said}")]
    Forbidden {
        url: Arc<ServerUrl>,
        origin: String,
        said: String,
    },
    #[error("{url} does not let the token take a seat{said}")]
    NoSeats { url: Arc<ServerUrl>, said: String },
    #[error("{url} belongs to another environment{said}")]
    WrongEnvironment { url: Arc<ServerUrl>, said: String },
    #[error("{url} accepts no connections now{said}")]
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
    #[error("cannot parse the answer to {operation}")]
    BadReply {
        operation: String,
        #[source]
        source: serde_json::Error,
    },
}

impl ClientError {
    /// Whether a retry a moment later may work.
    pub fn is_transient(&self) -> bool {
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
}

/// Kinds that may go away after a short wait.
pub(super) fn is_transient(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Overloaded | ErrorKind::Unavailable)
}

/// The message; conflicting leases are listed, one a line.
fn shown(error: &RpcError) -> String {
    let detail = &error.detail;
    // An older coordinator sends no time.
    let Some(now) = detail.now_ms.filter(|_| detail.conflicts.len() > 1) else {
        return text::lines(&error.message);
    };
    let more = detail.conflicts_more.unwrap_or_default();
    let count = detail.conflicts.len() as u64 + more;
    let mut text = format!("{count} leases of other agents conflict");
    for conflict in &detail.conflicts {
        let line = text::one_line(&conflict.sentence(now));
        write!(text, "\n  {line}").expect("a string takes all that is written to it");
    }
    if more > 0 {
        write!(text, "\n  and {more} more").expect("a string takes all that is written to it");
    }
    text
}
