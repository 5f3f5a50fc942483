//! Claude Code.
//!
//! Its settings are strict JSON. Hooks and permissions of a project stand in `settings.local.json`, which is not
//! committed. The server stands in `~/.claude.json`, below the main worktree's root: approving one of `.mcp.json`
//! by its name would let whoever commits to the repository choose the command.

use serde_json::{Value, json};

use super::entries::Entry;
use super::front::Front;
use super::program;
use super::site::Site;
use super::target::{Content, Target};
use super::text::Dialect;
use crate::cli::error::CliError;

const FRONT: Front = Front::Claude;
/// The tools that write files.
const WRITES: &str = "Edit|MultiEdit|Write|NotebookEdit";
const HOOK_S_MAX: u64 = 5;
/// A waiter lives as long as its session.
const WAIT_S_MAX: u64 = 86_400;
const EVENTS: [(&str, Option<&str>); 9] = [
    ("SessionStart", None),
    ("UserPromptSubmit", None),
    ("PreToolUse", Some(WRITES)),
    ("PostToolUse", None),
    ("Notification", None),
    ("SubagentStop", None),
    ("Stop", None),
    ("StopFailure", None),
    ("SessionEnd", None),
];

pub(super) fn targets(site: &Site) -> Result<Vec<Target>, CliError> {
    let server = json!({ "type": "stdio", "command": site.program, "args": ["mcp"], "env": {} });
    let of_user = site.variable("CLAUDE_CONFIG_DIR");
    let (settings, within, path) = if let Some(clone) = site.project()? {
        let settings = clone.root.join(".claude/settings.local.json");
        let main = clone.main_root()?;
        let path = vec!["projects".to_owned(), main, "mcpServers".to_owned()];
        (settings, Some(clone.root.clone()), path)
    } else {
        let folder = of_user.clone();
        let folder = folder.unwrap_or_else(|| site.home.join(".claude"));
        (
            folder.join("settings.json"),
            None,
            vec!["mcpServers".to_owned()],
        )
    };
    let mut path: Vec<&str> = path.iter().map(String::as_str).collect();
    path.push("coord");
    let mut entries = vec![Entry::word(&["permissions", "allow"], "mcp__coord")];
    entries.extend(hooks(site));
    let target = |path, within, entries| Target {
        front: Some(FRONT),
        path,
        within,
        content: Content::Json {
            dialect: Dialect::Strict,
            entries,
        },
    };
    let folder = of_user.unwrap_or_else(|| site.home.clone());
    Ok(vec![
        target(settings, within, entries),
        target(
            folder.join(".claude.json"),
            None,
            vec![Entry::server(&path, server)],
        ),
    ])
}

fn hooks(site: &Site) -> Vec<Entry> {
    let command = program::hook(&site.program, FRONT.name());
    let handler = |event: &str| {
        let mut handler = json!({ "type": "command", "command": command, "timeout": HOOK_S_MAX });
        if site.strict && event == "PreToolUse" {
            // Of the four only this CLI can refuse edits while the hook fails.
            handler["onFailure"] = Value::from("block");
        }
        handler
    };
    let hooks = EVENTS.iter();
    let hooks = hooks.map(|(event, matcher)| Entry::hook(event, *matcher, handler(event)));
    let waiter = json!({
        "type": "command",
        "command": program::hook(&site.program, "wait claude"),
        "asyncRewake": true,
        "timeout": WAIT_S_MAX,
        "rewakeMessage": "coord: ",
        "rewakeSummary": "message from coord",
    });
    hooks.chain([Entry::hook("Stop", None, waiter)]).collect()
}
