//! What a coordinator does before it appends anything over a new connection: find out whether the
//! store still has the line it knows, open an epoch if this is another incarnation, fill a store
//! that came back empty, and say from where to go on.
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
#[cfg(feature = "planted-bugs")]
use crate::planted::{Bug, is_on as planted};

/// Looks at most before giving up for this connection: each one more is an epoch that another
/// coordinator opened in between.
const LOOKS_MAX: u32 = 32;
/// How long a coordinator waits for more advanced ones before it fills an empty store.
const SEED_ROUND_MS: u64 = 250;
const SEED_ROUNDS_MIN: u32 = 8;
/// How long it waits for another one to do so.
const SEED_ROUNDS_MAX: u32 = 80;
/// Epochs are numbered with gaps of chance: two that are opened without knowledge of each other,
/// each on a server that lost the other, must not have the same number.
const EPOCH_GAP_MAX: u64 = 1 << 20;
/// The gap before an epoch that fills a store anew. Whoever did not notice that the store was emptied
/// and knows of a few epochs more still appends to an earlier one, and is refused.
const SEED_GAP: u64 = 1 << 32;

/// The coordinator, as far as establishing needs it.
pub trait Holder: Sync {
    fn node(&self) -> NodeId;
    /// The newest record that it applied; `None` when it holds nothing of the project.
    fn known(&self) -> Option<Cursor>;
    /// All it holds, as of `known`.
    fn snapshot(&self) -> Option<StreamSnapshot>;
    /// The record that opens an epoch.
    fn marker(&self, epoch: Epoch) -> Entry;
    /// A number of chance.
    fn dice(&self) -> u64;
    /// Told how far it has come, for those who ask what is waited for.
    fn reached(&self, _stage: Stage) {}
    /// Waits. A store may be shut meanwhile.
    fn pause_ms(&self, milliseconds: u64) -> impl Future<Output = ()> + Send;
}

/// What a coordinator does on its way to a line that it can append to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Connecting,
    /// It looks at what the store holds, and opens an epoch where one is due.
    Looking,
    /// The store is empty. Coordinators that hold more have this long to come, then this one fills it.
    AwaitingOthers {
        milliseconds: u64,
    },
    /// The store is empty, and another coordinator that holds more has this long to fill it.
    AwaitingSeeder {
        milliseconds: u64,
    },
    /// It reads what the store holds beyond what it knows.
    CatchingUp,
}

/// Where a coordinator stands after it has connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Established {
    /// The epoch to append to.
    pub epoch: Epoch,
    /// The newest record when the store was looked at: up to there, the coordinator lags.
    pub tail: Cursor,
    pub start: Start,
    /// This coordinator opened the epoch.
    pub opened: bool,
    /// This coordinator filled the store.
    pub seeded: bool,
}

/// From where it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// After the record that it knows.
    Continue,
    /// It lacks records, or has some that the store lost: from the snapshot, or from nothing.
    Rebuild(Option<StreamSnapshot>),
}

/// Establishes the line of one project over a new connection.
pub async fn establish<S: Store, H: Holder>(
    store: &S,
    holder: &H,
) -> Result<Established, StoreError> {
    let (mut opened, mut seeded) = (false, false);
    holder.reached(Stage::Looking);
    for _ in 0..LOOKS_MAX {
        let look = store.look().await?;
        let known = holder.known();
        let Some(tail) = look.last.max(look.snapshot) else {
            seeded |= seed(store, holder).await?;
            continue;
        };
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
        let epoch = next_epoch(&look, tail, known, holder.dice());
        let at = behind(tail, epoch);
        let marker = holder.marker(epoch);
        opened |= store
            .open_epoch(&look.incarnation, look.last, at, &marker)
            .await?;
    }
    let text = "other coordinators open one epoch after the other".to_owned();
    Err(StoreError::Refused(text))
}

/// The epoch that may be appended to, if it is of this incarnation and of the line that is known.
fn current(look: &Look, tail: Cursor, known: Option<Cursor>) -> Option<Epoch> {
    let (epoch, incarnation) = look.epoch.as_ref()?;
    let same = *incarnation == look.incarnation && look.last.is_some();
    #[cfg(feature = "planted-bugs")]
    let same = same || (planted(Bug::EpochNotOpened) && look.last.is_some());
    // A stream that ends before what is known was cut by hand: its positions would be given anew.
    let whole = known.is_none_or(|known| known <= tail);
    (same && whole).then_some(*epoch)
}

fn next_epoch(look: &Look, tail: Cursor, known: Option<Cursor>, dice: u64) -> Epoch {
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

/// The line is the same if the record that is known is still in it. Where that was trimmed, only the
/// snapshot can tell: the position after it may have been given again since.
async fn start<S: Store>(
    store: &S,
    tail: Cursor,
    known: Option<Cursor>,
) -> Result<Start, StoreError> {
    if let Some(known) = known {
        if known == tail {
            return Ok(Start::Continue);
        }
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

/// Waits until the store is filled, by this coordinator if it holds the most. Says whether it was.
async fn seed<S: Store, H: Holder>(store: &S, holder: &H) -> Result<bool, StoreError> {
    for round in 0..SEED_ROUNDS_MAX {
        let known = holder.known();
        let own = Candidate {
            // A state that was brought here from an embedded journal may stand within a record.
            known: record_end(known.unwrap_or_default()),
            node: holder.node(),
        };
        let candidates = store.stand_for_seeding(&own).await?;
        let look = store.look().await?;
        if look.last.max(look.snapshot).is_some() {
            return Ok(false);
        }
        let most = candidates.iter().max() == Some(&own);
        #[cfg(feature = "planted-bugs")]
        let most = most || planted(Bug::AnySeeds);
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
    let text = "it is empty, and the coordinator that holds most of it does not fill it".to_owned();
    Err(StoreError::Refused(text))
}

/// What is waited for after a round in which this coordinator did not fill the store.
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
