//! Claude Code. Its answers never allow or ask: that would skip, or replace, the user's own permissions.

use serde_json::Value;

use super::answer::{context, permission_deny, rendered};
use super::event::{Answer, Dialect, Event, Payload};
use crate::client::seat::CliKind;

pub(super) const DIALECT: Dialect = Dialect {
    cli: CliKind::Claude,
    kind: "claude-code",
    title: "Claude Code",
    event,
    render,
    tells_before_edit: true,
};

const EDITORS: [&str; 4] = ["Edit", "Write", "MultiEdit", "NotebookEdit"];

fn event(payload: &Payload) -> Event {
    match payload.name() {
        "SessionStart" => Event::SessionStart,
        "UserPromptSubmit" => Event::Prompt,
        "PreToolUse" if EDITORS.contains(&payload.text("/tool_name")) => {
            Event::BeforeEdit(payload.paths(&["file_path", "notebook_path"]))
        }
        "PostToolUse" | "PostToolBatch" => Event::AfterTool,
        "Stop" => Event::TurnEnd {
            continued: payload.flag("/stop_hook_active"),
        },
        "StopFailure" => Event::Failed("its last turn failed"),
        "SubagentStart" | "SubagentStop" => Event::Subagent,
        "PermissionRequest" => Event::Waiting("a permission"),
        "Notification" => match payload.text("/notification_type") {
            "permission_prompt" => Event::Waiting("a permission"),
            "idle_prompt" => Event::Waiting("the next prompt"),
            "elicitation_dialog" => Event::Waiting("an answer"),
            _ => Event::Unknown,
        },
        "SessionEnd" => Event::SessionEnd,
        _ => Event::Unknown,
    }
}

/// At the end of a turn, context makes the agent go on, and is not shown as an error.
fn render(name: &str, answer: &Answer) -> Value {
    rendered(name, answer, permission_deny, context)
}
