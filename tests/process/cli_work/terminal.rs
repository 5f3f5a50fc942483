//! Wrappers at a real terminal, below a shell with job control.

use std::path::Path;
use std::process::Stdio;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout};

use super::beats::{BEATS, Beats};
use super::coord::Cli;
use crate::support::{Client, Coordinator, until, within};

/// The words that the shell shows when it waits for a command.
const PROMPT: &str = "ready>";

/// A terminal with an interactive shell in it.
struct Terminal {
    _child: Child,
    shell: String,
    keys: ChildStdin,
    screen: ChildStdout,
    /// What was shown and not asked for yet.
    shown: String,
}

impl Terminal {
    async fn open(cli: &Cli, folder: &Path) -> Self {
        let mut command = cli.program("script", folder);
        command
            .args([
                "-qec",
                "bash --norc --noprofile --noediting -i",
                "/dev/null",
            ])
            .env("PS1", PROMPT)
            .env("TERM", "dumb")
            .env("coord", env!("CARGO_BIN_EXE_coord"))
            .env("BEATS", BEATS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut terminal = Self {
            keys: child.stdin.take().unwrap(),
            screen: child.stdout.take().unwrap(),
            _child: child,
            shell: String::new(),
            shown: String::new(),
        };
        terminal.shows(PROMPT).await;
        terminal.types("echo shell=$$.\n").await;
        terminal.shows("shell=$$").await;
        terminal.shows("shell=").await;
        terminal.shell = terminal.shows(".").await;
        terminal.shows(PROMPT).await;
        terminal
    }

    async fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).await.unwrap();
    }

    /// Waits until these words are shown; gives what came before them.
    async fn shows(&mut self, words: &str) -> String {
        within(words, async {
            loop {
                if let Some(at) = self.shown.find(words) {
                    let rest = self.shown.split_off(at);
                    let before = std::mem::replace(&mut self.shown, rest[words.len()..].to_owned());
                    return before;
                }
                let mut bytes = [0_u8; 4096];
                let count = self.screen.read(&mut bytes).await.unwrap();
                assert!(count > 0, "{words:?} is not in {:?}", self.shown);
                self.shown
                    .push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        })
        .await
    }

    /// Waits until the terminal is no longer the shell's, so that keys reach the command.
    async fn is_taken(&self) {
        until("the terminal to be a command's", async || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.shell)).unwrap();
            let (_, fields) = stat.rsplit_once(") ").unwrap();
            (fields.split(' ').nth(5) != Some(&self.shell)).then_some(())
        })
        .await;
    }

    /// Ctrl-Z, and the shell's prompt.
    async fn suspend(&mut self) {
        self.is_taken().await;
        self.types("\x1a").await;
        self.shows("Stopped").await;
        self.shows(PROMPT).await;
    }

    /// Continues the job in front.
    async fn fg(&mut self) {
        self.types("fg\n").await;
        self.is_taken().await;
    }

    /// Runs a command line to its end; what it showed.
    async fn run(&mut self, line: &str) -> String {
        self.types(&format!("{line}\n")).await;
        self.shows(PROMPT).await
    }
}

struct Scene {
    coordinator: Coordinator,
    ann: Cli,
    terminal: Terminal,
}

impl Scene {
    async fn new() -> Self {
        let coordinator = Coordinator::start().await;
        let ann = Cli::agent(&coordinator, "ann").await;
        let terminal = Terminal::open(&ann, coordinator.folder()).await;
        Self {
            coordinator,
            ann,
            terminal,
        }
    }

    fn folder(&self) -> &Path {
        self.coordinator.folder()
    }

    async fn operator(&self) -> Client {
        let token = self.coordinator.token("root", "operator").await;
        Client::connect(self.coordinator.port(), &token).await
    }
}

/// Each wrapper, as typed.
const LINES: [&str; 3] = [
    r#"$coord lease run --kill-after 100ms name:x -- sh -c "$BEATS""#,
    r#"$coord task submit x >/dev/null; $coord task work --once --kill-after 100ms -- sh -c "$BEATS""#,
    r#"$coord ports run --no-lease --pool 23000-23999 --kill-after 100ms -- sh -c "$BEATS""#,
];

#[tokio::test]
async fn ctrl_z_stops_everything_and_fg_and_bg_continue_it() {
    let mut scene = Scene::new().await;
    for line in LINES {
        Beats::clear(scene.folder());
        scene.terminal.types(&format!("{line}\n")).await;
        let beats = Beats::in_folder(scene.folder()).await;
        scene.terminal.suspend().await;
        beats.stand_still().await;
        scene.terminal.types("bg\n").await;
        beats.beat().await;
        scene.terminal.fg().await;
        scene.terminal.suspend().await;
        beats.stand_still().await;
        scene.terminal.fg().await;
        beats.beat().await;
        scene.terminal.types("\x03").await;
        beats.end().await;
        scene.terminal.shows(PROMPT).await;
        scene.terminal.types("echo code=$?.\n").await;
        scene.terminal.shows("code=130.").await;
        scene.terminal.shows(PROMPT).await;
    }
}

