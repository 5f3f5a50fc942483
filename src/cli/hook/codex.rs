//! Codex CLI: the JSON of Claude Code, edits as patches of several files.

use serde_json::Value;

use super::answer::{decision, permission_deny, rendered};
use super::event::{Answer, Dialect, Event, Payload};
use super::patch;
use crate::client::seat::CliKind;

pub(super) const DIALECT: Dialect = Dialect {
    cli: CliKind::Codex,
    kind: "codex",
    title: "Codex",
    event,
    render,
    tells_before_edit: true,
};

fn event(payload: &Payload) -> Event {
    match payload.name() {
        "SessionStart" => Event::SessionStart,
        "UserPromptSubmit" => Event::Prompt,
        "PreToolUse" => before_tool(payload),
        "PostToolUse" => Event::AfterTool,
        "Stop" => Event::TurnEnd {
            continued: payload.flag("/stop_hook_active"),
        },
        "Interrupt" => Event::Failed("its last turn was interrupted"),
        "SubagentStart" | "SubagentStop" => Event::Subagent,
        "PermissionRequest" => Event::Waiting("a permission"),
        "SessionEnd" => Event::SessionEnd,
        _ => Event::Unknown,
    }
}

/// A shell command may carry a patch too.
fn before_tool(payload: &Payload) -> Event {
    let command = payload.text("/tool_input/command");
    let paths = patch::paths(command);
    if paths.is_empty() {
        return Event::Unknown;
    }
    Event::BeforeEdit(paths)
}

/// Context with a decision would be lost, and `allow` is refused: there is only one or the other.
fn render(name: &str, answer: &Answer) -> Value {
    rendered(name, answer, permission_deny, |said, _, text| {
        decision(said, "block", text);
    })
}
