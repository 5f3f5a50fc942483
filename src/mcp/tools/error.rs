//! What a tool refuses, told to a model: what is wrong, and what to do next.

use std::fmt;

use serde::Serialize;

use crate::engine::ids::AgentName;
use crate::mcp::results::CallResult;
use crate::mcp::words;
use crate::protocol::error::{Conflict, ErrorKind, RpcError};
use crate::text;

/// How much of an error a model is shown.
const CHARS_MAX: usize = 1_500;
/// Holders in the way that are named.
const CONFLICTS_MAX: usize = 5;

/// Why a tool did not do what it was asked for. It changed nothing.
#[derive(Debug, Clone)]
pub struct ToolError {
    what: String,
    next: String,
    kind: ErrorKind,
    in_the_way: Vec<HolderNote>,
}

/// What the holder of a lease in the way says of it.
#[derive(Debug, Clone, Serialize)]
struct HolderNote {
    agent: AgentName,
    resource: String,
    note_words: String,
}

impl ToolError {
    /// An argument that cannot be meant so.
    pub(super) fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            next: next.into(),
            kind: ErrorKind::InvalidParams,
            in_the_way: Vec::new(),
        }
    }

    pub(super) fn into_result(self) -> CallResult {
        #[derive(Serialize)]
        struct Words<'a> {
            in_the_way: &'a [HolderNote],
        }
        let words = (!self.in_the_way.is_empty()).then(|| {
            let words = Words {
                in_the_way: &self.in_the_way,
            };
            serde_json::to_string(&words).expect("texts always encode as JSON")
        });
        CallResult::refusal(self.to_string(), words)
    }

    /// The same for a request that is not a call of a tool.
    pub(in crate::mcp) fn into_rpc(self) -> RpcError {
        RpcError::new(self.kind, self.to_string())
    }

    /// Says something better than the general advice.
    pub(super) fn advise(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what: String = text::lines(&self.what).chars().take(CHARS_MAX).collect();
        f.write_str(&what)?;
        if self.next.is_empty() {
            return Ok(());
        }
        let stop = if what.ends_with(['.', '!', '?']) {
            ""
        } else {
            "."
        };
        write!(f, "{stop} {}", self.next)
    }
}

impl From<RpcError> for ToolError {
    fn from(error: RpcError) -> Self {
        let next = match error.kind {
            ErrorKind::NotFound => "status and list_tasks show the numbers that there are.",
            ErrorKind::Conflict if !error.detail.conflicts.is_empty() => {
                "Work on something else, write to the holder with send_message, or wait with these resources."
            }
            ErrorKind::Conflict => "Call status to see how things stand.",
            ErrorKind::StaleFence => {
                "It is no longer yours: stop working on it, and call status to see what is."
            }
            ErrorKind::LimitExceeded => "Finish, release or acknowledge something first.",
            ErrorKind::Overloaded | ErrorKind::Unavailable => "Try again in a few seconds.",
            ErrorKind::Unauthenticated | ErrorKind::Forbidden => {
                "Tell your user: the token of this server does not allow it."
            }
            ErrorKind::StorageFull => "Finish or give back what you hold, and tell your user.",
            _ => "",
        };
        Self {
            what: told(&error),
            next: next.to_owned(),
            kind: error.kind,
            in_the_way: notes(&error.detail.conflicts),
        }
    }
}

/// The notes of the leases that are named. They are words of agents, so they stand in fields that say so.
fn notes(conflicts: &[Conflict]) -> Vec<HolderNote> {
    let named = conflicts.iter().take(CONFLICTS_MAX);
    let noted = named.filter_map(|it| {
        Some(HolderNote {
            agent: it.holder.clone(),
            resource: words::line(&it.held),
            note_words: words::line(it.note.as_ref()?.as_str()),
        })
    });
    noted.collect()
}

/// The message, or who is in the way of what, a sentence each.
fn told(error: &RpcError) -> String {
    let detail = &error.detail;
    let Some(now) = detail.now_ms.filter(|_| !detail.conflicts.is_empty()) else {
        return error.message.clone();
    };
    let conflicts = detail.conflicts.iter().take(CONFLICTS_MAX);
    let without_note = |it: &Conflict| Conflict {
        note: None,
        ..it.clone()
    };
    let mut sentences: Vec<String> = conflicts.map(|it| without_note(it).sentence(now)).collect();
    let named = detail.conflicts.len().min(CONFLICTS_MAX) as u64;
    let all = detail.conflicts.len() as u64 + detail.conflicts_more.unwrap_or_default();
    if all > named {
        sentences.push(format!("and {} more", all - named));
    }
    format!("Nothing was reserved: {}", sentences.join("; "))
}
