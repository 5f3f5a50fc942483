//! Wire types of the message operations.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::RpcError;
use crate::engine::command::{self, Recipient};
use crate::engine::ids::{AgentName, Capability, JournalTime, MessageId, RequestId, Title, Topic};
use crate::engine::messages::Message;
use crate::engine::outcome::{Delivery, SendOutcome};
use crate::engine::payload::Payload;

/// The shortest time that taken messages stay hidden.
const TAKE_MS_MIN: u64 = 1_000;

/// The default time-to-live of a message: a week.
pub const TTL_MS_DEFAULT: u64 = 604_800_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ImportanceParam {
    Low,
    #[default]
    Normal,
    High,
}

/// The recipients: exactly one of the four.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RecipientParam {
    /// One agent, or one seat; an agent with seats: each of its seats that has a session.
    Agent(AgentName),
    /// Every other agent that has this capability.
    Capability(Capability),
    /// Every other agent that listens to this topic.
    Topic(Topic),
    /// Every other agent of the project, as if it were sent to each: `{"all": true}`.
    All(bool),
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageSendParams {
    pub to: RecipientParam,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Title>,
    pub body: Payload,
    #[serde(default)]
    pub importance: ImportanceParam,
    /// Continues the thread of that message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// How long it stays in a mailbox unread. A week when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MessageSendResult {
    /// `null` if no recipient got it; then it is not kept.
    pub message: Option<MessageId>,
    pub thread: Option<MessageId>,
    /// The delivery at each recipient.
    pub recipients: Vec<DeliveryView>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryView {
    pub agent: AgentName,
    pub delivery: DeliveryState,
    /// With `full`: the limit that is reached. `mailbox_…_per_sender_max`: the sender's share of the mailbox;
    /// `mailbox_…_reserved`: the rest is reserved for direct messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// With `unknown`: agents with similar names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub similar: Vec<AgentName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// In the mailbox of an agent that is connected now.
    Live,
    /// In the mailbox of an agent that is not connected now.
    Queued,
    /// No agent and no valid token has this name. A seat is known once it has come.
    Unknown,
    /// Not delivered, because the mailbox is full. `limit` names the limit.
    Full,
}

/// Reads the caller's mailbox. Reading removes nothing; `message.ack` does.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MessageInboxParams {
    /// Hides the returned messages from other readers of the mailbox for this time. When absent, hides none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub take_ms: Option<u64>,
    /// Only messages with a higher number; not allowed with `take_ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<MessageId>,
    /// Only messages of this importance or higher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub importance_min: Option<ImportanceParam>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MessageInboxResult {
    pub messages: Vec<MessageView>,
    /// The number of all waiting messages, the returned ones included.
    pub waiting: u64,
    /// How many messages expired unread since the last acknowledgement.
    pub expired: u64,
    pub now_ms: JournalTime,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MessageView {
    pub message: MessageId,
    pub from: AgentName,
    pub to: RecipientParam,
    pub thread: MessageId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Title>,
    pub body: Payload,
    pub importance: ImportanceParam,
    pub sent_at_ms: JournalTime,
    pub expires_at_ms: JournalTime,
    /// Present if another reader has taken it: until this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_until_ms: Option<JournalTime>,
}

/// Removes messages from the caller's mailbox. Give exactly one of the three fields.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageAckParams {
    /// These.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<Vec<MessageId>>,
    /// All in the mailbox up to and including this one; later messages stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<MessageId>,
    /// All that wait when the request arrives, also those that another reader has taken. Later messages stay.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MessageAckResult {
    /// The named messages that were acknowledged.
    pub acked: Vec<MessageId>,
    /// The named messages that are not in the mailbox: acknowledged before, expired, or never there.
    pub unknown: Vec<MessageId>,
    /// The total number of acknowledged messages.
    #[serde(default)]
    pub count: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageThreadParams {
    /// Any message of the thread.
    pub message: MessageId,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MessageThreadResult {
    /// The messages that the agent sent or got, oldest first; the oldest may be deleted already.
    pub messages: Vec<MessageView>,
    pub now_ms: JournalTime,
}

impl TryFrom<MessageSendParams> for command::MessageSend {
    type Error = RpcError;

    fn try_from(params: MessageSendParams) -> Result<Self, Self::Error> {
        let to = match params.to {
            RecipientParam::Agent(agent) => Recipient::Agent(agent),
            RecipientParam::Capability(capability) => Recipient::Capability(capability),
            RecipientParam::Topic(topic) => Recipient::Topic(topic),
            RecipientParam::All(true) => Recipient::All,
            RecipientParam::All(false) => {
                let problem = "write {\"all\": true}, or name a recipient";
                return Err(RpcError::invalid(problem));
            }
        };
        Ok(Self {
            to,
            subject: params.subject,
            body: params.body,
            importance: params.importance.into(),
            reply_to: params.reply_to,
            ttl_ms: params.ttl_ms.unwrap_or(TTL_MS_DEFAULT),
            // Filled in by the driver, which knows the tokens and who shares the journal.
            introduces: BTreeSet::new(),
            shares: false,
        })
    }
}

impl MessageInboxParams {
    /// Whether it takes messages, or only reads them.
    pub fn changes_state(&self) -> bool {
        self.take_ms.is_some()
    }
}

impl TryFrom<MessageInboxParams> for command::MessageTake {
    type Error = RpcError;

    fn try_from(params: MessageInboxParams) -> Result<Self, Self::Error> {
        if params.after.is_some() {
            let problem = "after: not allowed with take_ms, which always takes the oldest";
            return Err(RpcError::invalid(problem));
        }
        Ok(Self {
            count_max: u32::try_from(params.count_max.unwrap_or(1)).unwrap_or(u32::MAX),
            take_ms: params.take_ms.unwrap_or_default().max(TAKE_MS_MIN),
            importance_min: params
                .importance_min
                .map_or(command::Importance::Low, Into::into),
        })
    }
}

impl From<ImportanceParam> for command::Importance {
    fn from(importance: ImportanceParam) -> Self {
        match importance {
            ImportanceParam::Low => Self::Low,
            ImportanceParam::Normal => Self::Normal,
            ImportanceParam::High => Self::High,
        }
    }
}

impl From<command::Importance> for ImportanceParam {
    fn from(importance: command::Importance) -> Self {
        match importance {
            command::Importance::Low => Self::Low,
            command::Importance::Normal => Self::Normal,
            command::Importance::High => Self::High,
        }
    }
}

impl From<SendOutcome> for MessageSendResult {
    fn from(outcome: SendOutcome) -> Self {
        let recipients = outcome.recipients.into_iter();
        Self {
            message: outcome.message,
            thread: outcome.thread,
            recipients: recipients
                .map(|(agent, delivery)| DeliveryView {
                    agent,
                    delivery: match delivery {
                        Delivery::Live => DeliveryState::Live,
                        Delivery::Queued => DeliveryState::Queued,
                        Delivery::Unknown => DeliveryState::Unknown,
                        Delivery::Full | Delivery::Over(_) => DeliveryState::Full,
                    },
                    limit: match delivery {
                        Delivery::Over(limit) => Some(limit.as_str().to_owned()),
                        _ => None,
                    },
                    similar: Vec::new(),
                })
                .collect(),
        }
    }
}

impl MessageAckResult {
    pub fn named(acked: Vec<MessageId>, unknown: Vec<MessageId>) -> Self {
        Self {
            count: acked.len() as u64,
            acked,
            unknown,
        }
    }

    /// All up to a message, and none by name.
    pub fn up_to(count: u64, unknown: Vec<MessageId>) -> Self {
        Self {
            acked: Vec::new(),
            unknown,
            count,
        }
    }
}

impl DeliveryView {
    pub fn is_unknown(&self) -> bool {
        matches!(self.delivery, DeliveryState::Unknown)
    }
}

impl MessageView {
    pub fn of(message: &Message, taken_until: Option<JournalTime>) -> Self {
        Self {
            message: message.id,
            from: message.from.clone(),
            to: match &message.to {
                Recipient::Agent(agent) => RecipientParam::Agent(agent.clone()),
                Recipient::Capability(c) => RecipientParam::Capability(c.clone()),
                Recipient::Topic(topic) => RecipientParam::Topic(topic.clone()),
                Recipient::All => RecipientParam::All(true),
            },
            thread: message.thread,
            reply_to: message.reply_to,
            subject: message.subject.clone(),
            body: message.body.clone(),
            importance: message.importance.into(),
            sent_at_ms: message.sent_at,
            expires_at_ms: message.expires_at,
            taken_until_ms: taken_until,
        }
    }
}
