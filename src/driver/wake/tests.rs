//! What becomes free looks only at requests that it can serve, however many wait.

use serde_json::{Value, json};

use super::{Heads, Wakes};
use crate::driver::connection::ConnectionId;
use crate::driver::core::Moment;
use crate::driver::parked::Parked;
use crate::driver::project::Project;
use crate::driver::propose::{Extra, Pending};
use crate::engine::command::{Action, Actor, Command, Role};
use crate::engine::ids::{AgentName, JournalTime, Position};
use crate::engine::limits::Limits;
use crate::engine::{Engine, Freed, Signals};
use crate::planted::visited_in;
use crate::protocol::operations::Operation;

const FEW: u64 = 100;
const MANY: u64 = 10_000;

fn name(n: u64) -> AgentName {
    format!("w{n}").parse().expect("a name")
}

fn action(text: &Value) -> Action {
    serde_json::from_value(text.clone()).expect("it is an action")
}

fn project() -> Project {
    Project::new(Engine::new(Limits::default()), Position(0), Moment(0))
}

fn apply(project: &mut Project, text: &Value) -> Signals {
    let position = Position(project.engine.state().position.0 + 1);
    let command = Command {
        id: format!("n-{position}").parse().expect("an id"),
        by: Actor::Agent {
            name: "ant".parse().expect("a name"),
            session: None,
            role: Role::Agent,
        },
        request_id: None,
        action: action(text),
    };
    let applied = project
        .engine
        .apply(position, JournalTime(position.0), &command);
    applied.answer.expect("it is carried out");
    applied.signals
}

fn wait(project: &mut Project, order: u64, operation: Operation, text: &Value) {
    let parked = Parked {
        connection: ConnectionId(order),
        id: None,
        operation,
        started: Moment(0),
        until: Some(Moment(1_000)),
        request_id: None,
        action: action(text),
    };
    project
        .waiters
        .insert(order, parked, &name(order), &project.engine);
}

fn claim(project: &mut Project, order: u64, filter: &Value) {
    let claim = json!({ "task_claim": { "hold": { "ttl_ms": 1_000 }, "filter": filter } });
    wait(project, order, Operation::TaskClaim, &claim);
}

fn acquire(project: &mut Project, order: u64, resources: &[&str]) {
    let acquire = json!({ "lease_acquire": {
        "resources": resources, "hold": { "ttl_ms": 1_000 }
    } });
    wait(project, order, Operation::LeaseAcquire, &acquire);
}

/// Which places in line are looked at first, and how many items that took.
fn look(project: &Project, signals: Signals) -> (Vec<u64>, u64) {
    let wakes = Wakes {
        signals,
        ..Wakes::default()
    };
    let mut heads = Heads::new();
    let looked = visited_in(|| heads = project.heads(&wakes));
    assert!(project.waiters.is_consistent(&project.engine));
    (heads.into_iter().map(|(order, _)| order).collect(), looked)
}

fn task(kind: &str, requires: &[&str]) -> Value {
    json!({ "task_submit": { "tasks": [{
        "title": "t", "priority": 1, "labels": { "kind": kind }, "requires": requires,
        "attempts_max": 1, "backoff_ms": 0, "concurrency": { "key": "k", "max": 1 }
    }], "tells_stuck": true } })
}

fn claims(others: u64) -> (Vec<u64>, u64) {
    let mut project = project();
    for n in 1..=others {
        let filter = match n % 4 {
            0 => json!({ "labels": { "kind": format!("k{n}") } }),
            1 => json!({ "task": n + 1_000 }),
            2 => json!({ "labels": { "kind": "wanted" }, "priority_min": 9 }),
            _ => json!({ "labels": { "kind": "wanted", "more": "x" } }),
        };
        claim(&mut project, n, &filter);
    }
    for n in 0..5 {
        claim(
            &mut project,
            others + 1 + n,
            &json!({ "labels": { "kind": "wanted" } }),
        );
    }
    let signals = apply(&mut project, &task("wanted", &[]));
    let (orders, looked) = look(&project, signals);
    assert_eq!(orders, [others + 1]);
    let signals = apply(&mut project, &task("wanted", &["gpu"]));
    let without_keys = Signals {
        keys: Vec::new(),
        ..signals
    };
    assert!(look(&project, without_keys).0.is_empty());
    (orders, looked)
}

#[test]
fn a_task_looks_only_at_claims_that_it_can_serve() {
    let (few, many) = (claims(FEW), claims(MANY));
    assert_eq!(few.1, many.1);
    assert!(few.1 <= 4, "{few:?}");
}

