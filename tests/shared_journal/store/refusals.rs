//! What Redis refuses and how it breaks, in the store's terms.

use cli_coordinator::engine::ids::Epoch;
use cli_coordinator::journal::shared::{Candidate, Connector, Store, StoreError, end_of, next_end};

use super::fixture::{
    at, batch, begun, connect, connector, connector_to, everything, open, project, refused, seed,
    snapshot,
};
use crate::support::redis::Redis;
use crate::support::until;

/// Checks the kind and the words of an error.
macro_rules! check {
    ($error:expr, $kind:ident, $($word:expr),+) => {{
        let error = $error;
        let text = error.to_string();
        assert!(matches!(error, StoreError::$kind(_)), "{error:?}");
        $(assert!(text.contains($word), "{:?} is not in {text:?}", $word);)+
    }};
}

#[tokio::test]
async fn another_environment_is_refused() {
    let redis = Redis::start(&[]).await;
    let port = redis.port().to_string();
    connect(&redis).await;
    let staging = connector(&[("REDIS_PORT", &port), ("COORD_PROFILE", "staging")]);
    check!(
        refused(&staging).await,
        Unfit,
        "development",
        "staging",
        "redis.database"
    );
    let database = ("REDIS_DATABASE", "1");
    let elsewhere = [
        ("REDIS_PORT", &*port),
        ("COORD_PROFILE", "staging"),
        database,
    ];
    refused_nothing(&elsewhere).await;
    check!(
        refused(&connector(&[("REDIS_PORT", &port), database])).await,
        Unfit,
        "staging"
    );
}

async fn refused_nothing(variables: &[(&str, &str)]) {
    let project = project("p");
    connector(variables).connect(&project).await.unwrap();
}

#[tokio::test]
async fn another_format_is_refused() {
    let redis = Redis::start(&[]).await;
    let store = begun(&redis).await;
    redis.ask(&["HSET", "coord:{p}:meta", "format", "3"]).await;
    check!(
        store.look().await.unwrap_err(),
        Unfit,
        "format 3",
        "upgrade"
    );
    check!(refused(&connector_to(&redis)).await, Unfit, "format 3");
    redis.ask(&["HSET", "coord:{p}:meta", "format", "1"]).await;
    check!(store.look().await.unwrap_err(), Unfit, "format 1", "backup");
}

#[tokio::test]
async fn keys_of_others_are_told() {
    let redis = Redis::start(&[]).await;
    let store = begun(&redis).await;
    let records = [
        ("1-2", "a", "0 2\n{}\n", "not a batch"),
        ("1-3", "b", "", "not a batch"),
        ("1-4", "b", "0 9\n{}\n", "not a batch"),
    ];
    for (id, field, value, why) in records {
        redis
            .ask(&["XADD", "coord:{p}:journal", id, field, value])
            .await;
        let number = id.split_once('-').unwrap().1.parse().unwrap();
        let read = store.read(at(1, number - 1), 9).await.unwrap_err();
        check!(read, Corrupt, &*at(1, number).to_string(), why);
    }
    redis
        .ask(&["HSET", "coord:{p}:meta", "epoch", "soon"])
        .await;
    check!(store.look().await.unwrap_err(), Corrupt, "epoch", "soon");
    for key in ["journal", "snapshot", "meta", "seeding"] {
        let redis = Redis::start(&[]).await;
        let store = begun(&redis).await;
        let key = format!("coord:{{p}}:{key}");
        redis.ask(&["DEL", &key]).await;
        redis.ask(&["SET", &key, "something"]).await;
        let error = match &*key {
            "coord:{p}:seeding" => stand(&store).await,
            _ => store.look().await.unwrap_err(),
        };
        check!(error, Corrupt, "WRONGTYPE");
        if key.ends_with("journal") {
            let appended = store.append(Epoch(1), &batch(1..=2)).await;
            check!(appended.unwrap_err(), Corrupt, "WRONGTYPE");
            check!(
                store.read(at(0, 0), 1).await.unwrap_err(),
                Corrupt,
                "WRONGTYPE"
            );
        }
    }
}

async fn stand(store: &impl Store) -> StoreError {
    let candidate = Candidate {
        known: at(1, 1),
        node: "n".parse().unwrap(),
    };
    store.stand_for_seeding(&candidate).await.unwrap_err()
}

