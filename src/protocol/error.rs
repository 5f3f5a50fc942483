//! Errors on the wire: a JSON-RPC code, a sentence, and `data` with a stable `kind`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::conflict::Conflict;
use crate::engine::ids::{Cursor, FencingToken, JournalTime};
use crate::engine::outcome::{LeaseConflicts, Refusal};

macro_rules! error_kinds {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal, $code:literal;)*) => {
        /// What kind of error it is. The names are stable; match on them, not on the text.
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
    /// The frame is no JSON.
    ParseError = "parse_error", -32700;
    /// The frame is JSON but no JSON-RPC 2.0 request; batches and binary frames are refused too.
    InvalidRequest = "invalid_request", -32600;
    /// There is no such operation; `data.suggestion` names a similar one.
    MethodNotFound = "method_not_found", -32601;
    /// A parameter is wrong; `data.path` says which.
    InvalidParams = "invalid_params", -32602;
    /// The coordinator has a bug; its log has more.
    Internal = "internal", -32603;
    /// What the request names does not exist.
    NotFound = "not_found", -32001;
    /// The state of things forbids it; for leases `data.conflicts` says who holds what.
    Conflict = "conflict", -32002;
    /// The fencing token is no longer, or was never, the one that holds; stop working on it.
    StaleFence = "stale_fence", -32003;
    /// A limit is reached; `data.limit` names it, `data.max` is its value.
    LimitExceeded = "limit_exceeded", -32004;
    /// Too much is under way; try again after `data.retry_after_ms`.
    Overloaded = "overloaded", -32005;
    /// The journal is out of reach, or the coordinator is stopping; try again after `data.retry_after_ms`.
    Unavailable = "unavailable", -32006;
    /// No token, or one that is unknown, revoked or has run out.
    Unauthenticated = "unauthenticated", -32007;
    /// The token's role or its projects do not allow it.
    Forbidden = "forbidden", -32008;
    /// Events after the cursor are forgotten; list the state anew, subscribe from `data.cursor`.
    CursorExpired = "cursor_expired", -32009;
    /// The cursor belongs to another epoch; list the state anew, subscribe from `data.cursor`.
    EpochChanged = "epoch_changed", -32010;
    /// The disk is full: work can be finished, none can be begun.
    StorageFull = "storage_full", -32011;
}

/// Why a request was not carried out. It changed nothing, unless the kind is `unavailable`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RpcError {
    pub kind: ErrorKind,
    pub message: String,
    pub detail: Box<ErrorDetail>,
}

/// What `data` says beside `kind`; only what applies is there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ErrorDetail {
    /// The limit that is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// Its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
    /// When it makes sense to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The parameter that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A similar name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    /// The fencing token that holds now, if any does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_fence: Option<FencingToken>,
    /// The leases that stand in the way, the first `conflicts_told_max` of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<Conflict>,
    /// How many more there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflicts_more: Option<u64>,
    /// Journal time of the answer, to read the times of `conflicts` by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now_ms: Option<JournalTime>,
    /// Where a new subscription can begin.
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
                format!("fencing token {given} does not hold {what}: stop working on it"),
            )
            .with(|detail| detail.current_fence = current),
            Refusal::Limit(limit) => Self::limit(limit.limit, limit.max),
            Refusal::Overtaken => Self::new(
                ErrorKind::Unavailable,
                "later requests of this agent overtook it; this sending changed nothing",
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
        let message =
            "the wait ended before it was known whether the resources are free: ask again";
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
