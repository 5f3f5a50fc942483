//! Gemini CLI. It takes every exit code but 0 and 1 for a denial, and plain text for a message to the user.

use serde_json::Value;

use super::answer::{Say, decision, rendered};
use super::event::{Answer, Dialect, Event, Payload};
use crate::client::seat::CliKind;

pub(super) const DIALECT: Dialect = Dialect {
    cli: CliKind::Gemini,
    kind: "gemini-cli",
    title: "Gemini CLI",
    event,
    render,
    tells_before_edit: false,
};

fn event(payload: &Payload) -> Event {
    match payload.name() {
        "SessionStart" => Event::SessionStart,
        "BeforeAgent" => Event::Prompt,
        "BeforeTool" if matches!(payload.text("/tool_name"), "write_file" | "replace") => {
            Event::BeforeEdit(payload.paths(&["file_path"]))
        }
        "AfterTool" => Event::AfterTool,
        "AfterAgent" => Event::TurnEnd {
            continued: payload.flag("/stop_hook_active"),
        },
        "Notification" => match payload.text("/notification_type") {
            "ToolPermission" => Event::Waiting("a permission"),
            _ => Event::Unknown,
        },
        "SessionEnd" => Event::SessionEnd,
        _ => Event::Unknown,
    }
}

/// To deny the end of a turn is to let it go on.
fn render(name: &str, answer: &Answer) -> Value {
    let deny: Say = |said, _, text| decision(said, "deny", text);
    rendered(name, answer, deny, deny)
}
