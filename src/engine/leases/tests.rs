//! What is told of leases that are in the way, and what bounds them.

use serde_json::{Value, json};

use crate::engine::Engine;
use crate::engine::command::{Action, Actor, Command, Role};
use crate::engine::hold::Hold;
use crate::engine::ids::{JournalTime, LeaseId, Note, Position, TreeName};
use crate::engine::limits::Limits;
use crate::engine::outcome::{Answer, Ensured, LeaseConflicts, Outcome, Refusal};
use crate::planted::visited_in;

struct Bench {
    engine: Engine,
    last: u64,
    /// No time passes, and the index is not compared with a new one each time.
    quick: bool,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let engine = Engine::new(limits);
        Self {
            engine,
            last: 0,
            quick: false,
        }
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
        let at = JournalTime(if self.quick { 0 } else { self.last * 1_000 });
        let answer = self.engine.apply(Position(self.last), at, &command).answer;
        assert!(self.quick || self.engine.is_consistent());
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

/// What is looked at does not grow with what is held elsewhere, by whomever.
#[test]
fn an_ensure_looks_at_what_is_near_only() {
    assert_eq!(looked_at(100), looked_at(10_000));
}

/// How much is looked at to take a file, to find that it is held, and to find that others hold one; `held` leases are
/// held in a hundred folders.
fn looked_at(held: u64) -> [u64; 3] {
    let limits = Limits {
        leases_max: 20_000,
        ..Limits::default()
    };
    let mut bench = Bench::new(limits);
    bench.quick = true;
    for n in 0..held {
        let (holder, file) = (
            format!("a{}", n % 50),
            format!("file:src/{}/{n}.rs", n % 100),
        );
        bench.hold(&holder, &[&file]);
    }
    let mut look = |name: &str, file: &str| {
        let ensure = json!({ "lease_ensure": {
            "resources": [file], "hold": { "ttl_ms": 60_000 }, "tree": "t"
        } });
        visited_in(|| {
            let refused = bench.act(name, &ensure).is_err();
            assert_eq!(refused, name == "eve");
        })
    };
    let looked = [
        look("a1", "file:src/1/new.rs"),
        look("a1", "file:src/1/new.rs"),
        look("eve", "file:src/1/1.rs"),
    ];
    assert!(looked.iter().all(|count| *count <= 4), "{looked:?}");
    looked
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

fn ensure(bench: &mut Bench, name: &str, resources: &[&str], tree: Option<&str>) -> Answer {
    let ensure = json!({ "lease_ensure": {
        "resources": resources, "hold": { "ttl_ms": 60_000 }, "tree": tree
    } });
    bench.act(name, &ensure)
}

/// Which lease, what was done about it, and until when it is held now.
#[track_caller]
fn ensured(answer: Answer) -> Vec<(u64, Ensured, Option<u64>)> {
    match answer {
        Ok(Outcome::Ensured(ensured)) => {
            let each = ensured.leases.iter();
            each.map(|it| (it.lease.0, it.how, it.expires_at.map(|at| at.0)))
                .collect()
        }
        other => panic!("{other:?}"),
    }
}

/// A record renews all that was ensured in the tree, and nothing is renewed before half of its time is over.
#[test]
fn leases_of_one_tree_are_renewed_together() {
    let mut bench = Bench::new(Limits::default());
    let t = Some("t");
    let first = ensure(&mut bench, "ann", &["file:a"], t);
    assert_eq!(ensured(first), [(1, Ensured::Taken, Some(61_000))]);
    let other = ensure(&mut bench, "ann", &["file:a"], Some("u"));
    assert_eq!(ensured(other), [(2, Ensured::Taken, Some(62_000))]);
    bench.last = 29;
    let held = ensure(&mut bench, "ann", &["file:a"], t);
    assert_eq!(ensured(held), [(1, Ensured::Held, Some(61_000))]);
    // Half of the time is over.
    let renewed = ensure(&mut bench, "ann", &["file:a"], t);
    assert_eq!(ensured(renewed), [(1, Ensured::Renewed, Some(91_000))]);
    let second = ensure(&mut bench, "ann", &["file:b", "file:a"], t);
    let both = [
        (1, Ensured::Renewed, Some(92_000)),
        (3, Ensured::Taken, Some(92_000)),
    ];
    assert_eq!(ensured(second), both);
    let until = |id: u64| bench.engine.state().leases[&LeaseId(id)].hold.expires_at();
    assert_eq!(until(2), Some(JournalTime(62_000)));
}

/// Paths of other trees are told and are in nobody's way; those without a tree are in everybody's.
#[test]
fn trees_keep_paths_apart_and_nothing_else() {
    let mut bench = Bench::new(Limits::default());
    ensured(ensure(
        &mut bench,
        "ann",
        &["file:a/b", "name:slot"],
        Some("t"),
    ));
    let answer = ensure(&mut bench, "bob", &["file:a/"], Some("u"));
    let Ok(Outcome::Ensured(found)) = answer else {
        panic!("{answer:?}");
    };
    let told = &found.elsewhere.told;
    let trees = told.iter().map(|it| it.tree.as_ref().map(TreeName::as_str));
    assert_eq!(trees.collect::<Vec<_>>(), [Some("t")]);
    assert_eq!(pairs(&found.elsewhere)[0].1, "ann");
    for (resource, tree) in [
        ("file:a/b", None),
        ("name:slot", Some("u")),
        ("file:a/b", Some("t")),
    ] {
        let refused = ensure(&mut bench, "cat", &[resource, "file:free"], tree);
        assert!(
            matches!(refused, Err(Refusal::LeaseConflict(_))),
            "{resource}: {refused:?}"
        );
    }
    // Nothing was taken of what was refused.
    ensured(ensure(&mut bench, "dan", &["file:free"], None));
}

/// What is ensured is given back by name; what was acquired is not.
#[test]
fn resources_are_given_back_by_name() {
    let mut bench = Bench::new(Limits::default());
    bench.hold("ann", &["file:src/held"]);
    ensured(ensure(
        &mut bench,
        "ann",
        &["file:src/a", "file:src/b", "file:c"],
        None,
    ));
    let mut give_back = |resource: &str| {
        let back = json!({ "lease_give_back": { "resources": [resource] } });
        bench.act("ann", &back)
    };
    assert_eq!(give_back("file:src/"), Ok(Outcome::GivenBack(2)));
    assert_eq!(give_back("file:src/"), Ok(Outcome::GivenBack(0)));
    assert_eq!(give_back("path:**"), Ok(Outcome::GivenBack(1)));
    let found = bench.conflicts("bob", &["path:**"]);
    assert_eq!(pairs(&found)[0].2, "file:src/held");
    ensured(ensure(&mut bench, "bob", &["file:src/a", "file:c"], None));
}
