//! `coord top` in a real terminal, tmux: its frames, its end, and a coordinator that goes away.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::process::cli_work::coord::Cli;
use crate::support::{Client, Coordinator, until};

/// The words that the shell shows when it waits for a command.
const PROMPT: &str = "ready>";
const SETTINGS: &str =
    "set -g status off\nset -g default-terminal screen-256color\nset -g history-limit 0\n";

/// A shell in a terminal of one size.
struct Tmux {
    cli: Cli,
    folder: PathBuf,
    /// How many commands it was asked for.
    asked: Cell<u32>,
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let mut end = std::process::Command::new("tmux");
        let _ = end
            .arg("-S")
            .arg(self.folder.join("tmux"))
            .arg("kill-server")
            .status();
    }
}

impl Tmux {
    async fn open(coordinator: &Coordinator, columns: u16, rows: u16) -> Self {
        let cli = Cli::with_token(coordinator, coordinator.operator_token());
        let folder = coordinator.folder().join(format!("tmux-{columns}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("settings"), SETTINGS).unwrap();
        let asked = Cell::new(0);
        let tmux = Self { cli, folder, asked };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let shell = format!(
            "PS1='{PROMPT}' coord={} exec bash --norc --noprofile",
            env!("CARGO_BIN_EXE_coord")
        );
        let settings = tmux.folder.join("settings");
        let open = [
            "-f",
            settings.to_str().unwrap(),
            "new-session",
            "-d",
            "-x",
            &columns,
            "-y",
            &rows,
            &shell,
        ];
        tmux.ask(&open).await;
        tmux.shows(PROMPT).await;
        tmux
    }

    async fn ask(&self, words: &[&str]) -> String {
        let mut command = self.cli.program("tmux", &self.folder);
        let command = command
            .env("LC_ALL", "C.UTF-8")
            .env("coord", env!("CARGO_BIN_EXE_coord"));
        let done = command
            .args(["-u", "-S"])
            .arg(self.folder.join("tmux"))
            .args(words)
            .output()
            .await
            .unwrap();
        assert!(done.status.success(), "tmux {words:?}: {done:?}");
        String::from_utf8(done.stdout).unwrap()
    }

    /// A command for the shell, or keys for what runs in it.
    async fn types(&self, keys: &str) {
        self.ask(&["send-keys", "-l", keys]).await;
    }

    async fn enters(&self, line: &str) {
        self.types(line).await;
        self.ask(&["send-keys", "Enter"]).await;
    }

    async fn screen(&self) -> String {
        self.ask(&["capture-pane", "-p"]).await
    }

    /// Waits until these words are on the screen, which it gives.
    async fn shows(&self, words: &str) -> String {
        until(&format!("{words:?} on the screen"), async || {
            let screen = self.screen().await;
            let found = screen.contains(words);
            if !found {
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
            found.then_some(screen)
        })
        .await
    }

    /// What the shell prints for a command.
    async fn says(&self, command: &str) -> String {
        let file = self.folder.join("said");
        let number = self.asked.get();
        self.asked.set(number + 1);
        let line = format!(
            "clear; {command} >{}; echo done-{number}-$?",
            file.display()
        );
        self.enters(&line).await;
        self.shows(&format!("done-{number}-0")).await;
        std::fs::read_to_string(file).unwrap()
    }

    /// The process that the shell runs.
    async fn child(&self) -> Pid {
        let shell = self.ask(&["display-message", "-p", "#{pane_pid}"]).await;
        let shell = shell.trim();
        until("a child of the shell", async || {
            let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"));
            let first = children.unwrap().split_whitespace().next().map(str::parse);
            first.map(|pid| Pid::from_raw(pid.unwrap()))
        })
        .await
    }
}

/// A busy project whose agents stay connected.
async fn busy(coordinator: &Coordinator) -> Vec<Client> {
    let mut team = Vec::new();
    for (name, kind, note) in [
        ("alice", "claude-code", "splitting the parser, tests next"),
        ("bob", "codex", "measuring"),
        (
            "carol",
            "gemini-cli",
            "a note that is much longer than any terminal of eighty columns has room for",
        ),
    ] {
        let mut agent = coordinator.agent(name).await;
        let params = json!({ "kind": kind, "capabilities": [name] });
        agent.call("session.open", params).await.unwrap();
        let update = json!({ "status": "busy", "note": note });
        agent.call("agent.update", update).await.unwrap();
        team.push(agent);
    }
    let [alice, bob, carol] = &mut team[..] else {
        unreachable!()
    };
    let submit = [
        json!({ "title": "Split the parser into lexer and grammar", "requires": ["alice"] }),
        json!({ "title": "Nightly integration run", "requires": ["bob"], "attempts_max": 1 }),
        json!({ "title": "Release 0.2.0", "after": [1, 2] }),
        json!({ "title": "Train the classifier", "requires": ["gpu"] }),
    ];
    for task in submit {
        alice.call("task.submit", task).await.unwrap();
    }
    let claimed = alice
        .call("task.claim", json!({ "task": 1 }))
        .await
        .unwrap();
    let fence = &claimed["claim"]["fence"];
    let progress = json!({ "task": 1, "fence": fence, "percent": 60 });
    alice.call("task.progress", progress).await.unwrap();
    let claimed = bob.call("task.claim", json!({ "task": 2 })).await.unwrap();
    let failed =
        json!({ "task": 2, "fence": claimed["claim"]["fence"], "error": "connection refused" });
    bob.call("task.fail", failed).await.unwrap();
    let held = json!({ "resources": ["path:src/parser/**", "file:Cargo.toml"] });
    alice.call("lease.acquire", held).await.unwrap();
    let held = json!({ "resources": ["name:perf-box"], "ttl_ms": 3_600_000 });
    bob.call("lease.acquire", held).await.unwrap();
    let mail = json!({ "to": { "agent": "operator" }, "body": "Retry it?" });
    carol.call("message.send", mail).await.unwrap();
    team
}

/// The frame without what differs from run to run: ages, and the blanks before them.
fn lasting(frame: &str) -> String {
    let is_age = |word: &str| {
        let digits = word.trim_end_matches(|c: char| c.is_ascii_lowercase());
        matches!(&word[digits.len()..], "ms" | "s" | "m") && digits.parse::<u64>().is_ok()
    };
    let line = |line: &str| {
        let mut kept = String::new();
        for word in line.trim_end().split(' ') {
            if is_age(word) {
                kept.truncate(kept.trim_end().len());
                kept += " AGE ";
            } else {
                kept.extend([word, " "]);
            }
        }
        kept.trim_end().to_owned() + "\n"
    };
    frame.lines().map(line).collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "how the golden files are written anew"
)]
fn check_frame(name: &str, frame: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/process/page/frames")
        .join(name);
    if std::env::var_os("GOLDEN_WRITE").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, frame).unwrap();
    }
    let golden = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        golden, frame,
        "{name} differs; GOLDEN_WRITE=1 writes it anew"
    );
}

