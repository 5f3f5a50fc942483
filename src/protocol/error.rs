//! Errors on the wire: a JSON-RPC code, a sentence, and `data` with a stable `kind`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::conflict::Conflict;
use crate::engine::ids::{Cursor, FencingToken, JournalTime};
use crate::engine::outcome::{LeaseConflicts, Refusal};

macro_rules! error_kinds {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal, $code:literal;)*) => {
        /// The kind of an error. The names are stable; match on them, not on the text.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum ErrorKind {
            $($(#[doc = $doc])* #[serde(rename = $name)] $variant,)*
        }

        impl ErrorKind {
            /// Every kind with its JSON-RPC code and its meaning.
            pub const ALL: &[(Self, i32, &'static str)] =
                &[$((Self::$variant, $code, concat!($($doc,)*).trim_ascii()),)*];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The JSON-RPC error code.
            pub fn code(self) -> i32 {
                match self { $(Self::$variant => $code,)* }
            }
        }
    };
}

error_kinds! {
    /// The frame is not JSON.
    ParseError = "parse_error", -32700;
    /// The frame is not a JSON-RPC 2.0 request; batches and binary frames are refused too.
    InvalidRequest = "invalid_request", -32600;
    /// The operation does not exist; `data.suggestion` names a similar one.
    MethodNotFound = "method_not_found", -32601;
    /// A parameter is invalid; `data.path` names it.
    InvalidParams = "invalid_params", -32602;
    /// A bug in the coordinator; see its log.
    Internal = "internal", -32603;
    /// An object that the request names does not exist.
    NotFound = "not_found", -32001;
    /// The current state does not allow it; for leases, `data.conflicts` lists the holders.
    Conflict = "conflict", -32002;
    /// The fencing token is stale or was never valid; stop working on the task or resource.
    StaleFence = "stale_fence", -32003;
    /// A limit is reached; `data.limit` is its name, `data.max` its value.
    LimitExceeded = "limit_exceeded", -32004;
    /// Too many requests are in progress; retry after `data.retry_after_ms`.
    Overloaded = "overloaded", -32005;
    /// The journal cannot be reached, or the coordinator is stopping; retry after `data.retry_after_ms`.
    Unavailable = "unavailable", -32006;
    /// The token is missing, unknown, revoked or expired.
    Unauthenticated = "unauthenticated", -32007;
    /// The token's role or projects do not allow it.
    Forbidden = "forbidden", -32008;
    /// Events after the cursor are no longer available; list the state again, subscribe from `data.cursor`.
    CursorExpired = "cursor_expired", -32009;
    /// The cursor belongs to another epoch; list the state again, subscribe from `data.cursor`.
    EpochChanged = "epoch_changed", -32010;
    /// The disk is full: work can be finished, but not started.
    StorageFull = "storage_full", -32011;
}

/// Why a request failed. It changed nothing, unless the kind is `unavailable`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RpcError {
    pub kind: ErrorKind,
    pub message: String,
    pub detail: Box<ErrorDetail>,
}

/// The fields of `data` beside `kind`; only those that apply are present.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ErrorDetail {
    /// The name of the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// Its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
    /// Retry after this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The invalid parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A similar name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// The current fencing token, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_fence: Option<FencingToken>,
    /// The conflicting leases, the first `conflicts_told_max` of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<Conflict>,
    /// The number of further conflicting leases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflicts_more: Option<u64>,
    /// Journal time of the answer, to compare with the times in `conflicts`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now_ms: Option<JournalTime>,
    /// The cursor for a new subscription.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
}

impl RpcError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            detail: Box::default(),
        }
    }

    #[must_use]
    pub fn with(mut self, set: impl FnOnce(&mut ErrorDetail)) -> Self {
        set(&mut self.detail);
        self
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidParams, message)
    }

    pub fn limit(limit: &str, max: u64) -> Self {
        Self::new(
            ErrorKind::LimitExceeded,
            format!("the limit {limit} ({max}) is reached"),
        )
        .with(|detail| {
            detail.limit = Some(limit.to_owned());
            detail.max = Some(max);
        })
    }

    pub fn retry(kind: ErrorKind, message: impl Into<String>, retry_after_ms: u64) -> Self {
        Self::new(kind, message).with(|detail| detail.retry_after_ms = Some(retry_after_ms))
    }
}

const SEATS_LIMIT: &str = "seats_per_principal_max";
/// What to do when there are too many seats.
const SEATS_NEXT: &str = ": take a seat that is known, remove one with agent.remove, or wait: one that holds nothing, \
     has no session and no unread mail is forgotten after an hour";

impl From<Refusal> for RpcError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound(what) => {
                Self::new(ErrorKind::NotFound, format!("{what} does not exist"))
            }
            Refusal::Conflict(why) => Self::new(ErrorKind::Conflict, why),
            Refusal::LeaseConflict(conflicts) => lease_conflict(conflicts),
            Refusal::StaleFence {
                what,
                given,
                current,
            } => Self::new(
                ErrorKind::StaleFence,
                format!("fencing token {given} is stale for {what}: stop working on it"),
            )
            .with(|detail| detail.current_fence = current),
            Refusal::Limit(limit) => {
                let mut error = Self::limit(limit.limit, limit.max);
                if limit.limit == SEATS_LIMIT {
                    error.message.push_str(SEATS_NEXT);
                }
                error
            }
            Refusal::Overtaken => Self::new(
                ErrorKind::Unavailable,
                "later requests of this agent have overtaken this one; this attempt changed nothing",
            ),
            Refusal::Forbidden(why) => Self::new(ErrorKind::Forbidden, why),
            Refusal::Invalid { path, problem } => {
                Self::new(ErrorKind::InvalidParams, format!("{path}: {problem}"))
                    .with(|detail| detail.path = Some(path))
            }
        }
    }
}

fn lease_conflict(found: LeaseConflicts) -> RpcError {
    let (now, more) = (found.now, found.more);
    let conflicts: Vec<Conflict> = found.told.into_iter().map(Conflict::from).collect();
    let Some(first) = conflicts.first() else {
        let message = "the wait ended before the coordinator could check the resources: try again";
        return RpcError::new(ErrorKind::Conflict, message);
    };
    let others = conflicts.len() as u64 - 1 + more;
    let message = match others {
        0 => first.sentence(now),
        _ => format!("{}; and {others} more", first.sentence(now)),
    };
    RpcError::new(ErrorKind::Conflict, message).with(|detail| {
        detail.conflicts = conflicts;
        detail.conflicts_more = (more > 0).then_some(more);
        detail.now_ms = Some(now);
    })
}
