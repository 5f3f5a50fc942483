//! The invariants by name, and what a run says when one does not hold.

pub(crate) use super::seeds::{broken, ensure};

pub(crate) type Violation = super::seeds::Violation<Invariant>;
pub(crate) type Checked = Result<(), Violation>;

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    /// P1: what was acknowledged is in the line that survives; or the store lost it, and whoever was
    /// still connected was told.
    Durable,
    /// P2: nobody holds what another holds.
    Exclusive,
    /// P2: fencing tokens only grow, are never given out twice, and a stale one does nothing.
    Fenced,
    /// P3: a subscriber gets every event once and in order, across coordinators and epochs, or is told
    /// that it cannot; and nobody is told of a loss that was none.
    Honest,
    /// P3: every request has one answer, or its connection ended.
    Answered,
    /// A command is in the line once, and the same `request_id` has one effect.
    Once,
    /// P3: a task that became stuck is told of.
    Told,
    /// P4: nothing grows beyond its limit.
    Bounded,
    /// P5: nothing expires before its time, and time without the store does not pass.
    TimeProof,
    /// P5: what is due is freed.
    Expires,
    /// P7: all coordinators have the state that the line comes to, and so has the snapshot.
    Same,
    /// Records are numbered without a gap, an epoch is one run of one server, a cursor is one command.
    OneLine,
    /// An empty store is filled with the most that those hold who took part.
    SeededOnce,
    /// Nobody waits for what could be had.
    NoLostWakeUp,
    /// After the faults are over, every coordinator serves again.
    Live,
}
