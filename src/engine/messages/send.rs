//! Sending: the recipients of a message, and the space in their mailboxes.

use std::collections::BTreeSet;

use super::super::Engine;
use super::super::command::{Actor, MessageSend, Recipient};
use super::super::event::{Change, ChangeKind, Subject};
use super::super::ids::{AgentName, MessageId};
use super::super::limits::{LimitExceeded, check_limit};
use super::super::mailbox::Mailbox;
use super::super::outcome::{Delivery, MailboxLimit, Outcome, Refusal, SendOutcome};
use super::{Message, message_bytes};

impl Engine {
    pub(in super::super) fn check_message_send(
        &self,
        by: &Actor,
        send: &MessageSend,
    ) -> Result<(), Refusal> {
        match &send.to {
            Recipient::Agent(agent) if self.is_known_or(&send.introduces, agent) => {
                self.check_new_pair(by, agent)?;
            }
            _ => self.check_new_agent(by.agent())?,
        }
        let limits = &self.limits;
        check_limit!(limits, payload_bytes_max, send.body.bytes())?;
        check_limit!(limits, message_ttl_ms_max, send.ttl_ms)?;
        self.check_messages_bytes(by, send)?;
        if send.ttl_ms == 0 {
            return Err(Refusal::Invalid {
                path: "ttl_ms".to_owned(),
                problem: "the time-to-live must be above 0".to_owned(),
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

    /// Only waiting messages count. Acknowledged ones are deleted when space is needed, so they never block
    /// new messages.
    fn check_messages_bytes(&self, by: &Actor, send: &MessageSend) -> Result<(), LimitExceeded> {
        let recipients = match (&send.to, by.agent()) {
            (Recipient::Agent(_), _) | (_, None) => 1,
            (_, Some(from)) => self.recipients(from, send).len(),
        };
        let bytes = message_bytes(&send.body, recipients);
        let waiting = &self.index.messages_waiting;
        match by.agent() {
            Some(from) if send.shares => waiting
                .takes(&self.limits, from, bytes, is_direct(send))
                .map_err(|(limit, max)| LimitExceeded { limit, max }),
            _ => check_limit!(self.limits, messages_bytes_max, waiting.bytes + bytes),
        }
    }

    pub(in super::super) fn message_send(&mut self, by: &Actor, send: &MessageSend) -> Outcome {
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
        let named = self.recipients(from, send);
        let deliveries: Vec<(AgentName, Delivery)> = named
            .into_iter()
            .map(|agent| {
                let delivery = self.introduce(&agent, &send.introduces);
                let delivery = delivery.unwrap_or_else(|| self.delivery(from, &agent, send));
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

    /// Registers a recipient that is known from its token; returns the limit that prevents it.
    fn introduce(
        &mut self,
        agent: &AgentName,
        introduces: &BTreeSet<AgentName>,
    ) -> Option<Delivery> {
        if !introduces.contains(agent) || self.ensure_agent(agent).is_ok() {
            return None;
        }
        Some(Delivery::Over(MailboxLimit::AgentsMax))
    }

    /// The recipients of a message, in the order of their names; the sender never gets its own broadcast.
    fn recipients(&self, from: &AgentName, send: &MessageSend) -> Vec<AgentName> {
        let others = self.state.agents.values().filter(|a| a.name != *from);
        match &send.to {
            Recipient::Agent(agent) => self.addressed(from, agent),
            Recipient::All => self.everyone_else(from, &send.introduces),
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

    /// Each other principal, as if the message were sent to it by name; of the sender's own, only who is
    /// present, since the others would hear it from themselves.
    fn everyone_else(&self, from: &AgentName, introduces: &BTreeSet<AgentName>) -> Vec<AgentName> {
        let known = self.state.agents.keys().chain(introduces);
        let principals: BTreeSet<AgentName> = known.map(AgentName::without_seat).collect();
        let is_known = |name: &AgentName| self.is_known_or(introduces, name);
        let meant = principals.iter().flat_map(|principal| {
            let own = principal.has_same_principal(from);
            let addressed = self.addressed(from, principal).into_iter();
            addressed.filter(move |name| is_known(name) && (!own || self.is_present(name)))
        });
        meant.filter(|name| name != from).collect()
    }

    fn delivery(&self, from: &AgentName, agent: &AgentName, send: &MessageSend) -> Delivery {
        if !self.state.agents.contains_key(agent) {
            return Delivery::Unknown;
        }
        if let Err(full) = self.mailbox_takes(from, agent, send) {
            return full;
        }
        if self.is_live(agent) {
            Delivery::Live
        } else {
            Delivery::Queued
        }
    }

    fn mailbox_takes(
        &self,
        from: &AgentName,
        agent: &AgentName,
        send: &MessageSend,
    ) -> Result<(), Delivery> {
        let (limits, bytes) = (&self.limits, send.body.bytes());
        let empty = Mailbox::default();
        let mailbox = self.index.mailboxes.get(agent).unwrap_or(&empty);
        if send.shares {
            return mailbox
                .takes(limits, from, bytes, is_direct(send))
                .map_err(Delivery::Over);
        }
        // The rule for commands from before shares existed: they must fold as they did.
        let full = mailbox.messages.len() as u64 >= limits.mailbox_messages_max
            || mailbox.bytes + bytes > limits.mailbox_bytes_max;
        if full { Err(Delivery::Full) } else { Ok(()) }
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
        self.index.insert(&message);
        self.state.messages.insert(id, message);
        self.change(change);
        self.forget_messages();
        (id, thread)
    }
}

fn is_direct(send: &MessageSend) -> bool {
    matches!(send.to, Recipient::Agent(_))
}
