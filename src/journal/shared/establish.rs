//! Establishing: what a coordinator does over a new connection before it appends anything. It finds out whether
//! the store still has the line that it knows, opens an epoch if this is another incarnation, fills a store
//! that came back empty, and decides from where to continue.
//!
//! ```text
//!            ┌── no stream, no snapshot ──► stand for seeding, wait ──► the most advanced one seeds ─┐
//!  look ─────┼── other incarnation, no stream, or it ends before what is known ──► open an epoch ────┤
//!    ▲       └── the epoch of this incarnation ──► is the record that is known still there?          │
//!    │                                               yes: continue    no: rebuild from the snapshot  │
//!    └───────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```

use std::future::Future;

use super::{
    Candidate, Look, Store, StoreError, StreamSnapshot, end_of, next_end, number_of, record_end,
};
use crate::engine::ids::{Cursor, Epoch, NodeId};
use crate::journal::Entry;
use crate::planted::{Bug, is_on};

/// The most looks before this connection is given up. Each further look means that another coordinator opened an
/// epoch in between.
const LOOKS_MAX: u32 = 32;
/// How long one round of candidates takes, and how many rounds a coordinator waits for more advanced ones before
/// it fills an empty store.
const SEED_ROUND_MS: u64 = 250;
const SEED_ROUNDS_MIN: u32 = 8;
/// How many rounds it waits for another coordinator to fill the store.
const SEED_ROUNDS_MAX: u32 = 80;
/// Epoch numbers have random gaps. Two epochs may be opened without knowledge of each other, each on a server that
/// lost the other, and must not get the same number.
const EPOCH_GAP_MAX: u64 = 1 << 20;
/// The gap before the epoch of a seeded store. A coordinator that did not notice that the store was emptied may
/// know of a few more epochs. With this gap it still appends to an earlier epoch, and the store refuses it.
const SEED_GAP: u64 = 1 << 32;

/// What establishing needs from the coordinator.
pub trait StateHolder: Sync {
    fn node(&self) -> NodeId;
    /// The newest record that it applied; `None` when it holds nothing of the project.
    fn known(&self) -> Option<Cursor>;
    /// The whole project as of `known`.
    fn snapshot(&self) -> Option<StreamSnapshot>;
    /// The record that opens an epoch.
    fn marker(&self, epoch: Epoch) -> Entry;
    /// A random number.
    fn dice(&self) -> u64;
    /// Called when a stage is reached, so that health can say what the line waits for.
    fn reached(&self, _stage: Stage) {}
    /// Waits. A store may be shut down meanwhile.
    fn pause_ms(&self, milliseconds: u64) -> impl Future<Output = ()> + Send;
}

/// The stages on the way to a line that the coordinator can append to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Connecting,
    /// It looks at what the store holds, and opens an epoch if one is due.
    Looking,
    /// The store is empty. Coordinators that hold more have this long to register; then this one fills the store.
    AwaitingOthers {
        milliseconds: u64,
    },
    /// The store is empty, and another coordinator that holds more has this long to fill it.
    AwaitingSeeder {
        milliseconds: u64,
    },
    /// It reads the records that it does not have yet.
    CatchingUp,
}

/// The result of establishing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Established {
    /// The epoch to append to.
    pub epoch: Epoch,
    /// The newest record when the store was looked at. The coordinator must read up to it before the line is up.
    pub tail: Cursor,
    pub start: Start,
    /// This coordinator opened the epoch.
    pub opened: bool,
    /// This coordinator filled the store.
    pub seeded: bool,
}

/// From where the coordinator continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// After the newest record that it knows.
    Continue,
    /// It lacks trimmed records, or has records that the store lost. It continues from the snapshot, or from an empty
    /// state.
    Rebuild(Option<StreamSnapshot>),
}

/// Establishes the line of one project over a new connection.
pub async fn establish<S: Store, H: StateHolder>(
    store: &S,
    holder: &H,
) -> Result<Established, StoreError> {
    let (mut opened, mut seeded) = (false, false);
    holder.reached(Stage::Looking);
    // Each attempt to change the store may lose against another coordinator. So every turn begins with a look, and
    // only a look decides: what this coordinator tried says nothing about what the store holds now.
    for _ in 0..LOOKS_MAX {
        let look = store.look().await?;
        let known = holder.known();
        // Neither stream nor snapshot: the store is empty. An epoch opened here without seeding would begin a new,
        // empty line, and every coordinator would drop what it holds.
        let Some(tail) = look.last.max(look.snapshot) else {
            seeded |= seed(store, holder).await?;
            continue;
        };
        // The epoch comes first: the start is chosen only by a tail behind which nothing of an earlier incarnation
        // can be appended any more.
        if let Some(epoch) = current(&look, tail, known) {
            let start = start(store, tail, known).await?;
            return Ok(Established {
                epoch,
                tail,
                start,
                opened,
                seeded,
            });
        }
        // Another incarnation, or a stream that was cut: open the next epoch behind the tail. The store refuses if the
        // tail has moved since the look. Then another coordinator was faster, and the next look finds its epoch.
        let epoch = next_epoch(&look, tail, known, holder.dice());
        let at = behind(tail, epoch);
        let marker = holder.marker(epoch);
        opened |= store
            .open_epoch(&look.incarnation, look.last, at, &marker)
            .await?;
    }
    let text = "other coordinators keep opening new epochs".to_owned();
    Err(StoreError::Refused(text))
}

