//! What each call of the store does when all is well.

use cli_coordinator::engine::ids::Epoch;
use cli_coordinator::journal::redis::READ_RECORDS_MAX;
use cli_coordinator::journal::shared::{
    Candidate, Connector, Saved, Store, StoreError, StreamRecord, end_of,
};

use redis::Value;

use super::fixture::{
    at, batch, begun, connect, connector_to, everything, lone, open, project, record, seed, singly,
    snapshot,
};
use crate::support::redis::Redis;
use crate::support::{PATIENCE, until, within};

#[tokio::test]
async fn an_empty_store_holds_nothing() {
    let redis = Redis::start(&[]).await;
    let store = connect(&redis).await;
    let look = store.look().await.unwrap();
    assert_eq!(look.incarnation, store.incarnation());
    assert_eq!((look.epoch, look.last, look.snapshot), (None, None, None));
    assert_eq!(everything(&store).await, []);
    assert_eq!(store.snapshot().await.unwrap(), None);
    let gone = store.append(Epoch(1), &lone(1)).await.unwrap_err();
    assert_eq!(gone, StoreError::StreamGone);
    let gone = store.append(Epoch(1), &batch(1..=3)).await.unwrap_err();
    assert_eq!(gone, StoreError::StreamGone);
    assert_eq!(store.look().await.unwrap().last, None);
    assert_eq!(connector_to(&redis).projects().await.unwrap(), []);
}

#[tokio::test]
async fn an_epoch_begins_with_its_marker_and_goes_on_without_a_hole() {
    let redis = Redis::start(&[]).await;
    let store = begun(&redis).await;
    let projects = connector_to(&redis).projects().await.unwrap();
    assert_eq!(projects, [project("p")]);
    assert_eq!(store.append(Epoch(1), &lone(1)).await, Ok(end_of(2)));
    let three = store.append(Epoch(1), &batch(2..=4)).await;
    assert_eq!(three, Ok(end_of(3)));
    // The next one: only from the end, and only once.
    let next = async |expected, to| open(&store, expected, to).await.unwrap();
    assert!(!next(Some(at(1, 2)), at(2, 3)).await);
    assert!(!next(None, at(2, 4)).await);
    assert!(next(Some(at(1, 3)), at(2, 4)).await);
    assert!(!next(Some(at(1, 3)), at(2, 4)).await);
    assert_eq!(store.append(Epoch(2), &lone(6)).await, Ok(end_of(5)));
    let three = StreamRecord {
        at: at(1, 3),
        batch: batch(2..=4),
    };
    let expected = [
        record(1, 1, 0),
        record(1, 2, 1),
        three,
        record(2, 4, 0),
        record(2, 5, 6),
    ];
    assert_eq!(everything(&store).await, expected);
    assert_eq!(store.read(at(1, 3), 1).await.unwrap(), expected[3..4]);
    assert_eq!(store.read(at(2, 5), 9).await.unwrap(), []);
    let look = store.look().await.unwrap();
    assert_eq!(look.epoch, Some((Epoch(2), store.incarnation())));
    assert_eq!(look.last, Some(at(2, 5)));
}

#[tokio::test]
async fn who_appends_to_an_epoch_that_is_over_is_refused() {
    let redis = Redis::start(&[]).await;
    let (old, new) = (begun(&redis).await, connect(&redis).await);
    assert!(open(&new, Some(at(1, 1)), at(2, 2)).await.unwrap());
    for batch in [batch(2..=2), batch(2..=5)] {
        let ended = old.append(Epoch(1), &batch).await;
        assert_eq!(ended, Err(StoreError::EpochEnded));
    }
    assert_eq!(everything(&new).await.len(), 2);
}

#[tokio::test]
async fn an_epoch_without_a_marker_is_found_out() {
    let redis = Redis::start(&[]).await;
    let store = begun(&redis).await;
    let odd = store.append(Epoch(9), &lone(1)).await.unwrap_err();
    assert!(matches!(odd, StoreError::Corrupt(_)), "{odd}");
}

