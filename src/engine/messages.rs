//! Messages: durable in every recipient's mailbox until acknowledged or lapsed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Engine;
use super::command::{Actor, Importance, MessageAck, MessageSend, MessageTake, Recipient};
use super::event::{Change, ChangeKind, Subject};
use super::ids::{AgentName, JournalTime, MessageId, Title};
use super::limits::check_limit;
use super::outcome::{Delivery, Outcome, Refusal, SendOutcome};
use super::payload::Payload;

/// What one recipient's entry counts for.
const RECIPIENT_BYTES: usize = 256;

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
    /// Who has not acknowledged it; until when it is hidden from other readers of that mailbox.
    pub pending: BTreeMap<AgentName, Option<JournalTime>>,
}

impl Message {
    /// The bytes that count against the limits: the body, and what each recipient's entry takes.
    pub(super) fn bytes(&self) -> u64 {
        message_bytes(&self.body, self.recipients.len())
    }

    /// Whether `agent` may read it: who sent it or got it.
    pub fn is_visible_to(&self, agent: &AgentName) -> bool {
        self.from == *agent || self.recipients.contains(agent)
    }
}

fn message_bytes(body: &Payload, recipients: usize) -> u64 {
    body.bytes() + (recipients * RECIPIENT_BYTES) as u64
}

impl Engine {
    pub(super) fn check_message_send(&self, by: &Actor, send: &MessageSend) -> Result<(), Refusal> {
        self.check_new_agent(by.agent())?;
        let limits = &self.limits;
        check_limit!(limits, payload_bytes_max, send.body.bytes())?;
        check_limit!(limits, message_ttl_ms_max, send.ttl_ms)?;
        let recipients = match (&send.to, by.agent()) {
            (Recipient::Agent(_), _) | (_, None) => 1,
            (to, Some(from)) => self.recipients(from, to).len(),
        };
        let bytes = self.index.messages_bytes + message_bytes(&send.body, recipients);
        let over = bytes.saturating_sub(limits.messages_bytes_max);
        // What everyone acknowledged makes room: it must never keep new messages out.
        let finished = self.state.messages_finished.iter();
        let mut freed = 0;
        for message in finished.filter_map(|id| self.state.messages.get(id)) {
            if freed >= over {
                break;
            }
            freed += message.bytes();
        }
        check_limit!(limits, messages_bytes_max, bytes - freed.min(over))?;
        if send.ttl_ms == 0 {
            return Err(Refusal::Invalid {
                path: "ttl_ms".to_owned(),
                problem: "a message needs some time to be read".to_owned(),
            });
        }
        let Some(reply_to) = send.reply_to else {
            return Ok(());
        };
        let original = self.state.messages.get(&reply_to);
        match original {
            Some(message) if by.agent().is_some_and(|a| message.is_visible_to(a)) => Ok(()),
            _ => Err(Refusal::NotFound(format!("message {reply_to} to reply to"))),
        }
    }

    pub(super) fn message_send(&mut self, by: &Actor, send: &MessageSend) -> Outcome {
        let nobody = |recipients| {
            Outcome::Sent(SendOutcome {
                message: None,
                thread: None,
                recipients,
            })
        };
        let Some(from) = by.agent() else {
            return nobody(Vec::new());
        };
        let named = self.recipients(from, &send.to);
        let deliveries: Vec<(AgentName, Delivery)> = named
            .into_iter()
            .map(|agent| {
                let delivery = self.delivery(&agent, send.body.bytes());
                (agent, delivery)
            })
            .collect();
        let accepted: BTreeSet<AgentName> = deliveries
            .iter()
            .filter(|(_, d)| matches!(d, Delivery::Live | Delivery::Queued))
            .map(|(agent, _)| agent.clone())
            .collect();
        if accepted.is_empty() {
            return nobody(deliveries);
        }
        let (id, thread) = self.insert_message(from, send, accepted);
        Outcome::Sent(SendOutcome {
            message: Some(id),
            thread: Some(thread),
            recipients: deliveries,
        })
    }

    /// Whom a message goes to; the sender never gets its own broadcast.
    fn recipients(&self, from: &AgentName, to: &Recipient) -> Vec<AgentName> {
        let others = self.state.agents.values().filter(|a| a.name != *from);
        match to {
            Recipient::Agent(agent) => vec![agent.clone()],
            Recipient::All => others.map(|a| a.name.clone()).collect(),
            Recipient::Capability(capability) => others
                .filter(|a| a.capabilities.contains(capability))
                .map(|a| a.name.clone())
                .collect(),
            Recipient::Topic(topic) => others
                .filter(|a| a.topics.contains(topic))
                .map(|a| a.name.clone())
                .collect(),
        }
    }

