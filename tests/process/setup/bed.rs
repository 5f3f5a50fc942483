//! A user with a home, a repository and four CLIs that are only there to be found.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::Coordinator;

pub(super) struct Bed {
    folder: TempDir,
    url: String,
    state_dir: PathBuf,
}

/// A command that has ended.
#[derive(Debug)]
pub(super) struct Said {
    code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Bed {
    /// One whose coordinator does not run.
    pub(super) fn alone() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bed = Self {
            state_dir: folder.path().join("no-state"),
            folder,
            url: "ws://127.0.0.1:1/ws".to_owned(),
        };
        for name in ["home", "bin", "repo"] {
            fs::create_dir(bed.path(name)).unwrap();
        }
        for name in ["claude", "codex", "gemini", "opencode"] {
            bed.install(name, "#!/bin/sh\nexit 1\n");
        }
        bed.git(&["init", "-q", "-b", "main"]);
        bed
    }

    /// The user of this coordinator, who can read the operator's token.
    pub(super) fn of(coordinator: &Coordinator) -> Self {
        Self {
            url: format!("ws://127.0.0.1:{}/ws", coordinator.port()),
            state_dir: coordinator.state_dir().to_owned(),
            ..Self::alone()
        }
    }

    /// The same user with the coordinator of another one.
    pub(super) fn at(mut self, other: &Self) -> Self {
        self.url.clone_from(&other.url);
        self
    }

    /// The same user, who cannot read the state of the coordinator any more.
    pub(super) fn without_state(mut self) -> Self {
        self.state_dir = self.path("no-state");
        self
    }

    /// The same user with no coordinator at this port yet.
    pub(super) fn on_port(mut self, port: u16) -> Self {
        self.url = format!("ws://127.0.0.1:{port}/ws");
        self
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(super) fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    pub(super) fn git(&self, words: &[&str]) {
        let done = self.command("git", "repo").args(words).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }

    fn command(&self, program: &str, folder: &str) -> Command {
        let mut command = Command::new(program);
        let path = format!(
            "{}:/usr/local/bin:/usr/bin:/bin",
            self.path("bin").display()
        );
        command
            .current_dir(self.path(folder))
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.path("home"))
            .env("USER", "ana")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("COORD_URL", &self.url)
            .env("COORD_STATE_DIR", &self.state_dir)
            .stdin(Stdio::null());
        command
    }

    pub(super) fn coord(&self, words: &[&str]) -> Said {
        self.coord_in("repo", words)
    }

    pub(super) fn coord_in(&self, folder: &str, words: &[&str]) -> Said {
        let mut command = self.command(env!("CARGO_BIN_EXE_coord"), folder);
        said(command.args(words).output().unwrap())
    }

    /// `coord` at a terminal, with what the user types there.
    pub(super) fn coord_at_terminal(&self, words: &str, typed: &str) -> Said {
        let line = format!("{} {words}", env!("CARGO_BIN_EXE_coord"));
        let mut command = self.command("script", "repo");
        command
            .args(["-qec", &line, "/dev/null"])
            .env("XDG_RUNTIME_DIR", self.path("runtime"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut keys = child.stdin.take().unwrap();
        keys.write_all(typed.as_bytes()).unwrap();
        drop(keys);
        said(child.wait_with_output().unwrap())
    }

    /// Puts a program on the path of the user.
    pub(super) fn install(&self, name: &str, script: &str) {
        let file = self.path("bin").join(name);
        fs::write(&file, script).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Every file and link of the user, with what is in it.
    pub(super) fn everything(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        for name in ["home", "repo"] {
            walk(&self.path(name), &mut found);
        }
        found
    }
}

fn said(output: Output) -> Said {
    Said {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn walk(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.symlink_metadata().unwrap().file_type();
        if kind.is_symlink() {
            let to = fs::read_link(&path).unwrap();
            found.insert(path, to.into_os_string().into_encoded_bytes());
        } else if kind.is_dir() {
            walk(&path, found);
        } else {
            let bytes = fs::read(&path).unwrap();
            found.insert(path, bytes);
        }
    }
}

impl Said {
    #[track_caller]
    pub(super) fn check(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self
    }

    #[track_caller]
    pub(super) fn says(&self, words: &str) -> &Self {
        let all = format!("{}{}", self.stdout, self.stderr);
        assert!(all.contains(words), "{words:?} is not in {self:#?}");
        self
    }
}