#[tokio::test]
async fn of_many_who_seed_at_once_one_does() {
    const SEEDERS: usize = 12;
    let redis = Redis::start(&[]).await;
    let seeders = (0..SEEDERS).map(|number| {
        let redis = &redis;
        async move {
            let store = connect(redis).await;
            let state = snapshot(4, 40, &format!("{{\"seeder\":{number}}}"));
            let seeded = seed(&store, &state, at(5, 41)).await;
            seeded.unwrap().then_some(state)
        }
    });
    let won: Vec<_> = futures_util::future::join_all(seeders)
        .await
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(won.len(), 1);
    let store = connect(&redis).await;
    assert_eq!(store.snapshot().await.unwrap(), Some(won[0].clone()));
    assert_eq!(everything(&store).await, [record(5, 41, 0)]);
    let look = store.look().await.unwrap();
    assert_eq!(look.snapshot, Some(at(4, 40)));
    assert_eq!(look.epoch, Some((Epoch(5), store.incarnation())));
    assert_eq!(store.append(Epoch(5), &lone(2)).await, Ok(end_of(42)));
}

#[tokio::test]
async fn who_follows_is_woken_by_another_store() {
    let redis = Redis::start(&[]).await;
    let (one, other) = (begun(&redis).await, connect(&redis).await);
    let follow = one.follow(at(1, 1), 9, PATIENCE);
    let append = async {
        blocked_clients(&redis, "1").await;
        other.append(Epoch(1), &lone(1)).await.unwrap();
    };
    let (found, ()) = within("the record", futures_util::future::join(follow, append)).await;
    assert_eq!(found.unwrap(), [record(1, 2, 1)]);
    // What is there already comes at once, and no more of it than was asked for.
    singly(&other, 2..=3).await;
    let found = within("records", one.follow(at(1, 2), 1, PATIENCE)).await;
    assert_eq!(found.unwrap(), [record(1, 3, 2)]);
}

#[tokio::test]
async fn appending_goes_on_beside_following_and_a_dropped_follow_takes_nothing() {
    let redis = Redis::start(&[]).await;
    let store = begun(&redis).await;
    {
        let follow = std::pin::pin!(store.follow(at(1, 1), 9, PATIENCE));
        let blocked = std::pin::pin!(blocked_clients(&redis, "1"));
        futures_util::future::select(follow, blocked).await;
    }
    assert_eq!(store.append(Epoch(1), &lone(1)).await, Ok(end_of(2)));
    let found = within("the record", store.follow(at(1, 1), 9, PATIENCE)).await;
    assert_eq!(found.unwrap(), [record(1, 2, 1)]);
}

