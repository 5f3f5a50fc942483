//! The entries of each kind of item: one function lists them, for inserting and for removing.

use super::super::agents::{Agent, Presence, Session, SessionState};
use super::super::command::{Capabilities, Role};
use super::super::deadlines::Deadline;
use super::super::ids::{AgentName, JournalTime, NodeId};
use super::super::leases::{Lease, LeaseState};
use super::super::messages::Message;
use super::super::nodes::Node;
use super::super::system::Token;
use super::super::tasks::{Task, TaskState};
use super::{Edit, Index};
use crate::planted::{Bug, is_on};

/// An item of the state whose entries depend only on that item.
pub(in super::super) trait Indexed {
    /// Inserts all its entries, or removes them.
    fn entries(&self, index: &mut Index, edit: Edit);
}

/// What an agent can do.
pub(in super::super) struct Abilities<'a> {
    pub(in super::super) agent: &'a AgentName,
    pub(in super::super) capabilities: &'a Capabilities,
}

impl<'a> Abilities<'a> {
    pub(in super::super) fn of(agent: &'a Agent) -> Self {
        Self {
            agent: &agent.name,
            capabilities: &agent.capabilities,
        }
    }
}

impl Indexed for Abilities<'_> {
    fn entries(&self, index: &mut Index, edit: Edit) {
        for capability in self.capabilities {
            edit.member(&mut index.capable, capability, self.agent);
        }
    }
}

/// When it is forgotten, if it is a seat that holds nothing; whether it is present.
impl Indexed for Agent {
    fn entries(&self, index: &mut Index, edit: Edit) {
        let idle = self.forget_at;
        let idle = idle.map(|at| (at, Deadline::SeatIdle(Box::new(self.name.clone()))));
        edit.values(&mut index.deadlines, idle);
        edit.part(
            &mut index.counts.agents_present,
            u64::from(self.presence != Presence::Gone),
        );
    }
}

impl Indexed for Task {
    fn entries(&self, index: &mut Index, edit: Edit) {
        edit.values(&mut index.deadlines, task_deadlines(self));
        if let Some(key) = &self.idempotency_key {
            edit.only(&mut index.by_idempotency_key, key, &self.id);
        }
        if let Some(key) = &self.concurrency
            && self.state != TaskState::Done
        {
            edit.count(&mut index.using_key, key);
        }
        for dependency in &self.waiting_on {
            edit.member(&mut index.dependents, dependency, &self.id);
        }
        match &self.state {
            TaskState::Ready => match &self.offer {
                Some(offer) => {
                    index.touch(&offer.agent);
                    edit.member(&mut index.offered, &offer.agent, &self.ready_key());
                    if let Some(key) = &self.concurrency {
                        edit.member(&mut index.offered_under, key, &self.id);
                    }
                }
                None => index.edit_ready(self, edit),
            },
            TaskState::Claimed(attempt) => {
                index.touch(&attempt.agent);
                edit.member(&mut index.agent_tasks, &attempt.agent, &self.id);
                if let Some(session) = attempt.hold.session() {
                    edit.member(&mut index.session_tasks, &session, &self.id);
                }
                if let Some(key) = &self.concurrency {
                    edit.member(&mut index.running, key, &self.id);
                }
            }
            TaskState::Blocked | TaskState::Done | TaskState::Dead | TaskState::Cancelled => {}
        }
        index.edit_requirement(self, edit);
        if let Some(count) = index.tasks_finished.of(&self.state) {
            edit.part(count, 1);
        }
        let of_state = match self.state {
            TaskState::Blocked => Some(&mut index.counts.tasks_blocked),
            TaskState::Ready => Some(&mut index.counts.tasks_ready),
            TaskState::Claimed(_) => Some(&mut index.counts.tasks_claimed),
            TaskState::Done | TaskState::Dead | TaskState::Cancelled => None,
        };
        if let Some(count) = of_state {
            edit.part(count, 1);
        }
        edit.part(&mut index.tasks_open, u64::from(self.state.is_open()));
        edit.part(&mut index.tasks_bytes, self.bytes());
    }
}

