//! A state of passage is not a failure: what is waited for is told while a coordinator starts, takes its
//! journal up again, or waits for a store that loads.

use std::sync::Arc;

use cli_coordinator::engine::command::{Action, Actor, Command};
use cli_coordinator::engine::ids::JournalTime;
use cli_coordinator::journal::disk::RealDisk;
use cli_coordinator::journal::segments::{SegmentJournal, SegmentOptions};
use cli_coordinator::journal::{Entry, Journal};
use serde_json::{Value, json};

use super::command::Health;
use crate::support::coordinator::Start;
use crate::support::redis::Redis;
use crate::support::{Coordinator, http, until};

fn on(redis: &Redis) -> Start {
    Start::new()
        .variable("REDIS_HOST", "127.0.0.1")
        .variable("REDIS_PORT", redis.port())
}

/// The health page, with its status code and head.
async fn page(coordinator: &Coordinator, path: &str) -> Option<(u16, String, Value)> {
    let reply = http::get(coordinator.port(), path).await.ok()?;
    let (head, body) = reply.rest.split_once("\r\n\r\n")?;
    let page = serde_json::from_str(body).ok()?;
    Some((reply.status, head.to_ascii_lowercase(), page))
}

/// Waits until `/readyz` names this status and stage.
async fn waits(coordinator: &Coordinator, status: &str, stage: &str) -> (u16, String, Value) {
    until(&format!("{status}, {stage}"), async || {
        let found = page(coordinator, "/readyz").await?;
        (found.2["status"] == status && found.2["stage"] == stage).then_some(found)
    })
    .await
}

