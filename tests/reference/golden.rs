//! The golden journal: what format 1 wrote must load for ever, and give the state it gave then.
//!
//! The files are written anew only with `GOLDEN_WRITE=1`, and only before a format is released:
//! afterwards a difference is a bug of the reader.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use cli_coordinator::driver::queries::state_hash;
use cli_coordinator::engine::Engine;
use cli_coordinator::engine::agents::SessionState;
use cli_coordinator::engine::command::{Action, Actor, Command, Importance, Role};
use cli_coordinator::engine::ids::{Cursor, JournalTime, NodeId, Position, ProjectName, TreeName};
use cli_coordinator::engine::limits::Limits;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// One record, as `coord journal dump` would show it.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    project: ProjectName,
    position: Position,
    at_ms: JournalTime,
    command: Box<RawValue>,
}

/// What a project must come to.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Expected {
    state_hash: String,
    /// Commands that were carried out, and those that were refused.
    done: u64,
    refused: u64,
}

const FORMAT_2_STATE_HASH: &str =
    "b1b34864d133be11b387c255000d920963e2d0736a8f67ae44c87766dab4ab38";

fn file(name: &str) -> PathBuf {
    [
        env!("CARGO_MANIFEST_DIR"),
        "tests",
        "reference",
        "golden",
        name,
    ]
    .iter()
    .collect()
}

fn read(name: &str) -> String {
    std::fs::read_to_string(file(name)).expect("the golden files are part of the repository")
}

/// Folds the lines; also gives the names of all kinds of command among them.
fn fold(
    lines: &str,
) -> (
    BTreeMap<ProjectName, (Engine, Expected)>,
    BTreeSet<&'static str>,
) {
    let mut projects: BTreeMap<ProjectName, (Engine, Expected)> = BTreeMap::new();
    let mut kinds = BTreeSet::new();
    for line in lines.lines() {
        let line: Line = serde_json::from_str(line).expect("every line is a record");
        let command: Command =
            serde_json::from_str(line.command.get()).expect("every command of format 1 loads");
        kinds.insert(command.action.name());
        let (engine, expected) = projects.entry(line.project).or_insert_with(|| {
            let nothing = Expected {
                state_hash: String::new(),
                done: 0,
                refused: 0,
            };
            (Engine::new(Limits::default()), nothing)
        });
        let applied = engine.apply(line.position, line.at_ms, &command);
        expected.done += u64::from(applied.answer.is_ok());
        expected.refused += u64::from(applied.answer.is_err());
        expected.state_hash = state_hash(engine);
    }
    (projects, kinds)
}

#[test]
fn format_1_loads_and_gives_the_same_state() {
    write_if_asked();
    let (projects, kinds) = fold(&read("format-1.jsonl"));
    assert_eq!(
        kinds,
        all_kinds(),
        "every kind of command is in the golden journal"
    );
    let expected: BTreeMap<ProjectName, Expected> =
        serde_json::from_str(&read("format-1-expected.json")).expect("the expectations load");
    let states: BTreeMap<ProjectName, Box<RawValue>> =
        serde_json::from_str(&read("format-1-states.json")).expect("the snapshots load");
    assert_eq!(projects.len(), expected.len());
    for (name, (engine, found)) in &projects {
        assert_eq!(*found, expected[name], "{name}");
        // The same state from a snapshot that format 1 wrote.
        let state = serde_json::from_str(states[name].get()).expect("a snapshot of format 1 loads");
        let engine_again = Engine::from_state(Limits::default(), state);
        assert_eq!(engine_again.state(), engine.state(), "{name}");
        assert!(engine_again.is_consistent(), "{name}");
    }
}

/// What several coordinators add: who is alive, and the epochs of the journal that they share.
#[test]
fn format_2_loads_and_gives_the_same_state() {
    let (projects, kinds) = fold(&read("format-2.jsonl"));
    assert!(kinds.contains("node.alive") && kinds.contains("epoch.start"));
    let (engine, expected) = projects.values().next().expect("there is one project");
    assert_eq!((expected.done, expected.refused), (7, 0));
    assert_eq!(expected.state_hash, FORMAT_2_STATE_HASH);
    let state = engine.state();
    // The first node is dead, its session waits to be resumed; the other one is alive.
    let alive: Vec<&str> = state.nodes.keys().map(NodeId::as_str).collect();
    assert_eq!(alive, ["box-0000000b"]);
    let session = state.sessions.values().next().expect("one session");
    assert!(matches!(session.state, SessionState::Grace { .. }));
    // A new form of command waits for the oldest coordinator that is alive.
    assert_eq!(engine.command_format(2), 1);
    let cursor = |text: &str| text.parse::<Cursor>().expect("a cursor");
    for (text, holds) in [
        ("90:7", true),
        ("90:8", false),
        ("7:4", true),
        ("7:5", false),
        ("8:1", false),
        ("0:0", true),
        ("0:1", false),
    ] {
        assert_eq!(engine.holds(cursor(text)), holds, "{text}");
    }
}

