//! A journal that several coordinators share: one stream a project, in a store that outlives them.
//!
//! A record of the stream is a batch of commands; all of them are there, or none. Its id is `epoch-number`, and
//! numbers are dense: they grow by one from record to record, across epochs. A position belongs to a command,
//! and the number of its record follows from it. A record of its own, the marker, opens an epoch. Everything
//! appended later carries that epoch's number. So three things need no lock and no leader:
//!
//! - The order of ids alone refuses a coordinator that still appends to an earlier epoch.
//! - If the number in an answer follows what was applied, nothing need be read back.
//! - A hole, a lost tail or a new stream shows in the first id that is read.
//!
//! An epoch belongs to one *incarnation* of the store: one run of one server as the master. A coordinator that
//! finds another incarnation than the epoch's opens the next epoch before it appends anything. So what a
//! failover lost always lies beyond the end of an epoch, and a coordinator can decide for every cursor whether
//! it belongs to the surviving line, without asking another one.

mod establish;
mod record;
#[cfg(feature = "test-doubles")]
pub mod sim_store;

use std::fmt;
use std::future::Future;
use std::time::Duration;

pub use establish::{Established, Stage, Start, StateHolder, establish};
pub use record::{
    Batch, NoBatch, RECORD_COMMANDS_MAX, StreamCommand, StreamRecord, end_of, next_end, number_of,
    positions, record_end,
};

use super::Entry;
use crate::engine::ids::{Cursor, Epoch, NodeId, Position, ProjectName};

/// The name of one run of one server as the master. No two runs and no two masters have the same name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Incarnation(pub String);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the store holds of a project, read in one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The incarnation of the server that answered.
    pub incarnation: Incarnation,
    /// The epoch that was opened last, and the incarnation it belongs to.
    pub epoch: Option<(Epoch, Incarnation)>,
    /// The newest record that the stream ever had, trimmed or not; `None` without a stream.
    pub last: Option<Cursor>,
    /// What the snapshot covers; `None` without one.
    pub snapshot: Option<Cursor>,
}

/// The state of the project after every record up to and including `at`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSnapshot {
    pub at: Cursor,
    /// The state as JSON.
    pub state: Vec<u8>,
}

/// A coordinator that could fill an empty store, and how much of the project it holds. Candidates are ordered by
/// cursor, so the epoch counts first. The candidate of an earlier epoch may have more records, but those that it
/// alone has were lost when the later epoch was opened. There is one exception: the store lost an epoch,
/// coordinators that had not seen it opened another, and then the store was emptied. Of those two lines, the one
/// that happens to have the larger epoch is taken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    pub known: Cursor,
    pub node: NodeId,
}

/// Why the store did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No answer, or the connection broke. It is unknown whether a write took place.
    #[error("the store cannot be reached: {0}")]
    Unreachable(String),
    /// The store answered that it cannot serve now: it is loading, is a replica, or lacks rights. Nothing was written.
    #[error("the store refused: {0}")]
    Refused(String),
    /// Another coordinator opened a newer epoch. Nothing was written.
    #[error("another coordinator opened a newer epoch")]
    EpochEnded,
    /// The stream no longer exists. Nothing was written.
    #[error("the stream is gone")]
    StreamGone,
    /// The store has no memory left for new data. Nothing was written.
    #[error("the store is full: {0}")]
    Full(String),
    /// The store does not fit this coordinator: it is of another environment or format, or the server is too old. A
    /// retry does not help.
    #[error("{0}")]
    Unfit(String),
    /// The store holds data that this program did not write.
    #[error("the Redis key holds data that coord did not write: {0}")]
    Corrupt(String),
}

/// Redis' refusals begin with this word while it loads its data.
const LOADING: &str = "LOADING";

impl StoreError {
    /// Whether the store has just started and is still loading its data, which ends by itself.
    pub fn is_loading(&self) -> bool {
        matches!(self, Self::Refused(text) if text.starts_with(LOADING))
    }
}

