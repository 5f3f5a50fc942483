//! Hooks of the CLIs, the guard and waking: what a CLI really sends, what it is told, and what goes wrong.

mod bad_input;
mod edits;
mod guard;
mod payloads;
mod sessions;
mod waking;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::cli_work::coord::{Cli, Done};
use crate::support::{Client, Coordinator, within};

/// A coordinator, and a repository with one commit.
struct Scene {
    coordinator: Coordinator,
    kept: TempDir,
}

/// One session of a CLI, as its hooks see it.
struct Window {
    cli: Cli,
    /// The CLI's name on our command line.
    name: &'static str,
    session: String,
    /// `None`: the seat follows from the session id.
    seat: Option<String>,
    folder: PathBuf,
    runtime: PathBuf,
}

impl Scene {
    async fn new() -> Self {
        let coordinator = Coordinator::start().await;
        let kept = tempfile::tempdir().unwrap();
        let scene = Self { coordinator, kept };
        std::fs::create_dir(scene.root()).unwrap();
        git(&scene.root(), &["init", "-q", "-b", "main"]);
        for file in ["a.rs", "b.rs", "src/c.rs"] {
            write(&scene.root().join(file), "one\n");
        }
        git(&scene.root(), &["add", "."]);
        git(&scene.root(), &["commit", "-qm", "first"]);
        scene
    }

    fn root(&self) -> PathBuf {
        self.kept.path().canonicalize().unwrap().join("repository")
    }

    /// A second worktree of the repository.
    fn worktree(&self) -> PathBuf {
        let path = self.root().with_file_name("worktree");
        git(
            &self.root(),
            &["worktree", "add", "-q", path.to_str().unwrap()],
        );
        path
    }

    async fn seats_token(&self, agent: &str) -> String {
        let mut operator = self.coordinator.operator().await;
        let params = json!({ "agent": agent, "seats": true });
        let made = operator.call("token.create", params).await.unwrap();
        made["secret"].as_str().unwrap().to_owned()
    }

    /// A session of Claude Code, whose seat follows from its id.
    async fn claude(&self, agent: &str, session: &str) -> Window {
        let mut window = self.window("claude", agent, session).await;
        window.seat = None;
        window
    }

    /// A session of any CLI. Its seat is named, because tests may themselves run below a CLI.
    async fn window(&self, name: &'static str, agent: &str, session: &str) -> Window {
        Window {
            cli: Cli::with_token(&self.coordinator, self.seats_token(agent).await),
            name,
            session: session.to_owned(),
            seat: Some(format!("{name}-{session}")),
            folder: self.root(),
            runtime: self.kept.path().join(format!("runtime-{agent}-{session}")),
        }
    }

    async fn leases(&self) -> Vec<Value> {
        let mut operator = self.coordinator.operator().await;
        let list = operator.call("lease.list", json!({})).await.unwrap();
        list["leases"].as_array().unwrap().clone()
    }

    /// All resources that are held.
    async fn held(&self) -> Vec<String> {
        let leases = self.leases().await;
        let all = leases
            .iter()
            .flat_map(|lease| lease["resources"].as_array().unwrap());
        let mut all: Vec<String> = all.map(|it| it.as_str().unwrap().to_owned()).collect();
        all.sort();
        all
    }
}

impl Window {
    fn command(&self, words: &[&str]) -> Command {
        std::fs::create_dir_all(&self.runtime).unwrap();
        let mut command = self.cli.program(env!("CARGO_BIN_EXE_coord"), &self.folder);
        command
            .args(words)
            .env("HOME", &self.runtime)
            .env("XDG_RUNTIME_DIR", &self.runtime);
        command.envs(self.seat.as_ref().map(|seat| ("COORD_SEAT", seat)));
        command
    }

