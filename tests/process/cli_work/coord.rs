//! The command line as one agent uses it.

use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use crate::support::{Coordinator, until, within};

/// One agent's command line: its token and where it connects.
#[derive(Debug)]
pub(crate) struct Cli {
    port: u16,
    token: String,
}

/// A command that runs; killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdout: ChildStdout,
    stderr: Lines<BufReader<ChildStderr>>,
    /// What it said on stderr, as far as it was listened to.
    heard: String,
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Cli {
    pub(crate) async fn agent(coordinator: &Coordinator, name: &str) -> Self {
        Self {
            port: coordinator.port(),
            token: coordinator.token(name, "agent").await,
        }
    }

    /// One with a token that exists.
    pub(crate) fn with_token(coordinator: &Coordinator, token: String) -> Self {
        Self {
            port: coordinator.port(),
            token,
        }
    }

    /// A program with this agent's environment, which works in `folder`.
    pub(crate) fn program(&self, program: &str, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(folder)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", folder)
            .env("COORD_URL", format!("ws://127.0.0.1:{}/ws", self.port))
            .env("COORD_TOKEN", &self.token)
            .kill_on_drop(true);
        command
    }

    /// Starts `coord` with these words; `folder` is where it, and what it runs, works.
    pub(crate) fn start(&self, folder: &Path, words: &[&str]) -> Running {
        let mut child = self
            .program(env!("CARGO_BIN_EXE_coord"), folder)
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        Running {
            child,
            stdout,
            stderr,
            heard: String::new(),
        }
    }

    pub(crate) async fn run(&self, folder: &Path, words: &[&str]) -> Done {
        self.start(folder, words).done().await
    }

    /// What a command prints with `--json`.
    pub(crate) async fn json(&self, folder: &Path, words: &[&str]) -> Value {
        let done = self.run(folder, &[&["--json"], words].concat()).await;
        done.check(0);
        serde_json::from_str(&done.stdout).unwrap()
    }

    pub(crate) async fn task(&self, folder: &Path, task: &str) -> Value {
        self.json(folder, &["task", "get", task]).await
    }

    /// Waits until a task is in a state.
    pub(crate) async fn task_in(&self, folder: &Path, task: &str, state: &str) -> Value {
        let what = format!("task {task} to be {state}");
        until(&what, async || {
            let view = self.task(folder, task).await;
            (view["state"] == state).then_some(view)
        })
        .await
    }
}

impl Running {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Whether it waits for something.
    pub(crate) fn is_asleep(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id().unwrap()));
        stat.is_ok_and(|stat| stat.contains(") S "))
    }

    /// Listens to stderr until a line has these words.
    pub(crate) async fn says(&mut self, words: &str) {
        within(words, async {
            loop {
                let line = self.stderr.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("{words:?} is not in:\n{}", self.heard));
                self.heard.push_str(&line);
                self.heard.push('\n');
                if line.contains(words) {
                    return;
                }
            }
        })
        .await;
    }

    pub(crate) async fn done(mut self) -> Done {
        within("a command to end", async {
            let mut stdout = String::new();
            let mut read = std::pin::pin!(self.stdout.read_to_string(&mut stdout));
            let mut open = true;
            loop {
                // Both pipes are drained, or a command that says much on one would stand still.
                tokio::select! {
                    ended = &mut read, if open => { ended.unwrap(); open = false; }
                    line = self.stderr.next_line() => match line.unwrap() {
                        Some(line) => { self.heard.push_str(&line); self.heard.push('\n'); }
                        None if open => { read.as_mut().await.unwrap(); break; }
                        None => break,
                    }
                }
            }
            let status = self.child.wait().await.unwrap();
            Done {
                code: status.code(),
                stdout,
                stderr: self.heard,
            }
        })
        .await
    }
}

impl Done {
    #[track_caller]
    pub(crate) fn check(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn says(&self, words: &str) -> &Self {
        assert!(self.stderr.contains(words), "{words:?} is not in {self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn prints(&self, words: &str) -> &Self {
        assert!(self.stdout.contains(words), "{words:?} is not in {self:#?}");
        self
    }
}
