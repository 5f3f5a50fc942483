//! Messages: durable in every recipient's mailbox until acknowledged or expired.

mod send;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Engine;
use super::command::{Actor, Importance, MessageAck, MessageTake, Recipient};
use super::event::{Change, ChangeKind, Subject};
use super::ids::{AgentName, JournalTime, MessageId, Title};
use super::index::Edit;
use super::outcome::Outcome;
use super::payload::Payload;
use crate::planted::{Bug, is_on};

/// What one recipient's entry counts for.
const RECIPIENT_BYTES: usize = 256;
static NO_MESSAGES: BTreeSet<MessageId> = BTreeSet::new();

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    pub id: MessageId,
    pub from: AgentName,
    pub to: Recipient,
    /// The first message of the thread; its own id when it begins one.
    pub thread: MessageId,
    #[serde(default)]
    pub reply_to: Option<MessageId>,
    #[serde(default)]
    pub subject: Option<Title>,
    pub body: Payload,
    #[serde(default)]
    pub importance: Importance,
    pub sent_at: JournalTime,
    pub expires_at: JournalTime,
    /// Everyone who got it.
    pub recipients: BTreeSet<AgentName>,
    /// The recipients that have not acknowledged it, and until when it is hidden from other readers of their
    /// mailbox.
    pub pending: BTreeMap<AgentName, Option<JournalTime>>,
}

impl Message {
    /// The bytes that count against the limits: the body, and what each recipient's entry takes.
    pub(super) fn bytes(&self) -> u64 {
        message_bytes(&self.body, self.recipients.len())
    }

    /// Whether `agent` may read it: who sent it or got it. A seat reads what its principal may.
    pub fn is_visible_to(&self, agent: &AgentName) -> bool {
        let had = |name: &AgentName| self.from == *name || self.recipients.contains(name);
        had(agent) || (agent.is_seat() && had(&agent.without_seat()))
    }
}

fn message_bytes(body: &Payload, recipients: usize) -> u64 {
    body.bytes() + (recipients * RECIPIENT_BYTES) as u64
}

