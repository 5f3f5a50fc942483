//! Codex runs a hook only once its user trusts it, by a hash of its definition. `codex app-server` tells which are
//! trusted, and can be told.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use super::SetupArgs;
use super::front::Front;
use super::program;
use super::report::Report;
use super::site::Site;
use super::store::Store;
use crate::cli::exit::Exit;
use crate::cli::line_rpc::LineRpc;

const ANSWER_MAX: Duration = Duration::from_secs(10);

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

/// `codex app-server`.
struct AppServer(LineRpc);

impl AppServer {
    async fn start(codex: &Path) -> Result<Self, String> {
        let rpc = LineRpc::start(Command::new(codex).arg("app-server"));
        let mut server = Self(of_codex(rpc)?);
        let client = json!({ "name": "coord", "version": env!("CARGO_PKG_VERSION") });
        let params = json!({ "clientInfo": client, "capabilities": { "experimentalApi": true } });
        server.call("initialize", params).await?;
        of_codex(server.0.notify("initialized").await)?;
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
        let answer = timeout(ANSWER_MAX, self.0.call(method, params)).await;
        of_codex(answer.unwrap_or_else(|_| Err(format!("does not answer {method}"))))
    }
}

fn of_codex<T>(said: Result<T, String>) -> Result<T, String> {
    said.map_err(|what| format!("codex app-server {what}"))
}
