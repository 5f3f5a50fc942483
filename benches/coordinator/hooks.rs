//! A hook before an edit, as a CLI runs it: a whole process from its start to its end, with the coordinator on
//! loopback, without TLS and with it.
//!
//! The two take turns, and with them a hook of an event that nobody knows: what it takes to start the program and to
//! read the event. The file is held already, as it is at each edit of a session but the first.

use std::fs::{self, create_dir_all};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::options::Options;
use crate::support::process::children_cpu_seconds;
use crate::support::quantile;
use crate::support::report::Report;
use crate::support::server::Server;

const ROUNDS: usize = 20;
const EDITS_PER_ROUND: usize = 50;
/// Other agents at the start of a session, what each holds, and what each wrote.
const PEERS: usize = 40;
const LEASES: usize = 5;
const LETTER_CHARS: usize = 600;

pub fn measure(options: &Options, report: &mut Report) {
    let folder = tempfile::tempdir_in(&options.folder).expect("the folder can be written to");
    let plain = Server::start(options, &folder.path().join("plain"));
    let tls = Server::with_tls(options, &folder.path().join("tls"));
    let plain = Side::new(options, plain, &folder.path().join("of-plain"), None);
    let fingerprint = tls.fingerprint();
    let tls = Side::new(
        options,
        tls,
        &folder.path().join("of-tls"),
        Some(&fingerprint),
    );
    let edit = json!({ "hook_event_name": "PreToolUse", "tool_name": "Edit" });
    let unknown = json!({ "hook_event_name": "Nothing" });
    for side in [&plain, &tls] {
        assert_eq!(side.hook(&edit), "", "an edit of what is free is let pass");
    }
    let written =
        || [&plain, &tls].map(|side| side.server.metric("coord_journal_written_bytes_total"));
    let before = written();
    let mut samples: [Samples; 3] = Default::default();
    for _ in 0..ROUNDS {
        samples[0].take(|| plain.hook(&unknown));
        samples[1].take(|| plain.hook(&edit));
        samples[2].take(|| tls.hook(&edit));
    }
    let flash: f64 = written()
        .iter()
        .zip(before)
        .map(|(after, before)| after - before)
        .sum();
    let ways = [
        "of an unknown event, ws",
        "before an edit, ws",
        "before an edit, wss",
    ];
    let goals = [None, Some(10.0), Some(30.0)];
    for ((way, goal), samples) in ways.iter().zip(goals).zip(&mut samples) {
        for (share, name) in [(0.5, "p50"), (0.99, "p99")] {
            let value = quantile(&mut samples.seconds, share) * 1e3;
            report.figure(&format!("hook {way}, {name}"), value, "ms");
            if let Some(goal) = goal {
                report.at_most(goal);
            }
        }
        let each = samples.cpu_seconds / samples.seconds.len() as f64 * 1e3;
        report.figure(&format!("hook {way}, its processor time"), each, "ms");
    }
    let edits = 2 * ROUNDS * EDITS_PER_ROUND;
    report
        .figure(
            &format!("journal bytes of {edits} edits of what is held"),
            flash,
            "B",
        )
        .at_most(0.0);
    greeting(&plain, report);
}

/// What a model is told at the start of a session, in a crowd.
fn greeting(side: &Side<'_>, report: &mut Report) {
    let tokens = side
        .server
        .tokens_of("an-agent-with-a-name-of-some-length", PEERS);
    let letter = "please look at this, it is urgent ".repeat(LETTER_CHARS / 34);
    let mut sessions = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let mut session = side.server.session(token);
        for lease in 0..LEASES {
            let file = format!("file:source/of/the/parser/part-{index}/file-{lease}.rs");
            let params =
                json!({ "resources": [file], "note": "rewriting the parser, nearly done" });
            session.call("lease.acquire", &params.to_string());
        }
        let params = json!({ "to": { "agent": "ana" }, "body": letter });
        session.call("message.send", &params.to_string());
        sessions.push(session);
    }
    let said = side.hook(&json!({ "hook_event_name": "SessionStart", "source": "startup" }));
    let said: Value = serde_json::from_str(&said).expect("the greeting is JSON");
    let text = said["hookSpecificOutput"]["additionalContext"].as_str();
    let chars = text.expect("it has context").chars().count() as f64;
    report
        .figure("context at the start of a session", chars, "characters")
        .at_most(4_000.0)
        .note(format!(
            "{PEERS} other agents, each with {LEASES} files and a letter"
        ));
    report
        .figure("the same, at 4 characters each", chars / 4.0, "tokens")
        .at_most(1_000.0);
}

