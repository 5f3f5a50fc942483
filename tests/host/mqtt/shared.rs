//! Two coordinators on one Redis: one publishes the events, and the other one takes over when it dies.

use serde_json::{Value, json};

use super::mosquitto::{Got, Mosquitto};
use super::start;
use crate::support::Coordinator;
use crate::support::redis::Redis;

async fn of(broker: &Mosquitto, redis: &Redis, name: &str) -> Coordinator {
    start(broker)
        .variable("COORD_NODE_NAME", name)
        .variable("REDIS_HOST", "127.0.0.1")
        .variable("REDIS_PORT", redis.port())
        .run()
        .await
}

/// Submits a task and gives its number.
async fn submit(coordinator: &Coordinator) -> Value {
    let mut operator = coordinator.operator().await;
    let made = operator.call("task.submit", json!({"title": "t"})).await;
    made.unwrap()["task"].clone()
}

fn tells(got: &Got, node: &str, task: &Value) -> bool {
    let changes = got.payload["changes"].as_array();
    got.topic.contains(&format!("/{node}/event/"))
        && changes.is_some_and(|all| {
            let is_it = |c: &Value| c["kind"] == "task.submitted" && c["task"] == *task;
            all.iter().any(is_it)
        })
}

#[tokio::test]
async fn one_publishes_and_the_other_takes_over() {
    let redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let broker = Mosquitto::open().await;
    let live = broker.subscribe("coord/#", &[]);
    let duty = |name: &'static str, wanted: &'static str| {
        move |got: &Got| {
            got.topic.ends_with(&format!("/{name}/status")) && got.payload["events"] == wanted
        }
    };
    // Ids begin with the name, so that the first one is always the lower one.
    let mut one = of(&broker, &redis, "a").await;
    live.gets("the first to publish", duty("a", "publisher"))
        .await;
    let other = of(&broker, &redis, "b").await;
    live.gets("the second to stand by", duty("b", "standby"))
        .await;
    let first = submit(&other).await;
    live.gets("its event", |got| tells(got, "a", &first)).await;
    one.kill().await;
    let second = submit(&other).await;
    live.gets("the second to publish", duty("b", "publisher"))
        .await;
    live.gets("the event of the outage", |got| tells(got, "b", &second))
        .await;
}
