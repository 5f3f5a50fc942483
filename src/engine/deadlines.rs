//! Deadlines: one ordered set of everything that happens only because time passes.

use super::Engine;
use super::ids::{AgentName, JournalTime, LeaseId, MessageId, NodeId, SessionId, TaskId, TokenId};

/// What happens at a deadline. The order of the variants breaks ties in the same way on every node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deadline {
    /// The grace of a lost session ends.
    SessionGrace(SessionId),
    /// A lease with a time-to-live expires.
    LeaseExpiry(LeaseId),
    /// The lock-delay of an expired lease ends.
    LeaseOpens(LeaseId),
    /// An attempt with a time-to-live expires.
    AttemptExpiry(TaskId),
    /// An attempt reached its time limit.
    AttemptTimeout(TaskId),
    /// A task becomes ready after its delay or its back-off.
    TaskReady(TaskId),
    /// A task is no longer reserved for one agent.
    OfferEnds(TaskId),
    MessageExpiry(MessageId),
    TokenExpiry(TokenId),
    /// A node sent no heartbeat in time.
    NodeLapses(NodeId),
    /// A seat was not used for so long that it is forgotten. Boxed: names are longer than numbers.
    SeatIdle(Box<AgentName>),
}

impl Engine {
    /// Advances journal time, never back and by at most one step, and handles the deadlines that are due.
    pub(super) fn advance(&mut self, carried: JournalTime) {
        let farthest = self.state.now.after_ms(self.limits.clock_step_ms_max);
        let to = carried.clamp(self.state.now, farthest);
        while let Some((at, deadline)) = self.index.deadlines.first().cloned() {
            if at > to || self.changes.len() as u64 >= self.limits.changes_per_event_max {
                break;
            }
            self.index.deadlines.pop_first();
            // A lock-delay or back-off that a deadline starts counts from that deadline.
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
            Deadline::SeatIdle(seat) => self.seat_is_forgotten(seat),
        }
    }
}