impl Indexed for Lease {
    fn entries(&self, index: &mut Index, edit: Edit) {
        index.edit_lease_deadline(self, edit);
        index.edit_places(self, edit);
        edit.part(&mut index.files, self.files());
        if self.is_held() {
            index.edit_holdings(self, edit);
            index.touch(&self.agent);
            edit.member(&mut index.agent_leases, &self.agent, &self.id);
            if let Some(session) = self.hold.session() {
                edit.member(&mut index.session_leases, &session, &self.id);
            }
        }
    }
}

impl Indexed for Session {
    fn entries(&self, index: &mut Index, edit: Edit) {
        edit.values(&mut index.deadlines, session_deadline(self));
        if let SessionState::Grace { until } = self.state {
            let lost_at = JournalTime(until.0.saturating_sub(self.grace_ms));
            edit.values(&mut index.lost_sessions, [(lost_at, self.id)]);
        }
        index.touch(&self.agent);
        edit.member(&mut index.agent_sessions, &self.agent, &self.id);
    }
}

impl Indexed for Message {
    fn entries(&self, index: &mut Index, edit: Edit) {
        edit.member(&mut index.threads, &self.thread, &self.id);
        edit.part(&mut index.messages_bytes, self.bytes());
        for agent in self.pending.keys() {
            index.edit_mail(agent, self, edit);
        }
        if !self.pending.is_empty() {
            index.edit_waiting(self, edit);
        }
    }
}

impl Indexed for Token {
    fn entries(&self, index: &mut Index, edit: Edit) {
        edit.values(&mut index.deadlines, token_deadline(self));
        edit.only(&mut index.token_by_hash, &self.secret_hash, &self.id);
        if self.role >= Role::Agent {
            let agent = AgentName::from(&self.agent);
            edit.member(&mut index.tokens_of_agent, &agent, &self.id);
        }
    }
}

impl Indexed for (&NodeId, &Node) {
    fn entries(&self, index: &mut Index, edit: Edit) {
        let (id, node) = *self;
        let lapses = (node.until, Deadline::NodeLapses(id.clone()));
        edit.values(&mut index.deadlines, [lapses]);
    }
}

impl Index {
    fn edit_ready(&mut self, task: &Task, edit: Edit) {
        let (group, key) = (task.ready_group(), task.ready_key());
        edit.member(&mut self.ready, &group, &key);
        if edit == Edit::Remove && is_on(Bug::ReadyLabelStays) {
            return;
        }
        for (name, value) in &task.labels {
            let label = (name.clone(), value.clone());
            let labelled = self.ready_labelled.entry(label).or_default();
            edit.member(labelled, &group, &key);
            if labelled.is_empty() {
                let label = (name.clone(), value.clone());
                self.ready_labelled.remove(&label);
            }
        }
    }

    /// The entries of a lease that depend on how long it is held.
    pub(in super::super) fn edit_lease_deadline(&mut self, lease: &Lease, edit: Edit) {
        edit.values(&mut self.deadlines, lease_deadline(lease));
    }

    /// One recipient's entry; recipients acknowledge a message one by one.
    pub(in super::super) fn edit_mail(&mut self, agent: &AgentName, message: &Message, edit: Edit) {
        self.touch(agent);
        match edit {
            Edit::Insert => {
                let mailbox = self.mailboxes.entry(agent.clone()).or_default();
                mailbox.add(message);
            }
            Edit::Remove => {
                let Some(mailbox) = self.mailboxes.get_mut(agent) else {
                    return;
                };
                mailbox.remove(message);
                if mailbox.messages.is_empty() {
                    self.mailboxes.remove(agent);
                }
            }
        }
    }

    /// The entries that a message has while it waits for any recipient.
    pub(in super::super) fn edit_waiting(&mut self, message: &Message, edit: Edit) {
        match edit {
            Edit::Insert => self.messages_waiting.add(message),
            Edit::Remove => self.messages_waiting.remove(message),
        }
        edit.part(&mut self.counts.messages_waiting, 1);
        let expiry = (message.expires_at, Deadline::MessageExpiry(message.id));
        edit.values(&mut self.deadlines, [expiry]);
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

fn token_deadline(token: &Token) -> Option<(JournalTime, Deadline)> {
    let at = token.expires_at?;
    Some((at, Deadline::TokenExpiry(token.id.clone())))
}
