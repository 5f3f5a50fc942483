//! What is found is what a look at every subscription finds, and few others are looked at.

use serde_json::{Value, json};

use super::Subscribers;
use crate::driver::connection::ConnectionId;
use crate::engine::event::Event;
use crate::planted::visited_in;
use crate::protocol::events::EventFilter;

fn filters(text: Value) -> Vec<EventFilter> {
    serde_json::from_value(text).expect("they are filters")
}

fn event(changes: &Value) -> Event {
    let text = json!({ "position": 1, "at_ms": 1, "changes": changes });
    serde_json::from_value(text).expect("it is an event")
}

fn some() -> Vec<Vec<EventFilter>> {
    let some = json!([
        [],
        [{}],
        [{ "kinds": ["task.done"] }, { "kinds": ["task.done", "lease.*"], "task": 3 }],
        [{ "kinds": ["task.*"] }],
        [{ "kinds": ["task.*", "context.*"], "agent": "ann" }],
        [{ "agent": "ann/one" }, { "agent": "bob" }],
        [{ "task": 7 }],
        [{ "key_prefix": "" }],
        [{ "key_prefix": "a" }, { "key_prefix": "a/b" }],
        [{ "key_prefix": "a/c", "kinds": ["context.put"] }],
        [{ "key_prefix": "b" }],
        [{ "kinds": ["nothing", "a.b.*"] }],
    ]);
    serde_json::from_value(some).expect("they are filters")
}

fn events() -> Vec<Event> {
    let task = |id: u64| json!({ "task": { "task": id, "attempt": 0 } });
    let key = |key: &str| json!({ "context": { "key": key, "revision": 1 } });
    let all = json!([
        [{ "kind": "task.done", "agent": "ann", "subject": task(7) }],
        [{ "kind": "task.ready", "agent": "ann/one", "subject": task(3) }],
        [{ "kind": "task.stuck", "subject": task(1), "root": 7 }],
        [{ "kind": "lease.acquired", "agent": "bob/two", "subject": { "lease": 1 } }],
        [{ "kind": "message.sent", "agent": "eve", "to": ["ann", "bob"] }],
        [{ "kind": "message.sent", "agent": "eve", "to": ["ann/one", "bob", "c", "d", "e", "f"] }],
        [{ "kind": "context.put", "agent": "eve", "subject": key("a/b/c") }],
        [{ "kind": "context.put", "agent": "eve", "subject": key("a/c") }],
        [{ "kind": "context.deleted", "agent": "eve", "subject": key("ab") }],
        [{ "kind": "context.put", "agent": "eve", "subject": key("c") }],
        [{ "kind": "agent.online", "agent": "zed" }, { "kind": "task.ready", "subject": task(7) }],
    ]);
    all.as_array().expect("a list").iter().map(event).collect()
}

#[test]
fn what_wants_an_event_is_found() {
    let all = some();
    let mut subscribers = Subscribers::default();
    for (id, filters) in (0..).zip(&all) {
        subscribers.set(ConnectionId(id), filters.clone());
    }
    for event in events() {
        let found = subscribers.concerned(&event);
        for (id, filters) in (0..).zip(&all) {
            let matches = |filter: &EventFilter| event.changes.iter().any(|c| filter.matches(c));
            let wants = filters.is_empty() || filters.iter().any(matches);
            let is_found = found.contains(&ConnectionId(id));
            assert!(is_found || !wants, "{event:?} misses {filters:?}");
        }
    }
    for id in 0..all.len() as u64 {
        subscribers.set(ConnectionId(id), filters(json!([{ "task": 1 }])));
        subscribers.remove(ConnectionId(id));
    }
    assert_eq!(subscribers, Subscribers::default());
}

#[test]
fn subscriptions_that_do_not_match_are_not_looked_at() {
    let looked = |others: u64| {
        let mut subscribers = Subscribers::default();
        for id in 0..others {
            let never = json!([
                { "kinds": ["task.dead"] }, { "task": 1_000 + id }, { "agent": format!("n{id}") },
                { "key_prefix": format!("k{id}") }, { "kinds": ["token.*"] },
            ]);
            subscribers.set(ConnectionId(id), filters(never));
        }
        let wanted = json!([{ "kinds": ["task.*"] }]);
        subscribers.set(ConnectionId(others), filters(wanted));
        visited_in(|| {
            for event in events() {
                subscribers.concerned(&event);
            }
        })
    };
    assert_eq!(looked(100), looked(10_000));
}

#[cfg(feature = "test-doubles")]
#[test]
fn an_area_that_is_missed_is_found() {
    let _planted = crate::planted::Planted::new(crate::planted::Bug::AreaMissed);
    assert!(std::panic::catch_unwind(what_wants_an_event_is_found).is_err());
}