    fn delivery(&self, agent: &AgentName, bytes: u64) -> Delivery {
        if !self.state.agents.contains_key(agent) {
            return Delivery::Unknown;
        }
        let mailbox = self.index.mailboxes.get(agent);
        let (messages, held) = mailbox.map_or((0, 0), |m| (m.messages.len() as u64, m.bytes));
        let limits = &self.limits;
        if messages >= limits.mailbox_messages_max || held + bytes > limits.mailbox_bytes_max {
            return Delivery::Full;
        }
        if self.is_live(agent) {
            Delivery::Live
        } else {
            Delivery::Queued
        }
    }

    fn insert_message(
        &mut self,
        from: &AgentName,
        send: &MessageSend,
        recipients: BTreeSet<AgentName>,
    ) -> (MessageId, MessageId) {
        let id = self.state.last.message();
        let original = send.reply_to.and_then(|id| self.state.messages.get(&id));
        let thread = original.map_or(id, |message| message.thread);
        let message = Message {
            id,
            from: from.clone(),
            to: send.to.clone(),
            thread,
            reply_to: send.reply_to,
            subject: send.subject.clone(),
            body: send.body.clone(),
            importance: send.importance,
            sent_at: self.state.now,
            expires_at: self.state.now.after_ms(send.ttl_ms),
            pending: recipients
                .iter()
                .map(|agent| (agent.clone(), None))
                .collect(),
            recipients,
        };
        let topic = match &send.to {
            Recipient::Topic(topic) => Some(Box::new(topic.clone())),
            _ => None,
        };
        let mut change = Change::new(ChangeKind::MessageSent)
            .agent(from)
            .about(Subject::Message { message: id, topic });
        change.to = message.recipients.iter().cloned().collect();
        self.index.add_message(&message);
        self.state.messages.insert(id, message);
        self.change(change);
        self.forget_messages();
        (id, thread)
    }

    /// What waits in a mailbox and may be read now, oldest first.
    pub fn inbox<'a>(
        &'a self,
        agent: &'a AgentName,
        importance_min: Importance,
    ) -> impl Iterator<Item = (&'a Message, Option<JournalTime>)> {
        let mailbox = self.index.mailboxes.get(agent);
        let ids = mailbox.into_iter().flat_map(|m| &m.messages);
        ids.filter_map(move |id| {
            let message = self.state.messages.get(id)?;
            let taken_until = message.pending.get(agent).copied().flatten();
            (message.importance >= importance_min).then_some((message, taken_until))
        })
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

    /// Whether a take would find anything.
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
            let message = self.state.messages.get_mut(id);
            let entry = message.and_then(|m| m.pending.get_mut(agent));
            if let Some(entry) = entry {
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
            if self.message_leaves(agent, *id) {
                let subject = Subject::Message {
                    message: *id,
                    topic: None,
                };
                self.change(
                    Change::new(ChangeKind::MessageAcked)
                        .agent(agent)
                        .about(subject),
                );
                acked.push(*id);
            } else {
                unknown.push(*id);
            }
        }
        if let Some(agent) = self.state.agents.get_mut(agent) {
            agent.messages_expired = 0;
        }
        Outcome::Acked { acked, unknown }
    }

    /// Takes a message out of one mailbox; says whether it was there.
    pub(super) fn message_leaves(&mut self, agent: &AgentName, id: MessageId) -> bool {
        let Some(message) = self.state.messages.get_mut(&id) else {
            return false;
        };
        if message.pending.remove(agent).is_none() {
            return false;
        }
        self.index.remove_mail(agent, message);
        if message.pending.is_empty() {
            self.index.remove_message_deadline(message);
            self.message_finished(id);
        }
        true
    }

    /// Nobody waits for it any more; threads show it until newer ones push it out.
    fn message_finished(&mut self, id: MessageId) {
        self.state.messages_finished.push_back(id);
        self.forget_messages();
    }

    /// Lets the oldest finished messages go while there are too many, or all hold too much.
    fn forget_messages(&mut self) {
        while self.state.messages_finished.len() as u64 > self.limits.messages_finished_max
            || self.index.messages_bytes > self.limits.messages_bytes_max
        {
            let Some(oldest) = self.state.messages_finished.pop_front() else {
                return;
            };
            if let Some(message) = self.state.messages.remove(&oldest) {
                self.index.remove_message(&message);
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
