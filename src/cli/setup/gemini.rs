//! Gemini CLI: hooks and server in one file. `trust` lets the model call our tools without a question.

use serde_json::json;

use super::entries::Entry;
use super::front::Front;
use super::program;
use super::site::Site;
use super::target::{Content, Target};
use super::text::Dialect;
use crate::cli::error::CliError;

const FRONT: Front = Front::Gemini;
const HOOK_MS_MAX: u64 = 5_000;
const EVENTS: [(&str, Option<&str>); 7] = [
    ("SessionStart", None),
    ("BeforeAgent", None),
    ("BeforeTool", Some("write_file|replace")),
    ("AfterTool", None),
    ("AfterAgent", None),
    ("Notification", None),
    ("SessionEnd", None),
];

pub(super) fn targets(site: &Site) -> Result<Vec<Target>, CliError> {
    let clone = site.project()?;
    let folder = clone.map_or(&site.home, |clone| &clone.root);
    let command = program::hook(&site.program, FRONT.name());
    let handler = json!({
        "type": "command",
        "name": "coord",
        "command": command,
        "timeout": HOOK_MS_MAX,
    });
    let server = json!({ "command": site.program, "args": ["mcp"], "trust": true });
    let hooks = EVENTS.iter();
    let hooks = hooks.map(|(event, matcher)| Entry::hook(event, *matcher, handler.clone()));
    let server = Entry::server(&["mcpServers", "coord"], server);
    Ok(vec![Target {
        front: Some(FRONT),
        path: folder.join(".gemini/settings.json"),
        within: clone.map(|clone| clone.root.clone()),
        content: Content::Json {
            dialect: Dialect::Comments,
            entries: [server].into_iter().chain(hooks).collect(),
        },
    }])
}
