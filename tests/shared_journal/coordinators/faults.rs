//! What can happen to Redis.

use serde_json::{Value, json};

use super::WORKERS;
use super::deployment::Deployment;
use super::traffic::Traffic;
use crate::support::load;
use crate::support::redis::Redis;
use crate::support::until;

const DURABLE: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];
/// Requests that are acknowledged between two events.
const SOME: usize = 150;

async fn begun(redis: &Redis) -> (Deployment, Traffic) {
    let deployment = Deployment::on(redis, 3).await;
    let workers = load::tokens(&deployment.coordinators[0], WORKERS).await;
    let traffic = Traffic::start(&workers, &deployment.ports());
    traffic.acknowledges(SOME).await;
    (deployment, traffic)
}

#[tokio::test]
async fn redis_killed_under_load_and_started_again_loses_nothing() {
    let mut redis = Redis::start(DURABLE).await;
    let (mut deployment, traffic) = begun(&redis).await;
    for _ in 0..2 {
        redis.kill();
        let down = async {
            deployment.says(0, "journal_unreachable").await;
            redis.start_again().await;
            deployment.ready().await;
        };
        traffic.beside(down).await;
        traffic.acknowledges(SOME).await;
    }
    let record = traffic.end().await;
    deployment.check(&record).await;
    assert_eq!(deployment.metric("coord_shared_tails_lost_total").await, 0);
    assert_eq!(deployment.metric("coord_shared_seeded_total").await, 2);
}

#[tokio::test]
async fn redis_that_comes_back_empty_is_filled_by_exactly_one() {
    // Nothing of it outlives the process.
    let mut redis = Redis::start(&["--appendonly", "no"]).await;
    let (mut deployment, traffic) = begun(&redis).await;
    let seeded = deployment.metric("coord_shared_seeded_total").await;
    assert_eq!(
        seeded, 2,
        "the system project and the default one, once each"
    );
    redis.kill();
    let down = async {
        // All have noticed, so none appends to what comes back before it has looked.
        for number in 0..3 {
            deployment.says(number, "journal_unreachable").await;
        }
        redis.start_again().await;
        deployment.ready().await;
    };
    traffic.beside(down).await;
    traffic.acknowledges(SOME).await;
    let record = traffic.end().await;
    deployment.check(&record).await;
    let seeded = deployment.metric("coord_shared_seeded_total").await;
    assert_eq!(
        seeded, 4,
        "each project was filled once more, by one of three"
    );
}

/// Its connections stay, and nobody writes: only looking tells.
#[tokio::test]
async fn redis_that_is_emptied_under_idle_coordinators_is_filled_again() {
    let redis = Redis::start(DURABLE).await;
    let mut deployment = Deployment::on(&redis, 3).await;
    deployment.ready().await;
    let mut operator = deployment.coordinators[0].operator().await;
    let submitted = operator
        .call("task.submit", json!({ "title": "kept" }))
        .await;
    assert!(submitted.is_ok(), "{submitted:?}");
    drop(operator);
    deployment.agree().await;
    redis.say("FLUSHALL", "OK").await;
    until("both projects to be filled again", async || {
        let seeded = deployment.metric("coord_shared_seeded_total").await;
        (seeded == 4).then_some(())
    })
    .await;
    deployment.ready().await;
    for coordinator in &deployment.coordinators {
        let mut operator = coordinator.operator().await;
        let listed = operator.call("task.list", json!({})).await.unwrap();
        assert_eq!(listed["tasks"][0]["title"], "kept");
    }
    deployment.agree().await;
}

#[tokio::test]
async fn a_full_redis_refuses_new_work_and_loses_nothing() {
    let redis = Redis::start(DURABLE).await;
    redis
        .say("CONFIG SET maxmemory-policy noeviction", "OK")
        .await;
    let (mut deployment, traffic) = begun(&redis).await;
    let full = async {
        redis.say("CONFIG SET maxmemory 1mb", "OK").await;
        deployment.says(0, "storage_full").await;
        redis.say("CONFIG SET maxmemory 0", "OK").await;
        // Each leaves a full store alone for a moment before it tries again.
        deployment.ready().await;
    };
    traffic.beside(full).await;
    traffic.acknowledges(SOME).await;
    let record = traffic.end().await;
    deployment.check(&record).await;
}