impl Engine {
    /// What waits in a mailbox and may be read now, oldest first.
    pub fn inbox<'a>(
        &'a self,
        agent: &'a AgentName,
        importance_min: Importance,
    ) -> impl Iterator<Item = (&'a Message, Option<JournalTime>)> {
        let own = self.messages_in(agent);
        let shared = if is_on(Bug::SeatNamesShared) {
            let mut all = self.index.mailboxes.iter();
            let namesake = all.find(|(name, _)| name.has_same_seat(agent) && *name != agent);
            namesake.map_or(&NO_MESSAGES, |(_, mailbox)| &mailbox.messages)
        } else if agent.is_seat() {
            self.messages_in(&agent.without_seat())
        } else {
            &NO_MESSAGES
        };
        own.union(shared).filter_map(move |id| {
            let message = self.state.messages.get(id)?;
            let read_as = message.read_as(agent)?;
            let taken_until = message.pending.get(&read_as).copied().flatten();
            (message.importance >= importance_min).then_some((message, taken_until))
        })
    }

    fn messages_in(&self, agent: &AgentName) -> &BTreeSet<MessageId> {
        let mailbox = self.index.mailboxes.get(agent);
        mailbox.map_or(&NO_MESSAGES, |mailbox| &mailbox.messages)
    }

    /// The newest message that waits for an agent.
    pub fn newest_mail(&self, agent: &AgentName) -> Option<MessageId> {
        let shared = self.messages_in(&agent.without_seat()).last();
        self.messages_in(agent).last().max(shared).copied()
    }

    /// How many messages lapsed unread since `agent` last acknowledged any.
    pub fn expired_for(&self, agent: &AgentName) -> u64 {
        let readable = self.agents_of(agent).filter(|a| a.name.covers(agent));
        readable.map(|a| a.messages_expired).sum()
    }

    /// How many messages wait for an agent; a seat reads its principal's mailbox too.
    pub fn waiting_for(&self, agent: &AgentName) -> u64 {
        if agent.is_seat() {
            return self.inbox(agent, Importance::Low).count() as u64;
        }
        self.mailbox_len(agent)
    }

    /// How many messages wait in a mailbox.
    pub fn mailbox_len(&self, agent: &AgentName) -> u64 {
        let mailbox = self.index.mailboxes.get(agent);
        mailbox.map_or(0, |m| m.messages.len() as u64)
    }

    /// The messages of a thread that are still known, oldest first.
    pub fn thread(&self, thread: MessageId) -> impl Iterator<Item = &Message> {
        let ids = self.index.threads.get(&thread).into_iter().flatten();
        ids.filter_map(|id| self.state.messages.get(id))
    }

    /// Whether a take would return anything.
    pub fn has_untaken(&self, agent: &AgentName, importance_min: Importance) -> bool {
        let now = self.state.now;
        self.inbox(agent, importance_min)
            .any(|(_, taken)| taken.is_none_or(|until| until <= now))
    }

    pub(super) fn message_take(&mut self, by: &Actor, take: &MessageTake) -> Outcome {
        let Some(agent) = by.agent() else {
            return Outcome::Taken(Vec::new());
        };
        let now = self.state.now;
        let count = u64::from(take.count_max).min(self.limits.messages_per_request_max);
        let hidden_until = now.after_ms(take.take_ms.min(self.limits.message_take_ms_max));
        let taken: Vec<MessageId> = self
            .inbox(agent, take.importance_min)
            .filter(|(_, until)| until.is_none_or(|until| until <= now))
            .map(|(message, _)| message.id)
            .take(usize::try_from(count).unwrap_or(usize::MAX))
            .collect();
        for id in &taken {
            let message = self.state.messages.get(id);
            let read_as = message.and_then(|message| message.read_as(agent));
            let message = self.state.messages.get_mut(id);
            if let (Some(message), Some(read_as)) = (message, read_as)
                && let Some(entry) = message.pending.get_mut(&read_as)
            {
                *entry = Some(hidden_until);
            }
        }
        Outcome::Taken(taken)
    }

    pub(super) fn message_ack(&mut self, by: &Actor, ack: &MessageAck) -> Outcome {
        let (mut acked, mut unknown) = (Vec::new(), Vec::new());
        let Some(agent) = by.agent() else {
            return Outcome::Acked { acked, unknown };
        };
        for id in &ack.messages {
            if self.message_acked(agent, *id) {
                acked.push(*id);
            } else {
                unknown.push(*id);
            }
        }
        let up_to = ack.up_to.unwrap_or_default();
        let waiting = self.inbox(agent, Importance::Low).map(|(m, _)| m.id);
        let rest: Vec<MessageId> = waiting.take_while(|id| *id <= up_to).collect();
        for id in &rest {
            self.message_acked(agent, *id);
        }
        for name in [agent, &agent.without_seat()] {
            if let Some(agent) = self.state.agents.get_mut(name) {
                agent.messages_expired = 0;
            }
        }
        if ack.up_to.is_some() {
            let count = (acked.len() + rest.len()) as u64;
            return Outcome::AckedUpTo { count, unknown };
        }
        Outcome::Acked { acked, unknown }
    }

    /// Removes an acknowledged message from one mailbox; returns whether it was there.
    fn message_acked(&mut self, agent: &AgentName, id: MessageId) -> bool {
        let message = self.state.messages.get(&id);
        let read_as = message.and_then(|message| message.read_as(agent));
        let left = read_as.is_some_and(|read_as| self.message_leaves(&read_as, id));
        if left {
            let subject = Subject::Message {
                message: id,
                topic: None,
            };
            let change = Change::new(ChangeKind::MessageAcked);
            self.change(change.agent(agent).about(subject));
        }
        left
    }

    /// Removes a message from one mailbox; returns whether it was there.
    pub(super) fn message_leaves(&mut self, agent: &AgentName, id: MessageId) -> bool {
        let Some(message) = self.state.messages.get_mut(&id) else {
            return false;
        };
        if message.pending.remove(agent).is_none() {
            return false;
        }
        self.index.edit_mail(agent, message, Edit::Remove);
        if message.pending.is_empty() {
            self.index.edit_waiting(message, Edit::Remove);
            self.message_finished(id);
        }
        true
    }

    /// All recipients acknowledged it; threads show it until newer messages replace it.
    fn message_finished(&mut self, id: MessageId) {
        self.state.messages_finished.push_back(id);
        self.forget_messages();
    }

    /// Deletes the oldest finished messages while there are too many or their bytes exceed the limit.
    fn forget_messages(&mut self) {
        while self.state.messages_finished.len() as u64 > self.limits.messages_finished_max
            || self.index.messages_bytes > self.limits.messages_bytes_max
        {
            let Some(oldest) = self.state.messages_finished.pop_front() else {
                return;
            };
            if let Some(message) = self.state.messages.remove(&oldest) {
                self.index.remove(&message);
            }
        }
    }

    pub(super) fn message_expires(&mut self, id: MessageId) {
        let message = self.state.messages.get(&id);
        let waiting: Vec<AgentName> = message
            .into_iter()
            .flat_map(|message| message.pending.keys().cloned())
            .collect();
        let mut change = Change::new(ChangeKind::MessageExpired).about(Subject::Message {
            message: id,
            topic: None,
        });
        if let Some(message) = message {
            change = change.agent(&message.from);
        }
        for agent in &waiting {
            self.state.totals.messages_expired += 1;
            if let Some(agent) = self.state.agents.get_mut(agent) {
                agent.messages_expired += 1;
            }
            self.message_leaves(agent, id);
        }
        change.to = waiting;
        self.change(change);
    }
}