const FORMAT_3_STATE_HASH: &str =
    "3b4bfe72c7459b33016db852c000fa512fd28c6dd49426a1de29879191158446";

/// What globs that cover and names of files add, beside globs of format 1 that cover nothing.
#[test]
fn format_3_loads_and_gives_the_same_state() {
    let (projects, _) = fold(&read("format-3.jsonl"));
    let (engine, expected) = projects.values().next().expect("there is one project");
    assert_eq!((expected.done, expected.refused), (8, 3));
    let held: Vec<Vec<String>> = engine
        .state()
        .leases
        .values()
        .map(|lease| lease.resources.iter().map(ToString::to_string).collect())
        .collect();
    // `path:docs` of format 1 is not in the way of `file:docs/a.md`; `glob:src` is in that of
    // `file:src/main.rs`, `file:app/[id]/` in that of what is in it, and a name in brackets is no class.
    assert_eq!(
        held,
        [
            vec!["path:docs"],
            vec!["path:src", "path:{x,y*}"],
            vec!["file:docs/a.md"],
            vec!["file:app/[id]/"],
            vec!["file:app/i/page.tsx", "file:y1/a"],
        ]
    );
    assert_eq!(expected.state_hash, FORMAT_3_STATE_HASH);
    let state = serde_json::to_string(engine.state()).expect("states encode");
    let again = serde_json::from_str(&state).expect("a snapshot loads");
    let again = Engine::from_state(Limits::default(), again);
    assert_eq!(again.state(), engine.state());
    assert!(again.is_consistent());
}

const FORMAT_4_STATE_HASH: &str =
    "ae8de33f8d1f14ea9b68f042359304021f8e5388c141f24074233f3c0d1f666d";

/// What `lease.ensure`, giving back by name, and trees add.
#[test]
fn format_4_loads_and_gives_the_same_state() {
    let (projects, kinds) = fold(&read("format-4.jsonl"));
    assert!(kinds.contains("lease.ensure") && kinds.contains("lease.give_back"));
    let (engine, expected) = projects.values().next().expect("there is one project");
    assert_eq!((expected.done, expected.refused), (11, 1));
    let leases = engine.state().leases.values();
    let held: Vec<(String, Option<&str>, bool)> = leases
        .map(|lease| {
            let held: Vec<String> = lease.resources.iter().map(ToString::to_string).collect();
            let tree = lease.tree.as_ref().map(TreeName::as_str);
            (
                format!("{} {}", lease.agent, held.join(" ")),
                tree,
                lease.ensured,
            )
        })
        .collect();
    let (a, b) = (Some("box:/w/a"), Some("box:/w/b"));
    assert_eq!(
        held,
        [
            ("ant file:src/main.rs".to_owned(), a, true),
            ("cat file:README.md".to_owned(), a, false),
            ("ant file:src/lib.rs".to_owned(), a, true),
            ("cat file:src/main.rs".to_owned(), b, true),
        ]
    );
    // The first lease of ant was renewed with what was taken then.
    let ends = engine
        .state()
        .leases
        .values()
        .map(|it| it.hold.expires_at());
    let ends: Vec<u64> = ends.flatten().map(|at| at.0).collect();
    assert_eq!(ends, [91_000, 60_040, 91_000, 91_040]);
    assert_eq!(expected.state_hash, FORMAT_4_STATE_HASH);
    let state = serde_json::to_string(engine.state()).expect("states encode");
    let again = serde_json::from_str(&state).expect("a snapshot loads");
    let again = Engine::from_state(Limits::default(), again);
    assert_eq!(again.state(), engine.state());
    assert!(again.is_consistent());
}

const FORMAT_4_SEATS_STATE_HASH: &str =
    "fde4facc1f9a77f5c7982f13e5a8362534ad6e5853fc52402d88a4ee82b6dd1d";

/// What seats add: tokens that allow them, messages to a principal, seats that are forgotten.
#[test]
fn format_4_with_seats_loads_and_gives_the_same_state() {
    let (projects, _) = fold(&read("format-4-seats.jsonl"));
    let system: ProjectName = "system".parse().expect("a project");
    let tokens = &projects[&system].0.state().tokens;
    assert!(tokens.values().all(|token| token.seats));
    let (engine, expected) = &projects[&"default".parse().expect("a project")];
    // The two seats exclude each other.
    assert_eq!((expected.done, expected.refused), (73, 1));
    let agents = engine.state().agents.keys().map(ToString::to_string);
    // The seat that read everything was forgotten an hour later, and so was the one that only looked.
    assert_eq!(agents.collect::<Vec<_>>(), ["ana", "ana/codex-77", "bob"]);
    let waiting = |who: &str| -> Vec<u64> {
        let who = who.parse().expect("an agent");
        let found = engine.inbox(&who, Importance::Low);
        found.map(|(message, _)| message.id.0).collect()
    };
    assert_eq!(waiting("ana"), [3]);
    assert_eq!(waiting("ana/codex-77"), [1, 2, 3]);
    assert_eq!(waiting("ana/later"), [3]);
    assert_eq!(expected.state_hash, FORMAT_4_SEATS_STATE_HASH);
    let state = serde_json::to_string(engine.state()).expect("states encode");
    let again = serde_json::from_str(&state).expect("a snapshot loads");
    let again = Engine::from_state(Limits::default(), again);
    assert_eq!(again.state(), engine.state());
    assert!(again.is_consistent());
}

