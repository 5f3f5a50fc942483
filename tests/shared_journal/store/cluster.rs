//! A Cluster: each project is where its slot is.

use std::collections::BTreeSet;
use std::process::Command;

use cli_coordinator::engine::ids::Epoch;
use cli_coordinator::journal::redis::RedisStore;
use cli_coordinator::journal::shared::{Connector, Store, StoreError, end_of};

use super::fixture::{at, batch, connector, open, project};
use crate::support::redis::Redis;
use crate::support::until;

async fn cluster() -> Vec<Redis> {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        // The bus has the port 10000 above, unless it is given one: a held one is ours.
        nodes.push(Redis::start_clustered().await);
    }
    let addresses = nodes
        .iter()
        .map(|node| format!("127.0.0.1:{}", node.port()));
    let made = Command::new("redis-cli")
        .args(["--cluster", "create", "--cluster-yes"])
        .args(addresses)
        .output()
        .expect("redis-cli is installed: apt-get install redis-tools");
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(made.status.success(), "{said}");
    for node in &nodes {
        until("the Cluster to be whole", async || {
            let redis::Value::BulkString(info) = node.ask(&["CLUSTER", "INFO"]).await else {
                return None;
            };
            let info = String::from_utf8(info).unwrap();
            info.contains("cluster_state:ok").then_some(())
        })
        .await;
    }
    nodes
}

#[tokio::test]
async fn each_project_is_at_the_node_of_its_slot() {
    let nodes = cluster().await;
    let port = nodes[0].port().to_string();
    let variables = [("REDIS_PORT", &*port), ("COORD_REDIS_CLUSTER", "true")];
    let found = connector(&variables);
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut servers = BTreeSet::new();
    for name in names {
        let store = found.connect(&project(name)).await.unwrap();
        servers.insert(store.incarnation());
        assert!(open(&store, None, at(1, 1)).await.unwrap());
        let appended = store.append(Epoch(1), &batch(1..=3)).await;
        assert_eq!(appended, Ok(end_of(2)));
    }
    assert_eq!(servers.len(), 3, "one project a node at least");
    assert_eq!(found.projects().await.unwrap(), names.map(project));
    // Whichever node is asked, also when it is not the configured one that answers.
    let port = nodes[2].port().to_string();
    let other = connector(&[("REDIS_PORT", &port), ("COORD_REDIS_CLUSTER", "true")]);
    let store = other.connect(&project("a")).await.unwrap();
    assert_eq!(store.look().await.unwrap().last, Some(at(1, 2)));
    moved(&nodes, &store, &found).await;
}

/// The slot of project a goes to another node: the old one refuses, and it is found at the new one.
async fn moved(nodes: &[Redis], store: &RedisStore, found: &impl Connector) {
    let redis::Value::Int(slot) = nodes[0].ask(&["CLUSTER", "KEYSLOT", "{a}"]).await else {
        panic!("a slot is a number");
    };
    let slot = slot.to_string();
    let mut owner = 0;
    let mut ids = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        let redis::Value::BulkString(id) = node.ask(&["CLUSTER", "MYID"]).await else {
            panic!("an id is a text");
        };
        ids.push(String::from_utf8(id).unwrap());
        let held = node.ask(&["CLUSTER", "COUNTKEYSINSLOT", &slot]).await;
        if held != redis::Value::Int(0) {
            owner = number;
        }
    }
    let to = (owner + 1) % nodes.len();
    let (owner, to, [from_id, to_id]) = (&nodes[owner], &nodes[to], [&ids[owner], &ids[to]]);
    to.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", from_id])
        .await;
    owner
        .ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", to_id])
        .await;
    let keys = ["coord:{a}:journal", "coord:{a}:meta"];
    for key in keys {
        let port = to.port().to_string();
        owner
            .ask(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"])
            .await;
    }
    let asked = store.append(Epoch(1), &batch(4..=4)).await.unwrap_err();
    assert!(matches!(asked, StoreError::Refused(_)), "{asked:?}");
    assert!(asked.to_string().contains("ASK"), "{asked}");
    to.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", to_id]).await;
    owner
        .ask(&["CLUSTER", "SETSLOT", &slot, "NODE", to_id])
        .await;
    let gone = store.append(Epoch(1), &batch(4..=5)).await.unwrap_err();
    assert!(matches!(gone, StoreError::Refused(_)), "{gone:?}");
    assert!(gone.to_string().contains("MOVED"), "{gone}");
    let store = until("the slot's new node", async || {
        let store = found.connect(&project("a")).await.ok()?;
        store.look().await.ok()?.last.is_some().then_some(store)
    })
    .await;
    assert_ne!(
        store.look().await.unwrap().epoch.unwrap().1,
        store.look().await.unwrap().incarnation
    );
}
