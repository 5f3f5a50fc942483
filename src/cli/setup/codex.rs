//! Codex CLI: hooks in `hooks.json`, the server in `config.toml`. It starts servers with few variables, so those
//! that say where the coordinator is are named.

use serde_json::json;

use super::entries::Entry;
use super::front::Front;
use super::program;
use super::site::Site;
use super::target::{Content, Target};
use super::text::{Dialect, Place, toml_fault};
use crate::cli::error::CliError;

const FRONT: Front = Front::Codex;
const HOOK_S_MAX: u64 = 5;
/// A waiter lives as long as its session.
const WAIT_S_MAX: u64 = 86_400;
/// Every hook that it has for what we do. Its edits are one tool, `apply_patch`.
const EVENTS: [(&str, Option<&str>); 7] = [
    ("SessionStart", None),
    ("UserPromptSubmit", None),
    ("PreToolUse", Some("^apply_patch$")),
    ("PostToolUse", None),
    ("SubagentStop", None),
    ("Stop", None),
    ("SessionEnd", None),
];
/// What a server inherits only if it is named.
pub(in crate::cli) const VARIABLES: [&str; 9] = [
    "COORD_URL",
    "COORD_TOKEN",
    "COORD_TOKEN_FILE",
    "COORD_PROJECT",
    "COORD_SEAT",
    "COORD_CLIENT_CONFIG",
    "COORD_STATE_DIR",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
];

pub(super) fn targets(site: &Site) -> Result<Vec<Target>, CliError> {
    let clone = site.project()?;
    let folder = match &clone {
        Some(clone) => clone.root.join(".codex"),
        None => home(site),
    };
    let within = clone.map(|clone| clone.root.clone());
    let command = program::hook(&site.program, FRONT.name());
    let handler = json!({ "type": "command", "command": command, "timeout": HOOK_S_MAX });
    let waiter = json!({
        "type": "command",
        "command": program::hook(&site.program, "wait codex"),
        "async": true,
        "timeout": WAIT_S_MAX,
    });
    let hooks = EVENTS.iter();
    let hooks = hooks.map(|(event, matcher)| Entry::hook(event, *matcher, handler.clone()));
    let hooks = hooks.chain([Entry::hook("Stop", None, waiter)]);
    let server = Content::Block {
        lines: server(&site.program),
        place: Place::End,
        check: toml_fault,
    };
    let hooks = Content::Json {
        dialect: Dialect::Strict,
        entries: hooks.collect(),
    };
    let target = |name: &str, content| Target {
        front: Some(FRONT),
        path: folder.join(name),
        within: within.clone(),
        content,
    };
    Ok(vec![
        target("hooks.json", hooks),
        target("config.toml", server),
    ])
}

pub(in crate::cli) fn home(site: &Site) -> std::path::PathBuf {
    let named = site.variable("CODEX_HOME");
    named.unwrap_or_else(|| site.home.join(".codex"))
}

fn server(program: &str) -> Vec<String> {
    let text = |text: &str| toml::Value::from(text).to_string();
    let variables = VARIABLES.map(text).join(", ");
    vec![
        "[mcp_servers.coord]".to_owned(),
        format!("command = {}", text(program)),
        "args = [\"mcp\"]".to_owned(),
        format!("env_vars = [{variables}]"),
    ]
}
