//! Commands that send, take and acknowledge messages.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::super::ids::{AgentName, Capability, MessageId, Title, Topic};
use super::super::payload::Payload;
use super::omitted::is_false;

/// Who is to get a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipient {
    Agent(AgentName),
    Capability(Capability),
    Topic(Topic),
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Importance {
    Low,
    #[default]
    Normal,
    High,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MessageSend {
    pub to: Recipient,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Title>,
    pub body: Payload,
    #[serde(default)]
    pub importance: Importance,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    pub ttl_ms: u64,
    /// Agents that a valid token makes known and that this project has not heard of yet. Tokens
    /// are state of the system project, so the proposer has to carry them here.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub introduces: BTreeSet<AgentName>,
    /// Each sender has a share of a mailbox, and direct messages have a reserve. Commands of
    /// earlier versions lack it: for them a mailbox only has a size.
    #[serde(default, skip_serializing_if = "is_false")]
    pub shares: bool,
}

impl MessageSend {
    /// The first format of commands that has it.
    pub(super) fn format(&self) -> u32 {
        let shares = self.shares || !self.introduces.is_empty();
        let shares = if shares { 3 } else { 1 };
        match &self.to {
            Recipient::Agent(agent) => agent.format().max(shares),
            Recipient::Capability(_) | Recipient::Topic(_) | Recipient::All => shares,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageTake {
    pub count_max: u32,
    /// How long the taken messages stay hidden from other readers of the mailbox.
    pub take_ms: u64,
    #[serde(default)]
    pub importance_min: Importance,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageAck {
    #[serde(default)]
    pub messages: Vec<MessageId>,
    /// Also everything in the mailbox up to and including this message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<MessageId>,
}

impl MessageAck {
    /// The first format of commands that has it.
    pub(super) fn format(&self) -> u32 {
        if self.up_to.is_some() { 3 } else { 1 }
    }
}