/// Fields that a later version adds must not keep this one from reading the rest.
#[test]
fn unknown_fields_are_tolerated() {
    let lines = read("format-1.jsonl");
    let with_more: Vec<String> = lines
        .lines()
        .map(|line| {
            let mut line: Value = serde_json::from_str(line).expect("every line is JSON");
            line["command"]["later"] = json!({ "version": 2 });
            for (_, action) in line["command"]["do"].as_object_mut().into_iter().flatten() {
                if let Some(fields) = action.as_object_mut() {
                    fields.insert("later".to_owned(), json!([1, 2]));
                }
            }
            line.to_string()
        })
        .collect();
    let (plain, _) = fold(&lines);
    let (more, _) = fold(&with_more.join("\n"));
    for (name, (_, expected)) in &plain {
        assert_eq!(more[name].1, *expected, "{name}");
    }
}

fn all_kinds() -> BTreeSet<&'static str> {
    [
        "tick",
        "node.start",
        "session.open",
        "session.resume",
        "session.close",
        "session.lost",
        "agent.update",
        "agent.remove",
        "task.submit",
        "task.claim",
        "task.progress",
        "task.complete",
        "task.fail",
        "task.release",
        "task.handoff",
        "task.cancel",
        "task.retry",
        "lease.acquire",
        "lease.renew",
        "lease.release",
        "lease.revoke",
        "message.send",
        "message.take",
        "message.ack",
        "context.put",
        "context.delete",
        "token.create",
        "token.revoke",
        "project.create",
    ]
    .into()
}

#[allow(
    clippy::disallowed_methods,
    reason = "writing the golden files anew must be asked for outside the test"
)]
fn write_if_asked() {
    if std::env::var("GOLDEN_WRITE").is_err() {
        return;
    }
    let lines = script();
    let (projects, _) = fold(&lines);
    let expected: BTreeMap<_, _> = projects.iter().map(|(name, (_, e))| (name, e)).collect();
    let states: BTreeMap<_, _> = projects
        .iter()
        .map(|(name, (engine, _))| (name, engine.state()))
        .collect();
    let pretty = serde_json::to_string_pretty(&expected).expect("expectations encode");
    let states = serde_json::to_string(&states).expect("states encode");
    for (name, text) in [
        ("format-1.jsonl", lines),
        ("format-1-expected.json", pretty + "\n"),
        ("format-1-states.json", states + "\n"),
    ] {
        std::fs::write(file(name), text).expect("the folder can be written");
    }
}

/// A day's work of two agents and an operator, with every kind of command in it.
/// A step a line: project, milliseconds after the one before, actor, action.
const SCRIPT: &str = include_str!("golden/format-1-script.txt");

fn script() -> String {
    let agent = |name: &str, session: Option<u64>, role| Actor::Agent {
        name: name.parse().expect("an agent"),
        session: session.map(cli_coordinator::engine::ids::SessionId),
        role,
    };
    let actor = |name: &str| match name {
        "node" => Actor::Node("box-00000001".parse().expect("a node id")),
        "ant" => agent("ant", Some(1), Role::Agent),
        "bee" => agent("bee", Some(2), Role::Agent),
        // Before its session, or without one.
        "ant-before" => agent("ant", None, Role::Agent),
        "bee-before" => agent("bee", None, Role::Agent),
        "op" => agent("op", None, Role::Operator),
        other => panic!("{other} acts in the script"),
    };
    let mut now: BTreeMap<&str, u64> = BTreeMap::new();
    let mut lines = String::new();
    for (index, step) in SCRIPT.lines().enumerate() {
        let words: Vec<&str> = step.splitn(4, ' ').collect();
        let [project, later_ms, by, action] = words[..] else {
            panic!("a step has a project, milliseconds, an actor and an action: {step}");
        };
        let action: Value = serde_json::from_str(action).expect("an action is JSON");
        let action: Action = serde_json::from_str(&action.to_string())
            .expect("the script has the journal's own form");
        let command = Command {
            id: format!("box-00000001-{index}")
                .parse()
                .expect("a command id"),
            by: actor(by),
            request_id: (index % 5 == 0)
                .then(|| format!("r{index}").parse().expect("a request id")),
            action,
        };
        let at = now.entry(project).or_default();
        *at += later_ms.parse::<u64>().expect("milliseconds");
        let line = Line {
            project: project.parse().expect("a project"),
            position: Position(index as u64 + 1),
            at_ms: JournalTime(*at),
            command: serde_json::value::to_raw_value(&command).expect("commands encode"),
        };
        lines.push_str(&serde_json::to_string(&line).expect("records encode"));
        lines.push('\n');
    }
    lines
}
