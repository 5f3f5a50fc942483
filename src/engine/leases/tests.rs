//! What is told of leases that are in the way, and what bounds them.

use serde_json::{Value, json};

use crate::engine::Engine;
use crate::engine::command::{Action, Actor, Command, Role};
use crate::engine::hold::Hold;
use crate::engine::ids::{JournalTime, Note, Position};
use crate::engine::limits::Limits;
use crate::engine::outcome::{Answer, LeaseConflicts, Outcome, Refusal};

struct Bench {
    engine: Engine,
    last: u64,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let engine = Engine::new(limits);
        Self { engine, last: 0 }
    }

    fn act(&mut self, name: &str, action: &Value) -> Answer {
        self.last += 1;
        let action: Action = serde_json::from_value(action.clone()).expect("it is an action");
        let command = Command {
            id: format!("n-{}", self.last).parse().expect("an id"),
            by: Actor::Agent {
                name: name.parse().expect("an agent"),
                session: None,
                role: Role::Agent,
            },
            request_id: None,
            action,
        };
        let at = JournalTime(self.last * 1_000);
        let answer = self.engine.apply(Position(self.last), at, &command).answer;
        assert!(self.engine.is_consistent());
        answer
    }

    fn acquire(&mut self, name: &str, resources: &[&str], mode: &str) -> Answer {
        let lease = json!({ "lease_acquire": {
            "resources": resources, "mode": mode, "hold": { "ttl_ms": 60_000 }, "note": "why"
        } });
        self.act(name, &lease)
    }

    fn hold(&mut self, name: &str, resources: &[&str]) {
        self.acquire(name, resources, "exclusive")
            .unwrap_or_else(|refusal| panic!("{resources:?}: {refusal:?}"));
    }

    #[track_caller]
    fn conflicts(&mut self, name: &str, resources: &[&str]) -> LeaseConflicts {
        match self.acquire(name, resources, "exclusive") {
            Err(Refusal::LeaseConflict(conflicts)) => conflicts,
            other => panic!("{resources:?}: {other:?}"),
        }
    }
}

fn pairs(conflicts: &LeaseConflicts) -> Vec<(String, &str, String)> {
    let each = conflicts.told.iter();
    each.map(|it| (it.wanted.clone(), it.holder.as_str(), it.held.to_string()))
        .collect()
}

/// Each conflict names what is held, not what was wanted; by whom, since when, until when, for what.
#[test]
fn conflicts_name_what_is_held() {
    let mut bench = Bench::new(Limits::default());
    bench.hold("ann", &["name:x", "glob:a/b"]);
    bench.hold("bob", &["file:a/c/d", "name:y"]);
    let found = bench.conflicts("cat", &["glob:a/*", "glob:a", "name:y"]);
    let expected = [
        ("path:a/*", "ann", "path:a/b"),
        ("path:a", "ann", "path:a/b"),
        ("path:a", "bob", "file:a/c/d"),
        ("name:y", "bob", "name:y"),
    ];
    let expected = expected.map(|(a, b, c)| (a.to_owned(), b, c.to_owned()));
    assert_eq!(pairs(&found), expected);
    let first = &found.told[0];
    assert_eq!(
        (first.since, found.now),
        (JournalTime(1_000), JournalTime(3_000))
    );
    let until = JournalTime(61_000);
    assert_eq!(
        first.hold,
        Hold::Ttl {
            ttl_ms: 60_000,
            until
        }
    );
    assert_eq!(first.note.as_ref().map(Note::as_str), Some("why"));
    assert_eq!(
        (first.example.as_deref(), first.opens_at),
        (Some("a/b"), None)
    );
}

