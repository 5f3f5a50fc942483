//! Lookup tables that are computed from the state. Never stored: rebuilt on load.
//!
//! The entries of an item depend only on that item ([`Indexed`]). So a change is always the same three steps:
//! remove its entries, change it, insert its entries.

mod edit;
mod entries;
mod held;
pub(super) mod stuck;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

pub(super) use edit::Edit;
pub(super) use entries::{Abilities, Indexed};
use held::HeldPlaces;

use super::command::Capabilities;
use super::deadlines::Deadline;
use super::ids::{
    AgentName, Capability, ConcurrencyKey, IdempotencyKey, JournalTime, LabelKey, LabelValue,
    LeaseId, MessageId, Principal, SessionId, TaskId, TokenId,
};
use super::leases::sizes::Sizes;
use super::mailbox::{Mailbox, Waiting};
use super::state::State;
use super::tasks::Finished;

/// The order in which ready tasks are claimed: priority, then age.
pub(super) type ReadyKey = (Reverse<i32>, TaskId);

/// Ready tasks that the same agents can claim under the same cap. Those of a key are a range.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ReadyGroup {
    pub(super) concurrency: Option<ConcurrencyKey>,
    pub(super) requires: Capabilities,
}

/// Ready tasks that are not kept for one agent.
pub(super) type ReadyTasks = BTreeMap<ReadyGroup, BTreeSet<ReadyKey>>;

/// How much there is of what is shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub tasks_blocked: u64,
    pub tasks_ready: u64,
    pub tasks_claimed: u64,
    pub agents_present: u64,
    /// Messages that some recipient has not acknowledged.
    pub messages_waiting: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Index {
    pub(super) deadlines: BTreeSet<(JournalTime, Deadline)>,
    pub(super) ready: ReadyTasks,
    /// The same by each of their labels, so that a claim for one of them looks at no others.
    pub(super) ready_labelled: BTreeMap<(LabelKey, LabelValue), ReadyTasks>,
    pub(super) offered: BTreeMap<AgentName, BTreeSet<ReadyKey>>,
    pub(super) offered_under: BTreeMap<ConcurrencyKey, BTreeSet<TaskId>>,
    pub(super) dependents: BTreeMap<TaskId, BTreeSet<TaskId>>,
    /// By concurrency key: claimed tasks, and all tasks that are not done (a dead one may be retried).
    pub(super) running: BTreeMap<ConcurrencyKey, BTreeSet<TaskId>>,
    pub(super) using_key: BTreeMap<ConcurrencyKey, u32>,
    pub(super) by_idempotency_key: BTreeMap<IdempotencyKey, TaskId>,
    pub(super) session_tasks: BTreeMap<SessionId, BTreeSet<TaskId>>,
    pub(super) agent_tasks: BTreeMap<AgentName, BTreeSet<TaskId>>,
    pub(super) session_leases: BTreeMap<SessionId, BTreeSet<LeaseId>>,
    pub(super) agent_leases: BTreeMap<AgentName, BTreeSet<LeaseId>>,
    /// What each principal holds with all its seats, without lapsed leases.
    pub(super) principal_holdings: BTreeMap<Principal, Sizes>,
    pub(super) held: HeldPlaces,
    pub(super) agent_sessions: BTreeMap<AgentName, BTreeSet<SessionId>>,
    /// Sessions without a connection, by when it was lost.
    pub(super) lost_sessions: BTreeSet<(JournalTime, SessionId)>,
    pub(super) mailboxes: BTreeMap<AgentName, Mailbox>,
    pub(super) threads: BTreeMap<MessageId, BTreeSet<MessageId>>,
    pub(super) token_by_hash: BTreeMap<Box<str>, TokenId>,
    /// The agents that have a capability.
    pub(super) capable: BTreeMap<Capability, BTreeSet<AgentName>>,
    /// Tasks that wait for an agent with all of these capabilities, and are not reserved.
    pub(super) requiring: BTreeMap<Capabilities, BTreeSet<TaskId>>,
    /// The requirements that no agent fulfils.
    pub(super) unable: BTreeSet<Capabilities>,
    /// The dependencies of a task that are stuck, dead or cancelled. They depend on other tasks and on
    /// agents; [`Index::pass_on`] updates them.
    pub(super) stuck_on: BTreeMap<TaskId, BTreeSet<TaskId>>,
    pub(super) tasks_finished: Finished,
    pub(super) counts: Counts,
    /// Files that leases hold, including expired leases.
    pub(super) files: u64,
    /// The tokens that name an agent.
    pub(super) tokens_of_agent: BTreeMap<AgentName, BTreeSet<TokenId>>,
    pub(super) tasks_open: u64,
    pub(super) tasks_bytes: u64,
    pub(super) messages_bytes: u64,
    /// Of those messages, the ones that some recipient has not acknowledged.
    pub(super) messages_waiting: Waiting,
    pub(super) context_bytes: u64,
    /// Seats that the record that is being applied concerns; empty between records.
    pub(super) touched_seats: BTreeSet<AgentName>,
}

impl Index {
    pub(super) fn of(state: &State) -> Self {
        let mut index = Self::default();
        // Agents before tasks: inserting a task looks up whether any agent can do it.
        for agent in state.agents.values() {
            index.insert(&Abilities::of(agent));
            index.insert(agent);
        }
        state.tasks.values().for_each(|task| index.insert(&**task));
        index.find_stuck(&state.tasks);
        state.leases.values().for_each(|lease| index.insert(lease));
        for session in state.sessions.values() {
            index.insert(session);
        }
        for message in state.messages.values() {
            index.insert(message);
        }
        state.tokens.values().for_each(|token| index.insert(token));
        state.nodes.iter().for_each(|node| index.insert(&node));
        index.context_bytes = state.context.values().map(|e| e.value.bytes()).sum();
        index.touched_seats.clear();
        index
    }

    pub(super) fn insert(&mut self, item: &impl Indexed) {
        item.entries(self, Edit::Insert);
    }

    pub(super) fn remove(&mut self, item: &impl Indexed) {
        item.entries(self, Edit::Remove);
    }

    /// A seat may hold more now, or nothing any more.
    pub(super) fn touch(&mut self, agent: &AgentName) {
        if agent.is_seat() {
            self.touched_seats.insert(agent.clone());
        }
    }
}
