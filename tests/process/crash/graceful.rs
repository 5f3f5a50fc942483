//! SIGTERM: every request that was sent gets an answer, and the answer is true.

use std::sync::Arc;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::coordinator::Start;
use crate::support::random::Random;
use crate::support::{Client, Coordinator, within};

/// Requests that each connection sends without waiting for answers.
const AHEAD: usize = 100;

/// What one connection was told of its requests.
struct Told {
    /// Titles of tasks that were acknowledged.
    acknowledged: Vec<String>,
    refused: Vec<String>,
}

/// Clients in a closed loop: each has one request under way when the signal comes.
pub async fn under_load(random: &mut Random) {
    let mut coordinator = Start::new().run().await;
    let (counted, mut count) = watch::channel(0);
    let counted = Arc::new(counted);
    let mut running = Vec::new();
    for number in 0..super::WORKERS {
        let client = coordinator.agent(&format!("worker-{number}")).await;
        // Half of them send ahead, half wait for each answer.
        let ahead = if number % 2 == 0 { 1 } else { AHEAD };
        running.push(tokio::spawn(submit_until_refused(
            client,
            number,
            ahead,
            Arc::clone(&counted),
        )));
    }
    let enough = 200 + random.below(1_500);
    within("some load", count.wait_for(|count| *count >= enough))
        .await
        .unwrap();
    let status = coordinator.stop().await;
    assert_eq!(status.code(), Some(0), "{}", coordinator.said());
    let mut all = Vec::new();
    for task in running {
        all.push(task.await.unwrap());
    }
    coordinator.restart().await;
    check(&coordinator, &all).await;
}

/// Submits until it is told to come back; every request must have been answered by then.
async fn submit_until_refused(
    mut client: Client,
    worker: u64,
    ahead: usize,
    counted: Arc<watch::Sender<u64>>,
) -> Told {
    let mut told = Told {
        acknowledged: Vec::new(),
        refused: Vec::new(),
    };
    for round in 0.. {
        let mut asked = Vec::new();
        for index in 0..ahead {
            let title = format!("{worker}-{round}-{index}");
            let id = client
                .ask("task.submit", json!({"title": title}))
                .await
                .unwrap();
            asked.push((id, title));
        }
        let mut stopping = false;
        for (id, title) in asked {
            match client.answer(id).await {
                Ok(_) => {
                    told.acknowledged.push(title);
                    counted.send_modify(|count| *count += 1);
                }
                // A fast machine fills the project before it is told to stop; that is an answer too.
                Err(failure) if failure.kind == "limit_exceeded" => told.refused.push(title),
                Err(failure) => {
                    failure.check("unavailable", &["stopping"]);
                    assert!(failure.data["retry_after_ms"].is_u64(), "{failure:?}");
                    told.refused.push(title);
                    stopping = true;
                }
            }
        }
        if stopping {
            break;
        }
    }
    let closed = client.closed().await;
    assert!(closed.is_some(), "worker {worker}: the end was not told");
    told
}

async fn check(coordinator: &Coordinator, all: &[Told]) {
    let mut operator = coordinator.operator().await;
    let mut params = json!({"count_max": 1_000});
    let mut titles = std::collections::BTreeSet::new();
    loop {
        let page = operator.call("task.list", params.clone()).await.unwrap();
        for task in page["tasks"].as_array().unwrap() {
            titles.insert(task["title"].as_str().unwrap().to_owned());
        }
        match &page["next_after"] {
            Value::Null => break,
            after => params["after"] = after.clone(),
        }
    }
    let (mut acknowledged, mut refused) = (0, 0);
    for told in all {
        for title in &told.acknowledged {
            assert!(
                titles.contains(title),
                "{title} was acknowledged and is lost"
            );
        }
        for title in &told.refused {
            assert!(!titles.contains(title), "{title} was refused and is there");
        }
        acknowledged += told.acknowledged.len();
        refused += told.refused.len();
    }
    assert_eq!(
        titles.len(),
        acknowledged,
        "something is there that nobody was told of"
    );
    println!("{acknowledged} acknowledged, {refused} told to come back");
}

/// Those that wait for a task or a lease are told to come back, and so are sessions.
pub async fn waiting(coordinator: &mut Coordinator) {
    let mut holder = coordinator.agent("holder").await;
    let lease = json!({"resources": ["name:slot"], "ttl_ms": 60_000});
    holder.call("lease.acquire", lease).await.unwrap();
    let mut client = coordinator.agent("waiter").await;
    client.call("session.open", json!({})).await.unwrap();
    let claim = client
        .ask("task.claim", json!({"wait_ms": 60_000}))
        .await
        .unwrap();
    let lease = json!({"resources": ["name:slot"], "wait_ms": 60_000});
    let acquire = client.ask("lease.acquire", lease).await.unwrap();
    client.check_alive().await;
    coordinator.signal(Signal::SIGTERM);
    for id in [claim, acquire] {
        let failure = client.answer(id).await.unwrap_err();
        failure.check("unavailable", &["stopping"]);
    }
    let told = client.notification("session.closed").await;
    assert!(
        told["reason"].as_str().unwrap().contains("stopping"),
        "{told}"
    );
    assert!(client.closed().await.is_some());
    assert_eq!(coordinator.ended().await.code(), Some(0));
}