/// Nobody helps it: what its stream holds is less than a snapshot would otherwise be taken for.
#[tokio::test]
async fn a_full_redis_is_got_out_of() {
    let redis = Redis::start(DURABLE).await;
    redis
        .say("CONFIG SET maxmemory-policy noeviction", "OK")
        .await;
    let mut deployment = Deployment::on(&redis, 2).await;
    deployment.ready().await;
    let mut operator = deployment.coordinators[1].operator().await;
    let put = |number: usize| json!({ "key": "large", "value": format!("{number:050000}") });
    // More often than there are coordinators, each of which could have made room once.
    for round in 1..=4 {
        redis.say("CONFIG SET maxmemory 0", "OK").await;
        for number in 0..12 {
            until("a value to be taken", async || {
                operator.call("context.put", put(number)).await.ok()
            })
            .await;
        }
        let used: u64 = redis.info("used_memory").await.parse().unwrap();
        let limit = format!("CONFIG SET maxmemory {}", used - 300_000);
        redis.say(&limit, "OK").await;
        until("room to be made", async || {
            operator.call("context.put", put(round)).await.ok()
        })
        .await;
        let trimmed = deployment
            .metric("coord_shared_records_trimmed_total")
            .await;
        assert!(trimmed >= round as u64 * 12, "{trimmed} in round {round}");
    }
    deployment.agree().await;
}

#[tokio::test]
async fn a_slow_redis_is_waited_for() {
    let redis = Redis::start(DURABLE).await;
    let (deployment, traffic) = begun(&redis).await;
    for _ in 0..5 {
        // It answers nobody for so long.
        traffic.beside(redis.say("DEBUG SLEEP 0.3", "OK")).await;
        traffic.acknowledges(20).await;
    }
    let record = traffic.end().await;
    deployment.check(&record).await;
    assert_eq!(deployment.metric("coord_shared_tails_lost_total").await, 0);
}

/// It can be read and followed all the while.
#[tokio::test]
async fn a_redis_that_refuses_to_write_keeps_nobody_waiting() {
    let redis = Redis::start(DURABLE).await;
    let mut deployment = Deployment::on(&redis, 1).await;
    deployment.ready().await;
    let mut operator = deployment.coordinators[0].operator().await;
    let submit = |title: &str| json!({ "title": title });
    let before = operator.call("task.submit", submit("before")).await;
    assert!(before.is_ok(), "{before:?}");
    // As many replicas as there are not.
    redis.say("CONFIG SET min-replicas-to-write 1", "OK").await;
    for _ in 0..3 {
        let refused = operator.call("task.submit", submit("meanwhile")).await;
        assert_eq!(refused.unwrap_err().kind, "unavailable");
    }
    redis.say("CONFIG SET min-replicas-to-write 0", "OK").await;
    until("work to go on", async || {
        let after = operator.call("task.submit", submit("after")).await;
        after.ok().map(drop)
    })
    .await;
    let listed = operator.call("task.list", json!({})).await.unwrap();
    let tasks = listed["tasks"].as_array().unwrap();
    let titles: Vec<&Value> = tasks.iter().map(|task| &task["title"]).collect();
    assert_eq!(titles, ["before", "after"]);
}

#[tokio::test]
async fn people_are_told_that_what_they_read_is_old() {
    let mut redis = Redis::start(DURABLE).await;
    let mut deployment = Deployment::on(&redis, 1).await;
    deployment.ready().await;
    let coordinator = &deployment.coordinators[0];
    let list = || {
        std::process::Command::new(env!("CARGO_BIN_EXE_coord"))
            .args(["task", "list"])
            .env_clear()
            .env(
                "COORD_URL",
                format!("ws://127.0.0.1:{}", coordinator.port()),
            )
            .env("COORD_TOKEN", coordinator.operator_token())
            .output()
            .unwrap()
    };
    assert_eq!(String::from_utf8_lossy(&list().stderr), "");
    redis.kill();
    until("the reads to be old", async || {
        let listed = list();
        let said = String::from_utf8_lossy(&listed.stderr);
        (listed.status.success() && said.contains("this is as of")).then_some(())
    })
    .await;
}
