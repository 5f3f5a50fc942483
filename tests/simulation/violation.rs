//! The invariants by name, and what a run says when one does not hold.

pub(crate) use super::seeds::{broken, ensure};

pub(crate) type Violation = super::seeds::Violation<Invariant>;
pub(crate) type Checked = Result<(), Violation>;

/// What must hold after every step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    /// P1: what was acknowledged is in the state after a crash, and what was found then stays.
    Durable,
    /// P2: nobody holds what another holds; an overlap is decided by trying every path.
    Exclusive,
    /// P2: fencing tokens only grow, are never given out twice, and a stale one does nothing.
    Fenced,
    /// P3: every request has exactly one reply, or its connection ended.
    Answered,
    /// P3: a subscriber gets every event that matches, once, in order, or is told that it cannot.
    Gapless,
    /// The same `request_id` has one effect and one answer.
    Once,
    /// P3: a task that became stuck is told of.
    Told,
    /// P4: nothing grows beyond its limit.
    Bounded,
    /// P5: journal time never runs ahead of the uptime; nothing expires before its time.
    TimeProof,
    /// P5: what is due is freed; time goes on, also under load.
    Expires,
    /// P7: state is a fold over the journal: from scratch, from a snapshot, and live.
    Deterministic,
    /// What the engine looks up is what its state says.
    Consistent,
    /// Nobody waits for what could be had.
    NoLostWakeUp,
    /// After the faults are over, work goes on.
    Live,
    /// Recovery succeeds after any crash.
    Recovers,
}