fn acquires(others: u64) -> u64 {
    let mut project = project();
    for n in 1..=others {
        let wanted = [
            format!("name:n{n}"),
            format!("file:d{n}/f"),
            format!("glob:d{n}/**"),
        ];
        acquire(
            &mut project,
            n,
            &[&wanted[usize::try_from(n % 3).expect("a digit")]],
        );
    }
    for n in 0..5 {
        acquire(&mut project, others + 1 + n, &["name:wanted", "file:own/a"]);
    }
    acquire(&mut project, others + 6, &["port:h:70-80"]);
    let resources = ["name:wanted", "file:own/a", "port:h:75"];
    let resources = resources.map(|text| serde_json::from_value(json!(text)).expect("a resource"));
    let freed = Freed {
        resources: resources.to_vec(),
        only: None,
    };
    let signals = Signals {
        freed: vec![freed],
        ..Signals::default()
    };
    let (orders, looked) = look(&project, signals);
    assert_eq!(orders, [others + 1, others + 1, others + 6]);
    looked
}

#[test]
fn what_is_freed_looks_only_at_acquires_that_it_can_serve() {
    let few = acquires(FEW);
    assert_eq!(few, acquires(MANY));
    assert!(few <= 4, "{few}");
}

/// The first of five that want the same is about to get it, so the others are not looked at.
#[test]
fn those_behind_one_that_is_served_are_out_of_reach() {
    let mut project = project();
    for n in 1..=5 {
        acquire(&mut project, n, &["name:x"]);
    }
    let first = project.waiters.remove(1).expect("it waits");
    let taken = crate::driver::waiters::acquire_of(&first).expect("an acquire");
    project.taking.insert(1, taken);
    let freed = Freed {
        resources: vec![serde_json::from_value(json!("name:x")).expect("a resource")],
        only: None,
    };
    let signals = Signals {
        freed: vec![freed],
        ..Signals::default()
    };
    let wakes = Wakes {
        signals,
        ..Wakes::default()
    };
    let (order, queue) = project.heads(&wakes).pop_first().expect("some wait");
    assert_eq!(order, 2);
    assert!(project.is_out_of_reach(&queue));
    assert!(project.makes_room(&project.waiters.get(2).expect("it waits").action));
    project.taking.remove(1, taken);
    assert!(!project.is_out_of_reach(&queue));
    assert_eq!(project.next_head(2, queue).map(|(order, _)| order), Some(3));
}

/// An acquire that others made room for gets nothing: which of them are looked at again.
fn behind_one_that_gets_nothing() -> Vec<u64> {
    let mut project = project();
    acquire(&mut project, 1, &["file:a/b"]);
    acquire(&mut project, 2, &["file:a/", "name:x"]);
    acquire(&mut project, 3, &["name:y"]);
    let first = project.waiters.remove(1).expect("it waits");
    let taken = crate::driver::waiters::acquire_of(&first).expect("an acquire");
    project.taking.insert(1, taken);
    let pending = Pending {
        request: None,
        extra: Extra::None,
        parked: Some((1, Box::new(first))),
        reserved: None,
    };
    let wakes = project.decided(&pending, None);
    assert!(project.taking.is_empty());
    let heads = project.heads(&wakes);
    heads.into_iter().map(|(order, _)| order).collect()
}

#[test]
fn those_behind_one_that_gets_nothing_are_looked_at_again() {
    assert_eq!(behind_one_that_gets_nothing(), [2]);
}

#[cfg(feature = "test-doubles")]
#[test]
fn an_acquire_that_is_forgotten_behind_another_is_found() {
    let _planted = crate::planted::Planted::new(crate::planted::Bug::WaiterBehindForgotten);
    assert_ne!(behind_one_that_gets_nothing(), [2]);
}

/// Of many tasks under a key, as many are looked at as there are kinds of tasks that are waited for.
#[test]
fn a_key_that_is_free_looks_at_few_tasks() {
    let looked = |tasks: u64| {
        let mut project = project();
        for _ in 0..tasks {
            apply(&mut project, &task("other", &[]));
        }
        claim(&mut project, 1, &json!({ "labels": { "kind": "wanted" } }));
        claim(&mut project, 2, &json!({}));
        let signals = Signals {
            keys: vec!["k".parse().expect("a key")],
            ..Signals::default()
        };
        look(&project, signals)
    };
    assert_eq!(looked(FEW), looked(3_000));
}