/// A user of one coordinator, with a repository, as `coord setup` leaves them.
struct Side<'a> {
    options: &'a Options,
    server: Server,
    home: PathBuf,
    repository: PathBuf,
}

impl<'a> Side<'a> {
    fn new(options: &'a Options, server: Server, folder: &Path, fingerprint: Option<&str>) -> Self {
        let side = Self {
            options,
            home: folder.join("home"),
            repository: folder.join("repository"),
            server,
        };
        create_dir_all(side.home.join(".config/coord")).expect("a folder can be made");
        create_dir_all(&side.repository).expect("a folder can be made");
        let git = Command::new("git")
            .args(["init", "-q"])
            .arg(&side.repository)
            .status();
        assert!(git.is_ok_and(|it| it.success()), "git is needed");
        fs::write(side.repository.join("a.rs"), "one\n").expect("a file can be written");
        let token = side.home.join(".config/coord/agent.token");
        let (scheme, pinned) = match fingerprint {
            Some(it) => ("wss", format!("tls_fingerprint = \"{it}\"\n")),
            None => ("ws", String::new()),
        };
        let client = side.home.join(".config/coord/client.toml");
        let named = |file: &Path| {
            let url = format!("{scheme}://{}/ws", side.server.address);
            let text = format!(
                "url = \"{url}\"\n{pinned}token_file = \"{}\"\n",
                file.display()
            );
            fs::write(&client, text).expect("a file can be written");
        };
        named(&side.server.operator_token_file());
        let create = side
            .command()
            .args(["token", "create", "ana", "--seats", "--out"])
            .arg(&token)
            .output();
        let create = create.expect("the program can be run");
        assert!(create.status.success(), "{create:?}");
        named(&token);
        side
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.options.server);
        command
            .current_dir(&self.repository)
            .env_clear()
            .env("HOME", &self.home)
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("XDG_RUNTIME_DIR", &self.home);
        command
    }

    /// What the hook answers to an event of one session.
    fn hook(&self, event: &Value) -> String {
        let mut payload = json!({
            "session_id": "bench", "cwd": self.repository, "transcript_path": "/tmp/transcript.jsonl",
            "permission_mode": "acceptEdits", "tool_use_id": "toolu_bench",
            "tool_input": { "file_path": self.repository.join("a.rs"), "old_string": "one", "new_string": "two" },
        });
        let fields = payload.as_object_mut().expect("it is an object");
        fields.extend(event.as_object().expect("it is an object").clone());
        let mut command = self.command();
        command.args(["hook", "claude"]);
        let command = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        let mut child = command.spawn().expect("the program can be started");
        let mut input = child.stdin.take().expect("its input is a pipe");
        input
            .write_all(payload.to_string().as_bytes())
            .expect("it reads");
        drop(input);
        let done = child.wait_with_output().expect("it ends");
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).expect("it is text")
    }
}

/// How long hooks took.
#[derive(Default)]
struct Samples {
    seconds: Vec<f64>,
    /// Of the hooks alone; a busy machine makes it no longer.
    cpu_seconds: f64,
}

impl Samples {
    fn take(&mut self, mut hook: impl FnMut() -> String) {
        let before = children_cpu_seconds();
        for _ in 0..EDITS_PER_ROUND {
            let begun = Instant::now();
            assert_eq!(hook(), "", "there is nothing to say");
            self.seconds.push(begun.elapsed().as_secs_f64());
        }
        self.cpu_seconds += children_cpu_seconds() - before;
    }
}
