//! Deliberate bugs, switched on one at a time by tests. Compiled only with the feature
//! `planted-bugs`: a simulation that has caught nothing proves nothing.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// A bug that the simulation must catch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    None,
    ReplyBeforeSync,
    FenceNotChecked,
    DeadlineOnWallClock,
    LostWakeUp,
    /// Recovery skips the first record after a snapshot.
    SnapshotForgetsRecord,
    /// Globs only exclude each other when they are written alike.
    DoubleGrant,
    /// The name of a folder protects nothing in it.
    FolderNotCovered,
    /// The name of a file is read as a glob.
    FileReadAsGlob,
    /// What a session held stays held when it ends.
    HoldsOutliveSession,
    /// Journal time goes on from when a record is applied, so what a sync takes never counts.
    ClockStandsStill,
    /// After a standstill every record moves journal time by a whole step.
    JumpsCount,
    /// A repeated request is carried out again.
    RepeatedTwice,
    /// A coordinator appends to the epoch of another incarnation of the store.
    EpochNotOpened,
    /// Whoever stands for seeding fills the store, however little it holds.
    AnySeeds,
    /// A coordinator that lacks records goes on behind them.
    HoleSkipped,
    /// What a coordinator appended is applied before what stands before it.
    OwnRecordsFirst,
    /// An own record that the stream shows before its append is answered is taken for another's.
    OwnAnswerForgotten,
    /// What may have been written is written again.
    UnknownTriedAgain,
    /// Journal time goes on while the store is out of reach.
    OutageCounts,
    /// Connections are not told that the store lost records.
    LossNotTold,
    /// A subscription goes on from a cursor of a lost line.
    StaleCursorAccepted,
    /// A session that was taken up at another coordinator stays with its old connection, too.
    ResumedTwice,
    /// Whether a repeated claim was granted is told from records that may not have arrived.
    VainFromOwnState,
    /// A request that later ones overtook is carried out although its second sending may have been.
    OvertakenTwice,
    /// Nobody is told that a task waits for one that is dead or cancelled.
    DependentsNotTold,
}

static ACTIVE: AtomicU8 = AtomicU8::new(Bug::None as u8);

/// Switches one bug on, and all others off.
pub fn plant(bug: Bug) {
    ACTIVE.store(bug as u8, Ordering::SeqCst);
}

pub fn is_on(bug: Bug) -> bool {
    ACTIVE.load(Ordering::Relaxed) == bug as u8
}

static WALL_MS: AtomicU64 = AtomicU64::new(0);

/// Sets what the bug `DeadlineOnWallClock` takes for the time.
pub fn set_wall_ms(wall_ms: u64) {
    WALL_MS.store(wall_ms, Ordering::SeqCst);
}

pub fn wall_ms() -> u64 {
    WALL_MS.load(Ordering::Relaxed)
}
