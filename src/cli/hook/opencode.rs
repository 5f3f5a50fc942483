//! opencode has no command hooks: a plugin of ours ([`PLUGIN`]) runs `coord hook opencode` with the JSON of Claude
//! Code, and does what the answer says.

use serde_json::Value;

use super::event::{Dialect, Event, Payload};
use super::{claude, patch};
use crate::client::seat::CliKind;
use crate::engine::ids::MessageId;

/// The plugin, to be put into a file below `plugins/`; `@COORD@` stands for the program as a JSON text.
const PLUGIN: &str = include_str!("opencode.js");

pub(super) const DIALECT: Dialect = Dialect {
    cli: CliKind::Opencode,
    kind: "opencode",
    title: "opencode",
    event,
    render: claude::DIALECT.render,
    tells_before_edit: true,
};

/// The plugin, for this program.
pub(in crate::cli) fn plugin(program: &str) -> String {
    PLUGIN.replace("@COORD@", &Value::from(program).to_string())
}

fn event(payload: &Payload) -> Event {
    match payload.name() {
        "PreToolUse" => before_tool(payload),
        "Delivered" => {
            let ids = payload.0.pointer("/messages").and_then(Value::as_array);
            let ids = ids.into_iter().flatten().filter_map(Value::as_u64);
            Event::Delivered(ids.map(MessageId).collect())
        }
        _ => (claude::DIALECT.event)(payload),
    }
}

fn before_tool(payload: &Payload) -> Event {
    let mut paths = payload.paths(&["filePath"]);
    for field in ["patchText", "patch", "command"] {
        paths.extend(patch::paths(payload.text(&format!("/tool_input/{field}"))));
    }
    match payload.text("/tool_name") {
        "edit" | "write" | "multiedit" | "patch" | "apply_patch" => Event::BeforeEdit(paths),
        _ => Event::Unknown,
    }
}
