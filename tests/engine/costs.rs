//! What lookups find is what a plain scan finds, and they look at few items, however many there are.

use cli_coordinator::engine::command::{Action, AgentUpdate, ClaimFilter, LeaseMode, TaskSpec};
use cli_coordinator::engine::ids::TaskId;
use cli_coordinator::engine::leases::{Asker, Wanted};
use cli_coordinator::engine::limits::Limits;
use cli_coordinator::engine::resource::Resource;
use cli_coordinator::planted::{Bug, Planted, visited_in};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use super::bench::{Bench, agent, cases, spec};

const FEW: u64 = 100;
const MANY: u64 = 10_000;

fn wide() -> Limits {
    Limits {
        tasks_open_max: 20_000,
        leases_max: 20_000,
        files_max: 20_000,
        files_per_agent_max: 20_000,
        pattern_bytes_per_agent_max: 1_000_000,
        sessions_max: 3,
        ..Limits::default()
    }
}

fn action(text: serde_json::Value) -> Action {
    serde_json::from_value(text).expect("it is an action")
}

fn resource(text: &str) -> Resource {
    Resource::from_record(text).expect("it is a resource")
}

fn acquire(bench: &mut Bench, name: &str, resource: &str) -> bool {
    let acquire = action(json!({ "lease_acquire": {
        "resources": [resource], "hold": { "ttl_ms": 60_000 }
    } }));
    bench.apply(agent(name), None, acquire, 0).answer.is_ok()
}

fn labelled(kind: &str, priority: i32) -> TaskSpec {
    let labels = json!({ "kind": kind });
    TaskSpec {
        labels: serde_json::from_value(labels).expect("they are labels"),
        priority,
        ..spec("t")
    }
}

fn filter(text: serde_json::Value) -> ClaimFilter {
    serde_json::from_value(text).expect("it is a filter")
}

/// How many ready tasks a claim looks at, beside so many that it may not have.
fn claim_looks(others: u64) -> Vec<u64> {
    let mut bench = Bench::new(wide());
    for _ in 0..others / 50 {
        let other = |n: usize| labelled(["a", "b"][n % 2], 0);
        bench.submit(&agent("ant"), (0..50).map(other).collect());
    }
    let wanted = bench.submit(&agent("ant"), vec![labelled("x", -5)])[0];
    let bee = "bee".parse().expect("a name");
    let asked = [
        (json!({ "labels": { "kind": "none" } }), None),
        (json!({ "labels": { "kind": "x" } }), Some(wanted)),
        (json!({ "labels": { "kind": "x", "more": "y" } }), None),
        (json!({ "priority_min": 1 }), None),
        (json!({ "task": wanted }), Some(wanted)),
        (json!({ "task": 999_999 }), None),
        (json!({}), Some(TaskId(1))),
    ];
    let looks = asked.into_iter().map(|(text, expected)| {
        let filter = filter(text);
        visited_in(|| {
            let found = bench.engine.claim_candidate(&bee, &filter, &|_| false);
            assert_eq!(found, expected, "{filter:?}");
        })
    });
    looks.collect()
}

#[test]
fn a_claim_looks_at_few_ready_tasks() {
    let few = claim_looks(FEW);
    assert_eq!(few, claim_looks(MANY));
    assert!(few.iter().all(|looks| *looks <= 2), "{few:?}");
}

/// How many resources an acquire looks at, beside so many that others hold.
fn lease_looks(held: u64, form: impl Fn(u64) -> String) -> Vec<u64> {
    let mut bench = Bench::new(wide());
    for n in 0..held {
        assert!(acquire(&mut bench, &format!("a{n}"), &form(n)), "{n}");
    }
    let wanted = [
        "file:own/src/a.rs",
        "name:own",
        "glob:own/*.rs",
        "port:h:70",
    ];
    let looks = wanted.into_iter().map(|wanted| {
        let wanted = resource(wanted);
        let asker = Asker {
            agent: None,
            mode: LeaseMode::Exclusive,
            tree: None,
            adds: false,
        };
        visited_in(|| assert!(bench.engine.lease_conflicts(asker, [&wanted]).is_empty()))
    });
    looks.collect()
}

#[test]
fn an_acquire_looks_at_few_leases() {
    type Form = fn(u64) -> String;
    let forms: [Form; 5] = [
        |n| format!("glob:d{n}/**"),
        |n| format!("file:d{}/f{n}.rs", n % 7),
        |n| format!("name:n{n}"),
        |n| format!("path:**/*.x{n}"),
        |n| format!("path:d{}/**/t?st.x{n}", n % 7),
    ];
    for form in forms {
        let few = lease_looks(FEW, form);
        assert_eq!(few, lease_looks(MANY / 5, form), "{}", form(0));
        assert!(few.iter().all(|looks| *looks <= 2), "{few:?}");
    }
}

const POOL: &[&str] = &[
    "path:**/*.rs",
    "path:**/*.x",
    "path:a/*.rs",
    "path:a/**/?.x",
    "path:*/b.*",
    "path:a/{b,c}.rs",
    "glob:**/b.rs",
    "glob:a",
    "path:**",
    "path:*.x.rs",
    "file:a/b.rs",
    "file:a/b.x",
    "file:b.x.rs",
    "file:a/",
    "file:a",
    "file:b/.rs",
    "name:a",
];

