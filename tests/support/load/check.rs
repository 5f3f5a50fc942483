//! The record against the state: what was acknowledged is there, and nothing is there that nobody
//! asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::{Value, json};

use super::record::{Record, number, text};
use crate::support::{Client, Coordinator};

pub async fn everything(coordinator: &Coordinator, record: &Record) {
    let mut operator = coordinator.operator().await;
    tasks(&mut operator, record).await;
    fences(&mut operator, record).await;
    leases(&mut operator, record).await;
    context(&mut operator, record).await;
    messages(coordinator, record).await;
}

/// All pages of a list.
async fn list(client: &mut Client, method: &str, field: &str) -> Vec<Value> {
    let mut params = json!({"count_max": 500});
    let mut items = Vec::new();
    loop {
        let mut page = client.call(method, params.clone()).await.unwrap();
        items.append(page[field].as_array_mut().unwrap());
        match page["next_after"].take() {
            Value::Null => return items,
            after => params["after"] = after,
        }
    }
}

async fn tasks(operator: &mut Client, record: &Record) {
    let listed = list(operator, "task.list", "tasks").await;
    let known: BTreeMap<u64, &Value> = listed.iter().map(|t| (number(&t["task"]), t)).collect();
    for (task, title) in &record.submitted {
        // The oldest finished ones may be forgotten, by a limit that has its own test.
        let Some(view) = known.get(task) else {
            assert!(
                record.submitted.len() > 4_000,
                "task {task} ({title}) is lost"
            );
            continue;
        };
        assert_eq!(text(&view["title"]), *title, "task {task} is another");
        let done = view["state"] == "done";
        if record.completed.contains_key(task) {
            assert!(done, "task {task} was completed, and is {}", view["state"]);
        }
    }
    for (task, result) in &record.completed {
        let Ok(view) = operator.call("task.get", json!({"task": task})).await else {
            continue;
        };
        assert_eq!(
            text(&view["result"]),
            *result,
            "task {task} has another result"
        );
    }
    let mut titles = BTreeSet::new();
    for view in &listed {
        let title = text(&view["title"]);
        assert!(record.tried.contains(&title), "{title} was never submitted");
        assert!(titles.insert(title.clone()), "{title} was submitted twice");
    }
}

/// A new grant has a larger fence than any that was ever acknowledged.
async fn fences(operator: &mut Client, record: &Record) {
    let lease = json!({"resources": ["name:probe"], "ttl_ms": 60_000});
    let granted = operator.call("lease.acquire", lease).await.unwrap();
    let fence = number(&granted["fence"]);
    if let Some((largest, what)) = record.fences.last_key_value() {
        assert!(fence > *largest, "fence {fence} after {largest} ({what})");
    }
    let release = json!({"lease": granted["lease"], "fence": fence});
    operator.call("lease.release", release).await.unwrap();
}

async fn leases(operator: &mut Client, record: &Record) {
    let listed = list(operator, "lease.list", "leases").await;
    let held: BTreeMap<u64, u64> = listed
        .iter()
        .map(|l| (number(&l["lease"]), number(&l["fence"])))
        .collect();
    for (lease, fence) in &record.leases {
        // One whose release was on its way may be gone; `settle` has then noted it as released.
        assert_eq!(held.get(lease), Some(fence), "lease {lease} is lost");
    }
    for lease in &record.released {
        assert!(
            !held.contains_key(lease),
            "lease {lease} was released and is held"
        );
    }
}

async fn context(operator: &mut Client, record: &Record) {
    for (key, (value, revision)) in &record.context {
        let entry = operator
            .call("context.get", json!({"key": key}))
            .await
            .unwrap();
        assert_eq!(number(&entry["value"]), *value, "{key}");
        assert_eq!(number(&entry["revision"]), *revision, "{key}");
    }
}

/// Every message that was acknowledged to its sender is in its mailbox until it is acknowledged by
/// its recipient; then it is not.
async fn messages(coordinator: &Coordinator, record: &Record) {
    let mut operator = coordinator.operator().await;
    let agents = list(&mut operator, "agent.list", "agents").await;
    for agent in agents
        .iter()
        .filter(|a| text(&a["name"]).starts_with("worker-"))
    {
        let name = text(&agent["name"]);
        let sent = record.sent.iter().filter(|(_, to)| **to == name);
        let unacked = sent
            .filter(|(message, _)| !record.acked.contains(message))
            .count();
        let waiting = usize::try_from(number(&agent["mailbox"])).unwrap();
        assert_eq!(waiting, unacked, "the mailbox of {name}");
    }
}

/// The journal as a whole, as an operator would look at it.
pub async fn journal_is_sound(coordinator: &mut Coordinator) {
    coordinator.kill().await;
    let output = Command::new(env!("CARGO_BIN_EXE_coord"))
        .args(["journal", "verify", "--state-dir"])
        .arg(coordinator.state_dir())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
