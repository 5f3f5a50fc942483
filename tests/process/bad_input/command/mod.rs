//! The command line, as scripts and agents of other makers start it: with slips, from hostile text, into
//! pipes.

mod identity;
mod json;
mod quiet;
mod readers;
mod shown;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::support::{Coordinator, within};

/// Whoever types: what is set for them, and where.
#[derive(Debug, Clone)]
struct Terminal {
    folder: PathBuf,
    variables: Vec<(String, String)>,
}

/// A command that has ended.
#[derive(Debug)]
struct Done {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Terminal {
    /// The user who started the coordinator, and set nothing since but where it is.
    fn of(coordinator: &Coordinator) -> Self {
        let url = format!("ws://127.0.0.1:{}/ws", coordinator.port());
        Self::at(coordinator.folder())
            .with("COORD_URL", url)
            .with("COORD_STATE_DIR", coordinator.state_dir().display())
    }

    /// An agent of that coordinator.
    async fn agent(coordinator: &Coordinator, name: &str) -> Self {
        let token = coordinator.token(name, "agent").await;
        Self::of(coordinator).with("COORD_TOKEN", token)
    }

    fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            variables: Vec::new(),
        }
    }

    fn with(mut self, name: &str, text: impl std::fmt::Display) -> Self {
        self.variables.push((name.to_owned(), text.to_string()));
        self
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coord"));
        command
            .args(words)
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", &self.folder)
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, words: &[&str]) -> Done {
        let output = within("a command to end", self.command(words).output()).await;
        let output = output.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Done {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Done {
    #[track_caller]
    fn check(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    #[track_caller]
    fn says(&self, words: &str) -> &Self {
        assert!(self.stderr.contains(words), "{words:?} is not in {self:#?}");
        self
    }

    #[track_caller]
    fn says_nothing_of(&self, words: &str) -> &Self {
        let said = self.stderr.contains(words) || self.stdout.contains(words);
        assert!(!said, "{words:?} is in {self:#?}");
        self
    }

    /// Every line of stderr, which must all be JSON.
    #[track_caller]
    fn remarks(&self) -> Vec<Value> {
        self.lines(&self.stderr)
    }

    #[track_caller]
    fn answers(&self) -> Vec<Value> {
        self.lines(&self.stdout)
    }

    #[track_caller]
    fn lines(&self, text: &str) -> Vec<Value> {
        let read = |line: &str| -> Value {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{error}: {line:?} in {self:#?}"))
        };
        text.lines().map(read).collect()
    }
}
