//! A master that Sentinels watch, and what a failover does.

use cli_coordinator::engine::ids::Epoch;
use cli_coordinator::journal::shared::{Connector, Store, StoreError};

use super::fixture::{at, batch, connector, everything, open, project, refused};
use crate::support::port::HeldPort;
use crate::support::redis::Redis;
use crate::support::until;

const SECRET: &str = "the-redis-secret";
const SENTINEL_SECRET: &str = "the-sentinel-secret";

/// Redis reads a Sentinel's orders from a file, which it writes to.
async fn sentinel(master: &Redis) -> Redis {
    let port = master.port();
    let orders = format!(
        "sentinel monitor coord 127.0.0.1 {port} 2\nsentinel auth-pass coord {SECRET}\n\
         sentinel down-after-milliseconds coord 300\nsentinel failover-timeout coord 3000\n\
         requirepass {SENTINEL_SECRET}\nsentinel sentinel-pass {SENTINEL_SECRET}\n"
    );
    Redis::start_from("sentinel.conf", &orders, &["--sentinel"]).await
}

#[tokio::test]
async fn the_master_is_found_and_after_a_failover_the_next_one() {
    let secrets = ["--requirepass", SECRET, "--masterauth", SECRET];
    let mut master = Redis::start(&secrets).await;
    let of = format!("127.0.0.1 {}", master.port());
    let replica = Redis::start(&[&["--replicaof", &of], &secrets[..]].concat()).await;
    let mut sentinels = Vec::new();
    for _ in 0..3 {
        sentinels.push(sentinel(&master).await);
    }
    // One that is not there is passed over.
    let nowhere = HeldPort::take();
    let ports = sentinels.iter().map(Redis::port);
    let ports = std::iter::once(nowhere.number()).chain(ports);
    let list: Vec<String> = ports.map(|port| format!("127.0.0.1:{port}")).collect();
    let list = list.join(",");
    let variables = |master: &'static str, secret: &'static str| {
        [
            ("COORD_REDIS_SENTINELS", list.clone()),
            ("COORD_REDIS_SENTINEL_MASTER", master.to_owned()),
            ("COORD_REDIS_SENTINEL_PASSWORD", secret.to_owned()),
            ("REDIS_PASSWORD", SECRET.to_owned()),
        ]
    };
    let with = |master, secret| {
        let variables = variables(master, secret);
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, text)| (*name, &**text))
            .collect();
        connector(&variables)
    };
    let found = with("coord", SENTINEL_SECRET);
    let located = found.locate().await.unwrap();
    assert_eq!(located.port.number(), master.port());
    let store = found.connect(&project("p")).await.unwrap();
    assert!(open(&store, None, at(1, 1)).await.unwrap());
    store.append(Epoch(1), &batch(1..=9)).await.unwrap();

    let unknown = refused(&with("other", SENTINEL_SECRET)).await;
    assert!(matches!(unknown, StoreError::Refused(_)), "{unknown:?}");
    assert!(
        unknown.to_string().contains("redis.sentinel_master"),
        "{unknown}"
    );
    let locked_out = refused(&with("coord", "some-guess")).await;
    assert!(
        matches!(locked_out, StoreError::Refused(_)),
        "{locked_out:?}"
    );
    assert!(
        !locked_out.to_string().contains("some-guess"),
        "{locked_out}"
    );

    // Sentinels elect another one when they know of each other and of the replica.
    for sentinel in &sentinels {
        until("the Sentinels to know each other", async || {
            let known = sentinel.info_as(SENTINEL_SECRET, "master0").await;
            (known.contains("slaves=1") && known.contains("sentinels=3")).then_some(())
        })
        .await;
    }
    until("the replica to have it all", async || {
        let offset = master.info_as(SECRET, "master_repl_offset").await;
        (replica.info_as(SECRET, "slave_repl_offset").await == offset).then_some(())
    })
    .await;
    let before = store.incarnation();
    master.kill();
    let appended = store.append(Epoch(1), &batch(1..=1)).await.unwrap_err();
    assert!(
        matches!(appended, StoreError::Unreachable(_)),
        "{appended:?}"
    );
    let store = until("a new master", async || {
        found.connect(&project("p")).await.ok()
    })
    .await;
    let look = store.look().await.unwrap();
    assert_eq!(look.epoch, Some((Epoch(1), before)));
    assert_ne!(look.epoch.unwrap().1, look.incarnation);
    assert_eq!(everything(&store).await.len(), 2);
    assert!(open(&store, look.last, at(2, 3)).await.unwrap());
}
