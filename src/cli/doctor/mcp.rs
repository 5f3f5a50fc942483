//! Whether the server of tools answers when it is started as a CLI would start it.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::Check;
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
    command.arg("mcp").current_dir(folder).kill_on_drop(true);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
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
    let mut child = command
        .spawn()
        .map_err(|error| format!("cannot be run: {error}"))?;
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("has no streams".to_owned());
    };
    let mut server = Server {
        input,
        output: BufReader::new(output).lines(),
        calls: 0,
    };
    let found = timeout(ANSWER_MAX, server.try_out()).await;
    found.unwrap_or_else(|_| Err(format!("does not answer within {} s", ANSWER_MAX.as_secs())))
}

struct Server {
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    calls: u64,
}

impl Server {
    async fn try_out(&mut self) -> Result<usize, String> {
        let client = json!({ "name": "coord-doctor", "version": env!("CARGO_PKG_VERSION") });
        let hello =
            json!({ "protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": client });
        self.call("initialize", hello).await?;
        self.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))
            .await?;
        let list = self.call("tools/list", json!({})).await?;
        let tools = list["tools"].as_array().map_or(&[][..], Vec::as_slice);
        let harmless = tools.iter().find(|tool| {
            let needs = tool["inputSchema"]["required"].as_array();
            tool["annotations"]["readOnlyHint"] == true && needs.is_none_or(Vec::is_empty)
        });
        if let Some(tool) = harmless {
            let said = self
                .call(
                    "tools/call",
                    json!({ "name": tool["name"], "arguments": {} }),
                )
                .await?;
            if said["isError"] == true {
                let why = said["content"][0]["text"]
                    .as_str()
                    .unwrap_or("it does not say why");
                return Err(format!("answers, but its tools do not work: {why}"));
            }
        }
        Ok(tools.len())
    }

    async fn call(&mut self, method: &str, params: Value) -> Result<Value, String> {
        self.calls += 1;
        let id = self.calls;
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.send(&call).await?;
        loop {
            let line = self
                .output
                .next_line()
                .await
                .map_err(|error| error.to_string())?;
            let line = line.ok_or("ended without an answer")?;
            let mut answer: Value = serde_json::from_str(&line).unwrap_or_default();
            if answer["id"] != id {
                continue;
            }
            return match answer.get("error") {
                Some(error) => Err(format!(
                    "answers {method} with an error: {}",
                    error["message"]
                )),
                None => Ok(answer["result"].take()),
            };
        }
    }

    async fn send(&mut self, message: &Value) -> Result<(), String> {
        let line = format!("{message}\n");
        let sent = self.input.write_all(line.as_bytes()).await;
        sent.map_err(|error| format!("cannot be asked: {error}"))
    }
}