async fn blocked_clients(redis: &Redis, count: &str) {
    until("a client that waits", async || {
        (redis.info("blocked_clients").await == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_answer_is_bounded() {
    let redis = Redis::start(&[]).await;
    let store = begun(&redis).await;
    let count = READ_RECORDS_MAX as u64 + 10;
    singly(&store, 1..=count).await;
    let first = everything(&store).await;
    assert_eq!(first.len(), READ_RECORDS_MAX);
    let rest = store.read(first.last().unwrap().at, usize::MAX).await;
    assert_eq!(rest.unwrap().len(), 11);
    let followed = store.follow(at(0, 0), usize::MAX, PATIENCE).await.unwrap();
    assert_eq!(followed, first);
}

#[tokio::test]
async fn a_snapshot_lets_go_of_what_it_covers() {
    let redis = Redis::start(&[]).await;
    let store = begun(&redis).await;
    singly(&store, 1..=99).await;
    let save = async |position: u64, records_kept| {
        let state = snapshot(1, position, &format!("{{\"at\":{position}}}"));
        let keep_from = at(1, position + 1 - records_kept);
        store.save_snapshot(Epoch(1), &state, keep_from).await
    };
    let saved = |kept, trimmed| Ok(Saved { kept, trimmed });
    assert_eq!(save(60, 10).await, saved(true, 50));
    assert_eq!(everything(&store).await[0], record(1, 51, 50));
    // An older one changes nothing; the same one may keep less.
    assert_eq!(save(40, 10).await, saved(false, 0));
    assert_eq!(save(60, 0).await, saved(false, 10));
    assert_eq!(everything(&store).await[0], record(1, 61, 60));
    let kept = store.snapshot().await.unwrap().unwrap();
    assert_eq!(kept, snapshot(1, 60, "{\"at\":60}"));
    // One of records to come is refused; all but the newest may go.
    let ahead = save(101, 0).await.unwrap_err();
    assert!(matches!(ahead, StoreError::Refused(_)), "{ahead}");
    assert_eq!(save(100, 0).await, saved(true, 39));
    assert_eq!(everything(&store).await, [record(1, 100, 99)]);
    assert_eq!(store.look().await.unwrap().last, Some(at(1, 100)));
    assert_eq!(store.append(Epoch(1), &lone(1)).await, Ok(end_of(101)));
}

#[tokio::test]
async fn a_snapshot_of_another_epoch_is_refused() {
    let redis = Redis::start(&[]).await;
    let store = begun(&redis).await;
    assert!(open(&store, Some(at(1, 1)), at(2, 2)).await.unwrap());
    let late = store
        .save_snapshot(Epoch(1), &snapshot(1, 1, "{}"), at(1, 2))
        .await;
    assert_eq!(late, Err(StoreError::EpochEnded));
    let early = store
        .save_snapshot(Epoch(3), &snapshot(2, 2, "{}"), at(2, 3))
        .await;
    assert!(matches!(early, Err(StoreError::Refused(_))), "{early:?}");
    assert_eq!(store.snapshot().await.unwrap(), None);
    redis.ask(&["DEL", "coord:{p}:journal"]).await;
    let gone = store
        .save_snapshot(Epoch(2), &snapshot(2, 2, "{}"), at(2, 3))
        .await;
    assert_eq!(gone, Err(StoreError::StreamGone));
}

#[tokio::test]
async fn a_large_snapshot_comes_back_whole() {
    const LARGE_BYTES: usize = 100 << 20;
    let redis = Redis::start(&[]).await;
    let store = begun(&redis).await;
    let large = snapshot(1, 1, &"x".repeat(LARGE_BYTES));
    let saved = store
        .save_snapshot(Epoch(1), &large, at(1, 2))
        .await
        .unwrap();
    assert!(saved.kept);
    let kept = store.snapshot().await.unwrap();
    // A difference of a hundred megabytes is not worth printing.
    assert!(kept.is_some_and(|kept| kept == large));
}

#[tokio::test]
async fn candidates_stand_for_a_while() {
    let redis = Redis::start(&[]).await;
    let (one, other) = (connect(&redis).await, connect(&redis).await);
    let candidate = |node: &str, position| Candidate {
        known: at(3, position),
        node: node.parse().unwrap(),
    };
    let (small, large) = (candidate("b", 7), candidate("a", 12));
    let alone = one.stand_for_seeding(&large).await.unwrap();
    assert_eq!(alone, std::slice::from_ref(&large));
    let both = other.stand_for_seeding(&small).await.unwrap();
    assert_eq!(both, [small, large]);
    let Value::Int(expires_ms) = redis.ask(&["PTTL", "coord:{p}:seeding"]).await else {
        panic!("it has no end");
    };
    assert!(expires_ms > 0, "{expires_ms}");
    // Somebody whose time is over, one from a clock that jumped, and one who never stood.
    for (node, stands) in [
        ("c", "3-99 1"),
        ("d", "3-99 99999999999999"),
        ("e", "hello"),
    ] {
        redis
            .ask(&["HSET", "coord:{p}:seeding", node, stands])
            .await;
    }
    let better = candidate("b", 8);
    let both = other.stand_for_seeding(&better).await.unwrap();
    assert_eq!(both, [better, candidate("a", 12)]);
    // Whoever knows a later epoch comes after all that know more of an earlier one.
    let later = Candidate {
        known: at(4, 2),
        node: "a".parse().unwrap(),
    };
    let both = one.stand_for_seeding(&later).await.unwrap();
    assert_eq!(both, [candidate("b", 8), later]);
}
