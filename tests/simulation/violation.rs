//! The invariants by name, and what a run says when one does not hold.

/// A promise that was broken. The name says which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) invariant: Invariant,
    pub(crate) what: String,
}

pub(crate) type Checked = Result<(), Violation>;

pub(crate) fn broken<T>(invariant: Invariant, what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation {
        invariant,
        what: what.into(),
    })
}

/// Breaks `invariant` unless `holds`.
pub(crate) fn ensure(holds: bool, invariant: Invariant, what: impl FnOnce() -> String) -> Checked {
    if holds {
        Ok(())
    } else {
        broken(invariant, what())
    }
}

/// What must hold after every step. Those of a shared journal take into account that its store may lose
/// records, and that clients are told so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    /// P1: what was acknowledged is in the state after a crash, and what was found then stays. Of a shared
    /// journal: it is in the line that survives, or the store lost it and the connected clients were told.
    Durable,
    /// P2: nobody holds what another holds; an overlap is decided by trying every path.
    Exclusive,
    /// P2: who is told that it holds all it asked for does, and who is refused has got nothing.
    Ensured,
    /// P2: fencing tokens only grow, are never given out twice, and a stale one does nothing.
    Fenced,
    /// P3: every request has exactly one reply, or its connection ended.
    Answered,
    /// P3: a subscriber gets every event that matches, once, in order, or is told that it cannot.
    Gapless,
    /// P3: the same across coordinators and epochs; and nobody is told of a loss that was none.
    Honest,
    /// The same `request_id` has one effect and one answer; a command is in the line once.
    Once,
    /// P3: a task that became stuck is told of.
    Told,
    /// P4: nothing grows beyond its limit.
    Bounded,
    /// P4: nothing is written for what is held already and for long enough.
    Spared,
    /// P5: journal time never runs ahead of the uptime, and time without the store does not pass; nothing
    /// expires before its time.
    TimeProof,
    /// P5: what is due is freed; time goes on, also under load.
    Expires,
    /// P6: nobody reads for another principal, nor a seat for another seat.
    Closed,
    /// P3: a message to a principal reaches every seat that is present, or waits.
    Reached,
    /// P1: no message leaves a mailbox unread, and a seat that is forgotten held nothing.
    Kept,
    /// P7: state is a fold over the journal: from scratch, from a snapshot, and live.
    Deterministic,
    /// P7: all coordinators have the state that the line comes to, and so has the snapshot.
    Same,
    /// What the engine looks up is what its state says.
    Consistent,
    /// Records are numbered without a gap, an epoch is one run of one server, a cursor is one command.
    OneLine,
    /// An empty store is filled with the most that those hold who took part.
    SeededOnce,
    /// Nobody waits for what could be had.
    NoLostWakeUp,
    /// After the faults are over, work goes on, at every coordinator.
    Live,
    /// Recovery succeeds after any crash.
    Recovers,
    /// Metrics: each record is stored or counted as dropped, for a reason that there was.
    Delivered,
    /// Metrics: no record is stored twice.
    PushedOnce,
    /// Metrics: nothing goes out with a wrong time.
    RightTime,
    /// Metrics: the times of a series grow.
    Ascending,
    /// Metrics: a request has samples of one time.
    OneTime,
    /// Metrics: one request at a time, not faster than agreed, not before Retry-After is over.
    Patient,
}
