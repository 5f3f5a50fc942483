//! What can happen to a coordinator.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::WORKERS;
use super::deployment::Deployment;
use super::traffic::Traffic;
use crate::support::load;
use crate::support::redis::Redis;
use crate::support::{Client, http, until};

const DURABLE: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];
const LOCK: &str = "name:merge-slot";

async fn acquire(client: &mut Client) -> Result<Value, crate::support::RpcFailure> {
    let params = json!({"resources": [LOCK], "wait_ms": 60_000});
    client.call("lease.acquire", params).await
}

/// The operator of one coordinator makes a token; the others know it once they have its record.
async fn agent(deployment: &Deployment, name: &str, at: usize) -> Client {
    let secret = deployment.coordinators[0].token(name, "agent").await;
    let port = deployment.coordinators[at].port();
    until("the token to be known", async || {
        Client::try_connect(port, "/ws", &secret).await.ok()
    })
    .await
}

#[tokio::test]
async fn an_agent_goes_on_at_another_coordinator_with_session_lease_and_cursor() {
    let redis = Redis::start(DURABLE).await;
    let mut deployment = Deployment::on(&redis, 2).await;
    let secret = deployment.coordinators[1].token("ant", "agent").await;
    let mut ant = Client::connect(deployment.coordinators[1].port(), &secret).await;
    let opened = ant
        .call("session.open", json!({"grace_ms": 60_000}))
        .await
        .unwrap();
    let held = acquire(&mut ant).await.unwrap();
    let subscribed = ant.call("events.subscribe", json!({})).await.unwrap();
    ant.call("task.submit", json!({"title": "seen"}))
        .await
        .unwrap();
    let event = ant.notification("event").await;
    assert_ne!(event["cursor"], subscribed["cursor"]);
    deployment.coordinators[1].kill().await;

    let port = deployment.coordinators[0].port();
    let mut ant = Client::connect(port, &secret).await;
    let resume = json!({"resume": {
        "session": opened["session"], "secret": opened["resume_secret"]
    }});
    let resumed = ant.call("session.open", resume).await.unwrap();
    assert_eq!(resumed["resumed"], true, "{resumed}");
    let from = json!({"from": event["cursor"]});
    ant.call("events.subscribe", from).await.unwrap();
    ant.call("task.submit", json!({"title": "next"}))
        .await
        .unwrap();
    let mut kinds = Vec::new();
    while !kinds.contains(&"task.submitted".to_owned()) {
        let event = ant.notification("event").await;
        let changes = event["changes"].as_array().unwrap();
        kinds.extend(
            changes
                .iter()
                .map(|c| c["kind"].as_str().unwrap().to_owned()),
        );
    }
    assert!(kinds.contains(&"session.resumed".to_owned()), "{kinds:?}");
    let release = json!({"lease": held["lease"], "fence": held["fence"]});
    ant.call("lease.release", release).await.unwrap();
}

/// What a coordinator says of the others' ports, on its page and as a metric.
async fn other_ports(deployment: &Deployment, at: usize, count: u64) {
    let coordinator = &deployment.coordinators[at];
    until(&format!("{count} with other ports"), async || {
        let page = http::get(coordinator.port(), "/readyz").await.ok()?;
        let said = format!("\"coordinators_port_mismatch\":{count},");
        page.rest.contains(&said).then_some(())
    })
    .await;
    let name = "coord_shared_coordinators_port_mismatch";
    let metric = http::metric(coordinator.metrics_port(), name).await;
    assert_eq!(metric.to_string(), count.to_string());
}

#[tokio::test]
async fn coordinators_tell_each_other_that_their_ports_differ() {
    let redis = Redis::start(DURABLE).await;
    let mut deployment = Deployment::on(&redis, 2).await;
    other_ports(&deployment, 0, 0).await;
    let mut ant = agent(&deployment, "ant", 0).await;
    let mut bee = agent(&deployment, "bee", 1).await;
    ant.call("session.open", json!({})).await.unwrap();
    bee.call("session.open", json!({})).await.unwrap();
    other_ports(&deployment, 0, 1).await;
    other_ports(&deployment, 1, 1).await;
    let operator = &mut deployment.coordinators[1].operator().await;
    let status = operator.call("server.status", json!({})).await.unwrap();
    let said = deployment.coordinators[0].said();
    for word in [&status["node"], &status["port_fingerprint"]] {
        let named = said
            .lines()
            .filter(|l| l.contains("has a different port configuration"));
        let word = word.as_str().unwrap();
        assert!(named.clone().any(|line| line.contains(word)), "{said}");
        assert_eq!(named.count(), 1, "said again: {said}");
    }

    // The same ports in another run are not other ports, although the run before counts as alive.
    deployment.coordinators[1].kill().await;
    deployment.coordinators[1].restart().await;
    let mut bee = agent(&deployment, "bee", 1).await;
    bee.call("session.open", json!({})).await.unwrap();
    other_ports(&deployment, 1, 1).await;

    // Once it is gone, it is counted no more.
    deployment.coordinators[1].kill().await;
    other_ports(&deployment, 0, 0).await;
}

