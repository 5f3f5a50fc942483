//! Deliberate bugs that the tests must catch: a simulation that has caught nothing proves nothing.
//!
//! The code asks [`is_on`] where a bug can be. Without the feature `test-doubles` that is `false` for the
//! compiler too, so what ships contains none of it. With the feature, a bug is on while a test holds a `Planted`,
//! for the code on the thread of that test; no setting and no variable can do that. So a `coord` that was built
//! for tests differs from what ships by one read of a thread's own memory at each of these places.
//!
//! Searches also count here what they look at ([`visit`]), so that tests hold their cost without a clock.

#[cfg(feature = "test-doubles")]
pub use switch::{Planted, set_wall_ms};
pub use switch::{is_on, wall_ms};
pub use visits::visit;
#[cfg(any(test, feature = "test-doubles"))]
pub use visits::visited_in;

/// A bug that the tests must catch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
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
    /// Paths without a tree only exclude others without one.
    TreelessExcludesNothing,
    /// `lease.ensure` takes what is free and leaves out what others hold.
    EnsureTakesPart,
    /// `lease.ensure` takes a lapsed lease for one that is held.
    LapsedIsEnsured,
    /// `lease.ensure` writes a record although all is held for long enough.
    EnsureAlwaysWrites,
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
    /// A seat reads the mail of another principal's seat of the same name.
    SeatNamesShared,
    /// A message to a principal reaches one of the seats that are present.
    FirstSeatOnly,
    /// A seat is forgotten although it holds something.
    SeatForgottenEarly,
    /// An append to the embedded journal returns without a sync.
    SkipSync,
    /// Recovery leaves what a torn write wrote.
    KeepTornBytes,
    /// After recovery the last sequence is given out again.
    ReuseSequence,
    /// A segment is written to before its name is durable.
    SkipRenameSync,
    /// A trim does not write the floor first.
    SkipFloor,
    /// With a record that was sent, those after it are taken for sent.
    AckPassesUnsent,
    /// Records that go to disk together are written with the newest one first.
    NewestSpooledFirst,
    /// After a restart the tickets begin with 1 again.
    TicketsBeginAgain,
    /// Samples are sent although the receiver's clock differs by hours.
    PushWrongClock,
    /// A record that the receiver could not take now is given up.
    PushDropsOn503,
    /// A record that the receiver will never take is sent again for ever.
    PushPoisonForever,
    /// One request has samples of two times.
    PushMixesTimes,
    /// The receiver's wish to be left alone for a while is not heard.
    PushRetryAfterForgotten,
    /// After an outage the newest record is sent first.
    PushNewestFirst,
    /// The cursor of a project moves when an event is sent, not when the broker acknowledged it.
    MqttCursorEarly,
    /// Events that are no longer kept are passed over without a word.
    MqttGapSilent,
    /// The status is published at the first connect only, and an old will is not corrected.
    MqttStatusOnce,
    /// Topics are subscribed to at the first connect only.
    MqttNoResubscribe,
    /// More publishes are in flight than the broker allows.
    MqttWindowIgnored,
    /// Whoever is taken over connects again as fast as after any failure.
    MqttTakeoverHasty,
    /// A task that is claimed stays among the ready ones of its labels.
    ReadyLabelStays,
    /// A claim that waits for a label is not looked at when a task with that label becomes ready.
    LabelWaiterMissed,
    /// A request that was answered stays among those that wait.
    WaiterStays,
    /// A glob that is told apart by how its paths end is looked for in the wrong place.
    WildcardMissed,
    /// An acquire that made room for one ahead of it is not looked at when that one gets nothing.
    WaiterBehindForgotten,
    /// A subscription to a whole area is not found by the kinds in it.
    AreaMissed,
}

#[cfg(not(feature = "test-doubles"))]
mod switch {
    use super::Bug;

    pub const fn is_on(_: Bug) -> bool {
        false
    }

    pub const fn wall_ms() -> u64 {
        0
    }
}

#[cfg(feature = "test-doubles")]
mod switch {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
        static WALL_MS: Cell<u64> = const { Cell::new(0) };
    }

    /// Keeps a bug switched on, on this thread, until it is dropped.
    #[derive(Debug)]
    #[must_use = "the bug is gone when this is dropped"]
    pub struct Planted(());

    impl Planted {
        pub fn new(bug: Bug) -> Self {
            PLANTED.set(Some(bug));
            Self(())
        }
    }

    impl Drop for Planted {
        fn drop(&mut self) {
            PLANTED.set(None);
        }
    }

    pub fn is_on(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Sets what the bug `DeadlineOnWallClock` takes for the time.
    pub fn set_wall_ms(wall_ms: u64) {
        WALL_MS.set(wall_ms);
    }

    pub fn wall_ms() -> u64 {
        WALL_MS.get()
    }
}

#[cfg(not(any(test, feature = "test-doubles")))]
mod visits {
    pub const fn visit() {}
}

#[cfg(any(test, feature = "test-doubles"))]
mod visits {
    use std::cell::Cell;

    thread_local! {
        static VISITED: Cell<u64> = const { Cell::new(0) };
    }

    /// A search looks at one more item.
    pub fn visit() {
        VISITED.set(VISITED.get() + 1);
    }

    /// How many items searches of this thread look at in here.
    pub fn visited_in(what: impl FnOnce()) -> u64 {
        let before = VISITED.get();
        what();
        VISITED.get() - before
    }
}
