//! Whatever is wrong with a hook, its CLI goes on: never exit code 2, never a wait.

use std::time::Duration;

use serde_json::json;

use super::{Scene, fed, git, write};
use crate::support::Coordinator;

#[tokio::test]
async fn odd_events_get_no_opinion() {
    let scene = Scene::new().await;
    for cli in ["claude", "codex", "gemini", "opencode"] {
        let window = scene.window(cli, "ana", "1").await;
        let long = format!(
            r#"{{"hook_event_name":"PreToolUse","x":"{}"}}"#,
            "y".repeat(10_000_000)
        );
        let deep = "[".repeat(100_000);
        for (stdin, line) in [
            ("", "no JSON"),
            ("{", "no JSON"),
            ("not json", "no JSON"),
            (&*deep, "no JSON"),
            (&*long, "larger than"),
            ("{}", ""),
            ("null", ""),
            (
                r#"{"hook_event_name":"FromTheFuture","session_id":"1"}"#,
                "",
            ),
            (r#"{"hook_event_name":["PreToolUse"],"tool_input":7}"#, ""),
            (
                r#"{"hook_event_name":"PreToolUse","tool_name":"Edit","tool_input":{"file_path":null}}"#,
                "",
            ),
        ] {
            let done = window.hook_raw(stdin.as_bytes()).await;
            done.check(0).says(line);
            assert_eq!(done.stdout, "", "{cli}");
            assert!(done.stderr.lines().count() <= 1, "{done:?}");
        }
    }
    assert!(scene.held().await.is_empty());
}

#[tokio::test]
async fn a_wrong_command_line_or_configuration_never_ends_with_2() {
    let scene = Scene::new().await;
    let window = scene.claude("ana", "1").await;
    for words in [
        &["hook"][..],
        &["hook", "clade"],
        &["hook", "claude", "--loud"],
        &["--url", "nonsense", "hook", "claude", "x"],
        &["--url"],
        &["hook", "wait", "vim"],
    ] {
        let done = fed(window.command(words), b"{}").await;
        if words == ["--url"] {
            done.check(2);
        } else {
            done.check(1).says("coord hook: ");
        }
    }
    let edit = json!({
        "session_id": "1", "hook_event_name": "PreToolUse", "tool_name": "Edit", "cwd": scene.root(),
        "tool_input": { "file_path": "a.rs" },
    });
    let runtime = &window.runtime;
    for (name, value) in [
        ("COORD_URL", "nonsense"),
        ("COORD_TOKEN", "nonsense"),
        ("COORD_SEAT", "A/B"),
        ("COORD_PROJECT", "No Such"),
        ("COORD_TLS_CA_FILE", "/nowhere"),
        ("COORD_CLIENT_CONFIG", "/nowhere"),
    ] {
        let mut command = window.command(&["hook", "claude"]);
        command
            .env(name, value)
            .env("XDG_RUNTIME_DIR", runtime.join(name));
        let done = fed(command, edit.to_string().as_bytes()).await;
        let said = done.answer()["systemMessage"].as_str().unwrap().to_owned();
        assert!(
            said.starts_with("coord: ") && said.contains("Files are not reserved"),
            "{name}: {said}"
        );
        assert!(!said.contains("cdr_"), "no secret: {said}");
    }
}

#[tokio::test]
async fn without_a_coordinator_the_edit_goes_on_and_that_is_said_once() {
    let mut scene = Scene::new().await;
    let window = scene.claude("ana", "1").await;
    let gemini = scene.window("gemini", "bob", "2").await;
    scene.coordinator.kill().await;
    for window in [&window, &gemini] {
        let first = window.edit("a.rs").await;
        let said = first.answer();
        assert!(
            said["systemMessage"]
                .as_str()
                .unwrap()
                .contains("cannot connect"),
            "{said}"
        );
        assert!(
            said.get("decision").is_none() && said.get("hookSpecificOutput").is_none(),
            "{said}"
        );
        let second = window.edit("a.rs").await;
        second.check(0).says("cannot connect");
        assert_eq!(second.stdout, "");
        window
            .hook("SessionEnd", json!({}))
            .await
            .check(0)
            .says("cannot connect");
    }
    git(&scene.root(), &["config", "coord.strict", "true"]);
    for window in [&window, &gemini] {
        let reason = window.edit("a.rs").await.refusal(window.name);
        assert!(
            reason.contains("strict") && reason.contains("Next: "),
            "{reason}"
        );
        window.hook("Stop", json!({})).await.check(0);
    }
    scene.coordinator.restart().await;
    window.edits("a.rs").await;
}

#[tokio::test]
async fn no_hook_acts_as_the_operator() {
    let scene = Scene::new().await;
    let window = scene.claude("ana", "1").await;
    let mut command = window.command(&["hook", "claude"]);
    let state = scene.coordinator.state_dir();
    command
        .env_remove("COORD_TOKEN")
        .env("COORD_STATE_DIR", state);
    let start =
        json!({ "session_id": "1", "hook_event_name": "SessionStart", "cwd": scene.root() });
    let done = fed(command, start.to_string().as_bytes()).await;
    done.check(0).says("do not act as the operator");
    assert!(
        done.answer()["systemMessage"]
            .as_str()
            .unwrap()
            .contains("--seats")
    );
}

#[tokio::test]
async fn a_coordinator_that_does_not_answer_costs_two_seconds() {
    let scene = Scene::new().await;
    let window = scene.claude("ana", "1").await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/ws", silent.local_addr().unwrap());
    let hook = || {
        let mut command = window.command(&["hook", "claude"]);
        command.env("COORD_URL", &url);
        command
    };
    let edit = json!({
        "session_id": "1", "hook_event_name": "PreToolUse", "tool_name": "Edit", "cwd": scene.root(),
        "tool_input": { "file_path": "a.rs" },
    });
    let stdin = edit.to_string();
    let began = tokio::time::Instant::now();
    let done = fed(hook(), stdin.as_bytes()).await;
    done.check(0).says("did not answer within 1500 ms");
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    // Not each tool waits again, except where an edit must not pass.
    let again = fed(hook(), stdin.as_bytes()).await;
    again.check(0).says("did not answer a moment ago");
    git(&scene.root(), &["config", "coord.strict", "true"]);
    let strict = fed(hook(), stdin.as_bytes()).await;
    assert!(strict.refusal("claude").contains("within 1500 ms"));
}

#[tokio::test]
async fn nothing_that_is_committed_chooses_anything() {
    let scene = Scene::new().await;
    let root = scene.root();
    let evil = Coordinator::start().await;
    let url = format!("ws://127.0.0.1:{}/ws", evil.port());
    for (file, text) in [
        (".env", format!("COORD_URL={url}\nCOORD_TOKEN=x\n")),
        (
            ".gitconfig",
            "[coord]\n\tsameTree = off\n\tproject = evil\n".to_owned(),
        ),
        ("config", "[coord]\n\tsameTree = off\n".to_owned()),
        ("git/config", "[coord]\n\tsameTree = off\n".to_owned()),
        ("client.toml", format!("url = \"{url}\"\n")),
        ("coord.toml", format!("url = \"{url}\"\n")),
        (".coord/client.toml", format!("url = \"{url}\"\n")),
        (
            ".config/coord/client.toml",
            format!("[client]\nurl = \"{url}\"\n"),
        ),
        (".git-blame-ignore-revs", "x".to_owned()),
        (".gitattributes", "* filter=evil diff=evil\n".to_owned()),
        ("bin/git", "#!/bin/sh\ntouch ran\n".to_owned()),
    ] {
        write(&root.join(file), &text);
    }
    git(&root, &["add", "-f", "."]);
    git(&root, &["commit", "-qm", "evil"]);
    let mut ana = scene.claude("ana", "1").await;
    ana.folder = root.join("git");
    ana.edits("../a.rs").await;
    let bob = scene.window("codex", "bob", "2").await;
    bob.edit("a.rs").await.refusal("codex");
    ana.hook("Stop", json!({})).await.is_silent();
    assert!(!root.join("ran").exists());
    let mut operator = evil.operator().await;
    let agents = operator
        .call("agent.list", json!({ "present": true }))
        .await
        .unwrap();
    assert_eq!(agents["agents"].as_array().unwrap().len(), 0, "{agents}");
}

#[tokio::test]
async fn a_hook_without_a_home_answers() {
    // Without a place to remember anything, and without a folder, a hook still answers.
    let scene = Scene::new().await;
    let ana = scene.claude("ana", "1").await;
    let mut command = ana.command(&["hook", "claude"]);
    command
        .env_remove("XDG_RUNTIME_DIR")
        .env("HOME", "relative");
    let edit = json!({ "hook_event_name": "PreToolUse", "tool_name": "Edit", "cwd": "relative",
        "tool_input": { "file_path": "a.rs" } });
    fed(command, edit.to_string().as_bytes()).await.is_silent();
}
