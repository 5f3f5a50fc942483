//! Codex runs a hook only once its user trusts it, by a hash of its definition. `codex app-server` tells which are
//! trusted, and can be told.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::SetupArgs;
use super::front::Front;
use super::program;
use super::report::Report;
use super::site::Site;
use super::store::Store;
use crate::cli::exit::Exit;

const ANSWER_MAX: Duration = Duration::from_secs(10);
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// A hook of ours, as Codex sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct HookTrust {
    pub(in crate::cli) key: String,
    pub(in crate::cli) event: String,
    pub(in crate::cli) hash: String,
    /// `trusted`, `untrusted` or `modified`.
    pub(in crate::cli) status: String,
}

/// Tells Codex to trust our hooks if the user said so, or else says how to.
pub(super) async fn after_setup(
    args: &SetupArgs,
    site: &Site<'_>,
    store: &Store,
    report: &mut Report,
) {
    let hint = "Codex skips our hooks until they are trusted: start `codex` and choose to trust them, or run `coord \
                setup codex --trust-hooks`";
    if !args.trust_hooks {
        report.note(hint);
        return;
    }
    match trust(site, store).await {
        Ok(0) => report.note("Codex trusts our hooks already"),
        Ok(count) => report.did("made Codex trust", format!("{count} hooks of ours")),
        Err(why) => {
            let what = format!("cannot make Codex trust our hooks: {why}; {hint}");
            report.left(Exit::Failed, what);
        }
    }
}

/// Codex writes what it trusts into the user's configuration. That is recorded as setup's own change, so that
/// removal restores that file too.
async fn trust(site: &Site<'_>, store: &Store) -> Result<usize, String> {
    let codex = Front::Codex
        .installed(site.environment)
        .ok_or("codex is not on PATH")?;
    let config = super::codex::home(site).join("config.toml");
    let before = std::fs::read(&config).ok();
    let folder = site
        .clone
        .as_ref()
        .map_or(&*site.home, |clone| &*clone.root);
    let count = trust_ours(&codex, folder).await?;
    let after = std::fs::read(&config).ok();
    if before != after {
        let root = site
            .clone
            .as_ref()
            .filter(|_| !site.of_user)
            .map(|clone| &*clone.root);
        super::change::wrote_for_us(&config, before.as_deref(), after.as_deref(), root, store)
            .map_err(|error| crate::causes::one_line(&error))?;
    }
    Ok(count)
}

/// Our hooks in a folder.
pub(in crate::cli) async fn hooks_of(
    codex: &Path,
    folder: &Path,
) -> Result<Vec<HookTrust>, String> {
    let mut server = AppServer::start(codex).await?;
    server.hooks(folder).await
}

/// Marks those that are not trusted; how many there were.
pub(in crate::cli) async fn trust_ours(codex: &Path, folder: &Path) -> Result<usize, String> {
    let mut server = AppServer::start(codex).await?;
    let mut hooks = server.hooks(folder).await?;
    if hooks.is_empty() {
        return Err("it lists no hook of ours; does it trust the repository?".to_owned());
    }
    hooks.retain(|hook| hook.status != "trusted");
    let states = hooks
        .iter()
        .map(|hook| (hook.key.clone(), json!({ "trusted_hash": hook.hash })));
    let states: serde_json::Map<String, Value> = states.collect();
    if !states.is_empty() {
        let edit = json!({ "keyPath": "hooks.state", "mergeStrategy": "upsert", "value": states });
        let params = json!({ "edits": [edit], "reloadUserConfig": true });
        server.call("config/batchWrite", params).await?;
    }
    Ok(hooks.len())
}

/// `codex app-server`, which ends with this.
struct AppServer {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    calls: u64,
}

impl AppServer {
    async fn start(codex: &Path) -> Result<Self, String> {
        let mut command = Command::new(codex);
        let command = command.arg("app-server").kill_on_drop(true);
        let command = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (Some(input), Some(output)) = (input, output) else {
            return Err("it has no streams".to_owned());
        };
        let mut server = Self {
            _child: child,
            input,
            output: BufReader::new(output).lines(),
            calls: 0,
        };
        let client = json!({ "name": "coord", "version": env!("CARGO_PKG_VERSION") });
        let params = json!({ "clientInfo": client, "capabilities": { "experimentalApi": true } });
        server.call("initialize", params).await?;
        server
            .send(&json!({ "jsonrpc": "2.0", "method": "initialized" }))
            .await?;
        Ok(server)
    }

    async fn hooks(&mut self, folder: &Path) -> Result<Vec<HookTrust>, String> {
        let answer = self.call("hooks/list", json!({ "cwds": [folder] })).await?;
        let folders = answer["data"].as_array().into_iter().flatten();
        let hooks = folders.flat_map(|folder| folder["hooks"].as_array().into_iter().flatten());
        let ours = hooks.filter(|hook| {
            let command = hook["command"]
                .as_str()
                .or_else(|| hook["handler"]["command"].as_str());
            command.is_some_and(|command| program::is_hook(command, Front::Codex))
        });
        let text = |hook: &Value, key: &str| hook[key].as_str().unwrap_or_default().to_owned();
        let ours = ours.map(|hook| HookTrust {
            key: text(hook, "key"),
            event: text(hook, "eventName"),
            hash: text(hook, "currentHash"),
            status: text(hook, "trustStatus"),
        });
        Ok(ours.collect())
    }

    async fn call(&mut self, method: &str, params: Value) -> Result<Value, String> {
        self.calls += 1;
        let id = self.calls;
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let answered = async {
            self.send(&call).await?;
            loop {
                let line = self
                    .output
                    .next_line()
                    .await
                    .map_err(|error| error.to_string())?;
                let line = line.ok_or("it ended")?;
                if line.len() > LINE_BYTES_MAX {
                    return Err("its answer is too long".to_owned());
                }
                let Ok(message) = serde_json::from_str::<Value>(&line) else {
                    continue;
                };
                if message["id"] == id {
                    return Ok(message);
                }
            }
        };
        let answer = timeout(ANSWER_MAX, answered).await;
        let mut answer = answer.map_err(|_| format!("{method} is not answered"))??;
        match answer.get("error") {
            Some(error) => Err(format!(
                "{method}: {}",
                error["message"].as_str().unwrap_or("it failed")
            )),
            None => Ok(answer["result"].take()),
        }
    }

    async fn send(&mut self, message: &Value) -> Result<(), String> {
        let line = format!("{message}\n");
        let sent = self.input.write_all(line.as_bytes()).await;
        sent.map_err(|error| error.to_string())
    }
}
