//! Before an edit: who may, who may not, and what is said.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use super::{Scene, git, write};

#[tokio::test]
async fn two_sessions_in_one_worktree_never_edit_one_file() {
    let scene = Scene::new().await;
    let ana = scene.claude("ana", "5f0c").await;
    ana.edits("a.rs").await;
    for (cli, session) in [
        ("claude", "b1"),
        ("codex", "b2"),
        ("gemini", "b3"),
        ("opencode", "b4"),
    ] {
        let bob = scene.window(cli, "bob", session).await;
        let reason = bob.edit("a.rs").await.refusal(cli);
        for part in [
            "a.rs is held by ana/claude-88d12b3b since ",
            "m unless renewed",
            "; its note, in the words of that agent:\n  > edited by Claude Code\nNext: ",
            "coord message send --to ana/claude-88d12b3b",
            "Next: ",
            "wait --for lease --tree auto file::/a.rs",
        ] {
            assert!(reason.contains(part), "{part:?} is not in {reason}");
        }
        let own = format!("src/{cli}.rs");
        bob.edits(&own).await;
        let again = ana.edit(&own).await.refusal("claude");
        assert!(again.contains(&format!("bob/{cli}-{session}")), "{again}");
    }
    // Two windows of one person exclude each other too.
    let second = scene.claude("ana", "77").await;
    assert!(
        second
            .edit("a.rs")
            .await
            .refusal("claude")
            .contains("ana/claude-88d12b3b")
    );
}

#[tokio::test]
async fn an_edit_of_what_is_held_already_writes_nothing() {
    let scene = Scene::new().await;
    let ana = scene.claude("ana", "1").await;
    ana.edits("a.rs").await;
    let mut operator = scene.coordinator.operator().await;
    let mut cursor = async || {
        let here = operator.call("events.subscribe", json!({})).await.unwrap();
        here["cursor"].clone()
    };
    // The session that keeps the agent present is opened beside the first edit.
    ana.edits("a.rs").await;
    let before = cursor().await;
    for _ in 0..3 {
        ana.edits("a.rs").await;
    }
    assert_eq!(cursor().await, before);
    assert_eq!(scene.held().await, ["file:a.rs"]);
}

#[tokio::test]
async fn another_worktree_is_a_warning_once() {
    let scene = Scene::new().await;
    let ana = scene.claude("ana", "1").await;
    ana.edits("a.rs").await;
    let worktree = scene.worktree();
    for (cli, session) in [("claude", "2"), ("codex", "3"), ("opencode", "4")] {
        let mut other = scene.window(cli, "bob", session).await;
        other.folder = worktree.clone();
        let said = other.edit("a.rs").await.context();
        assert!(
            said.contains("another worktree") && said.contains("ana/claude-"),
            "{said}"
        );
        other.edits("a.rs").await;
        let end = other.hook("SessionEnd", json!({})).await;
        end.is_silent();
    }
    // Gemini CLI takes no context before a tool, so it comes after it.
    let mut other = scene.window("gemini", "bob", "5").await;
    other.folder = worktree;
    other.edits("a.rs").await;
    let said = other
        .hook("AfterTool", json!({ "tool_name": "replace" }))
        .await
        .context();
    assert!(said.contains("another worktree"), "{said}");
    other
        .hook("AfterTool", json!({ "tool_name": "replace" }))
        .await
        .is_silent();
}

#[tokio::test]
async fn the_clone_has_the_rules() {
    let scene = Scene::new().await;
    let ana = scene.claude("ana", "1").await;
    let bob = scene.window("codex", "bob", "2").await;
    let mut away = scene.window("codex", "bob", "3").await;
    away.folder = scene.worktree();
    let set = |key: &str, value: &str| git(&scene.root(), &["config", key, value]);
    set("coord.otherTree", "deny");
    ana.edits("a.rs").await;
    let reason = away.edit("a.rs").await.refusal("codex");
    assert!(reason.contains("a.rs is held by ana/"), "{reason}");
    set("coord.otherTree", "off");
    set("coord.sameTree", "warn");
    ana.edits("b.rs").await;
    let said = bob.edit("b.rs").await.context();
    assert!(
        said.contains("the edit is allowed") && said.contains("ana/claude-"),
        "{said}"
    );
    away.edits("b.rs").await;
    set("coord.sameTree", "off");
    bob.edits("b.rs").await;
    bob.edits("only-off.rs").await;
    assert!(!scene.held().await.contains(&"file:only-off.rs".to_owned()));
    // A mistake is said, and stops nobody.
    set("coord.sameTree", "dney");
    let told = bob.edit("b.rs").await;
    told.check(0).says("dney");
    assert!(
        told.answer()["systemMessage"]
            .as_str()
            .unwrap()
            .contains("coord.sameTree")
    );
}

