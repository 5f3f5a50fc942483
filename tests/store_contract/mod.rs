//! What every store of a shared journal does, the one in Redis and the simulated one: each of these gets
//! two connections to a store that is empty.

use std::time::Duration;

use cli_coordinator::engine::ids::{Cursor, Epoch, JournalTime, Position};
use cli_coordinator::journal::Entry;
use cli_coordinator::journal::shared::{
    Batch, Candidate, Saved, Store, StoreError, StreamRecord, StreamSnapshot, end_of,
};

/// The end of a record.
fn at(epoch: u64, number: u64) -> Cursor {
    Cursor {
        epoch: Epoch(epoch),
        position: end_of(number),
    }
}

fn entry(number: u64) -> Entry {
    Entry {
        project: "p".parse().unwrap(),
        at_ms: JournalTime(number * 10),
        body: format!(r#"{{"n":{number}}}"#).into_bytes(),
    }
}

fn batch(numbers: std::ops::RangeInclusive<u64>) -> Batch {
    let entries: Vec<Entry> = numbers.map(entry).collect();
    let commands = entries.iter().map(|entry| (entry.at_ms, &*entry.body));
    Batch::of_all(commands).unwrap()
}

fn snapshot(epoch: u64, number: u64) -> StreamSnapshot {
    StreamSnapshot {
        at: at(epoch, number),
        state: format!(r#"{{"at":{number}}}"#).into_bytes(),
    }
}

async fn open<S: Store>(
    store: &S,
    expected: Option<Cursor>,
    to: Cursor,
) -> Result<bool, StoreError> {
    let incarnation = store.look().await?.incarnation;
    store
        .open_epoch(&incarnation, expected, to, &entry(0))
        .await
}

async fn cursors<S: Store>(store: &S) -> Vec<Cursor> {
    let all: Vec<StreamRecord> = store.read(Cursor::default(), 500).await.unwrap();
    all.iter().map(|record| record.at).collect()
}

/// Nothing can be appended to what is not there, and nothing is made up.
pub(crate) async fn an_empty_store<S: Store>(store: &S) {
    let look = store.look().await.unwrap();
    assert_eq!((look.epoch, look.last, look.snapshot), (None, None, None));
    assert_eq!(store.snapshot().await, Ok(None));
    for batch in [batch(1..=1), batch(1..=3)] {
        let gone = store.append(Epoch(1), &batch).await;
        assert_eq!(gone, Err(StoreError::StreamGone));
    }
    let gone = store
        .save_snapshot(Epoch(1), &snapshot(1, 1), at(1, 2))
        .await;
    assert_eq!(gone, Err(StoreError::StreamGone));
    let gone = store.follow(at(1, 1), 9, Duration::from_millis(1)).await;
    assert_eq!(gone, Err(StoreError::StreamGone));
    assert_eq!(store.look().await.unwrap().last, None);
}

/// Epochs begin once, at the end of the one before; records go on without a hole.
pub(crate) async fn epochs<S: Store>(one: &S, other: &S) {
    assert_eq!(open(one, None, at(1, 1)).await, Ok(true));
    assert_eq!(open(other, None, at(1, 1)).await, Ok(false));
    assert_eq!(one.append(Epoch(1), &batch(1..=3)).await, Ok(end_of(2)));
    assert_eq!(one.append(Epoch(1), &batch(4..=4)).await, Ok(end_of(3)));
    assert_eq!(open(other, Some(at(1, 2)), at(2, 3)).await, Ok(false));
    assert_eq!(open(other, Some(at(1, 3)), at(2, 4)).await, Ok(true));
    assert_eq!(open(one, Some(at(1, 3)), at(2, 4)).await, Ok(false));
    let nothing = one.follow(at(2, 4), 9, Duration::from_millis(1)).await;
    assert_eq!(nothing, Ok(Vec::new()));
    for batch in [batch(5..=5), batch(5..=7)] {
        let ended = one.append(Epoch(1), &batch).await;
        assert_eq!(ended, Err(StoreError::EpochEnded));
    }
    assert_eq!(one.append(Epoch(2), &batch(5..=5)).await, Ok(end_of(5)));
    let all = [at(1, 1), at(1, 2), at(1, 3), at(2, 4), at(2, 5)];
    assert_eq!(cursors(other).await, all);
    let later = other.read(at(1, 3), 1).await.unwrap();
    assert_eq!(later[0].at, at(2, 4));
    // From within a record, the next one.
    let within = Cursor {
        position: Position(end_of(1).0 + 1),
        ..at(1, 1)
    };
    assert_eq!(other.read(within, 1).await.unwrap()[0].at, at(1, 3));
    let three = other.read(at(1, 1), 1).await.unwrap();
    assert_eq!(three[0].batch, batch(1..=3));
    let look = other.look().await.unwrap();
    assert_eq!(look.epoch, Some((Epoch(2), look.incarnation)));
    assert_eq!(look.last, Some(at(2, 5)));
}

/// A snapshot lets go of records, keeps those it is told to, and an older one changes nothing.
pub(crate) async fn snapshots<S: Store>(one: &S, other: &S) {
    assert_eq!(open(one, None, at(1, 1)).await, Ok(true));
    for number in 1..=19 {
        one.append(Epoch(1), &batch(number..=number)).await.unwrap();
    }
    let saved = |kept, trimmed| Ok(Saved { kept, trimmed });
    let save = async |position, records_kept| {
        let (snapshot, from) = (snapshot(1, position), at(1, position + 1 - records_kept));
        other.save_snapshot(Epoch(1), &snapshot, from).await
    };
    assert_eq!(save(10, 3).await, saved(true, 7));
    assert_eq!(cursors(one).await[0], at(1, 8));
    assert_eq!(save(5, 3).await, saved(false, 0));
    assert_eq!(save(10, 0).await, saved(false, 3));
    assert!(matches!(save(21, 0).await, Err(StoreError::Refused(_))));
    assert_eq!(save(20, 0).await, saved(true, 9));
    assert_eq!(cursors(one).await, [at(1, 20)]);
    assert_eq!(one.snapshot().await, Ok(Some(snapshot(1, 20))));
    assert_eq!(one.look().await.unwrap().last, Some(at(1, 20)));
    assert_eq!(open(one, Some(at(1, 20)), at(2, 21)).await, Ok(true));
    assert_eq!(save(20, 0).await, Err(StoreError::EpochEnded));
    let early = one
        .save_snapshot(Epoch(3), &snapshot(2, 21), at(2, 22))
        .await;
    assert!(matches!(early, Err(StoreError::Refused(_))), "{early:?}");
    // What is of an epoch before may stay, too, and so does a record of which only a part is to stay.
    one.append(Epoch(2), &batch(1..=5)).await.unwrap();
    one.append(Epoch(2), &batch(6..=9)).await.unwrap();
    let later = async |keep_from| {
        let snapshot = snapshot(2, 23);
        one.save_snapshot(Epoch(2), &snapshot, keep_from).await
    };
    assert_eq!(later(at(1, 20)).await, saved(true, 0));
    let within = Cursor {
        position: Position(end_of(22).0 - 1),
        ..at(2, 22)
    };
    assert_eq!(later(within).await, saved(false, 2));
    assert_eq!(cursors(one).await, [at(2, 22), at(2, 23)]);
    assert_eq!(later(at(9, 99)).await, saved(false, 1));
}

/// Of several that fill an empty store one does, and those who could are told of each other in order.
pub(crate) async fn seeding<S: Store>(one: &S, other: &S) {
    let candidate = |node: &str, known| Candidate {
        known,
        node: node.parse().unwrap(),
    };
    let (early, late) = (candidate("b", at(1, 40)), candidate("a", at(2, 30)));
    let alone = one.stand_for_seeding(&late).await.unwrap();
    assert_eq!(alone, std::slice::from_ref(&late));
    let both = other.stand_for_seeding(&early).await.unwrap();
    assert_eq!(both, [early, late]);
    let incarnation = one.look().await.unwrap().incarnation;
    let fill = async |store: &S, position, to| {
        let snapshot = snapshot(2, position);
        store
            .seed(&incarnation, Some(&snapshot), to, &entry(0))
            .await
    };
    assert_eq!(fill(one, 30, at(3, 31)).await, Ok(true));
    assert_eq!(fill(other, 29, at(9, 30)).await, Ok(false));
    let look = other.look().await.unwrap();
    assert_eq!(
        (look.last, look.snapshot),
        (Some(at(3, 31)), Some(at(2, 30)))
    );
    assert_eq!(other.append(Epoch(3), &batch(1..=1)).await, Ok(end_of(32)));
}