#[tokio::test]
async fn a_full_redis_takes_nothing_but_lets_go() {
    let redis = Redis::start(&["--maxmemory-policy", "noeviction"]).await;
    let store = begun(&redis).await;
    store.append(Epoch(1), &batch(1..=50)).await.unwrap();
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
    for batch in [batch(51..=51), batch(51..=53)] {
        check!(
            store.append(Epoch(1), &batch).await.unwrap_err(),
            Full,
            "OOM"
        );
    }
    // A snapshot is the way out: it lets go of records. Another incarnation needs an epoch for that.
    let opened = open(&store, Some(at(1, 2)), at(2, 3)).await;
    assert_eq!(opened, Ok(true));
    assert_eq!(everything(&store).await.len(), 3);
    let saved = store
        .save_snapshot(Epoch(2), &snapshot(2, 3, "{}"), at(2, 4))
        .await;
    assert_eq!(saved.unwrap().trimmed, 2);
    // What is empty is not filled beyond its limit.
    redis.ask(&["FLUSHALL"]).await;
    let seeded = seed(&store, &snapshot(2, 52, "{}"), at(3, 53)).await;
    check!(seeded.unwrap_err(), Full, "OOM");
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]).await;
    let seeded = seed(&store, &snapshot(2, 52, "{}"), at(3, 53)).await;
    assert_eq!(seeded, Ok(true));
    store.append(Epoch(3), &batch(1..=2)).await.unwrap();
}

#[tokio::test]
async fn a_replica_is_refused_and_so_is_who_becomes_one() {
    let master = Redis::start(&[]).await;
    let port = master.port().to_string();
    let redis = Redis::start(&["--replicaof", &format!("127.0.0.1 {port}")]).await;
    check!(refused(&connector_to(&redis)).await, Refused, "replica");
    redis.ask(&["REPLICAOF", "NO", "ONE"]).await;
    let store = begun(&redis).await;
    let opened = async |epoch: u64| {
        let (last, next) = (at(epoch - 1, epoch - 1), at(epoch, epoch));
        open(&store, Some(last), next).await
    };
    assert_eq!(opened(2).await, Ok(true));
    redis.ask(&["REPLICAOF", "127.0.0.1", "1"]).await;
    for batch in [batch(1..=1), batch(1..=2)] {
        let appended = store.append(Epoch(2), &batch).await;
        check!(appended.unwrap_err(), Refused, "READONLY");
    }
    check!(opened(3).await.unwrap_err(), Refused, "READONLY");
    check!(store.look().await.unwrap_err(), Refused, "replica");
    // A master again, but another one than before.
    redis.ask(&["REPLICAOF", "NO", "ONE"]).await;
    check!(
        opened(3).await.unwrap_err(),
        Refused,
        "restarted or changed its role"
    );
    check!(store.look().await.unwrap_err(), Refused, "changed its role");
}

#[tokio::test]
async fn a_server_that_dies_is_out_of_reach_and_another_incarnation_afterwards() {
    let mut redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let store = begun(&redis).await;
    let mut acknowledged = end_of(1);
    let pid = nix::unistd::Pid::from_raw(redis.pid().try_into().unwrap());
    let appending = async {
        loop {
            match store.append(Epoch(1), &batch(1..=3)).await {
                Ok(end) => acknowledged = end,
                Err(error) => break error,
            }
        }
    };
    let killing = async {
        until("some records", async || {
            let length = redis.ask(&["XLEN", "coord:{p}:journal"]).await;
            matches!(length, redis::Value::Int(count) if count > 30).then_some(())
        })
        .await;
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    };
    let (error, ()) = futures_util::future::join(appending, killing).await;
    check!(error, Unreachable, "cannot be reached");
    check!(
        store.look().await.unwrap_err(),
        Unreachable,
        "cannot be reached"
    );
    redis.start_again().await;
    let again = until("Redis to load", async || {
        let project = project("p");
        connector_to(&redis).connect(&project).await.ok()
    })
    .await;
    let look = again.look().await.unwrap();
    let (epoch, incarnation) = look.epoch.unwrap();
    assert_eq!(epoch, Epoch(1));
    assert_eq!(incarnation, store.incarnation());
    assert_ne!(incarnation, look.incarnation);
    // What was in flight is there as a whole or not at all, behind all that was acknowledged.
    let last = look.last.unwrap().position;
    assert!(
        [acknowledged, next_end(acknowledged)].contains(&last),
        "{last} {acknowledged}"
    );
}