/// The epoch to append to, if it belongs to this incarnation and the stream reaches what is known.
fn current(look: &Look, tail: Cursor, known: Option<Cursor>) -> Option<Epoch> {
    let (epoch, incarnation) = look.epoch.as_ref()?;
    let same = *incarnation == look.incarnation && look.last.is_some();
    let same = same || (is_on(Bug::EpochNotOpened) && look.last.is_some());
    // A stream that ends before what is known was cut by hand. Appended to, it would give known positions to other
    // records.
    let whole = known.is_none_or(|known| known <= tail);
    (same && whole).then_some(*epoch)
}

fn next_epoch(look: &Look, tail: Cursor, known: Option<Cursor>, dice: u64) -> Epoch {
    // Larger than every epoch that the store or this coordinator knows: ids only grow, so otherwise the store would
    // refuse the marker, or accept records of a coordinator that is still in one of those epochs.
    let noted = look.epoch.as_ref().map(|(epoch, _)| *epoch);
    let newest = noted.max(Some(tail.epoch)).max(known.map(|k| k.epoch));
    Epoch(newest.unwrap_or_default().0 + 1 + dice % EPOCH_GAP_MAX)
}

fn behind(tail: Cursor, epoch: Epoch) -> Cursor {
    Cursor {
        epoch,
        position: next_end(tail.position),
    }
}

/// Decides from where to continue. The line is the same if the newest known record is still in the stream. If that
/// record was trimmed, only the snapshot can be trusted: other records may have its position now.
async fn start<S: Store>(
    store: &S,
    tail: Cursor,
    known: Option<Cursor>,
) -> Result<Start, StoreError> {
    if let Some(known) = known {
        if known == tail {
            return Ok(Start::Continue);
        }
        // Read the one record after the one before it: it must be the known one, by epoch and position.
        let number = number_of(known.position);
        let before = Cursor {
            position: end_of(number.saturating_sub(1)),
            ..known
        };
        let found = store.read(before, 1).await?;
        if found.first().is_some_and(|record| record.at == known) {
            return Ok(Start::Continue);
        }
    }
    Ok(Start::Rebuild(store.snapshot().await?))
}

/// Waits until the store is filled, by this coordinator if it holds the most. Returns whether this one filled it.
async fn seed<S: Store, H: StateHolder>(store: &S, holder: &H) -> Result<bool, StoreError> {
    for round in 0..SEED_ROUNDS_MAX {
        let known = holder.known();
        let own = Candidate {
            // A state that was moved here from an embedded journal may end in the middle of a record.
            known: record_end(known.unwrap_or_default()),
            node: holder.node(),
        };
        // Registered again in each round, because the store keeps a candidate only for some seconds.
        let candidates = store.stand_for_seeding(&own).await?;
        let look = store.look().await?;
        if look.last.max(look.snapshot).is_some() {
            return Ok(false);
        }
        // The order of candidates decides, so all of them agree on the one, without talking to each other.
        let most = candidates.iter().max() == Some(&own);
        let most = most || is_on(Bug::AnySeeds);
        // Not in the first rounds: a coordinator with more records may still be connecting, and what only it holds
        // would be lost.
        if round >= SEED_ROUNDS_MIN && most {
            let from = known.unwrap_or_default();
            let epoch = Epoch(next_epoch(&look, from, known, holder.dice()).0 + SEED_GAP);
            let (snapshot, marker) = (holder.snapshot(), holder.marker(epoch));
            let at = behind(from, epoch);
            return store
                .seed(&look.incarnation, snapshot.as_ref(), at, &marker)
                .await;
        }
        holder.reached(awaited(round));
        holder.pause_ms(SEED_ROUND_MS).await;
    }
    let text = "it is empty, and the coordinator with the most records does not fill it".to_owned();
    Err(StoreError::Refused(text))
}

/// The stage after a round in which this coordinator did not fill the store.
fn awaited(round: u32) -> Stage {
    let left = |rounds: u32| u64::from(rounds.saturating_sub(round)) * SEED_ROUND_MS;
    if round < SEED_ROUNDS_MIN {
        let milliseconds = left(SEED_ROUNDS_MIN);
        Stage::AwaitingOthers { milliseconds }
    } else {
        let milliseconds = left(SEED_ROUNDS_MAX);
        Stage::AwaitingSeeder { milliseconds }
    }
}
