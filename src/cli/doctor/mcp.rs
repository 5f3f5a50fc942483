//! Whether the server of tools answers when it is started as a CLI would start it.

use std::time::Duration;

use serde_json::json;
use tokio::process::Command;
use tokio::time::timeout;

use super::Check;
use crate::cli::line_rpc::LineRpc;
use crate::cli::setup::{CODEX_VARIABLES, Content, Entry, Front, Site, Target, find_file};

const PROTOCOL: &str = "2025-06-18";
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// What Codex passes on besides what an entry names.
const CODEX_INHERITS: [&str; 8] = [
    "HOME", "PATH", "LANG", "LC_ALL", "TERM", "USER", "SHELL", "TMPDIR",
];
/// Gemini CLI takes away variables whose names have one of these.
const GEMINI_SECRETS: [&str; 6] = ["TOKEN", "SECRET", "PASSWORD", "KEY", "AUTH", "CREDENTIAL"];

pub(super) async fn check(front: Front, site: &Site<'_>, targets: &[Target]) -> Check {
    let of = front.name();
    let again = format!(
        "coord setup {front}{}",
        if site.of_user { " --user" } else { "" }
    );
    if !targets
        .iter()
        .filter(|target| names_server(target))
        .any(is_whole)
    {
        let detail = "the entry of our tools is missing, or not what this program would write; it is not run";
        return Check::bad(of, "mcp", detail, again);
    }
    match tools(front, site).await {
        Ok(0) => Check::bad(
            of,
            "mcp",
            "`coord mcp` has no tools",
            "coord mcp, and see what it says",
        ),
        Ok(count) => Check::good(of, "mcp", format!("`coord mcp` answers with {count} tools")),
        Err(why) => Check::bad(
            of,
            "mcp",
            format!("`coord mcp` {why}"),
            "the links above first",
        ),
    }
}

fn names_server(target: &Target) -> bool {
    match &target.content {
        Content::Json { entries, .. } => entries
            .iter()
            .any(|entry| matches!(entry, Entry::Server { .. })),
        Content::Block { .. } => true,
        Content::Shared(_) | Content::Whole(_) => false,
    }
}

/// Whether the file has exactly our entry of the server, so that it is safe to run.
fn is_whole(target: &Target) -> bool {
    let mut server = target.clone();
    if let Content::Json { entries, .. } = &mut server.content {
        entries.retain(|entry| matches!(entry, Entry::Server { .. }));
        // Hooks are another link.
        server.front = None;
    }
    let bytes = find_file(&server).ok().and_then(|found| found.bytes);
    bytes.is_some_and(|bytes| server.is_in(&bytes) == Ok(true))
}

/// Starts the server with the variables that the CLI would give it, lists its tools and calls one that only reads.
async fn tools(front: Front, site: &Site<'_>) -> Result<usize, String> {
    let folder = site
        .clone
        .as_ref()
        .map_or(&*site.home, |clone| &*clone.root);
    let mut command = Command::new(&site.program);
    command.arg("mcp").current_dir(folder);
    let is_kept = |name: &str| match front {
        Front::Codex => CODEX_INHERITS.contains(&name) || CODEX_VARIABLES.contains(&name),
        Front::Gemini => !GEMINI_SECRETS
            .iter()
            .any(|word| name.to_uppercase().contains(word)),
        _ => true,
    };
    for name in site
        .environment
        .names()
        .iter()
        .filter(|name| !is_kept(name))
    {
        command.env_remove(name);
    }
    let mut server = LineRpc::start(&mut command)?;
    let found = timeout(ANSWER_MAX, try_out(&mut server)).await;
    found.unwrap_or_else(|_| Err(format!("does not answer within {} s", ANSWER_MAX.as_secs())))
}

async fn try_out(server: &mut LineRpc) -> Result<usize, String> {
    let client = json!({ "name": "coord-doctor", "version": env!("CARGO_PKG_VERSION") });
    let hello = json!({ "protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": client });
    server.call("initialize", hello).await?;
    server.notify("notifications/initialized").await?;
    let list = server.call("tools/list", json!({})).await?;
    let tools = list["tools"].as_array().map_or(&[][..], Vec::as_slice);
    let harmless = tools.iter().find(|tool| {
        let needs = tool["inputSchema"]["required"].as_array();
        tool["annotations"]["readOnlyHint"] == true && needs.is_none_or(Vec::is_empty)
    });
    if let Some(tool) = harmless {
        let params = json!({ "name": tool["name"], "arguments": {} });
        let said = server.call("tools/call", params).await?;
        if said["isError"] == true {
            let why = said["content"][0]["text"].as_str();
            let why = why.unwrap_or("it does not say why");
            return Err(format!("answers, but its tools do not work: {why}"));
        }
    }
    Ok(tools.len())
}