#[tokio::test]
async fn what_a_dead_coordinators_agents_held_is_freed() {
    let redis = Redis::start(DURABLE).await;
    let mut deployment = Deployment::on(&redis, 2).await;
    let mut ant = agent(&deployment, "ant", 1).await;
    let mut bee = agent(&deployment, "bee", 0).await;
    ant.call("session.open", json!({})).await.unwrap();
    bee.call("session.open", json!({})).await.unwrap();
    let first = acquire(&mut ant).await.unwrap();
    deployment.coordinators[1].kill().await;
    // It waits until the node, then the session's grace, then the lock-delay have run out.
    let second = acquire(&mut bee).await.unwrap();
    assert!(second["fence"].as_u64() > first["fence"].as_u64());
}

#[tokio::test]
async fn a_coordinator_that_stood_still_finds_that_others_have_gone_on() {
    let redis = Redis::start(DURABLE).await;
    let deployment = Deployment::on(&redis, 2).await;
    let mut ant = agent(&deployment, "ant", 1).await;
    let mut bee = agent(&deployment, "bee", 0).await;
    ant.call("session.open", json!({})).await.unwrap();
    bee.call("session.open", json!({})).await.unwrap();
    bee.call("task.submit", json!({"title": "once"}))
        .await
        .unwrap();
    let claimed = ant
        .call("task.claim", json!({"wait_ms": 30_000}))
        .await
        .unwrap();
    let claimed = &claimed["claim"];
    let held = acquire(&mut ant).await.unwrap();

    deployment.coordinators[1].signal(Signal::SIGSTOP);
    // What it asks now lies before the coordinator when it wakes up.
    let stale = json!({"task": claimed["task"], "fence": claimed["fence"], "result": "late"});
    let late = ant.ask("task.complete", stale).await.unwrap();
    let taken = acquire(&mut bee).await.unwrap();
    assert!(taken["fence"].as_u64() > held["fence"].as_u64());
    let again = bee
        .call("task.claim", json!({"wait_ms": 60_000}))
        .await
        .unwrap();
    assert_eq!(again["claim"]["task"], claimed["task"], "{again}");
    deployment.coordinators[1].signal(Signal::SIGCONT);

    // It is refused, or shut out with its session before it is heard; never told that it is done.
    ant.closed().await;
    let said = ant.notifications.iter();
    let answer = said.clone().find(|frame| frame["id"] == json!(late));
    assert!(
        answer.is_none_or(|frame| frame["error"].is_object()),
        "{answer:?}"
    );
    let told: Vec<&Value> = said.map(|frame| &frame["method"]).collect();
    assert!(told.contains(&&json!("session.closed")), "{told:?}");
    let done = json!({"task": claimed["task"], "fence": again["claim"]["fence"], "result": "ok"});
    bee.call("task.complete", done).await.unwrap();
    let view = bee.call("task.get", json!({"task": claimed["task"]})).await;
    assert_eq!(view.unwrap()["result"], "ok");
    deployment.agree().await;
}

#[tokio::test]
async fn coordinators_killed_one_after_the_other_lose_nothing() {
    let redis = Redis::start(DURABLE).await;
    let mut deployment = Deployment::on(&redis, 3).await;
    let workers = load::tokens(&deployment.coordinators[0], WORKERS).await;
    let traffic = Traffic::start(&workers, &deployment.ports());
    for number in 0..3 {
        traffic.acknowledges(100).await;
        traffic.beside(deployment.coordinators[number].kill()).await;
        traffic.acknowledges(100).await;
        traffic
            .beside(deployment.coordinators[number].restart())
            .await;
    }
    traffic.acknowledges(100).await;
    let record = traffic.end().await;
    deployment.check(&record).await;
}

/// While it is out of reach: refused at once, read with a mark, connections stay.
#[tokio::test]
async fn without_redis_writing_is_refused_quickly_and_reading_is_marked_as_stale() {
    let mut redis = Redis::start(DURABLE).await;
    let mut deployment = Deployment::on(&redis, 1).await;
    let mut ant = agent(&deployment, "ant", 0).await;
    ant.call("task.submit", json!({"title": "kept"}))
        .await
        .unwrap();
    let fresh = ant.call("task.list", json!({})).await.unwrap();
    assert_eq!(fresh["stale_ms"], Value::Null);
    redis.kill();
    deployment.says(0, "journal_unreachable").await;
    let refused = ant.call("task.submit", json!({"title": "no"})).await;
    let refused = refused.unwrap_err();
    refused.check("unavailable", &["cannot be reached"]);
    assert!(
        refused.data["retry_after_ms"].as_u64() > Some(0),
        "{refused:?}"
    );
    let stale = ant.call("task.list", json!({})).await.unwrap();
    assert!(stale["stale_ms"].as_u64().is_some(), "{stale}");
    assert_eq!(stale["tasks"].as_array().unwrap().len(), 1);
    let explained = ant.call("task.explain", json!({"task": 1})).await.unwrap();
    let kind = &explained["coordinator"][0]["kind"];
    assert_eq!(kind, "journal_unreachable", "{explained}");
    redis.start_again().await;
    deployment.ready().await;
    ant.call("task.submit", json!({"title": "yes"}))
        .await
        .unwrap();
    let fresh = ant.call("task.list", json!({})).await.unwrap();
    assert_eq!(fresh["stale_ms"], Value::Null);
    assert_eq!(fresh["tasks"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn another_environments_redis_is_refused() {
    let redis = Redis::start(DURABLE).await;
    redis.say("SET coord:environment production", "OK").await;
    let start = crate::support::coordinator::Start::new()
        .variable("REDIS_HOST", "127.0.0.1")
        .variable("REDIS_PORT", redis.port());
    let ended = start.run_to_end().await;
    ended.check(78, &["production", "testing"]);
}
