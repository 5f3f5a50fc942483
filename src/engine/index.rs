//! Everything that follows from the state and is looked up often. Never stored: rebuilt on load.
//!
//! Each item contributes entries that depend on that item alone, so a change is always the same
//! three steps: take its entries out, change it, put its entries back.

pub(super) mod stuck;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::agents::{Session, SessionState};
use super::command::{Capabilities, Role};
use super::deadlines::Deadline;
use super::ids::{
    AgentName, Capability, ConcurrencyKey, IdempotencyKey, JournalTime, LeaseId, MessageId, NodeId,
    SessionId, TaskId, TokenId,
};
use super::leases::{Lease, LeaseState};
use super::mailbox::{Mailbox, Waiting};
use super::messages::Message;
use super::nodes::Node;
use super::state::State;
use super::system::Token;
use super::tasks::{Finished, Task, TaskState};

/// The order in which ready tasks are claimed: priority, then age.
pub(super) type ReadyKey = (Reverse<i32>, TaskId);

/// Ready tasks that the same agents can claim under the same cap.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ReadyGroup {
    pub(super) requires: Capabilities,
    pub(super) concurrency: Option<ConcurrencyKey>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Index {
    pub(super) deadlines: BTreeSet<(JournalTime, Deadline)>,
    pub(super) ready: BTreeMap<ReadyGroup, BTreeSet<ReadyKey>>,
    pub(super) offered: BTreeMap<AgentName, BTreeSet<ReadyKey>>,
    pub(super) dependents: BTreeMap<TaskId, BTreeSet<TaskId>>,
    /// Claimed tasks, and all that are not done (a dead one may be retried), by concurrency key.
    pub(super) running: BTreeMap<ConcurrencyKey, BTreeSet<TaskId>>,
    pub(super) using_key: BTreeMap<ConcurrencyKey, u32>,
    pub(super) by_idempotency_key: BTreeMap<IdempotencyKey, TaskId>,
    pub(super) session_tasks: BTreeMap<SessionId, BTreeSet<TaskId>>,
    pub(super) agent_tasks: BTreeMap<AgentName, BTreeSet<TaskId>>,
    pub(super) session_leases: BTreeMap<SessionId, BTreeSet<LeaseId>>,
    pub(super) agent_leases: BTreeMap<AgentName, BTreeSet<LeaseId>>,
    pub(super) agent_sessions: BTreeMap<AgentName, BTreeSet<SessionId>>,
    pub(super) mailboxes: BTreeMap<AgentName, Mailbox>,
    pub(super) threads: BTreeMap<MessageId, BTreeSet<MessageId>>,
    pub(super) token_by_hash: BTreeMap<Box<str>, TokenId>,
    /// Who has a capability.
    pub(super) capable: BTreeMap<Capability, BTreeSet<AgentName>>,
    /// Tasks that wait for an agent with all of these, kept for nobody.
    pub(super) requiring: BTreeMap<Capabilities, BTreeSet<TaskId>>,
    /// Which of those no agent has all of.
    pub(super) unable: BTreeSet<Capabilities>,
    /// Of what a task waits for, what is stuck, dead or cancelled: a consequence of other tasks and of
    /// agents, brought up to date by [`Index::pass_on`].
    pub(super) stuck_on: BTreeMap<TaskId, BTreeSet<TaskId>>,
    pub(super) tasks_finished: Finished,
    /// Files that leases hold, those of lapsed ones included.
    pub(super) files: u64,
    /// The tokens that make an agent known.
    pub(super) tokens_of_agent: BTreeMap<AgentName, BTreeSet<TokenId>>,
    pub(super) tasks_open: u64,
    pub(super) tasks_bytes: u64,
    pub(super) messages_bytes: u64,
    /// Of those messages, the ones that some recipient has not acknowledged.
    pub(super) messages_waiting: Waiting,
    pub(super) context_bytes: u64,
}

impl Index {
    pub(super) fn of(state: &State) -> Self {
        let mut index = Self::default();
        // Before the tasks: whether anybody can do them is looked up as they are added.
        for agent in state.agents.values() {
            index.add_agent(&agent.name, &agent.capabilities);
        }
        state.tasks.values().for_each(|task| index.add_task(task));
        index.find_stuck(&state.tasks);
        state
            .leases
            .values()
            .for_each(|lease| index.add_lease(lease));
        for session in state.sessions.values() {
            index.add_session(session);
        }
        for message in state.messages.values() {
            index.add_message(message);
        }
        state
            .tokens
            .values()
            .for_each(|token| index.add_token(token));
        for (id, node) in &state.nodes {
            index.add_node(id, node);
        }
        index.context_bytes = state.context.values().map(|e| e.value.bytes()).sum();
        index
    }

