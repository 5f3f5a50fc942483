//! An idle session is woken by its CLI's own means, and `coord wait` waits for everybody else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Done, Scene, Window, fed, send, write};
use crate::support::until;

impl Window {
    /// Starts a waiter, as the end of a turn does.
    fn waiter(&self, path: Option<&PathBuf>) -> tokio::task::JoinHandle<Done> {
        let mut command = self.command(&["hook", "wait", self.name]);
        if let Some(folder) = path {
            command.env("PATH", format!("{}:/usr/bin:/bin", folder.display()));
        }
        let payload =
            json!({ "session_id": self.session, "cwd": self.folder, "hook_event_name": "Stop" });
        tokio::spawn(async move { fed(command, payload.to_string().as_bytes()).await })
    }
}

/// Waits until a session of the agent is open, as a waiter opens one.
async fn present(scene: &Scene, name: &str, sessions: usize) -> Value {
    let mut operator = scene.coordinator.operator().await;
    until(&format!("{name} to wait"), async || {
        let found = operator
            .call("agent.get", json!({ "agent": name }))
            .await
            .ok()?;
        let open = found["sessions"].as_array()?.len();
        (open == sessions).then_some(found)
    })
    .await
}

/// The highest number of the agent's sessions; 0 if it has none.
async fn newest_session(scene: &Scene, name: &str) -> u64 {
    let mut operator = scene.coordinator.operator().await;
    let found = operator.call("agent.get", json!({ "agent": name })).await;
    let found = found.unwrap();
    let sessions = found["sessions"].as_array().unwrap().iter();
    let numbers = sessions.filter_map(|session| session["session"].as_u64());
    numbers.max().unwrap_or(0)
}

async fn mailbox(scene: &Scene, name: &str) -> Value {
    let mut operator = scene.coordinator.operator().await;
    let found = operator
        .call("agent.get", json!({ "agent": name }))
        .await
        .unwrap();
    found["mailbox"].clone()
}

#[tokio::test]
async fn claude_code_is_woken_by_exit_code_2() {
    let scene = Scene::new().await;
    let mut operator = scene.coordinator.operator().await;
    let ana = scene.window("claude", "ana", "1").await;
    let waiter = ana.waiter(None);
    present(&scene, "ana/claude-1", 1).await;
    send(&mut operator, "ana/claude-1", "not worth it", "low").await;
    send(&mut operator, "ana/claude-1", "wake up", "normal").await;
    let woken = waiter.await.unwrap();
    woken.check(2).says("not your user's").says("> wake up");
    assert!(!woken.stderr.contains("not worth it"));
    assert_eq!(mailbox(&scene, "ana/claude-1").await, 1);
    // What waits already wakes at once.
    send(&mut operator, "ana/claude-1", "again", "high").await;
    ana.waiter(None).await.unwrap().check(2).says("> again");
}

/// `claude -p` ends only after its hooks: a waiter would keep it alive for a day.
#[tokio::test]
async fn a_session_that_runs_one_prompt_is_not_waited_for() {
    let scene = Scene::new().await;
    let mut operator = scene.coordinator.operator().await;
    let ana = scene.window("claude", "ana", "1").await;
    send(&mut operator, "ana", "wake up", "normal").await;
    for (entry, code) in [("sdk-cli", 0), ("cli", 2)] {
        let mut command = ana.command(&["hook", "wait", "claude"]);
        command.env("CLAUDE_CODE_ENTRYPOINT", entry);
        let payload = json!({ "session_id": "1", "cwd": ana.folder, "hook_event_name": "Stop" });
        let ended = fed(command, payload.to_string().as_bytes()).await;
        ended.check(code);
    }
}

#[tokio::test]
async fn the_newest_waiter_is_the_only_one() {
    let scene = Scene::new().await;
    let mut operator = scene.coordinator.operator().await;
    let ana = scene.window("claude", "ana", "1").await;
    let first = ana.waiter(None);
    present(&scene, "ana/claude-1", 1).await;
    let second = ana.waiter(None);
    first.await.unwrap().is_silent();
    present(&scene, "ana/claude-1", 1).await;
    send(&mut operator, "ana/claude-1", "hello", "normal").await;
    second.await.unwrap().check(2).says("> hello");
    // A session that works again, or has ended, needs no waiter.
    for event in ["UserPromptSubmit", "SessionEnd"] {
        let before = newest_session(&scene, "ana/claude-1").await;
        let third = ana.waiter(None);
        until("the waiter's own session", async || {
            let newest = newest_session(&scene, "ana/claude-1").await;
            (newest > before).then_some(())
        })
        .await;
        ana.hook(event, json!({})).await.check(0);
        third.await.unwrap().is_silent();
    }
}