/// Those that share it are not in the way of one who shares, and a lapsed lease says when it opens.
#[test]
fn pools_name_who_holds_their_ports() {
    let mut bench = Bench::new(Limits::default());
    bench.hold("ann", &["port:h:1", "port:h:3"]);
    bench
        .acquire("bob", &["port:h:2"], "shared")
        .expect("it is free");
    let found = bench.conflicts("cat", &["port:h:1-3"]);
    let held: Vec<_> = pairs(&found).into_iter().map(|it| (it.1, it.2)).collect();
    let port = |n: u16| format!("port:h:{n}");
    assert_eq!(held, [("ann", port(1)), ("ann", port(3)), ("bob", port(2))]);
    // Whoever shares gets the one that is shared.
    let shared = bench.acquire("cat", &["port:h:1-3"], "shared");
    assert!(
        matches!(shared, Ok(Outcome::Lease(lease)) if lease.resources[0].to_string() == port(2))
    );
    // Later, what ann held has lapsed.
    bench.last = 61;
    let found = bench.conflicts("cat", &["port:h:1-1"]);
    assert_eq!(found.told[0].opens_at, Some(JournalTime(66_000)));
    // A request that takes all of a pool for itself is told so, and does not wait for anybody.
    let own = bench.acquire("dan", &["port:g:1", "port:g:1-1"], "exclusive");
    assert!(matches!(own, Err(Refusal::Invalid { .. })), "{own:?}");
    // All that is in the way is told, not only the pool.
    let found = bench.conflicts("dan", &["port:h:1-1", "port:h:2"]);
    assert_eq!(found.told.len(), 3);
}

#[test]
fn many_conflicts_are_counted() {
    let mut bench = Bench::new(Limits::default());
    let names: Vec<String> = (0..300).map(|n| format!("file:src/{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    bench.hold("ann", &names);
    let found = bench.conflicts("bob", &names);
    let told = Limits::default().conflicts_told_max;
    assert_eq!((found.told.len() as u64, found.more), (told, 300 - told));
    // One lease is in the way of a glob once.
    let found = bench.conflicts("bob", &["glob:src"]);
    assert_eq!((found.told.len(), found.more), (1, 0));
}

/// Files have limits of their own; those of format 1 and 2 stay as they were.
#[test]
fn files_are_bounded() {
    let limits = Limits {
        files_per_lease_max: 3,
        files_per_agent_max: 4,
        files_max: 6,
        file_bytes_per_lease_max: 20,
        resources_per_lease_max: 2,
        ..Limits::default()
    };
    let mut bench = Bench::new(limits);
    let mut check = |name: &str, resources: &[&str], expected: Option<&str>| {
        let answer = bench.acquire(name, resources, "exclusive");
        let limit = match answer {
            Ok(_) => None,
            Err(Refusal::Limit(limit)) => Some(limit.limit),
            Err(other) => panic!("{resources:?}: {other:?}"),
        };
        assert_eq!(limit, expected, "{resources:?}");
    };
    check(
        "ann",
        &["name:a", "name:b", "port:h:1-2"],
        Some("resources_per_lease_max"),
    );
    check(
        "ann",
        &["file:a", "file:b", "file:c", "file:d"],
        Some("files_per_lease_max"),
    );
    check(
        "ann",
        &["file:0123456789", "file:01234567890"],
        Some("file_bytes_per_lease_max"),
    );
    check(
        "ann",
        &["file:a", "file:b", "file:c", "name:a", "name:b"],
        None,
    );
    check("ann", &["file:d", "file:e"], Some("files_per_agent_max"));
    check("bob", &["file:d", "file:e", "file:f"], None);
    check("cat", &["file:g"], Some("files_max"));
    check("cat", &["glob:g"], None);
}

/// The same request once more gets the same answer, of a lease that is there and of one that is not.
#[test]
fn a_repeated_request_is_told_its_files() {
    let mut bench = Bench::new(Limits::default());
    let lease = json!({ "lease_acquire": {
        "resources": ["file:a", "port:h:5-9", "file:b/"], "hold": { "ttl_ms": 60_000 }
    } });
    let action: Action = serde_json::from_value(lease).expect("it is an action");
    let ask = |position: u64, bench: &mut Bench| {
        let command = Command {
            id: format!("m-{position}").parse().expect("an id"),
            by: Actor::Agent {
                name: "ann".parse().expect("an agent"),
                session: None,
                role: Role::Agent,
            },
            request_id: Some("r".parse().expect("a request id")),
            action: action.clone(),
        };
        let at = JournalTime(position);
        bench.last = position;
        bench.engine.apply(Position(position), at, &command).answer
    };
    let first = ask(1, &mut bench);
    let Ok(Outcome::Lease(grant)) = &first else {
        panic!("{first:?}");
    };
    let texts: Vec<String> = grant.resources.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["file:a", "port:h:5", "file:b/"]);
    assert_eq!(ask(2, &mut bench), first);
    let release = json!({ "lease_release": { "lease": grant.lease, "fence": grant.fence } });
    bench.act("ann", &release).expect("it is held");
    assert_eq!(ask(4, &mut bench), first);
}
