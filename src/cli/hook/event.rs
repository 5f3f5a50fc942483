//! What happened in a CLI, and what it may be told, in words of no CLI.

use std::path::PathBuf;

use serde_json::Value;

use crate::client::seat::CliKind;
use crate::engine::ids::MessageId;

/// What a CLI reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// A session begins, is resumed, or lost its context.
    SessionStart,
    /// The user, or something in the user's place, begins a turn.
    Prompt,
    /// These files are about to be written.
    BeforeEdit(Vec<PathBuf>),
    AfterTool,
    /// The agent is about to stop working.
    TurnEnd {
        /// A hook has already made it go on.
        continued: bool,
    },
    /// The agent waits for a human; for what.
    Waiting(&'static str),
    /// The turn ended because something failed.
    Failed(&'static str),
    /// A subagent begins or ends. Its edits name it, so there is nothing to do.
    Subagent,
    SessionEnd,
    /// What a waiter printed has reached the session.
    Delivered(Vec<MessageId>),
    /// One that this version does not know, or that concerns nobody else.
    Unknown,
}

/// What a CLI is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    /// For the user.
    pub(super) notice: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Verdict {
    /// No opinion: the CLI goes on as if there were no hook.
    #[default]
    Nothing,
    /// Text for the model.
    Context(String),
    /// The edit is refused, with this reason for the model.
    Deny(String),
    /// The turn goes on, with this text for the model.
    GoOn(String),
}

/// How one CLI speaks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    pub(super) cli: CliKind,
    /// The kind of its agents.
    pub(super) kind: &'static str,
    /// What people call it.
    pub(super) title: &'static str,
    pub(super) event: fn(&Payload) -> Event,
    /// What is printed for an answer to the event of this name.
    pub(super) render: fn(&str, &Answer) -> Value,
    /// Whether text for the model can be given before an edit.
    pub(super) tells_before_edit: bool,
}

/// What a CLI wrote to stdin. Every field may be absent or of another type: newer versions come.
#[derive(Debug, Clone)]
pub(super) struct Payload(pub(super) Value);

impl Payload {
    pub(super) fn text(&self, pointer: &str) -> &str {
        let value = self.0.pointer(pointer);
        value.and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn flag(&self, pointer: &str) -> bool {
        self.0.pointer(pointer) == Some(&Value::Bool(true))
    }

    pub(super) fn name(&self) -> &str {
        self.text("/hook_event_name")
    }

    /// Those of these fields of the tool's input that name a file.
    pub(super) fn paths(&self, fields: &[&str]) -> Vec<PathBuf> {
        let texts = fields
            .iter()
            .map(|field| self.text(&format!("/tool_input/{field}")));
        texts
            .filter(|text| !text.is_empty())
            .map(PathBuf::from)
            .collect()
    }
}
