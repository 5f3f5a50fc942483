//! `coord health` as a process, and what it reported.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::port::HeldPort;
use crate::support::{Coordinator, within};

/// What surrounds one `coord health`: ports, variables, a home of its own.
pub(crate) struct Health {
    home: TempDir,
    variables: Vec<(String, String)>,
    /// So that nobody else gets them.
    held: Vec<HeldPort>,
}

/// What it reported.
#[derive(Debug)]
pub(crate) struct Reported {
    pub(crate) code: i32,
    pub(crate) said: Value,
    pub(crate) text: String,
}

impl Health {
    /// Of a configuration whose ports nobody listens on.
    pub(crate) fn nowhere() -> Self {
        let held = [HeldPort::take(), HeldPort::take()];
        let health = Self {
            home: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
            held: Vec::new(),
        };
        let mut health = health
            .with("COORD_PROFILE", "testing")
            .with("WEBSOCKET_PORT", held[0].number())
            .with("METRICS_PORT", held[1].number());
        health.held = held.into();
        health
    }

    /// Of the configuration of a coordinator, as the user who runs it.
    pub(crate) fn of(coordinator: &Coordinator) -> Self {
        Self::nowhere()
            .with("WEBSOCKET_PORT", coordinator.port())
            .with("METRICS_PORT", coordinator.metrics_port())
            .with("COORD_STATE_DIR", coordinator.state_dir().display())
    }

    pub(crate) fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.into(), value.to_string()));
        self
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(env!("CARGO_BIN_EXE_coord"), arguments)
    }

    /// The same surroundings for another program.
    pub(crate) fn command_of(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.home.path())
            .envs(self.variables.iter().cloned())
            .kill_on_drop(true);
        command
    }

    pub(crate) async fn output(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output();
        within("the command's end", output).await.unwrap()
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Reported {
        let arguments = [&["health", "--json"], arguments].concat();
        let output = self.output(&arguments).await;
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        let said = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{errors}"));
        Reported {
            code: output.status.code().unwrap(),
            said,
            text: text + &errors,
        }
    }
}

impl Reported {
    /// Checks what was found of one service, and that its detail and next step have these words.
    #[track_caller]
    pub(crate) fn check(&self, service: &str, state: &str, words: &[&str]) -> &Self {
        let services = self.said["services"].as_array().unwrap();
        let found = services.iter().find(|found| found["service"] == service);
        let found = found.unwrap();
        assert_eq!(found["state"], state, "{}", self.text);
        let told = format!("{} {}", found["detail"], found["next"]);
        for word in words {
            assert!(told.contains(word), "{word:?} is not in {told}");
        }
        let well = ["running", "not_used"].contains(&state);
        assert_eq!(found["next"].is_null(), well, "{told}");
        self
    }

    /// Checks the exit code against what was reported.
    #[track_caller]
    pub(crate) fn exits(&self, code: i32) {
        assert_eq!(self.code, code, "{}", self.text);
        assert_eq!(self.said["well"], code == 0, "{}", self.text);
    }
}