fn of_pool() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(POOL)
}

fn finds_what_a_scan_finds(held: &[&str], asked: &str) -> Result<(), TestCaseError> {
    let mut bench = Bench::new(wide());
    for (n, held) in held.iter().enumerate() {
        acquire(&mut bench, &format!("a{n}"), held);
    }
    prop_assert!(bench.engine.is_consistent());
    let leases = bench.engine.state().leases.values();
    let mut all = leases.flat_map(|lease| &lease.resources);
    let resource = resource(asked);
    let expected = all.any(|held| held.overlaps(&resource));
    let wanted = Wanted {
        resource,
        mode: LeaseMode::Exclusive,
        tree: None,
    };
    prop_assert_eq!(bench.engine.is_held(&wanted), expected);
    prop_assert_eq!(acquire(&mut bench, "eve", asked), !expected);
    Ok(())
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn leases_in_the_way_are_found(held in vec(of_pool(), 0..6), asked in of_pool()) {
        finds_what_a_scan_finds(&held, asked)?;
    }
}

#[test]
fn a_wildcard_that_is_missed_is_found() {
    let _planted = Planted::new(Bug::WildcardMissed);
    assert!(finds_what_a_scan_finds(&["path:**/*.rs"], "file:a/b.rs").is_err());
}

#[test]
fn a_ready_task_that_stays_with_its_label_is_found() {
    let _planted = Planted::new(Bug::ReadyLabelStays);
    let mut bench = Bench::new(wide());
    bench.submit(&agent("ant"), vec![labelled("x", 0)]);
    let claim = action(json!({ "task_claim": { "hold": { "ttl_ms": 9_000 } } }));
    bench.apply(agent("ant"), None, claim, 0);
    assert!(!bench.engine.is_consistent());
}

/// Clients that vanished leave room for others; those that hold nothing go first.
#[test]
fn the_oldest_lost_session_that_holds_nothing_gives_way() {
    let mut bench = Bench::new(wide());
    let node = cli_coordinator::engine::command::Actor::Node("n".parse().expect("a node"));
    let by = |name: &str, session: u64| cli_coordinator::engine::command::Actor::Agent {
        name: name.parse().expect("a name"),
        session: Some(cli_coordinator::engine::ids::SessionId(session)),
        role: cli_coordinator::engine::command::Role::Agent,
    };
    for name in ["ant", "bee", "cat"] {
        let open =
            json!({ "session_open": { "node": "n", "resume_hash": "h", "grace_ms": 30_000 } });
        bench
            .apply(agent(name), None, action(open), 1)
            .answer
            .expect("there is room");
    }
    let nothing = std::collections::BTreeSet::new();
    assert_eq!(bench.engine.gives_way(1, &nothing), None, "all are live");
    let hold = json!({ "lease_acquire": { "resources": ["name:x"], "hold": "session" } });
    bench
        .apply(by("ant", 1), None, action(hold), 1)
        .answer
        .expect("it is free");
    for session in [1, 2] {
        let lost = json!({ "session_lost": {
            "session": session, "connection": 1, "reason": "connection_lost"
        } });
        bench
            .apply(node.clone(), None, action(lost), 1)
            .answer
            .expect("a report");
    }
    let id = cli_coordinator::engine::ids::SessionId;
    assert_eq!(bench.engine.gives_way(0, &nothing), None, "there is room");
    assert_eq!(bench.engine.gives_way(1, &nothing), Some(id(2)));
    assert_eq!(bench.engine.gives_way(2, &[id(2)].into()), Some(id(1)));
    let close = |session: u64| action(json!({ "session_close": { "session": session } }));
    assert!(
        bench.apply(node.clone(), None, close(3), 1).answer.is_err(),
        "it is live"
    );
    bench
        .apply(node, None, close(2), 1)
        .answer
        .expect("it is lost");
    assert!(bench.engine.is_consistent());
    assert_eq!(bench.engine.gives_way(1, &nothing), None);
}

#[test]
fn what_is_shown_is_counted_as_a_scan_counts_it() {
    let mut bench = Bench::new(wide());
    let submitted = bench.submit(&agent("ant"), vec![spec("a"), spec("b"), spec("c")]);
    let update = AgentUpdate::default();
    bench.apply(agent("bee"), None, Action::AgentUpdate(update.into()), 1);
    let claim = action(json!({ "task_claim": { "hold": { "ttl_ms": 9_000 } } }));
    bench.apply(agent("ant"), None, claim, 1);
    let cancel = json!({ "task_cancel": { "task": submitted[2] } });
    bench
        .apply(agent("ant"), None, action(cancel), 1)
        .answer
        .expect("it is open");
    let counts = bench.engine.counts();
    let shown = (
        counts.tasks_blocked,
        counts.tasks_ready,
        counts.tasks_claimed,
    );
    assert_eq!(shown, (0, 1, 1));
    assert_eq!((counts.agents_present, counts.messages_waiting), (0, 0));
}