/// Every page that is seen until the coordinator is ready says one of these.
async fn only_says(coordinator: &Coordinator, allowed: &[&str]) {
    until("the coordinator to be ready", async || {
        let (_, _, page) = page(coordinator, "/readyz").await?;
        let status = page["status"].as_str().unwrap();
        assert!(allowed.contains(&status), "{page}");
        (status == "ready").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_first_start_on_an_empty_redis_says_what_it_waits_for() {
    let redis = Redis::start(&[]).await;
    let coordinator = on(&redis).launch();
    let (code, head, said) = waits(&coordinator, "starting", "awaiting_others").await;
    assert_eq!(code, 503);
    assert!(head.contains("retry-after: "), "{head}");
    let text = said["waiting_for"].as_str().unwrap();
    assert!(
        text.contains("waiting") && text.contains("coordinators with more records"),
        "{text}"
    );
    // Anybody may read the page: it names no project.
    assert!(
        !text.contains("_system") && !text.contains("default"),
        "{text}"
    );
    assert!(
        said["retry_after_ms"].as_u64().is_some_and(|ms| ms > 0),
        "{said}"
    );
    // It is alive, and a restart would only begin anew.
    let alive = page(&coordinator, "/healthz").await.unwrap();
    assert_eq!((alive.0, &alive.2["status"]), (200, &json!("starting")));
    let metrics = http::get(coordinator.metrics_port(), "/metrics")
        .await
        .unwrap();
    assert_eq!(metrics.status, 503, "{metrics:?}");
    assert!(
        metrics.rest.contains("\"kind\":\"unavailable\""),
        "{metrics:?}"
    );
    let health = Health::of(&coordinator).with("REDIS_HOST", "127.0.0.1");
    let health = health.with("REDIS_PORT", redis.port());
    let reported = health.run(&[]).await;
    reported
        .check(
            "websocket",
            "not_ready",
            &["starting: ", "waiting", "\"wait until it is ready"],
        )
        .check("metrics", "not_ready", &["starting", "\"wait"])
        .exits(1);
    assert!(!reported.text.contains("restart"), "{}", reported.text);
    only_says(&coordinator, &["starting", "ready"]).await;
    // Ready means that work is taken at once.
    let mut operator = coordinator.operator().await;
    operator
        .call("task.submit", json!({"title": "first"}))
        .await
        .unwrap();
    let status = operator.call("server.status", json!({})).await.unwrap();
    assert_eq!(
        (&status["status"], status.get("waiting_for")),
        (&json!("ready"), None)
    );
    let ready = http::metric(coordinator.metrics_port(), "coord_ready").await;
    assert!(ready > 0.5, "{ready}");
    health
        .run(&[])
        .await
        .check("websocket", "running", &[])
        .exits(0);
    assert!(
        coordinator.said().contains("starting: establishing"),
        "{}",
        coordinator.said()
    );
}

/// An agent that comes too early is kept waiting for a moment, and then in, or told why not.
#[tokio::test]
async fn an_agent_that_comes_too_early_gets_an_answer() {
    let redis = Redis::start(&[]).await;
    let coordinator = on(&redis).launch();
    waits(&coordinator, "starting", "awaiting_others").await;
    let host = format!("Host: 127.0.0.1:{}", coordinator.port());
    let early = http::upgrade(coordinator.port(), "/ws", &[&host]).await;
    // Without a token: in time for the door to open, or not.
    match early.status {
        401 => {}
        503 => {
            let rest = early.rest.to_ascii_lowercase();
            assert!(rest.contains("retry-after: "), "{rest}");
            assert!(
                rest.contains("the coordinator is starting: establishing"),
                "{rest}"
            );
        }
        other => panic!("{other}: {early:?}"),
    }
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_out_of_reach_from_the_start() {
    let mut redis = Redis::start(&[]).await;
    redis.kill();
    let coordinator = on(&redis).launch();
    until("the journal to be out of reach", async || {
        let (code, _, page) = page(&coordinator, "/readyz").await?;
        (page["status"] == "journal_unreachable").then(|| assert_eq!(code, 503))
    })
    .await;
    let health = Health::of(&coordinator).run(&[]).await;
    health.check(
        "websocket",
        "not_ready",
        &["journal_unreachable", "Redis", "a restart does not help"],
    );
    redis.start_again().await;
    only_says(&coordinator, &["journal_unreachable", "starting", "ready"]).await;
}

#[tokio::test]
async fn a_redis_that_loads_is_waited_for() {
    let arguments = [
        ["--enable-debug-command", "yes"],
        ["--loading-process-events-interval-bytes", "1024"],
    ];
    let mut redis = Redis::start(arguments.as_flattened()).await;
    redis.ask(&["DEBUG", "POPULATE", "100000"]).await;
    redis.ask(&["SAVE"]).await;
    redis.start_again_with(&["--key-load-delay", "1000"]);
    until("Redis to load", async || {
        let loading = redis.connect().await.ok()?;
        drop(loading);
        Some(())
    })
    .await;
    let coordinator = on(&redis).launch();
    let (_, _, said) = waits(&coordinator, "starting", "store_loading").await;
    assert!(
        said["waiting_for"]
            .as_str()
            .unwrap()
            .contains("load its data"),
        "{said}"
    );
    redis.say("CONFIG SET key-load-delay 0", "+OK").await;
    only_says(&coordinator, &["starting", "ready"]).await;
}

/// While others are served, the journal of a new project is established: that is nobody else's trouble.
#[tokio::test]
async fn a_new_project_leaves_the_coordinator_ready() {
    let redis = Redis::start(&[]).await;
    let coordinator = on(&redis).run().await;
    let mut operator = coordinator.operator().await;
    operator
        .call("project.create", json!({"project": "side"}))
        .await
        .unwrap();
    let mut other = crate::support::Client::try_connect(
        coordinator.port(),
        "/ws?project=side",
        &coordinator.operator_token(),
    )
    .await
    .unwrap();
    // Whoever works in it is told what is waited for, until it is there.
    let mut told = Vec::new();
    until("the new project to take work", async || {
        let (code, _, said) = page(&coordinator, "/readyz").await?;
        assert_eq!((code, &said["status"]), (200, &json!("ready")), "{said}");
        match other
            .call("context.put", json!({"key": "a", "value": 1}))
            .await
        {
            Ok(_) => Some(()),
            Err(error) => {
                told.push(format!("{error:?}"));
                None
            }
        }
    })
    .await;
    for error in told {
        assert!(
            error.contains("unavailable") && error.contains("project side"),
            "{error}"
        );
    }
}

/// A store that was emptied is filled again by who holds the most: passage, not failure.
#[tokio::test]
async fn a_store_that_is_filled_again_is_recovering() {
    let redis = Redis::start(&[]).await;
    let coordinator = on(&redis).run().await;
    redis.say("FLUSHALL", "OK").await;
    let (code, _, said) = waits(&coordinator, "recovering", "awaiting_others").await;
    assert_eq!(code, 503, "{said}");
    let health = Health::of(&coordinator).run(&[]).await;
    if health.said["services"][1]["state"] == "not_ready" {
        health.check("websocket", "not_ready", &["recovering", "\"wait until"]);
    }
    only_says(&coordinator, &["recovering", "ready"]).await;
}

/// Writes so many records that replaying them takes a while.
fn long_journal(start: &Start, records: usize) {
    let disk = RealDisk::create(start.state()).unwrap();
    let options = SegmentOptions {
        segment_bytes: 8 << 20,
        reserve_bytes: 4 << 20,
        ..SegmentOptions::default()
    };
    let (mut journal, _) = SegmentJournal::open(Arc::new(disk), options).unwrap();
    let command = Command {
        id: "old-1".parse().unwrap(),
        by: Actor::Node("old".parse().unwrap()),
        request_id: None,
        action: Action::Tick,
    };
    let entry = Entry {
        project: "default".parse().unwrap(),
        at_ms: JournalTime(1),
        body: serde_json::to_vec(&command).unwrap(),
    };
    let batch = vec![entry; 1_000];
    for _ in 0..records / batch.len() {
        journal.append(&batch).unwrap();
    }
}

#[tokio::test]
async fn the_recovery_of_a_large_journal_is_told() {
    let start = Start::new();
    long_journal(&start, 150_000);
    let coordinator = start.launch();
    let (code, _, said) = waits(&coordinator, "starting", "replaying").await;
    assert_eq!(code, 503, "{said}");
    assert!(
        said["waiting_for"].as_str().unwrap().contains("journal"),
        "{said}"
    );
    let metrics = http::get(coordinator.metrics_port(), "/metrics")
        .await
        .unwrap();
    assert_eq!(metrics.status, 503, "{metrics:?}");
    only_says(&coordinator, &["starting", "ready"]).await;
    coordinator.operator().await.check_alive().await;
}