#[tokio::test]
async fn frames_of_two_sizes_are_as_ever_and_live() {
    let coordinator = Coordinator::start().await;
    let mut team = busy(&coordinator).await;
    for (columns, rows) in [(80, 24), (200, 60)] {
        let tmux = Tmux::open(&coordinator, columns, rows).await;
        let once = tmux
            .says(&format!(
                "COLUMNS={columns} $coord top --once --color never"
            ))
            .await;
        tmux.enters("clear; $coord top").await;
        let frame = tmux.shows("q quits").await;
        let frame = lasting(&frame);
        assert_eq!(frame.lines().count(), usize::from(rows), "{frame}");
        check_frame(&format!("{columns}x{rows}"), &frame);
        // The output of a program has no terminal, but its variables, and is no wider either.
        assert!(
            once.lines()
                .all(|line| line.chars().count() <= usize::from(columns)),
            "{once}"
        );
        assert_eq!(lasting(&once).trim_end(), above_the_end(&frame), "{once}");
        let title = format!("Came at {columns} columns");
        let task = json!({ "title": title, "requires": ["nobody"] });
        let made = team[0].call("task.submit", task).await.unwrap();
        tmux.shows(&title).await;
        let cancel = json!({ "task": made["task"] });
        team[0].call("task.cancel", cancel).await.unwrap();
        until("the task to go", async || {
            let frame = tmux.screen().await;
            (!frame.contains(&title)).then_some(())
        })
        .await;
        tmux.types("q").await;
        tmux.shows(PROMPT).await;
    }
}

