//! Shares: how much of a mailbox, and of all mailboxes of a project, one sender may fill.
//!
//! Each sender has a share, so one agent's broadcasts cannot block the messages of others. Several senders
//! together could still fill everything, so the last part is a reserve for direct messages of senders that
//! have little waiting there.
//!
//! ```text
//!  0 ──────── open to everybody, each up to its share ────────┤── reserve: direct, few each ──┤ max
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::ids::{AgentName, MessageId, Principal};
use super::limits::Limits;
use super::messages::Message;
use super::outcome::MailboxLimit;

/// The number and bytes of waiting messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Held {
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Mailbox {
    pub(super) messages: BTreeSet<MessageId>,
    pub(super) bytes: u64,
    /// By principal: all seats of one are one sender.
    by_sender: BTreeMap<Principal, Held>,
}

impl Mailbox {
    pub(super) fn add(&mut self, message: &Message) {
        if self.messages.insert(message.id) {
            let bytes = message.body.bytes();
            self.bytes += bytes;
            let held = self.by_sender.entry(message.from.principal()).or_default();
            held.messages += 1;
            held.bytes += bytes;
        }
    }

    pub(super) fn remove(&mut self, message: &Message) {
        if !self.messages.remove(&message.id) {
            return;
        }
        let bytes = message.body.bytes();
        self.bytes -= bytes;
        let from = message.from.principal();
        if let Some(held) = self.by_sender.get_mut(&from) {
            held.messages -= 1;
            held.bytes -= bytes;
            if held.messages == 0 {
                self.by_sender.remove(&from);
            }
        }
    }

    /// Whether one more message of `from` may enter.
    pub(super) fn takes(
        &self,
        limits: &Limits,
        from: &AgentName,
        bytes: u64,
        direct: bool,
    ) -> Result<(), MailboxLimit> {
        let own = self
            .by_sender
            .get(&from.principal())
            .copied()
            .unwrap_or_default();
        let messages = Room {
            max: limits.mailbox_messages_max,
            per_sender_max: limits.mailbox_messages_per_sender_max,
            reserved: limits.mailbox_messages_reserved,
            reserved_per_sender_max: limits.mailbox_messages_reserved_per_sender_max,
        };
        messages
            .takes(self.messages.len() as u64, own.messages, 1, direct)
            .map_err(|short| match short {
                Short::Sender => MailboxLimit::MailboxMessagesPerSenderMax,
                Short::Reserved => MailboxLimit::MailboxMessagesReserved,
                Short::All => MailboxLimit::MailboxMessagesMax,
            })?;
        let room = Room {
            max: limits.mailbox_bytes_max,
            per_sender_max: limits.mailbox_bytes_per_sender_max,
            reserved: limits.mailbox_bytes_reserved,
            reserved_per_sender_max: limits.mailbox_bytes_reserved_per_sender_max,
        };
        room.takes(self.bytes, own.bytes, bytes, direct)
            .map_err(|short| match short {
                Short::Sender => MailboxLimit::MailboxBytesPerSenderMax,
                Short::Reserved => MailboxLimit::MailboxBytesReserved,
                Short::All => MailboxLimit::MailboxBytesMax,
            })
    }
}

/// The bytes that wait in all mailboxes of a project, by sender, including each recipient's entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Waiting {
    pub(super) bytes: u64,
    by_sender: BTreeMap<Principal, u64>,
}

impl Waiting {
    pub(super) fn add(&mut self, message: &Message) {
        self.bytes += message.bytes();
        let from = message.from.principal();
        *self.by_sender.entry(from).or_default() += message.bytes();
    }

    pub(super) fn remove(&mut self, message: &Message) {
        self.bytes -= message.bytes();
        let from = message.from.principal();
        if let Some(bytes) = self.by_sender.get_mut(&from) {
            *bytes -= message.bytes();
            if *bytes == 0 {
                self.by_sender.remove(&from);
            }
        }
    }

    /// Whether `bytes` more of `from` may wait. The error is the name of the limit and its value.
    pub(super) fn takes(
        &self,
        limits: &Limits,
        from: &AgentName,
        bytes: u64,
        direct: bool,
    ) -> Result<(), (&'static str, u64)> {
        let own = self
            .by_sender
            .get(&from.principal())
            .copied()
            .unwrap_or_default();
        let room = Room {
            max: limits.messages_bytes_max,
            per_sender_max: limits.messages_bytes_per_sender_max,
            reserved: limits.messages_bytes_reserved,
            reserved_per_sender_max: limits.messages_bytes_reserved_per_sender_max,
        };
        room.takes(self.bytes, own, bytes, direct)
            .map_err(|short| match short {
                Short::Sender => ("messages_bytes_per_sender_max", room.per_sender_max),
                Short::Reserved => ("messages_bytes_reserved", room.reserved),
                Short::All => ("messages_bytes_max", room.max),
            })
    }
}

/// The limits of one unit: messages or bytes.
struct Room {
    max: u64,
    per_sender_max: u64,
    reserved: u64,
    reserved_per_sender_max: u64,
}

/// Which limit is reached.
enum Short {
    Sender,
    /// There is space, but it is reserved for others.
    Reserved,
    All,
}

impl Room {
    fn takes(&self, all: u64, own: u64, more: u64, direct: bool) -> Result<(), Short> {
        let (all, own) = (all.saturating_add(more), own.saturating_add(more));
        if own > self.per_sender_max {
            return Err(Short::Sender);
        }
        if all > self.max {
            return Err(Short::All);
        }
        let few = direct && own <= self.reserved_per_sender_max;
        if few || all <= self.max.saturating_sub(self.reserved) {
            Ok(())
        } else {
            Err(Short::Reserved)
        }
    }
}
