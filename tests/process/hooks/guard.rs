//! The guard of commits: whose commit passes, and what becomes of hooks that were there before.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Scene, Window, fed, git, git_in, write};
use crate::process::cli_work::coord::Done;

/// Runs git as one agent's shell does.
async fn git_as(window: &Window, folder: &Path, words: &[&str]) -> Done {
    let mut command = window.command(&[]);
    let mut plain = git_in(folder);
    plain.args(words);
    for (name, value) in command.as_std().get_envs() {
        if let (Some(name), Some(value)) = (name.to_str(), value)
            && name.starts_with("COORD_")
        {
            plain.env(name, value);
        }
    }
    plain.env("CLAUDE_CODE_SESSION_ID", &window.session);
    command = plain.into();
    fed(command, b"").await
}

async fn commit(window: &Window, folder: &Path, words: &[&str]) -> Done {
    git_as(window, folder, &[&["commit", "-m", "x"], words].concat()).await
}

async fn guard(window: &Window, words: &[&str]) -> Done {
    fed(window.command(&[&["guard"], words].concat()), b"").await
}

#[tokio::test]
async fn a_commit_of_what_another_agent_holds_is_refused() {
    let scene = Scene::new().await;
    let root = scene.root();
    git(&root, &["config", "coord.project", "default"]);
    let ana = scene.claude("ana", "1").await;
    let bob = scene.claude("bob", "2").await;
    guard(&ana, &["install"]).await.check(0);
    guard(&ana, &["install"]).await.check(0).prints("already");
    ana.edits("a.rs").await;
    for file in ["a.rs", "b.rs"] {
        write(&root.join(file), "two\n");
    }
    git(&root, &["add", "a.rs"]);
    let refused = commit(&bob, &root, &[]).await;
    refused
        .check(1)
        .says("a.rs is held by ana/claude-")
        .says("--no-verify")
        .says("edited by Claude Code");
    // A commit of one file has an index of its own; the other file is not in it.
    commit(&bob, &root, &["b.rs"]).await.check(0);
    commit(&ana, &root, &[]).await.check(0);
    // Many files of one's own do not hide one of others.
    for n in 0..90 {
        let file = format!("many/{n:02}.rs");
        ana.edits(&file).await;
        write(&root.join(&file), "x");
    }
    bob.edits("many/zz.rs").await;
    write(&root.join("many/zz.rs"), "x");
    git(&root, &["add", "many"]);
    let crowded = commit(&ana, &root, &[]).await;
    crowded.check(1).says("many/zz.rs is held by bob/");
    git(&root, &["rm", "-qr", "--cached", "many"]);
    // A rename is both files.
    ana.edits("b.rs").await;
    git(&root, &["mv", "b.rs", "moved.rs"]);
    commit(&bob, &root, &[]).await.check(1).says("b.rs is held");
    commit(&bob, &root, &["--no-verify"]).await.check(0);
    // Rules of the clone.
    ana.edits("src/c.rs").await;
    write(&root.join("src/c.rs"), "three\n");
    git(&root, &["add", "src/c.rs"]);
    git(&root, &["config", "coord.sameTree", "warn"]);
    commit(&bob, &root, &[])
        .await
        .check(0)
        .says("src/c.rs is held by ana/claude-");
}

#[tokio::test]
async fn a_person_commits_what_their_own_agents_edited() {
    let scene = Scene::new().await;
    let root = scene.root();
    git(&root, &["config", "coord.project", "default"]);
    let agent = scene.window("codex", "ana", "1").await;
    agent.edits("a.rs").await;
    write(&root.join("a.rs"), "two\n");
    git(&root, &["add", "a.rs"]);
    let mut person = scene.claude("ana", "none").await;
    person.seat = None;
    fed(person.command(&["guard"]), b"").await.is_silent();
    let other = scene.claude("bob", "none").await;
    fed(other.command(&["guard"]), b"")
        .await
        .check(1)
        .says("ana/codex-1");
}