/// What a store does with one project. Every call is bounded in time. After an error other than `EpochEnded`,
/// `StreamGone` and `Full`, the caller drops the store and connects again. `follow` may be under way beside one
/// other call, so it needs a connection of its own.
pub trait Store: Send + Sync {
    /// Reads what the store holds of the project.
    fn look(&self) -> impl Future<Output = Result<Look, StoreError>> + Send;

    /// The records after the one of `after`, in order: at most `count_max`, and fewer if they would be too many bytes.
    /// Empty if there are none.
    fn read(
        &self,
        after: Cursor,
        count_max: usize,
    ) -> impl Future<Output = Result<Vec<StreamRecord>, StoreError>> + Send;

    /// Like `read`, but waits up to `wait` for the first record. Fails with `StreamGone` if there is no stream by
    /// then. An answer proves that the store was reachable.
    fn follow(
        &self,
        after: Cursor,
        count_max: usize,
        wait: Duration,
    ) -> impl Future<Output = Result<Vec<StreamRecord>, StoreError>> + Send;

    /// Appends the batch to `epoch` as one record. Returns the position of its last command, after the record has
    /// become as durable as the operator configured the store.
    fn append(
        &self,
        epoch: Epoch,
        batch: &Batch,
    ) -> impl Future<Output = Result<Position, StoreError>> + Send;

    /// Opens an epoch by appending its marker at exactly `at`, the end of a record. It does so only if the newest
    /// record is still `expected` (`None`: there is no stream) and the incarnation is still `incarnation`, which the
    /// epoch will belong to. Returns `false` if another coordinator was faster.
    fn open_epoch(
        &self,
        incarnation: &Incarnation,
        expected: Option<Cursor>,
        at: Cursor,
        marker: &Entry,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Fills an empty store with a snapshot and an epoch's marker behind it, in one step. It does so only if the store
    /// still has neither stream nor snapshot. Returns whether it did.
    fn seed(
        &self,
        incarnation: &Incarnation,
        snapshot: Option<&StreamSnapshot>,
        at: Cursor,
        marker: &Entry,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Registers this coordinator, for some seconds, as a candidate to fill an empty store. Returns all candidates,
    /// this one among them.
    fn stand_for_seeding(
        &self,
        own: &Candidate,
    ) -> impl Future<Output = Result<Vec<Candidate>, StoreError>> + Send;

    /// The snapshot, if there is one.
    fn snapshot(&self) -> impl Future<Output = Result<Option<StreamSnapshot>, StoreError>> + Send;

    /// Saves a snapshot, unless the store has one that covers more. Then it trims the records that the kept snapshot
    /// covers and that end before `keep_from`. The records from there on spare coordinators that are a little behind
    /// the reading of the snapshot. The newest record of all is never trimmed: by it, a coordinator that is further
    /// behind notices that. The snapshot must belong to the line that the store holds now. So the caller names the
    /// epoch, and is refused with `EpochEnded` if a newer one was opened.
    fn save_snapshot(
        &self,
        epoch: Epoch,
        snapshot: &StreamSnapshot,
        keep_from: Cursor,
    ) -> impl Future<Output = Result<Saved, StoreError>> + Send;
}

/// The result of saving a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved {
    /// `false`: the store already has one that covers at least as much.
    pub kept: bool,
    /// How many records were trimmed from the stream.
    pub trimmed: u64,
}

/// Connects to the store of a deployment, project by project.
pub trait Connector: Clone + Send + Sync + 'static {
    type Store: Store + 'static;

    /// Connects, checks that the store fits this coordinator, and stamps a new store.
    fn connect(
        &self,
        project: &ProjectName,
    ) -> impl Future<Output = Result<Self::Store, StoreError>> + Send;

    /// The projects that have a journal in the store.
    fn projects(&self) -> impl Future<Output = Result<Vec<ProjectName>, StoreError>> + Send;
}
