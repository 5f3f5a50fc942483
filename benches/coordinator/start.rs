//! How soon the coordinator is there: on an empty state, and after a long journal.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use cli_coordinator::engine::Engine;
use cli_coordinator::engine::command::{Action, Actor, Command, Role};
use cli_coordinator::engine::ids::{AgentName, JournalTime, Position, ProjectName};
use cli_coordinator::engine::limits::Limits;
use cli_coordinator::engine::outcome::{Answer, Outcome};
use cli_coordinator::journal::disk::RealDisk;
use cli_coordinator::journal::{Entry, Journal, SegmentJournal, SegmentOptions};
use serde_json::json;

use crate::support::median;
use crate::support::options::Options;
use crate::support::report::Report;
use crate::support::server::Server;
use crate::support::talk::payload;

const TARGET_START_MS: f64 = 20.0;
const TARGET_RECOVERY_SECONDS: f64 = 3.0;
const STARTS: usize = 20;
const RECOVERIES: usize = 3;
const ENTRIES_PER_APPEND: usize = 1_000;
const AGENTS: u64 = 16;
const CONTEXT_KEYS: u64 = 256;

/// From the start of the process to the first connection, and to the first completed upgrade.
pub fn start(options: &Options, report: &mut Report) {
    let (mut connected, mut upgraded) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let folder = tempfile::tempdir_in(&options.folder).expect("the folder can be written to");
        let mut server = Server::spawn(options, folder.path());
        connected.push(server.first_connection() * 1e3);
        upgraded.push(server.first_upgrade() * 1e3);
    }
    report
        .figure("empty start to first connection", median(&connected), "ms")
        .at_most(TARGET_START_MS);
    report
        .figure("empty start to first upgrade", median(&upgraded), "ms")
        .at_most(TARGET_START_MS);
}

/// The same with a long journal and no snapshot.
pub fn recovery(options: &Options, report: &mut Report) {
    let folder = tempfile::tempdir_in(&options.folder).expect("the folder can be written to");
    let mut times = Vec::new();
    let (mut bytes, mut rss) = (0, 0);
    for _ in 0..RECOVERIES {
        // A start takes a snapshot soon, so each one gets a journal of its own.
        let state = tempfile::tempdir_in(folder.path()).expect("the folder can be written to");
        drop(Server::start(options, state.path()));
        bytes = fill(state.path(), options.records);
        let mut server = Server::spawn(options, state.path());
        times.push(server.first_upgrade());
        rss = server.process.rss_bytes();
    }
    report
        .figure("recovery to first upgrade", median(&times), "s")
        .at_most(TARGET_RECOVERY_SECONDS)
        .note(format!(
            "{} records, {} MiB; RSS then {} MiB",
            options.records,
            bytes >> 20,
            rss >> 20
        ));
}

/// Appends what agents at work would have: every record a command that had an effect.
fn fill(state_dir: &Path, records: u64) -> u64 {
    let disk = RealDisk::create(state_dir).expect("the folder can be created");
    let opened = SegmentJournal::open(Arc::new(disk), SegmentOptions::default());
    let (mut journal, _) = opened.expect("the journal opens");
    let project: ProjectName = "default".parse().expect("it is a name");
    let mut work = Work::new();
    journal
        .read(Position(0), &mut |_| {
            work.position += 1;
            ControlFlow::Continue(())
        })
        .expect("the journal can be read");
    let mut batch = Vec::with_capacity(ENTRIES_PER_APPEND);
    let before = journal.status().live_bytes;
    for index in 0..records {
        let (at_ms, command) = work.next(index);
        batch.push(Entry {
            project: project.clone(),
            at_ms,
            body: serde_json::to_vec(&command).expect("commands encode as JSON"),
        });
        if batch.len() == ENTRIES_PER_APPEND {
            journal.append(&batch).expect("there is room");
            batch.clear();
        }
    }
    journal.append(&batch).expect("there is room");
    journal.status().live_bytes - before
}

/// Agents at work: an engine tells which tasks and fencing tokens the next commands name.
struct Work {
    engine: Engine,
    position: u64,
    held: Option<(u64, u64)>,
    payload: serde_json::Value,
}

impl Work {
    fn new() -> Self {
        Self {
            engine: Engine::new(Limits::default()),
            position: 0,
            held: None,
            payload: serde_json::from_str(&payload()).expect("a payload is JSON"),
        }
    }

    /// The next command, in a fixed rotation: submit, claim, progress, complete, context, message.
    fn next(&mut self, index: u64) -> (JournalTime, Command) {
        let turn = index / 6;
        let (task, fence) = self.held.unwrap_or_default();
        let agent = |turn: u64| format!("agent-{}", turn % AGENTS);
        let action = match index % 6 {
            0 => {
                json!({"task_submit": {"tasks": [{"title": format!("task {turn}"), "payload": self.payload, "attempts_max": 3, "backoff_ms": 1000}]}})
            }
            1 => json!({"task_claim": {"hold": {"ttl_ms": 3_600_000}}}),
            2 => {
                json!({"task_progress": {"task": task, "fence": fence, "percent": 50, "note": "half of it is done"}})
            }
            3 => json!({"task_complete": {"task": task, "fence": fence, "result": self.payload}}),
            4 => {
                json!({"context_put": {"key": format!("key-{}", turn % CONTEXT_KEYS), "value": self.payload}})
            }
            _ => {
                json!({"message_send": {"to": {"agent": agent(turn + 1)}, "body": self.payload, "ttl_ms": 1000}})
            }
        };
        let action: Action = serde_json::from_value(action).expect("it is a command");
        let name: AgentName = agent(turn).parse().expect("it is a name");
        let command = Command {
            id: format!("bench-{index}").parse().expect("it is an id"),
            by: Actor::Agent {
                name,
                session: None,
                role: Role::Agent,
            },
            request_id: None,
            action,
        };
        self.position += 1;
        let at_ms = JournalTime(index);
        let applied = self.engine.apply(Position(self.position), at_ms, &command);
        self.note(applied.answer, &command);
        (at_ms, command)
    }

    fn note(&mut self, answer: Answer, command: &Command) {
        match answer {
            Ok(Outcome::Claimed(grant)) => {
                let grant = grant.expect("a task was submitted before");
                self.held = Some((grant.task.0, grant.fence.0));
            }
            Ok(_) => {}
            Err(refusal) => panic!("{command:?} was refused: {refusal:?}"),
        }
    }
}