    /// Sends an event; the common fields are filled in unless they are there.
    async fn hook(&self, event: &str, fields: Value) -> Done {
        let mut payload = json!({
            "session_id": self.session, "cwd": self.folder, "hook_event_name": event, "transcript_path": "/t.jsonl",
        });
        let fields = fields.as_object().unwrap().clone();
        payload.as_object_mut().unwrap().extend(fields);
        self.hook_raw(payload.to_string().as_bytes()).await
    }

    async fn hook_raw(&self, stdin: &[u8]) -> Done {
        fed(self.command(&["hook", self.name]), stdin).await
    }

    /// Sends the event before a file is written, in the shape of this CLI.
    async fn edit(&self, path: &str) -> Done {
        let path = self.folder.join(path);
        let path = path.to_str().unwrap();
        let (event, tool, input) = match self.name {
            "claude" => (
                "PreToolUse",
                "Edit",
                json!({ "file_path": path, "old_string": "one" }),
            ),
            "codex" => {
                let text = format!(
                    "*** Begin Patch\n*** Update File: {path}\n@@\n-a\n+b\n*** End Patch\n"
                );
                ("PreToolUse", "apply_patch", json!({ "command": text }))
            }
            "gemini" => ("BeforeTool", "replace", json!({ "file_path": path })),
            _ => ("PreToolUse", "edit", json!({ "filePath": path })),
        };
        let fields = json!({ "tool_name": tool, "tool_input": input, "tool_use_id": "t1" });
        self.hook(event, fields).await
    }

    /// Edits a file and checks that nothing is said.
    async fn edits(&self, path: &str) {
        self.edit(path).await.is_silent();
    }
}

impl Done {
    #[track_caller]
    fn is_silent(&self) {
        self.check(0);
        assert_eq!((&*self.stdout, &*self.stderr), ("", ""), "{self:#?}");
    }

    #[track_caller]
    fn answer(&self) -> Value {
        self.check(0);
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("no JSON: {self:#?}"))
    }

    /// The text for the model.
    #[track_caller]
    fn context(&self) -> String {
        let answer = self.answer();
        let text = answer["hookSpecificOutput"]["additionalContext"].as_str();
        text.unwrap_or_else(|| panic!("no context: {self:#?}"))
            .to_owned()
    }

    /// Why an edit is refused, in the shape of a CLI.
    #[track_caller]
    fn refusal(&self, cli: &str) -> String {
        let answer = self.answer();
        let output = &answer["hookSpecificOutput"];
        let (decision, reason) = if cli == "gemini" {
            (&answer["decision"], &answer["reason"])
        } else {
            (
                &output["permissionDecision"],
                &output["permissionDecisionReason"],
            )
        };
        assert_eq!(decision, "deny", "{self:#?}");
        reason.as_str().unwrap().to_owned()
    }
}

/// Runs a command with these bytes on its stdin.
async fn fed(mut command: Command, stdin: &[u8]) -> Done {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    within("a hook", async {
        let written = input.write_all(stdin).await;
        // One that does not read to the end closes the pipe, and its CLI would meet that.
        if stdin.len() > 1_000_000 {
            written.unwrap();
        }
        drop(input);
        let done = child.wait_with_output().await.unwrap();
        Done {
            code: done.status.code(),
            stdout: String::from_utf8(done.stdout).unwrap(),
            stderr: String::from_utf8(done.stderr).unwrap(),
        }
    })
    .await
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn git_in(folder: &Path) -> std::process::Command {
    let mut git = std::process::Command::new("git");
    git.current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", folder.parent().unwrap())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .args(["-c", "user.name=t", "-c", "user.email=t@t"]);
    git
}

fn git(folder: &Path, words: &[&str]) -> String {
    let done = git_in(folder).args(words).output().unwrap();
    assert!(done.status.success(), "git {words:?}: {done:?}");
    String::from_utf8(done.stdout).unwrap()
}

async fn send(client: &mut Client, to: &str, body: &str, importance: &str) {
    let message = json!({ "to": { "agent": to }, "body": body, "importance": importance });
    let sent = client.call("message.send", message).await.unwrap();
    assert_ne!(sent["message"], Value::Null, "{sent}");
}