    pub(super) fn add_task(&mut self, task: &Task) {
        for deadline in task_deadlines(task) {
            self.deadlines.insert(deadline);
        }
        if let Some(key) = &task.idempotency_key {
            self.by_idempotency_key.insert(key.clone(), task.id);
        }
        if let Some(key) = &task.concurrency
            && task.state != TaskState::Done
        {
            *self.using_key.entry(key.clone()).or_default() += 1;
        }
        for dependency in &task.waiting_on {
            insert(&mut self.dependents, dependency, task.id);
        }
        match &task.state {
            TaskState::Ready => match &task.offer {
                Some(offer) => insert(&mut self.offered, &offer.agent, task.ready_key()),
                None => insert(&mut self.ready, &task.ready_group(), task.ready_key()),
            },
            TaskState::Claimed(attempt) => {
                insert(&mut self.agent_tasks, &attempt.agent, task.id);
                if let Some(session) = attempt.hold.session() {
                    insert(&mut self.session_tasks, &session, task.id);
                }
                if let Some(key) = &task.concurrency {
                    insert(&mut self.running, key, task.id);
                }
            }
            _ => {}
        }
        self.add_requirement(task);
        if let Some(count) = self.tasks_finished.of(&task.state) {
            *count += 1;
        }
        self.tasks_open += u64::from(task.state.is_open());
        self.tasks_bytes += task.bytes();
    }

    pub(super) fn remove_task(&mut self, task: &Task) {
        for deadline in task_deadlines(task) {
            self.deadlines.remove(&deadline);
        }
        if let Some(key) = &task.idempotency_key {
            self.by_idempotency_key.remove(key);
        }
        if let Some(key) = &task.concurrency
            && task.state != TaskState::Done
        {
            decrement(&mut self.using_key, key);
        }
        for dependency in &task.waiting_on {
            remove(&mut self.dependents, dependency, &task.id);
        }
        match &task.state {
            TaskState::Ready => match &task.offer {
                Some(offer) => remove(&mut self.offered, &offer.agent, &task.ready_key()),
                None => remove(&mut self.ready, &task.ready_group(), &task.ready_key()),
            },
            TaskState::Claimed(attempt) => {
                remove(&mut self.agent_tasks, &attempt.agent, &task.id);
                if let Some(session) = attempt.hold.session() {
                    remove(&mut self.session_tasks, &session, &task.id);
                }
                if let Some(key) = &task.concurrency {
                    remove(&mut self.running, key, &task.id);
                }
            }
            _ => {}
        }
        self.remove_requirement(task);
        if let Some(count) = self.tasks_finished.of(&task.state) {
            *count -= 1;
        }
        self.tasks_open -= u64::from(task.state.is_open());
        self.tasks_bytes -= task.bytes();
    }

    pub(super) fn add_lease(&mut self, lease: &Lease) {
        self.deadlines.extend(lease_deadline(lease));
        self.files += lease.files();
        if lease.is_held() {
            insert(&mut self.agent_leases, &lease.agent, lease.id);
            if let Some(session) = lease.hold.session() {
                insert(&mut self.session_leases, &session, lease.id);
            }
        }
    }

    pub(super) fn remove_lease(&mut self, lease: &Lease) {
        if let Some(deadline) = lease_deadline(lease) {
            self.deadlines.remove(&deadline);
        }
        self.files -= lease.files();
        if lease.is_held() {
            remove(&mut self.agent_leases, &lease.agent, &lease.id);
            if let Some(session) = lease.hold.session() {
                remove(&mut self.session_leases, &session, &lease.id);
            }
        }
    }

    pub(super) fn add_session(&mut self, session: &Session) {
        self.deadlines.extend(session_deadline(session));
        insert(&mut self.agent_sessions, &session.agent, session.id);
    }

    pub(super) fn remove_session(&mut self, session: &Session) {
        if let Some(deadline) = session_deadline(session) {
            self.deadlines.remove(&deadline);
        }
        remove(&mut self.agent_sessions, &session.agent, &session.id);
    }

    pub(super) fn add_message(&mut self, message: &Message) {
        self.deadlines.extend(message_deadline(message));
        insert(&mut self.threads, &message.thread, message.id);
        for agent in message.pending.keys() {
            self.add_mail(agent, message);
        }
        self.messages_bytes += message.bytes();
        if !message.pending.is_empty() {
            self.messages_waiting.add(message);
        }
    }