#[tokio::test]
async fn a_clone_has_a_project_of_its_own() {
    let scene = Scene::new().await;
    let mut operator = scene.coordinator.operator().await;
    operator
        .call("project.create", json!({ "project": "web" }))
        .await
        .unwrap();
    git(&scene.root(), &["config", "coord.project", "web"]);
    let mut ana = scene.claude("ana", "1").await;
    let token = json!({ "agent": "ana", "seats": true, "projects": ["default", "web"] });
    let made = operator.call("token.create", token).await.unwrap();
    let secret = made["secret"].as_str().unwrap().to_owned();
    ana.cli = super::Cli::with_token(&scene.coordinator, secret);
    ana.edits("a.rs").await;
    assert!(scene.held().await.is_empty(), "the default project has it");
    let listed = ana
        .cli
        .json(&scene.root(), &["--project", "web", "lease", "list"])
        .await;
    assert_eq!(listed["leases"][0]["resources"][0], "file:a.rs");
}

#[tokio::test]
async fn a_patch_is_had_whole_or_not_at_all() {
    let scene = Scene::new().await;
    let ana = scene.claude("ana", "1").await;
    ana.edits("dir/57.rs").await;
    let bob = scene.window("codex", "bob", "2").await;
    let mut patch = String::from("*** Begin Patch\n");
    for n in 0..100 {
        writeln!(
            patch,
            "*** Update File: dir/{n}.rs\n*** Move to: new/{n}.rs\n@@\n-a\n+b"
        )
        .unwrap();
    }
    patch.push_str("*** End Patch\n");
    let call = json!({ "tool_name": "apply_patch", "tool_input": { "command": patch } });
    let reason = bob.hook("PreToolUse", call.clone()).await.refusal("codex");
    assert!(reason.contains("dir/57.rs is held by ana/"), "{reason}");
    assert_eq!(scene.held().await, ["file:dir/57.rs"]);
    ana.hook("SessionEnd", json!({})).await.is_silent();
    bob.hook("PreToolUse", call).await.is_silent();
    let held = scene.held().await;
    assert_eq!((held.len(), scene.leases().await.len()), (200, 1));
    assert!(held.contains(&"file:new/99.rs".to_owned()));
}

#[tokio::test]
async fn a_path_means_the_file_that_is_written() {
    let scene = Scene::new().await;
    let root = scene.root();
    let outside = root.with_file_name("outside");
    write(&outside.join("x"), "");
    symlink(outside.join("x"), root.join("out")).unwrap();
    symlink(root.join("a.rs"), root.join("link.rs")).unwrap();
    symlink(&root, root.with_file_name("alias")).unwrap();
    let ana = scene.claude("ana", "1").await;
    for nothing in [
        "out",
        "../outside/x",
        ".git/config",
        "/etc/hosts",
        "a/../../outside/y",
    ] {
        ana.edits(nothing).await;
        assert!(scene.held().await.is_empty(), "{nothing}");
    }
    for (path, resource) in [
        ("link.rs", "file:a.rs"),
        ("../alias/a.rs", "file:a.rs"),
        ("new/folder/x.rs", "file:new/folder/x.rs"),
        ("line\nbreak", "path:line?break"),
    ] {
        ana.edits(path).await;
        let held = scene.held().await;
        assert!(held.contains(&resource.to_owned()), "{path:?}: {held:?}");
    }
    let bob = scene.window("opencode", "bob", "2").await;
    for odd in [
        "line\nbreak",
        "ä [id] {x}*.ts",
        "a.ts,b.ts",
        "x.ts:12",
        "~x",
        " blank ",
    ] {
        ana.edits(odd).await;
        bob.edit(odd).await.refusal("opencode");
    }
}

#[tokio::test]
async fn a_folder_that_is_gone_stops_nobody() {
    let scene = Scene::new().await;
    let mut ana = scene.claude("ana", "1").await;
    let gone = scene.root().join("gone");
    fs::create_dir(&gone).unwrap();
    let payload = json!({
        "session_id": "1", "hook_event_name": "PreToolUse", "tool_name": "Edit", "cwd": gone,
        "tool_input": { "file_path": scene.root().join("a.rs") },
    });
    fs::remove_dir(&gone).unwrap();
    ana.hook_raw(payload.to_string().as_bytes())
        .await
        .is_silent();
    assert_eq!(scene.held().await, ["file:a.rs"]);
    // A folder that no repository has.
    ana.folder = scene.root().with_file_name("elsewhere");
    fs::create_dir(&ana.folder).unwrap();
    ana.edits("x.rs").await;
    assert_eq!(scene.held().await, ["file:a.rs"]);
}

#[tokio::test]
async fn a_subagent_is_named() {
    let scene = Scene::new().await;
    let ana = scene.claude("ana", "1").await;
    let call = json!({
        "agent_id": "x1", "agent_type": "reviewer", "tool_name": "Write",
        "tool_input": { "file_path": scene.root().join("a.rs"), "content": "x" },
    });
    ana.hook("PreToolUse", call).await.is_silent();
    assert_eq!(
        scene.leases().await[0]["note"],
        "edited by Claude Code, subagent reviewer"
    );
}