#[tokio::test]
async fn nobody_there_is_out_of_reach() {
    let mut redis = Redis::start(&[]).await;
    redis.kill();
    let port = redis.port().to_string();
    check!(refused(&connector_to(&redis)).await, Unreachable, &port);
    let unknown = connector(&[("REDIS_HOST", "nowhere.invalid")]);
    check!(refused(&unknown).await, Unreachable, "nowhere.invalid");
}

#[tokio::test]
async fn who_may_not_is_refused_with_redis_words() {
    let redis = Redis::start(&["--requirepass", "the-secret"]).await;
    let port = redis.port().to_string();
    check!(refused(&connector_to(&redis)).await, Refused, "NOAUTH");
    let wrong = [("REDIS_PORT", &*port), ("REDIS_PASSWORD", "some-guess")];
    let error = refused(&connector(&wrong)).await;
    assert!(!error.to_string().contains("some-guess"), "{error}");
    check!(error, Refused, "redis.password");
    refused_nothing(&[("REDIS_PORT", &*port), ("REDIS_PASSWORD", "the-secret")]).await;
}

#[tokio::test]
async fn an_acl_user_with_the_rights_of_the_manual_does_everything() {
    let redis = Redis::start(&[]).await;
    let port = redis.port().to_string();
    let rule = ["ACL", "SETUSER", "coord", "on", ">some-secret", "~coord:*"];
    let rights = [
        "+eval",
        "+info",
        "+wait",
        "+get",
        "+set",
        "+sadd",
        "+smembers",
        "+exists",
        "+xadd",
        "+xread",
        "+xrange",
        "+xtrim",
        "+xinfo|stream",
        "+hget",
        "+hmget",
        "+hset",
        "+hdel",
        "+hgetall",
        "+pexpire",
        "+time",
    ];
    redis.ask(&[&rule[..], &rights[..]].concat()).await;
    let variables = [
        ("REDIS_PORT", &*port),
        ("REDIS_USER", "coord"),
        ("REDIS_PASSWORD", "some-secret"),
    ];
    let connector = connector(&variables);
    let store = connector.connect(&project("p")).await.unwrap();
    let seeded = seed(&store, &snapshot(1, 1, "{}"), at(2, 2)).await;
    assert!(seeded.unwrap());
    store.append(Epoch(2), &batch(1..=3)).await.unwrap();
    let milliseconds = std::time::Duration::from_millis(1);
    let followed = store.follow(at(2, 2), 9, milliseconds).await.unwrap();
    assert_eq!(followed[0].batch, batch(1..=3));
    assert_eq!(everything(&store).await.len(), 2);
    store
        .save_snapshot(Epoch(2), &snapshot(2, 3, "{}"), at(2, 4))
        .await
        .unwrap();
    store.snapshot().await.unwrap();
    let projects = connector.projects().await.unwrap();
    assert_eq!(projects, [project("p")]);
    redis.ask(&["ACL", "SETUSER", "coord", "-xadd"]).await;
    let appended = store.append(Epoch(2), &batch(1..=2)).await.unwrap_err();
    check!(appended, Refused, "NOPERM", "xadd");
}

#[tokio::test]
async fn a_redis_that_loads_is_refused_until_it_has() {
    let arguments = [
        ["--enable-debug-command", "yes"],
        // It answers in between, and waits at every key while it is told to.
        ["--loading-process-events-interval-bytes", "1024"],
    ];
    let mut redis = Redis::start(arguments.as_flattened()).await;
    redis.ask(&["DEBUG", "POPULATE", "100000"]).await;
    redis.ask(&["SAVE"]).await;
    redis.start_again_with(&["--key-load-delay", "1000"]);
    let found = connector_to(&redis);
    let loading = until("Redis to load", async || {
        let error = found.connect(&project("p")).await.err()?;
        matches!(error, StoreError::Refused(_)).then_some(error)
    })
    .await;
    check!(loading, Refused, "LOADING");
    redis.say("CONFIG SET key-load-delay 0", "+OK").await;
    until("Redis to have loaded", async || {
        found.connect(&project("p")).await.ok()
    })
    .await;
}