/// Without the line at the bottom and the empty ones above it.
fn above_the_end(frame: &str) -> &str {
    let (above, _) = frame.trim_end().rsplit_once('\n').unwrap();
    above.trim_end()
}

#[tokio::test]
async fn however_it_ends_the_terminal_is_as_before() {
    let coordinator = Coordinator::start().await;
    let tmux = Tmux::open(&coordinator, 80, 24).await;
    let state = "#{alternate_on} #{cursor_flag} #{wrap_flag}";
    let before = tmux.says("stty -a").await;
    for end in ["q", "C-c", "SIGTERM", "SIGHUP"] {
        tmux.enters("clear; $coord top; echo ended-$?").await;
        tmux.shows("Nobody is here").await;
        assert_eq!(
            tmux.ask(&["display-message", "-p", state]).await.trim(),
            "1 0 0"
        );
        match end {
            "SIGTERM" => kill(tmux.child().await, Signal::SIGTERM).unwrap(),
            "SIGHUP" => kill(tmux.child().await, Signal::SIGHUP).unwrap(),
            key => drop(tmux.ask(&["send-keys", key]).await),
        }
        tmux.shows("ended-0").await;
        assert_eq!(
            tmux.ask(&["display-message", "-p", state]).await.trim(),
            "0 1 1",
            "{end}"
        );
        assert_eq!(tmux.says("stty -a").await, before, "{end}");
    }
    // Where nothing can be drawn over, it prints the view and ends.
    let dumb = tmux.says("TERM=dumb $coord top").await;
    assert!(
        dumb.contains("Nobody is here") && !dumb.contains('\u{1b}'),
        "{dumb}"
    );
    tmux.enters("clear; TERM=dumb $coord top; echo ended-$?")
        .await;
    tmux.shows("ended-0").await;
}

#[tokio::test]
async fn a_lost_coordinator_is_told_and_found_again() {
    let mut coordinator = Coordinator::start().await;
    let tmux = Tmux::open(&coordinator, 80, 24).await;
    tmux.enters("$coord top").await;
    tmux.shows("live").await;
    coordinator.kill().await;
    tmux.shows("not connected").await;
    coordinator.restart().await;
    let mut alice = coordinator.agent("alice").await;
    alice.call("session.open", json!({})).await.unwrap();
    let frame = tmux.shows("alice").await;
    assert!(frame.contains("live"), "{frame}");
    tmux.types("q").await;
    tmux.shows(PROMPT).await;
}

/// What agents write reaches the terminal as text, in colours or without.
#[tokio::test]
async fn hostile_texts_and_no_colours() {
    let coordinator = Coordinator::start().await;
    let mut mallory = coordinator.agent("mallory").await;
    mallory.call("session.open", json!({})).await.unwrap();
    let evil = "\u{202e}gnp.exe\u{2066}漢字🦀e\u{301}\u{301}";
    let note = json!({ "note": format!("{evil}{}", "W".repeat(500)) });
    mallory.call("agent.update", note).await.unwrap();
    let task = json!({ "title": evil, "payload": "\u{1b}[2J", "attempts_max": 1 });
    mallory.call("task.submit", task).await.unwrap();
    let claimed = mallory
        .call("task.claim", json!({ "task": 1 }))
        .await
        .unwrap();
    let error = json!({ "task": 1, "fence": claimed["claim"]["fence"], "error": evil });
    mallory.call("task.fail", error).await.unwrap();
    let tmux = Tmux::open(&coordinator, 200, 60).await;
    for (words, is_coloured) in [("", true), ("NO_COLOR=1", false)] {
        tmux.enters(&format!("clear; {words} $coord top")).await;
        let frame = tmux.shows("q quits").await;
        assert!(frame.contains("\\u{202e}gnp.exe\\u{2066}漢字🦀"), "{frame}");
        assert!(!frame.contains(['\u{202e}', '\u{2066}']), "{frame}");
        let drawn = tmux.ask(&["capture-pane", "-p", "-e"]).await;
        assert_eq!(drawn.contains("\u{1b}[32m"), is_coloured, "{drawn}");
        tmux.types("q").await;
        tmux.shows(PROMPT).await;
    }
}
