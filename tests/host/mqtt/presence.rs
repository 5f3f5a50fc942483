//! Presence and health: online, lost, stopped, taken over, and what the broker's own troubles make of it.

use nix::sys::signal::Signal;
use serde_json::json;

use super::mosquitto::{Mosquitto, ROOT};
use super::start;
use crate::support::{Coordinator, http, until};

async fn online(broker: &Mosquitto, version: &str) -> Coordinator {
    let started = start(broker).variable("COORD_MQTT_VERSION", version);
    started.run().await
}

async fn metric(coordinator: &Coordinator, line: &str) -> bool {
    let page = http::get(coordinator.metrics_port(), "/metrics").await;
    page.is_ok_and(|page| page.rest.lines().any(|found| found == line))
}

#[tokio::test]
async fn it_is_online_then_lost_when_killed_and_stopped_when_stopped() {
    for version in ["5", "3.1.1"] {
        let broker = Mosquitto::open().await;
        let mut coordinator = online(&broker, version).await;
        let live = broker.subscribe(&format!("{ROOT}/#"), &[]);
        let first = live.status("online").await.payload;
        assert_eq!(first["name"], "box");
        assert_eq!(
            (&first["conn"], &first["events"]),
            (&json!(1), &json!("publisher"))
        );
        let is_ready = |got: &super::mosquitto::Got| {
            got.topic.ends_with("/health") && got.payload["status"] == "ready"
        };
        let health = live.gets("health", is_ready).await.payload;
        assert_eq!(health["tasks_ready"], 0);

        coordinator.kill().await;
        let lost = live.status("lost").await.payload;
        assert_eq!(
            (&lost["run"], &lost["conn"]),
            (&first["run"], &first["conn"])
        );
        coordinator.restart().await;
        let again =
            |got: &super::mosquitto::Got| got.says("online") && got.payload["run"] != first["run"];
        live.gets("online again", again).await;
        coordinator.stop().await;
        live.status("stopped").await;
        // Whoever comes later learns the last state, and no will follows.
        let late = broker.subscribe(&format!("{ROOT}/status"), &[]);
        let kept = late.gets("the retained status", |got| got.retained).await;
        assert!(kept.says("stopped"), "{kept:?}");
    }
}

#[tokio::test]
async fn health_comes_on_request() {
    let broker = Mosquitto::open().await;
    let mut coordinator = online(&broker, "5").await;
    let live = broker.subscribe(&format!("{ROOT}/health"), &[]);
    live.gets("the first health", |_| true).await;
    let mut operator = coordinator.operator().await;
    operator
        .call("task.submit", json!({"title": "t"}))
        .await
        .unwrap();
    broker.publish(&format!("{ROOT}/cmd/health"), &["-n"]);
    live.gets("a health on request", |got| got.payload["tasks_ready"] == 1)
        .await;
    let status = operator.call("server.status", json!({})).await.unwrap();
    assert_eq!(status["mqtt"]["connected"], true, "{status}");
    assert_eq!(status["mqtt"]["events"], "publisher");
    coordinator.stop().await;
}

#[tokio::test]
async fn a_broker_that_restarts_without_its_memory_gets_everything_again() {
    let mut broker = Mosquitto::open().await;
    let coordinator = online(&broker, "5").await;
    let live = broker.subscribe(&format!("{ROOT}/status"), &[]);
    live.status("online").await;
    broker.end();
    drop(live);
    until("the end of the connection", async || {
        metric(&coordinator, "coord_mqtt_connected 0")
            .await
            .then_some(())
    })
    .await;
    broker.again().await;
    let live = broker.subscribe(&format!("{ROOT}/#"), &[]);
    let status = live.status("online").await;
    assert!(status.payload["conn"].as_u64() > Some(1), "{status:?}");
    live.gets("health", |got| got.topic.ends_with("/health"))
        .await;
    // It is subscribed again: a will of an older connection is corrected.
    let old = r#"{"v":1,"state":"lost","run":"00","conn":1}"#;
    broker.publish(&format!("{ROOT}/status"), &["-r", "-m", old]);
    let corrected = |all: Vec<super::mosquitto::Got>| {
        let lost = all.iter().position(|got| got.says("lost"))?;
        all[lost..].iter().find(|got| got.says("online")).cloned()
    };
    until("a correction", async || corrected(live.all())).await;
}

