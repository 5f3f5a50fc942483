//! A deployment moves from one box's own journal to Redis, and back.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::deployment::Deployment;
use crate::support::coordinator::Start;
use crate::support::redis::Redis;
use crate::support::{Client, Coordinator};

/// Restores a backup with these variables; says what it said.
fn restore(backup: &str, state_dir: &Path, variables: &[(&str, String)]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_coord"))
        .args(["restore", backup])
        .env_clear()
        .env("COORD_PROFILE", "testing")
        .env("COORD_STATE_DIR", state_dir)
        .envs(variables.iter().map(|(name, value)| (*name, value)))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = String::from_utf8_lossy(&output.stderr).into_owned();
    output.status.success().then_some(said).ok_or(failed)
}

async fn backup(coordinator: &Coordinator) -> String {
    let mut operator = coordinator.operator().await;
    let made = operator.call("server.backup", json!({})).await.unwrap();
    made["path"].as_str().unwrap().to_owned()
}

/// What there is, without what only says how long ago it came about.
async fn seen(client: &mut Client) -> Value {
    let tasks = client.call("task.list", json!({})).await.unwrap();
    let leases = client.call("lease.list", json!({})).await.unwrap();
    let entry = client
        .call("context.get", json!({"key": "plan"}))
        .await
        .unwrap();
    let inbox = client.call("message.inbox", json!({})).await.unwrap();
    json!([tasks["tasks"], leases["leases"], entry, inbox["messages"]])
}

async fn fill(client: &mut Client) -> Value {
    client.call("session.open", json!({})).await.unwrap();
    client
        .call("task.submit", json!({"title": "one", "payload": {"n": 1}}))
        .await
        .unwrap();
    client
        .call("task.submit", json!({"title": "two"}))
        .await
        .unwrap();
    client
        .call("task.claim", json!({"ttl_ms": 3_600_000}))
        .await
        .unwrap();
    let hold = json!({"resources": ["path:src/**"], "ttl_ms": 3_600_000});
    client.call("lease.acquire", hold).await.unwrap();
    client
        .call("context.put", json!({"key": "plan", "value": [1, 2]}))
        .await
        .unwrap();
    let note = json!({"to": {"agent": "ant"}, "body": "to myself"});
    client.call("message.send", note).await.unwrap();
    let subscribed = client.call("events.subscribe", json!({})).await.unwrap();
    subscribed["cursor"].clone()
}

#[tokio::test]
async fn embedded_to_redis_and_back_keeps_everything() {
    let mut alone = Coordinator::start().await;
    let secret = alone.token("ant", "agent").await;
    let mut ant = Client::connect(alone.port(), &secret).await;
    let cursor = fill(&mut ant).await;
    let before = seen(&mut ant).await;
    let file = backup(&alone).await;

    let redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let settings = [
        ("REDIS_HOST", "127.0.0.1".to_owned()),
        ("REDIS_PORT", redis.port().to_string()),
    ];
    let said = restore(&file, alone.folder(), &settings).unwrap();
    assert!(said.contains("2 projects"), "{said}");
    let again = restore(&file, alone.folder(), &settings).unwrap_err();
    assert!(again.contains("already"), "{again}");
    alone.stop().await;

    let deployment = Deployment::with(&settings, 2).await;
    for coordinator in &deployment.coordinators {
        let mut ant = Client::connect(coordinator.port(), &secret).await;
        assert_eq!(seen(&mut ant).await, before);
        // What was told by the embedded journal can still be gone on from.
        let from = json!({"from": cursor});
        ant.call("events.subscribe", from).await.unwrap();
    }
    let mut ant = Client::connect(deployment.coordinators[1].port(), &secret).await;
    ant.call("task.submit", json!({"title": "three"}))
        .await
        .unwrap();
    let shared = seen(&mut ant).await;
    let file = backup(&deployment.coordinators[1]).await;

    let start = Start::new();
    let said = restore(&file, start.state(), &[]).unwrap();
    assert!(said.contains("2 snapshots"), "{said}");
    let alone = start.run().await;
    let mut ant = Client::connect(alone.port(), &secret).await;
    assert_eq!(seen(&mut ant).await, shared);
    let next = ant
        .call("task.submit", json!({"title": "four"}))
        .await
        .unwrap();
    assert_eq!(next["task"], 4);
}
