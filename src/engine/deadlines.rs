//! One ordered set of everything that happens by time alone.

use super::Engine;
use super::ids::{JournalTime, LeaseId, MessageId, NodeId, SessionId, TaskId, TokenId};

/// What falls due. The order of the variants breaks ties, the same on every node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deadline {
    /// The grace of a lost session ends.
    SessionGrace(SessionId),
    /// A lease with a time-to-live lapses.
    LeaseExpiry(LeaseId),
    /// The lock-delay of a lapsed lease ends.
    LeaseOpens(LeaseId),
    /// An attempt with a time-to-live lapses.
    AttemptExpiry(TaskId),
    /// An attempt has used up its time.
    AttemptTimeout(TaskId),
    /// A delayed task, or one that backs off, becomes ready.
    TaskReady(TaskId),
    /// A task is no longer kept for one agent.
    OfferEnds(TaskId),
    MessageExpiry(MessageId),
    TokenExpiry(TokenId),
    /// A node gave no sign of life.
    NodeLapses(NodeId),
}

impl Engine {
    /// Moves journal time forward, never back and at most one step, and lets deadlines fall due.
    pub(super) fn advance(&mut self, carried: JournalTime) {
        let farthest = self.state.now.after_ms(self.limits.clock_step_ms_max);
        let to = carried.clamp(self.state.now, farthest);
        while let Some((at, deadline)) = self.index.deadlines.first().cloned() {
            if at > to || self.changes.len() as u64 >= self.limits.changes_per_event_max {
                break;
            }
            self.index.deadlines.pop_first();
            // What one deadline starts (a lock-delay, a back-off) counts from that deadline.
            self.state.now = self.state.now.max(at);
            self.fire(&deadline);
        }
        self.state.now = to;
    }

    fn fire(&mut self, deadline: &Deadline) {
        match deadline {
            Deadline::SessionGrace(session) => self.session_grace_ends(*session),
            Deadline::LeaseExpiry(lease) => self.lease_lapses(*lease, "time-to-live ran out"),
            Deadline::LeaseOpens(lease) => self.lease_opens(*lease),
            Deadline::AttemptExpiry(task) => self.attempt_lost(*task, "time-to-live ran out"),
            Deadline::AttemptTimeout(task) => self.attempt_times_out(*task),
            Deadline::TaskReady(task) => self.task_delay_ends(*task),
            Deadline::OfferEnds(task) => self.task_offer_ends(*task),
            Deadline::MessageExpiry(message) => self.message_expires(*message),
            Deadline::TokenExpiry(token) => self.token_revoke(token, "ran out"),
            Deadline::NodeLapses(node) => self.node_lapses(node),
        }
    }
}