#[tokio::test]
async fn a_broker_that_stalls_is_noticed() {
    let broker = Mosquitto::open().await;
    let coordinator = online(&broker, "5").await;
    let connected = async |wanted: u8| {
        let line = format!("coord_mqtt_connected {wanted}");
        until(&line, async || {
            metric(&coordinator, &line).await.then_some(())
        })
        .await;
    };
    connected(1).await;
    broker.signal(Signal::SIGSTOP);
    connected(0).await;
    // Agents go on meanwhile.
    let mut agent = coordinator.agent("a").await;
    agent.call("session.open", json!({})).await.unwrap();
    broker.signal(Signal::SIGCONT);
    connected(1).await;
}

#[tokio::test]
async fn a_takeover_does_not_flap() {
    let broker = Mosquitto::open().await;
    let live = broker.subscribe(&format!("{ROOT}/status"), &[]);
    // Long enough for the second one to start before the broker notices.
    let patient = || {
        start(&broker)
            .variable("COORD_MQTT_KEEP_ALIVE_MS", 5_000)
            .run()
    };
    let mut first = patient().await;
    let run = live.status("online").await.payload["run"].clone();
    // The coordinator hangs, and another run of it takes over before the broker noticed.
    first.signal(Signal::SIGSTOP);
    let second = patient().await;
    let other = |got: &super::mosquitto::Got| got.says("online") && got.payload["run"] != run;
    live.gets("the second run", other).await;
    assert!(
        !live.all().iter().any(|got| got.says("lost")),
        "{:?}",
        live.all()
    );
    first.kill().await;
    drop(second);
    live.status("lost").await;
}

#[tokio::test]
async fn a_clone_is_told() {
    let broker = Mosquitto::open().await;
    let [one, other] = [online(&broker, "5").await, online(&broker, "5").await];
    until("takeovers to be told", async || {
        let page = http::get(one.metrics_port(), "/metrics").await.ok()?;
        let line = page.rest.lines().find_map(|line| {
            line.strip_prefix("coord_mqtt_takeovers_total ")?
                .parse::<u64>()
                .ok()
        })?;
        (line >= 3).then_some(())
    })
    .await;
    until("the log to name it", async || {
        let said = one.said() + &other.said();
        said.contains("give each box a node.name of its own")
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn home_assistant_and_thin_edge_get_their_own() {
    let broker = Mosquitto::open().await;
    let mut coordinator = start(&broker)
        .variable("COORD_MQTT_HOME_ASSISTANT_PREFIX", "homeassistant")
        .variable("COORD_MQTT_THIN_EDGE", "true")
        .run()
        .await;
    let live = broker.subscribe("#", &[]);
    let config = |got: &super::mosquitto::Got| got.topic == "homeassistant/device/coord_box/config";
    let config = live.gets("the discovery", config).await.payload;
    assert_eq!(
        config["cmps"]["connectivity"]["state_topic"],
        format!("{ROOT}/status")
    );
    let service = "te/device/main/service/coord";
    let registered =
        |got: &super::mosquitto::Got| got.topic == service && got.payload["@type"] == "service";
    live.gets("the registration", registered).await;
    let topic = format!("{service}/status/health");
    let health = |state: &'static str| {
        let topic = topic.clone();
        move |got: &super::mosquitto::Got| got.topic == topic && got.payload["status"] == state
    };
    live.gets("up", health("up")).await;
    coordinator.kill().await;
    live.gets("down", health("down")).await;
}