#[tokio::test]
async fn codex_is_told_by_its_queue_and_only_then_is_mail_delivered() {
    let scene = Scene::new().await;
    let mut operator = scene.coordinator.operator().await;
    let ana = scene.window("codex", "ana", "1").await;
    let folder = scene.root().with_file_name("bin");
    let program = folder.join("codex");
    let ran = folder.join("ran");
    let script = |code: u8| {
        write(
            &program,
            &format!(
                "#!/bin/sh\nprintf '%s\\n' \"$@\" > {}\nexit {code}\n",
                ran.display()
            ),
        );
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    };
    script(1);
    let waiter = ana.waiter(Some(&folder));
    present(&scene, "ana/codex-1", 1).await;
    send(&mut operator, "ana/codex-1", "please look", "normal").await;
    waiter.await.unwrap().check(1).says("stays unread");
    assert_eq!(mailbox(&scene, "ana/codex-1").await, 1);
    script(0);
    send(&mut operator, "ana/codex-1", "and this", "normal").await;
    ana.waiter(Some(&folder)).await.unwrap().is_silent();
    let said = fs::read_to_string(&ran).unwrap();
    assert!(
        said.starts_with("queue\n--thread\n1\n--message\n"),
        "{said}"
    );
    assert!(
        said.contains("not your user's") && said.contains("> and this"),
        "{said}"
    );
    assert_eq!(mailbox(&scene, "ana/codex-1").await, 1);
}

#[tokio::test]
async fn the_plugin_of_opencode_says_what_it_delivered() {
    let scene = Scene::new().await;
    let mut operator = scene.coordinator.operator().await;
    let ana = scene.window("opencode", "ana", "1").await;
    let waiter = ana.waiter(None);
    present(&scene, "ana/opencode-1", 1).await;
    send(&mut operator, "ana/opencode-1", "hello", "normal").await;
    let said = waiter.await.unwrap();
    said.check(0);
    let said: Value = serde_json::from_str(&said.stdout).unwrap();
    assert!(said["text"].as_str().unwrap().contains("> hello"), "{said}");
    assert_eq!(mailbox(&scene, "ana/opencode-1").await, 1);
    ana.hook("Delivered", json!({ "messages": said["messages"] }))
        .await
        .is_silent();
    assert_eq!(mailbox(&scene, "ana/opencode-1").await, 0);
    let plugin = fed(ana.command(&["hook", "opencode", "--plugin"]), b"").await;
    plugin
        .check(0)
        .prints("export const Coord")
        .prints(env!("CARGO_BIN_EXE_coord"));
    assert!(!plugin.stdout.contains("@COORD@"));
}

#[tokio::test]
async fn gemini_cli_cannot_be_woken() {
    let scene = Scene::new().await;
    let ana = scene.window("gemini", "ana", "1").await;
    ana.waiter(None)
        .await
        .unwrap()
        .check(0)
        .says("cannot be woken");
}

#[tokio::test]
async fn coord_wait_waits_for_what_was_asked() {
    let scene = Scene::new().await;
    let mut operator = scene.coordinator.operator().await;
    let ana = scene.window("claude", "ana", "1").await;
    let bob = scene.window("codex", "bob", "2").await;
    bob.edits("a.rs").await;
    let start = |words: &[&str]| {
        let command = ana.command(words);
        tokio::spawn(async move { fed(command, b"").await })
    };
    let nothing = start(&["wait", "--for", "message,task", "--timeout", "300ms"]);
    nothing
        .await
        .unwrap()
        .check(124)
        .says("nothing of it happened");
    let lease = start(&[
        "--json",
        "wait",
        "--for",
        "lease,task",
        "file:a.rs",
        "--tree",
        "auto",
    ]);
    present(&scene, "ana/claude-1", 1).await;
    bob.hook("SessionEnd", json!({})).await.is_silent();
    let said = lease.await.unwrap();
    said.check(0).prints("\"what\":\"lease\"");
    let task = start(&["wait", "--for", "message,task"]);
    present(&scene, "ana/claude-1", 1).await;
    operator
        .call("task.submit", json!({ "title": "work" }))
        .await
        .unwrap();
    task.await
        .unwrap()
        .check(0)
        .prints("task 1 is ready for you");
    let message = start(&["wait", "--for", "message"]);
    present(&scene, "ana/claude-1", 1).await;
    send(&mut operator, "ana/claude-1", "hello", "normal").await;
    message.await.unwrap().check(0).prints("unread messages: 1");
    start(&["wait", "--for", "lease"]).await.unwrap().check(2);
    start(&["wait", "--for", "mail"]).await.unwrap().check(2);
}
