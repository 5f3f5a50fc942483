//! A journal that several coordinators share: one stream a project, in a store that outlives them.
//!
//! A record of the stream is a batch of commands, all of which are there or none. Its id is `epoch-number`,
//! and numbers are dense: each record comes one after the one before it, across epochs. A position is that
//! of a command; the number of its record can be told from it. An epoch is opened by a record of its own,
//! its marker, and everything appended later bears its number. So three things need no lock and no
//! leader: a coordinator that still appends to an earlier epoch is refused by the order of ids alone;
//! an answer whose number follows on what was applied needs no reading back; and a hole, a lost tail or a
//! stream that begins anew shows in the first id that is read.
//!
//! An epoch belongs to one *incarnation* of the store, one run of one server as the master.
//! Whoever finds another incarnation than the epoch's opens the next epoch before it appends
//! anything. What a failover lost therefore always lies beyond the end of an epoch, and every cursor
//! can be told to be of the surviving line or not, without asking anybody.

mod establish;
mod record;
pub mod sim_store;

use std::fmt;
use std::future::Future;
use std::time::Duration;

pub use establish::{Established, Holder, Stage, Start, establish};
pub use record::{
    Batch, NoBatch, RECORD_COMMANDS_MAX, StreamCommand, StreamRecord, end_of, next_end, number_of,
    positions, record_end,
};

use super::Entry;
use crate::engine::ids::{Cursor, Epoch, NodeId, Position, ProjectName};

/// Names one run of one server as the master: no two runs, and no two masters, have the same one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Incarnation(pub String);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the store holds of a project, all of it read at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Of the server that answered.
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

/// A coordinator that could fill an empty store, and how much of the project it holds. The order is
/// that of cursors: of two that know different epochs, the one of the earlier may have more records,
/// but those that it has alone were lost when the later epoch was opened. That is so unless the store lost
/// an epoch, another was opened by coordinators that had not seen it, and then the store was emptied: of
/// those two lines the one with the larger epoch is taken, by chance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    pub known: Cursor,
    pub node: NodeId,
}

/// Why the store did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No answer, or the connection broke. Whether a write took place is not known.
    #[error("the store is out of reach: {0}")]
    Unreachable(String),
    /// It answered that it cannot serve now (it loads, is a replica, lacks rights). Nothing was written.
    #[error("the store refuses: {0}")]
    Refused(String),
    /// Another coordinator opened a newer epoch. Nothing was written.
    #[error("a newer epoch was opened")]
    EpochEnded,
    /// The stream is not there any more. Nothing was written.
    #[error("the stream is gone")]
    StreamGone,
    /// The store has no memory left for new data. Nothing was written.
    #[error("the store is full: {0}")]
    Full(String),
    /// It is not a store for this coordinator: another environment's, another format's, too old a
    /// server. Trying again does not help.
    #[error("{0}")]
    Unfit(String),
    /// It holds something that this program did not write there.
    #[error("the store holds what is no journal: {0}")]
    Corrupt(String),
}

/// What Redis' refusals begin with while it reads its data.
const LOADING: &str = "LOADING";

impl StoreError {
    /// Whether the store has just started and still reads its data, which ends by itself.
    pub fn is_loading(&self) -> bool {
        matches!(self, Self::Refused(text) if text.starts_with(LOADING))
    }
}

/// What a store does with one project. Every call is bounded in time; after an error other than
/// `EpochEnded`, `StreamGone` and `Full` it is dropped and connected anew. `follow` may be under way
/// beside one other call: it needs a connection of its own.
pub trait Store: Send + Sync {
    /// Looks at what is there.
    fn look(&self) -> impl Future<Output = Result<Look, StoreError>> + Send;

    /// Records after the one of `after`, in order, at most `count_max` of them and as many bytes as is sensible;
    /// none when there is none.
    fn read(
        &self,
        after: Cursor,
        count_max: usize,
    ) -> impl Future<Output = Result<Vec<StreamRecord>, StoreError>> + Send;

    /// Like `read`, but waits up to `wait` for the first of them, and fails with `StreamGone` if there
    /// is no stream by then. An answer proves that the store was within reach.
    fn follow(
        &self,
        after: Cursor,
        count_max: usize,
        wait: Duration,
    ) -> impl Future<Output = Result<Vec<StreamRecord>, StoreError>> + Send;

    /// Appends the batch to `epoch` as one record; returns where its last command stands. When it returns,
    /// it is as durable as the operator made the store.
    fn append(
        &self,
        epoch: Epoch,
        batch: &Batch,
    ) -> impl Future<Output = Result<Position, StoreError>> + Send;

    /// Opens an epoch by appending its marker as exactly `at`, the end of a record, if the newest record is still
    /// `expected` (`None`: there is no stream) and the incarnation still `incarnation`, of which the
    /// epoch will be. Says whether it did: `false` means that another coordinator was faster.
    fn open_epoch(
        &self,
        incarnation: &Incarnation,
        expected: Option<Cursor>,
        at: Cursor,
        marker: &Entry,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Fills an empty store with a snapshot and the marker of an epoch behind it, as one step, if it
    /// still has neither stream nor snapshot. Says whether it did.
    fn seed(
        &self,
        incarnation: &Incarnation,
        snapshot: Option<&StreamSnapshot>,
        at: Cursor,
        marker: &Entry,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Makes known for some seconds that this coordinator could fill an empty store; returns all who
    /// could, itself among them.
    fn stand_for_seeding(
        &self,
        own: &Candidate,
    ) -> impl Future<Output = Result<Vec<Candidate>, StoreError>> + Send;

    /// The snapshot, if there is one.
    fn snapshot(&self) -> impl Future<Output = Result<Option<StreamSnapshot>, StoreError>> + Send;

    /// Keeps a snapshot unless one that covers more is there; then lets go of the records that the
    /// one kept covers and that end before `keep_from`: some that stay spare coordinators that lag a little
    /// the way through the snapshot. The newest record of all stays: by it, one that lags more sees that it
    /// does. The snapshot must be of the line that the store holds now: the caller names the epoch, and is
    /// refused with `EpochEnded` if a newer one was opened.
    fn save_snapshot(
        &self,
        epoch: Epoch,
        snapshot: &StreamSnapshot,
        keep_from: Cursor,
    ) -> impl Future<Output = Result<Saved, StoreError>> + Send;
}

/// What came of saving a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saved {
    /// `false`: one that covers at least as much is there already.
    pub kept: bool,
    /// Records that the stream let go.
    pub trimmed: u64,
}

/// Connects to the store of a deployment, project by project.
pub trait Connector: Clone + Send + Sync + 'static {
    type Store: Store + 'static;

    /// Connects, checks that the store is fit for this coordinator, and stamps a new one.
    fn connect(
        &self,
        project: &ProjectName,
    ) -> impl Future<Output = Result<Self::Store, StoreError>> + Send;

    /// The projects that have a journal in the store.
    fn projects(&self) -> impl Future<Output = Result<Vec<ProjectName>, StoreError>> + Send;
}