#[tokio::test]
async fn what_was_lost_while_it_was_stopped_does_not_run_again_with_fg() {
    let mut scene = Scene::new().await;
    let bob = Cli::agent(&scene.coordinator, "bob").await;
    let mut operator = scene.operator().await;
    let folder = scene.folder().to_owned();
    for line in &LINES[..2] {
        Beats::clear(&folder);
        scene.terminal.types(&format!("{line}\n")).await;
        let beats = Beats::in_folder(&folder).await;
        scene.terminal.suspend().await;
        if line.contains("lease") {
            operator
                .call("lease.revoke", json!({ "lease": 1 }))
                .await
                .unwrap();
            bob.run(&folder, &["lease", "acquire", "name:x"])
                .await
                .check(0);
        } else {
            operator
                .call("task.cancel", json!({ "task": 1 }))
                .await
                .unwrap();
            operator
                .call("task.retry", json!({ "task": 1 }))
                .await
                .unwrap();
            bob.run(&folder, &["task", "claim", "1"]).await.check(0);
        }
        scene.terminal.types("fg\n").await;
        scene.terminal.shows("lost").await;
        beats.end().await;
        assert!(
            !beats.woke(),
            "{line} {}",
            scene.terminal.shows(PROMPT).await
        );
        scene.terminal.shows(PROMPT).await;
    }
}

#[tokio::test]
async fn a_command_reads_from_the_terminal_also_in_a_pipeline_and_from_the_background() {
    let mut scene = Scene::new().await;
    let read = "$coord lease run name:x -- sh -c 'echo asks; read x </dev/tty; echo got=$x'";
    for line in [read.to_owned(), format!("{read} | cat")] {
        scene.terminal.types(&format!("{line}\n")).await;
        scene.terminal.shows("asks\r\n").await;
        scene.terminal.types("hello\n").await;
        scene.terminal.shows("got=hello").await;
        scene.terminal.shows(PROMPT).await;
    }
    scene.terminal.types(&format!("{read} &\n")).await;
    scene.terminal.shows("asks\r\n").await;
    // A shell tells of a job when it shows its prompt.
    while !scene.terminal.run("").await.contains("Stopped") {}
    scene.terminal.fg().await;
    scene.terminal.types("hello\n").await;
    scene.terminal.shows("got=hello").await;
}

/// A task's command reads its payload; there is nobody to ask, so asking fails at once.
#[tokio::test]
async fn a_tasks_command_has_no_terminal() {
    let mut scene = Scene::new().await;
    let folder = scene.folder().to_owned();
    let submit = ["task", "submit", "x", "--attempts", "1"];
    scene.ann.run(&folder, &submit).await.check(0);
    let shown = scene
        .terminal
        .run("$coord task work --once -- sh -c 'read x </dev/tty'")
        .await;
    assert!(shown.contains("/dev/tty"), "{shown}");
    let view = scene.ann.task(&folder, "1").await;
    assert_eq!(view["state"], "dead", "{view}");
}

/// The holder is told that its command does nothing, and Ctrl-C still ends it.
#[tokio::test]
async fn a_command_that_stops_itself_is_told_of_and_can_be_interrupted() {
    let mut scene = Scene::new().await;
    scene
        .terminal
        .types(
            "$coord task submit x >/dev/null; $coord task work --once -- sh -c 'kill -STOP $$'\n",
        )
        .await;
    scene.terminal.shows("stopped by SIGSTOP").await;
    scene.terminal.types("\x03").await;
    scene.terminal.shows("given back").await;
}

/// A script has one process group: what the terminal sends is for all of it.
#[tokio::test]
async fn a_script_is_interrupted_and_stopped_with_the_command_it_waits_for() {
    let mut scene = Scene::new().await;
    std::fs::write(
        scene.folder().join("script.sh"),
        r#"$coord lease run --kill-after 100ms name:x -- sh -c "$BEATS"
echo went on"#,
    )
    .unwrap();
    scene.terminal.types("sh script.sh\n").await;
    let beats = Beats::in_folder(scene.folder()).await;
    scene.terminal.suspend().await;
    beats.stand_still().await;
    scene.terminal.fg().await;
    beats.beat().await;
    scene.terminal.types("\x03").await;
    beats.end().await;
    let shown = scene.terminal.shows(PROMPT).await;
    assert!(!shown.contains("went on"), "{shown}");
}
