//! Stores on a server, and a few records to put there.

use cli_coordinator::config::{Bound, Config, Flags, Invoker, MapEnvironment};
use cli_coordinator::engine::ids::{Cursor, Epoch, JournalTime, ProjectName};
use cli_coordinator::journal::Entry;
use cli_coordinator::journal::redis::{RedisConnector, RedisStore};
use cli_coordinator::journal::shared::{
    Batch, Connector, Store, StoreError, StreamRecord, StreamSnapshot, end_of,
};

use crate::support::redis::Redis;

/// What a coordinator of this environment reads its configuration from.
pub(crate) type Variables<'a> = &'a [(&'a str, &'a str)];

pub(crate) fn connector(variables: Variables<'_>) -> RedisConnector {
    let mut environment = MapEnvironment::from([("HOME", "/nonexistent")]);
    for (name, value) in variables {
        let (name, value) = ((*name).to_owned(), (*value).to_owned());
        environment.variables.insert(name, value);
    }
    let config = Config::load(
        &Flags::default(),
        &environment,
        Invoker {
            uid: 1000,
            port_min: 1024,
            bound: Bound::default(),
        },
    )
    .unwrap();
    RedisConnector::new(config.redis.as_ref().unwrap(), config.profile).unwrap()
}

pub(crate) fn connector_to(redis: &Redis) -> RedisConnector {
    connector(&[("REDIS_PORT", &redis.port().to_string())])
}

pub(crate) fn project(name: &str) -> ProjectName {
    name.parse().unwrap()
}

pub(crate) async fn connect(redis: &Redis) -> RedisStore {
    connector_to(redis).connect(&project("p")).await.unwrap()
}

/// Why there is no store.
pub(crate) async fn refused(connector: &RedisConnector) -> StoreError {
    connector.connect(&project("p")).await.unwrap_err()
}

/// A store in which epoch 1 began with its marker at position 1.
pub(crate) async fn begun(redis: &Redis) -> RedisStore {
    let store = connect(redis).await;
    assert!(open(&store, None, at(1, 1)).await.unwrap());
    store
}

/// Opens an epoch of this store's incarnation with `entry(0)` as its marker.
pub(crate) async fn open(
    store: &RedisStore,
    expected: Option<Cursor>,
    to: Cursor,
) -> Result<bool, StoreError> {
    let incarnation = store.incarnation();
    store
        .open_epoch(&incarnation, expected, to, &entry(0))
        .await
}

/// Seeds the store likewise.
pub(crate) async fn seed(
    store: &RedisStore,
    snapshot: &StreamSnapshot,
    to: Cursor,
) -> Result<bool, StoreError> {
    let incarnation = store.incarnation();
    store
        .seed(&incarnation, Some(snapshot), to, &entry(0))
        .await
}

/// The end of a record.
pub(crate) fn at(epoch: u64, number: u64) -> Cursor {
    Cursor {
        epoch: Epoch(epoch),
        position: end_of(number),
    }
}

pub(crate) fn entry(number: u64) -> Entry {
    Entry {
        project: project("p"),
        at_ms: JournalTime(number * 10),
        body: format!(r#"{{"n":{number}}}"#).into_bytes(),
    }
}

/// A batch of such entries.
pub(crate) fn batch(numbers: std::ops::RangeInclusive<u64>) -> Batch {
    let entries: Vec<Entry> = numbers.map(entry).collect();
    let commands = entries.iter().map(|entry| (entry.at_ms, &*entry.body));
    Batch::of_all(commands).unwrap()
}

pub(crate) fn lone(number: u64) -> Batch {
    Batch::of(&entry(number))
}

/// Appends each of these as a record of its own to epoch 1.
pub(crate) async fn singly(store: &RedisStore, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        store.append(Epoch(1), &lone(number)).await.unwrap();
    }
}

/// A record of one of them.
pub(crate) fn record(epoch: u64, position: u64, number: u64) -> StreamRecord {
    StreamRecord {
        at: at(epoch, position),
        batch: lone(number),
    }
}

pub(crate) fn snapshot(epoch: u64, position: u64, state: &str) -> StreamSnapshot {
    StreamSnapshot {
        at: at(epoch, position),
        state: state.into(),
    }
}

pub(crate) async fn everything(store: &RedisStore) -> Vec<StreamRecord> {
    store.read(Cursor::default(), usize::MAX).await.unwrap()
}