    pub(super) fn remove_message(&mut self, message: &Message) {
        if let Some(deadline) = message_deadline(message) {
            self.deadlines.remove(&deadline);
        }
        remove(&mut self.threads, &message.thread, &message.id);
        for agent in message.pending.keys() {
            self.remove_mail(agent, message);
        }
        self.messages_bytes -= message.bytes();
        if !message.pending.is_empty() {
            self.messages_waiting.remove(message);
        }
    }

    fn add_mail(&mut self, agent: &AgentName, message: &Message) {
        self.mailboxes
            .entry(agent.clone())
            .or_default()
            .add(message);
    }

    /// Takes one recipient's entry out; the message may still wait for others.
    pub(super) fn remove_mail(&mut self, agent: &AgentName, message: &Message) {
        let Some(mailbox) = self.mailboxes.get_mut(agent) else {
            return;
        };
        mailbox.remove(message);
        if mailbox.messages.is_empty() {
            self.mailboxes.remove(agent);
        }
    }

    /// The last recipient's entry was taken out.
    pub(super) fn message_finished(&mut self, message: &Message) {
        self.messages_waiting.remove(message);
        self.deadlines
            .remove(&(message.expires_at, Deadline::MessageExpiry(message.id)));
    }

    pub(super) fn add_token(&mut self, token: &Token) {
        self.deadlines.extend(token_deadline(token));
        self.token_by_hash
            .insert(token.secret_hash.clone(), token.id.clone());
        if token.role >= Role::Agent {
            insert(&mut self.tokens_of_agent, &token.agent, token.id.clone());
        }
    }

    pub(super) fn add_node(&mut self, id: &NodeId, node: &Node) {
        self.deadlines
            .insert((node.until, Deadline::NodeLapses(id.clone())));
    }

    pub(super) fn remove_node(&mut self, id: &NodeId, node: &Node) {
        self.deadlines
            .remove(&(node.until, Deadline::NodeLapses(id.clone())));
    }

    pub(super) fn remove_token(&mut self, token: &Token) {
        if let Some(deadline) = token_deadline(token) {
            self.deadlines.remove(&deadline);
        }
        self.token_by_hash.remove(&token.secret_hash);
        remove(&mut self.tokens_of_agent, &token.agent, &token.id);
    }
}

fn task_deadlines(task: &Task) -> impl Iterator<Item = (JournalTime, Deadline)> {
    let id = task.id;
    let (mut first, mut second) = (None, None);
    match &task.state {
        TaskState::Blocked if task.waiting_on.is_empty() => {
            first = task.not_before.map(|at| (at, Deadline::TaskReady(id)));
        }
        TaskState::Ready => {
            first = task
                .offer
                .as_ref()
                .map(|o| (o.until, Deadline::OfferEnds(id)));
        }
        TaskState::Claimed(attempt) => {
            let expiry = attempt.hold.expires_at();
            first = expiry.map(|at| (at, Deadline::AttemptExpiry(id)));
            second = attempt
                .timeout_at
                .map(|at| (at, Deadline::AttemptTimeout(id)));
        }
        _ => {}
    }
    first.into_iter().chain(second)
}

fn lease_deadline(lease: &Lease) -> Option<(JournalTime, Deadline)> {
    match lease.state {
        LeaseState::Held => {
            let at = lease.hold.expires_at()?;
            Some((at, Deadline::LeaseExpiry(lease.id)))
        }
        LeaseState::Lapsed { opens_at } => Some((opens_at, Deadline::LeaseOpens(lease.id))),
    }
}

fn session_deadline(session: &Session) -> Option<(JournalTime, Deadline)> {
    match session.state {
        SessionState::Grace { until } => Some((until, Deadline::SessionGrace(session.id))),
        SessionState::Live => None,
    }
}

fn message_deadline(message: &Message) -> Option<(JournalTime, Deadline)> {
    let waits = !message.pending.is_empty();
    waits.then(|| (message.expires_at, Deadline::MessageExpiry(message.id)))
}

fn token_deadline(token: &Token) -> Option<(JournalTime, Deadline)> {
    let at = token.expires_at?;
    Some((at, Deadline::TokenExpiry(token.id.clone())))
}

fn insert<K: Ord + Clone, V: Ord>(map: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: V) {
    if let Some(set) = map.get_mut(key) {
        set.insert(value);
    } else {
        map.insert(key.clone(), BTreeSet::from([value]));
    }
}

fn remove<K: Ord, V: Ord>(map: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(set) = map.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            map.remove(key);
        }
    }
}

fn decrement<K: Ord>(map: &mut BTreeMap<K, u32>, key: &K) {
    if let Some(count) = map.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            map.remove(key);
        }
    }
}