#[tokio::test]
async fn worktrees_share_the_guard_and_warn_each_other() {
    let scene = Scene::new().await;
    let root = scene.root();
    let worktree = scene.worktree();
    git(&root, &["config", "coord.project", "default"]);
    let ana = scene.claude("ana", "1").await;
    let mut bob = scene.claude("bob", "2").await;
    bob.folder = worktree.clone();
    guard(&bob, &["install"]).await.check(0);
    assert!(root.join(".git/hooks/pre-commit").exists());
    ana.edits("a.rs").await;
    write(&worktree.join("a.rs"), "two\n");
    let passed = commit(&bob, &worktree, &["-a"]).await;
    passed
        .check(0)
        .says("other worktrees")
        .says("a.rs is held by ana/claude-");
    git(&root, &["config", "coord.otherTree", "deny"]);
    write(&worktree.join("a.rs"), "three\n");
    commit(&bob, &worktree, &["-a"])
        .await
        .check(1)
        .says("refused");
}

#[tokio::test]
async fn the_guard_lets_pass_what_it_cannot_ask_about() {
    let mut scene = Scene::new().await;
    let root = scene.root();
    let ana = scene.claude("ana", "1").await;
    let bob = scene.claude("bob", "2").await;
    guard(&ana, &["install"]).await.check(0);
    ana.edits("a.rs").await;
    write(&root.join("a.rs"), "two\n");
    // A clone without a project of the coordinator is none of our business.
    commit(&bob, &root, &["-a"]).await.check(0);
    git(&root, &["config", "coord.project", "default"]);
    scene.coordinator.kill().await;
    write(&root.join("a.rs"), "three\n");
    commit(&bob, &root, &["-a"])
        .await
        .check(0)
        .says("the commit is not checked");
    git(&root, &["config", "coord.strict", "true"]);
    write(&root.join("a.rs"), "four\n");
    commit(&bob, &root, &["-a"])
        .await
        .check(1)
        .says("strict")
        .says("--no-verify");
    // The program is gone.
    let hook = root.join(".git/hooks/pre-commit");
    let text = fs::read_to_string(&hook).unwrap();
    fs::write(
        &hook,
        text.replace(env!("CARGO_BIN_EXE_coord"), "/gone/coord"),
    )
    .unwrap();
    commit(&bob, &root, &["-a"]).await.check(0);
}

#[tokio::test]
async fn an_existing_hook_runs_first_and_comes_back() {
    let scene = Scene::new().await;
    let root = scene.root();
    let ana = scene.claude("ana", "1").await;
    let hook = root.join(".git/hooks/pre-commit");
    let text = "#!/bin/sh\necho was here >&2\ntest ! -e stop\n";
    write(&hook, text);
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let dry = guard(&ana, &["install", "--dry-run"]).await;
    dry.check(0).prints("would write").prints("runs first");
    assert_eq!(fs::read_to_string(&hook).unwrap(), text);
    guard(&ana, &["install"])
        .await
        .check(0)
        .prints("runs first");
    guard(&ana, &["install"]).await.check(0).prints("already");
    write(&root.join("a.rs"), "two\n");
    commit(&ana, &root, &["-a"]).await.check(0).says("was here");
    write(&root.join("stop"), "");
    write(&root.join("a.rs"), "three\n");
    commit(&ana, &root, &["-a"]).await.check(1);
    guard(&ana, &["remove", "--dry-run"])
        .await
        .check(0)
        .prints("would remove");
    guard(&ana, &["remove"]).await.check(0);
    assert_eq!(fs::read_to_string(&hook).unwrap(), text);
    assert_eq!(
        fs::metadata(&hook).unwrap().permissions().mode() & 0o777,
        0o755
    );
    guard(&ana, &["remove"])
        .await
        .check(0)
        .prints("not installed");
    assert_eq!(fs::read_to_string(&hook).unwrap(), text);
    fs::remove_file(&hook).unwrap();
    guard(&ana, &["install"]).await.check(0);
    guard(&ana, &["remove"]).await.check(0);
    assert!(!hook.exists() && !hook.with_file_name("pre-commit.before-coord").exists());
}

