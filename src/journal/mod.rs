//! The journal: one total order of durable records. All state is a fold over it.
//!
//! The journal does not interpret records: a body is one line of JSON (a command), stored and returned byte
//! for byte. Implementations block; the driver's shell runs them on a thread.

use std::ops::ControlFlow;

use crate::engine::ids::{JournalTime, Position, ProjectName};

pub mod disk;
pub mod inspect;
pub mod memory;
pub mod redis;
pub mod segments;
pub mod shared;
#[cfg(feature = "test-doubles")]
pub mod sim_disk;

pub use segments::{Recovery, SegmentJournal, SegmentOptions};

/// An entry to append: one command of one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub project: ProjectName,
    /// The proposer's reading of the journal clock.
    pub at_ms: JournalTime,
    /// The command as JSON, on one line.
    pub body: Vec<u8>,
}

/// A record: an entry and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub project: ProjectName,
    pub position: Position,
    pub at_ms: JournalTime,
    pub body: Vec<u8>,
}

/// The state of one project after every record up to and including `position`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub project: ProjectName,
    pub position: Position,
    /// The state as JSON.
    pub state: Vec<u8>,
}

/// How much space is left for new records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// All is well.
    Ample,
    /// Only the preallocated reserve is left: work may finish, but no new work may start.
    Reserve,
}

/// Figures of the journal, to decide on snapshots and for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalStatus {
    pub space: Space,
    /// Bytes of records that no snapshot covers yet.
    pub live_bytes: u64,
    /// Bytes of the journal on disk, including preallocated ones.
    pub disk_bytes: u64,
    /// Syncs since it was opened.
    pub syncs: u64,
    /// Bytes written since it was opened, including padding.
    pub written_bytes: u64,
}

impl JournalStatus {
    /// Of a journal that holds nothing, as the local one of a coordinator that shares its journal.
    pub const EMPTY: Self = Self {
        space: Space::Ample,
        live_bytes: 0,
        disk_bytes: 0,
        syncs: 0,
        written_bytes: 0,
    };
}

/// Why a journal operation failed.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk failed. After a failed write or sync, this journal must not be used again: the process ends,
    /// and recovery finds out what is there.
    #[error("cannot {action} {path}")]
    Io {
        action: &'static str,
        path: String,
        #[source]
        source: std::io::Error,
    },
    /// The disk is full, and the reserve is used up too. Nothing of the batch was written.
    #[error("the journal has no space left for {wanted_bytes} bytes")]
    Full { wanted_bytes: u64 },
    /// Valid records follow an invalid one: the file is damaged, not only torn.
    #[error("the journal is corrupt at byte {offset} of {path}: {what}")]
    Corrupt {
        path: String,
        offset: u64,
        what: String,
    },
    /// Written by a newer version of the program.
    #[error("{path} has format {found}, but this program reads formats up to {known}")]
    NewerFormat {
        path: String,
        found: u32,
        known: u32,
    },
    /// Another process holds the state directory.
    #[error("{path} is in use by another coordinator{holder}")]
    InUse { path: String, holder: String },
    /// One entry is larger than a record may be.
    #[error("a record of {bytes} bytes exceeds record_bytes_max ({max})")]
    RecordTooLarge { bytes: usize, max: usize },
}

/// One total order of durable records.
pub trait Journal: Send {
    /// Makes all entries durable in this order, and returns the position of each. After a crash, a prefix of
    /// them may be there. When it returns, they are on disk. Without entries it checks whether a full disk
    /// has space again; see the status.
    fn append(&mut self, entries: &[Entry]) -> Result<Vec<Position>, JournalError>;

    /// Visits every record after `after`, of all projects, in order, until `visit` breaks.
    fn read(
        &mut self,
        after: Position,
        visit: &mut dyn FnMut(Record) -> ControlFlow<()>,
    ) -> Result<(), JournalError>;

    /// Makes a snapshot durable; it replaces an older one of its project.
    fn save_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), JournalError>;

    /// The newest snapshot of every project, in the order of their names.
    fn load_snapshots(&mut self) -> Result<Vec<Snapshot>, JournalError>;

    /// Deletes every record before `floor`; the caller has snapshots that cover them.
    fn trim(&mut self, floor: Position) -> Result<(), JournalError>;

    /// Checks that a sync works, without writing. A journal without a disk has nothing to check.
    fn check_sync(&mut self) -> Result<(), JournalError> {
        Ok(())
    }

    fn status(&self) -> JournalStatus;
}
