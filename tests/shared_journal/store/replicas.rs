//! Writes that replicas must confirm, and what Redis says of its durability.

use cli_coordinator::engine::ids::Epoch;
use cli_coordinator::journal::shared::{Connector, Store, StoreError, end_of};

use super::fixture::{at, batch, connect, connector, everything, lone, open, project};
use crate::support::redis::Redis;
use crate::support::until;

#[tokio::test]
async fn a_write_counts_when_the_replica_has_it() {
    let master = Redis::start(&[]).await;
    let port = master.port().to_string();
    let mut replica = Redis::start(&["--replicaof", &format!("127.0.0.1 {port}")]).await;
    synced(&replica).await;
    let waiting = [
        ("REDIS_PORT", &*port),
        ("COORD_REDIS_WAIT_REPLICAS", "1"),
        ("COORD_REDIS_WAIT_MS", "5000"),
    ];
    let store = connector(&waiting).connect(&project("p")).await.unwrap();
    assert!(open(&store, None, at(1, 1)).await.unwrap());
    assert_eq!(store.append(Epoch(1), &lone(1)).await, Ok(end_of(2)));
    assert_eq!(store.append(Epoch(1), &batch(2..=3)).await, Ok(end_of(3)));
    let length = replica.ask(&["XLEN", "coord:{p}:journal"]).await;
    assert_eq!(length, redis::Value::Int(3));
    // What is refused is refused as such, whatever the replica says.
    assert!(open(&store, Some(at(1, 3)), at(2, 4)).await.unwrap());
    let ended = store.append(Epoch(1), &batch(4..=5)).await;
    assert_eq!(ended, Err(StoreError::EpochEnded));

    replica.kill();
    let impatient = [
        ("REDIS_PORT", &*port),
        ("COORD_REDIS_WAIT_REPLICAS", "1"),
        ("COORD_REDIS_WAIT_MS", "1"),
    ];
    let store = connector(&impatient).connect(&project("p")).await.unwrap();
    let unknown = store.append(Epoch(2), &lone(6)).await.unwrap_err();
    assert!(matches!(unknown, StoreError::Unreachable(_)), "{unknown:?}");
    assert!(
        unknown
            .to_string()
            .contains("only 0 of 1 replicas confirmed"),
        "{unknown}"
    );
    // It was done all the same: only reading tells.
    assert_eq!(everything(&store).await.last().unwrap().at, at(2, 5));
}

#[tokio::test]
async fn a_write_whose_confirmation_is_broken_off_is_unknown() {
    let master = Redis::start(&[]).await;
    let port = master.port().to_string();
    let waiting = [
        ("REDIS_PORT", &*port),
        ("COORD_REDIS_WAIT_REPLICAS", "1"),
        ("COORD_REDIS_WAIT_MS", "60000"),
    ];
    let store = connector(&waiting).connect(&project("p")).await.unwrap();
    assert!(open(&store, None, at(1, 1)).await.unwrap());
    let demoted = async {
        until("the write", async || {
            let length = master.ask(&["XLEN", "coord:{p}:journal"]).await;
            (length == redis::Value::Int(2)).then_some(())
        })
        .await;
        master.ask(&["REPLICAOF", "127.0.0.1", "1"]).await;
    };
    let written = lone(1);
    let (unknown, ()) = tokio::join!(store.append(Epoch(1), &written), demoted);
    let unknown = unknown.unwrap_err();
    // What became the master instead may have it: it must not be written again.
    assert!(matches!(unknown, StoreError::Unreachable(_)), "{unknown:?}");
    assert!(unknown.to_string().contains("written"), "{unknown}");
}

async fn synced(replica: &Redis) {
    until("the replica to be in step", async || {
        (replica.info("master_link_status").await == "up").then_some(())
    })
    .await;
}

#[tokio::test]
async fn durability_is_as_redis_tells_it() {
    let arguments = ["--appendonly", "yes", "--appendfsync", "always"];
    let master = Redis::start(&arguments).await;
    let store = connect(&master).await;
    let durability = store.durability().await.unwrap();
    assert_eq!(durability.appendonly, Some(true));
    assert_eq!(durability.saves, Some(false));
    assert_eq!(durability.warnings(), Vec::<String>::new());

    let port = master.port().to_string();
    let replica = Redis::start(&["--replicaof", &format!("127.0.0.1 {port}")]).await;
    synced(&replica).await;
    let settings = [
        ["appendfsync", "everysec"],
        ["maxmemory", "100mb"],
        ["maxmemory-policy", "allkeys-lru"],
    ];
    for [name, value] in settings {
        master.ask(&["CONFIG", "SET", name, value]).await;
    }
    let durability = store.durability().await.unwrap();
    assert_eq!(durability.replicas, 1);
    let warnings = durability.warnings();
    for word in ["everysec", "redis.wait_replicas", "allkeys-lru"] {
        let found = warnings.iter().any(|warning| warning.contains(word));
        assert!(found, "{word} is not in {warnings:?}");
    }
    assert_eq!(warnings.len(), 3, "{warnings:?}");

    // Who may not ask for the configuration still learns what INFO says.
    let user = [
        "ACL",
        "SETUSER",
        "plain",
        "on",
        ">some-secret",
        "~*",
        "+@all",
        "-config",
    ];
    master.ask(&user).await;
    let variables = [
        ("REDIS_PORT", &*port),
        ("REDIS_USER", "plain"),
        ("REDIS_PASSWORD", "some-secret"),
    ];
    let store = connector(&variables).connect(&project("p")).await.unwrap();
    let durability = store.durability().await.unwrap();
    assert_eq!(
        (durability.appendonly, durability.appendfsync.clone()),
        (Some(true), None)
    );
    assert!(durability.warnings()[0].contains("+config|get"));
}
