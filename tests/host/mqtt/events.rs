//! Events: all of them, in order, once or with the same cursor, across the ends of both sides; and refused ones.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::mosquitto::{Got, Mosquitto, ROOT, Subscriber};
use super::start;
use crate::support::coordinator::Start;
use crate::support::{Coordinator, until};

async fn submit(coordinator: &Coordinator, count: usize) {
    let mut operator = coordinator.operator().await;
    for _ in 0..count {
        let params = json!({"title": "t"});
        operator.call("task.submit", params).await.unwrap();
    }
}

/// The cursors of events that submitted a task.
fn submitted(subscriber: &Subscriber) -> Vec<Value> {
    let all = subscriber.all();
    let of_task = all.iter().filter(|got| {
        let changes = got.payload["changes"].as_array();
        got.topic.ends_with("/event/default")
            && changes.is_some_and(|all| all.iter().any(|c| c["kind"] == "task.submitted"))
    });
    of_task.map(|got| got.payload["cursor"].clone()).collect()
}

async fn get_all(subscriber: &Subscriber, count: usize) {
    until("all events", async || {
        let different: BTreeSet<String> =
            submitted(subscriber).iter().map(Value::to_string).collect();
        (different.len() >= count).then_some(())
    })
    .await;
}

/// A long outage in fast motion: the broker is away three times, the coordinator is killed twice, and paho is to have
/// every event that `events.subscribe` knows.
#[tokio::test]
async fn every_event_reaches_paho_across_the_ends_of_broker_and_coordinator() {
    let mut broker = Mosquitto::open().await;
    let mut coordinator = start(&broker).run().await;
    let topic = format!("{ROOT}/event/default");
    let reader = broker.paho(&topic);
    reader
        .gets("paho's subscription", |got| got.topic == "subscribed")
        .await;
    submit(&coordinator, 50).await;
    get_all(&reader, 50).await;
    for round in 0..3 {
        broker.stop().await;
        submit(&coordinator, 100).await;
        if round > 0 {
            coordinator.kill().await;
            coordinator.restart().await;
            submit(&coordinator, 50).await;
        }
        broker.again().await;
        submit(&coordinator, 50).await;
    }
    let truth = all_cursors(&coordinator).await;
    until("every event", async || {
        let got: BTreeSet<String> = cursors(&reader).into_iter().collect();
        truth
            .iter()
            .all(|cursor| got.contains(cursor))
            .then_some(())
    })
    .await;
    // In order, but for what came again.
    let mut seen = BTreeSet::new();
    let fresh = cursors(&reader)
        .into_iter()
        .filter(|cursor| seen.insert(cursor.clone()));
    let positions: Vec<u64> = fresh.map(|cursor| position(&cursor)).collect();
    assert!(positions.is_sorted(), "{positions:?}");
    assert!(!reader.all().iter().any(|got| !got.payload["gap"].is_null()));
}

fn cursors(subscriber: &Subscriber) -> Vec<String> {
    let all = subscriber.all().into_iter();
    all.filter_map(|got| got.payload["cursor"].as_str().map(str::to_owned))
        .collect()
}

fn position(cursor: &str) -> u64 {
    cursor.split_once(':').unwrap().1.parse().unwrap()
}

/// What `events.subscribe` sends from the beginning.
async fn all_cursors(coordinator: &Coordinator) -> Vec<String> {
    let mut operator = coordinator.operator().await;
    let made = operator
        .call("task.submit", json!({"title": "the last"}))
        .await
        .unwrap();
    operator
        .call("events.subscribe", json!({"from": "0:0"}))
        .await
        .unwrap();
    let mut cursors = Vec::new();
    loop {
        let event = operator.notification("event").await;
        cursors.push(event["cursor"].as_str().unwrap().to_owned());
        let changes = event["changes"].as_array().unwrap();
        if changes.iter().any(|c| c["task"] == made["task"]) {
            return cursors;
        }
    }
}

#[tokio::test]
async fn what_is_no_longer_kept_is_told_as_a_gap() {
    let broker = Mosquitto::open().await;
    let mut coordinator = start(&broker).run().await;
    let live = broker.subscribe(&format!("{ROOT}/#"), &[]);
    // Then it is subscribed.
    live.status("online").await;
    submit(&coordinator, 1).await;
    get_all(&live, 1).await;
    coordinator.stop().await;
    // A cursor of another journal, as after a restore.
    let file = coordinator.state_dir().join("mqtt").join("cursors");
    let mut bytes = std::fs::read(&file).unwrap();
    let body = b"default 9:9\n";
    for slot in [0, 128 * 1024] {
        let mut made = b"coordmq1".to_vec();
        made.extend(900_u64.to_le_bytes());
        made.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&made), body);
        made.extend(checksum.to_le_bytes());
        made.extend(body);
        bytes.resize(bytes.len().max(slot + made.len()), 0);
        bytes[slot..slot + made.len()].copy_from_slice(&made);
    }
    std::fs::write(&file, bytes).unwrap();
    coordinator.restart().await;
    let gap = live
        .gets("a gap", |got| !got.payload["gap"].is_null())
        .await;
    assert_eq!(gap.payload["gap"]["reason"], "epoch_changed", "{gap:?}");
    assert_eq!(gap.payload["gap"]["after"], "9:9");
}

#[tokio::test]
async fn what_the_broker_refuses_is_counted_and_told() {
    let acl = "allow_anonymous true\nacl_file HERE/acl";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("acl");
    let rules =
        format!("topic readwrite {ROOT}/status\ntopic readwrite {ROOT}/health\ntopic read #\n");
    std::fs::write(&file, rules).unwrap();
    let acl = acl.replace("HERE", &folder.path().display().to_string());
    let broker = Mosquitto::start(&acl).await;
    let coordinator = start(&broker).run().await;
    submit(&coordinator, 1).await;
    let mut operator = coordinator.operator().await;
    until("a refusal to be told", async || {
        let status = operator.call("server.status", json!({})).await.unwrap();
        let problem = status["mqtt"]["problem"].as_str()?.to_owned();
        problem.contains("not authorized").then_some(())
    })
    .await;
}

/// A broker needs one packet for each, and none may be too large for the bounds of the public ones.
#[tokio::test]
async fn a_record_with_many_changes_is_one_event_or_a_gap() {
    let broker = Mosquitto::open().await;
    let coordinator: Coordinator = Start::run(start(&broker)).await;
    let live = broker.subscribe(&format!("{ROOT}/#"), &[]);
    live.status("online").await;
    let mut operator = coordinator.operator().await;
    let tasks: Vec<Value> = (0..100)
        .map(|n| json!({"task": {"title": format!("t{n}")}}))
        .collect();
    operator
        .call("task.submit_many", json!({"tasks": tasks}))
        .await
        .unwrap();
    let many = |got: &Got| {
        let changes = got.payload["changes"].as_array();
        changes.is_some_and(|changes| changes.len() >= 100)
    };
    live.gets("the event", many).await;
}
