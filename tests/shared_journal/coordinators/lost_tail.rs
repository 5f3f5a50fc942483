//! A failover to a replica that had not got everything: what Redis lost, clients are told.

use serde_json::json;

use super::deployment::Deployment;
use crate::support::redis::Redis;
use crate::support::{Client, until};

const DURABLE: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

/// Redis reads a Sentinel's orders from a file, which it writes to.
async fn sentinel(master: &Redis) -> Redis {
    let orders = format!(
        "sentinel monitor coord 127.0.0.1 {} 2\nsentinel down-after-milliseconds coord 300\n\
         sentinel failover-timeout coord 3000\n",
        master.port()
    );
    Redis::start_from("sentinel.conf", &orders, &["--sentinel"]).await
}

#[tokio::test]
async fn a_failover_that_loses_a_tail_is_told_to_every_client() {
    let mut master = Redis::start(DURABLE).await;
    let of = format!("127.0.0.1 {}", master.port());
    let replica = Redis::start(&[&["--replicaof", &of], DURABLE].concat()).await;
    let mut sentinels = Vec::new();
    for _ in 0..3 {
        sentinels.push(sentinel(&master).await);
    }
    for sentinel in &sentinels {
        until("the Sentinels to know each other", async || {
            let known = sentinel.info("master0").await;
            (known.contains("slaves=1") && known.contains("sentinels=3")).then_some(())
        })
        .await;
    }
    let sentinel_list: Vec<String> = sentinels
        .iter()
        .map(|sentinel| format!("127.0.0.1:{}", sentinel.port()))
        .collect();
    let settings = [
        ("COORD_REDIS_SENTINELS", sentinel_list.join(",")),
        ("COORD_REDIS_SENTINEL_MASTER", "coord".to_owned()),
    ];
    let mut deployment = Deployment::with(&settings, 2).await;
    let secret = deployment.coordinators[0].token("ant", "agent").await;
    let mut clients = Vec::new();
    for coordinator in &deployment.coordinators {
        let port = coordinator.port();
        let connect = async || Client::try_connect(port, "/ws", &secret).await.ok();
        let mut client = until("the token to be known", connect).await;
        client.call("events.subscribe", json!({})).await.unwrap();
        clients.push(client);
    }
    let submit = |title: &str| json!({"title": title});
    let kept = clients[0]
        .call("task.submit", submit("kept"))
        .await
        .unwrap();
    until("the replica to have it all", async || {
        let offset = master.info("master_repl_offset").await;
        (replica.info("slave_repl_offset").await == offset).then_some(())
    })
    .await;
    // From here on it gets nothing: it follows a port where nobody is.
    replica.say("REPLICAOF 127.0.0.1 1", "OK").await;
    let lost = clients[0]
        .call("task.submit", submit("lost"))
        .await
        .unwrap();
    for client in &mut clients {
        let mut told = 0;
        while told < 2 {
            let event = client.notification("event").await;
            let changes = event["changes"].as_array().unwrap();
            told += changes
                .iter()
                .filter(|c| c["kind"] == "task.submitted")
                .count();
        }
    }
    master.kill();
    replica.becomes_master().await;
    deployment.ready().await;
    for client in &mut clients {
        let changed = client.notification("epoch.changed").await;
        assert_ne!(changed["before"], changed["cursor"], "{changed}");
        let closed = client.notification("events.closed").await;
        assert_eq!(closed["kind"], "epoch_changed", "{closed}");
        // Whoever comes back with the old cursor is refused, and told where to begin.
        let from = json!({"from": closed["cursor"]});
        let refused = client.call("events.subscribe", from).await.unwrap_err();
        refused.check("epoch_changed", &[]);
        let from = json!({"from": closed["next"]});
        client.call("events.subscribe", from).await.unwrap();
    }
    let listed = clients[1].call("task.list", json!({})).await.unwrap();
    let tasks = listed["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 1, "{listed}");
    assert_eq!(tasks[0]["task"], kept["task"]);
    // A number that was given to what is lost may be given again; its cursor tells them apart.
    let next = clients[1]
        .call("task.submit", submit("next"))
        .await
        .unwrap();
    assert_eq!(next["task"], lost["task"]);
    assert!(deployment.metric("coord_shared_tails_lost_total").await >= 2);
    deployment.agree().await;
}