/// A git of 2.54 is not to be had where the tests run. This one says that it is, and what it would run is run by hand.
#[tokio::test]
async fn a_git_with_hooks_in_its_configuration_gets_it_there() {
    let scene = Scene::new().await;
    let root = scene.root();
    git(&root, &["config", "coord.project", "default"]);
    let folder = root.with_file_name("newer");
    let program = folder.join("git");
    write(
        &program,
        "#!/bin/sh\n[ \"$3\" = version ] && exec echo git version 2.54.1\nexec /usr/bin/git \"$@\"\n",
    );
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let own = root.join(".git/hooks/pre-commit");
    write(&own, "#!/bin/sh\nexit 0\n");
    let before = git(&root, &["config", "--local", "--list"]);
    let ana = scene.claude("ana", "1").await;
    let guard = async |words: &[&str]| {
        let mut command = ana.command(&[&["guard"], words].concat());
        command.env("PATH", format!("{}:/usr/bin:/bin", folder.display()));
        fed(command, b"").await
    };
    guard(&["install", "--dry-run"])
        .await
        .check(0)
        .prints("would set hook.coord");
    guard(&["install"])
        .await
        .check(0)
        .prints("hook.coord in the clone's configuration");
    guard(&["install"]).await.check(0).prints("already");
    assert_eq!(fs::read_to_string(&own).unwrap(), "#!/bin/sh\nexit 0\n");
    let event = git(&root, &["config", "--local", "hook.coord.event"]);
    assert_eq!(event.trim(), "pre-commit");
    let line = git(&root, &["config", "--local", "hook.coord.command"]);
    ana.edits("a.rs").await;
    write(&root.join("a.rs"), "two\n");
    git(&root, &["add", "a.rs"]);
    let bob = scene.claude("bob", "2").await;
    let mut command = bob.cli.program("sh", &root);
    command
        .args(["-c", line.trim()])
        .env("CLAUDE_CODE_SESSION_ID", "2");
    fed(command, b"")
        .await
        .check(1)
        .says("a.rs is held by ana/claude-")
        .says("\n  > edited by Claude Code");
    guard(&["remove"]).await.check(0);
    assert_eq!(git(&root, &["config", "--local", "--list"]), before);
}

#[tokio::test]
async fn hooks_of_others_are_never_written() {
    let scene = Scene::new().await;
    let root = scene.root();
    let ana = scene.claude("ana", "1").await;
    let shared = root.with_file_name("shared-hooks");
    fs::create_dir(&shared).unwrap();
    git(
        &root,
        &["config", "core.hooksPath", shared.to_str().unwrap()],
    );
    let told = guard(&ana, &["install"]).await;
    told.check(6).says("core.hooksPath").says("add this line");
    assert_eq!(fs::read_dir(&shared).unwrap().count(), 0);
    git(&root, &["config", "--unset", "core.hooksPath"]);
    let hooks = root.join(".git/hooks");
    fs::create_dir_all(&hooks).unwrap();
    fs::rename(&hooks, root.with_file_name("was")).unwrap();
    std::os::unix::fs::symlink(&shared, &hooks).unwrap();
    guard(&ana, &["install"])
        .await
        .check(6)
        .says("symbolic link");
    assert_eq!(fs::read_dir(&shared).unwrap().count(), 0);
    let mut elsewhere = scene.claude("ana", "1").await;
    elsewhere.folder = root.with_file_name("shared-hooks");
    guard(&elsewhere, &["install"])
        .await
        .check(2)
        .says("no repository");
    guard(&elsewhere, &[]).await.is_silent();
}
