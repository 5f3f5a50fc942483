//! `send_message`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::ToolError;
use super::bounds::{TEXT_CHARS_MAX, fitting};
use crate::engine::ids::{AgentName, MessageId, Title};
use crate::mcp::caller::Caller;
use crate::mcp::words;
use crate::protocol::message::{
    DeliveryState, DeliveryView, ImportanceParam, MessageSendParams, MessageSendResult,
    RecipientParam,
};
use crate::protocol::operations::Operation;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SendParams {
    /// An agent, `all`, `topic:NAME` or `capability:NAME`.
    to: Recipient,
    text: String,
    subject: Option<Title>,
    /// The message that you answer.
    reply_to: Option<MessageId>,
    #[serde(default)]
    urgent: bool,
}

/// Whom a model means, as one text.
#[derive(Debug)]
pub(super) struct Recipient(pub(super) RecipientParam);

impl<'de> Deserialize<'de> for Recipient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let recipient = match text.split_once(':') {
            None if text == "all" => RecipientParam::All(true),
            Some(("topic", name)) => RecipientParam::Topic(name.parse().map_err(D::Error::custom)?),
            Some(("capability", name)) => {
                RecipientParam::Capability(name.parse().map_err(D::Error::custom)?)
            }
            _ => RecipientParam::Agent(text.parse().map_err(D::Error::custom)?),
        };
        Ok(Self(recipient))
    }
}

impl JsonSchema for Recipient {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Recipient".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Sent {
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<MessageId>,
    /// Agents that are here now.
    live: Vec<AgentName>,
    /// Agents that get it when they come.
    queued: Vec<AgentName>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_delivered: Vec<String>,
    /// Recipients that are not named here.
    #[serde(skip_serializing_if = "super::status::is_zero")]
    more: u64,
}

pub(super) async fn send(caller: &mut dyn Caller, params: SendParams) -> Result<Sent, ToolError> {
    let message = MessageSendParams {
        to: params.to.0,
        subject: params.subject,
        body: words::payload_of(&params.text),
        importance: if params.urgent {
            ImportanceParam::High
        } else {
            ImportanceParam::Normal
        },
        reply_to: params.reply_to,
        ttl_ms: None,
        request_id: None,
    };
    let sent: MessageSendResult = caller.run(Operation::MessageSend, &message).await?;
    let of = |state: DeliveryState| {
        let recipients = sent.recipients.iter();
        let recipients = recipients.filter(move |it| it.delivery == state);
        recipients.map(|it| it.agent.clone())
    };
    let lost =
        |it: &&DeliveryView| matches!(it.delivery, DeliveryState::Unknown | DeliveryState::Full);
    let live = fitting(of(DeliveryState::Live), TEXT_CHARS_MAX);
    let queued = fitting(of(DeliveryState::Queued), TEXT_CHARS_MAX);
    let not_delivered = sent.recipients.iter().filter(lost).map(why);
    let not_delivered = fitting(not_delivered, TEXT_CHARS_MAX);
    let named = live.len() + queued.len() + not_delivered.len();
    Ok(Sent {
        message: sent.message,
        live,
        queued,
        not_delivered,
        more: (sent.recipients.len() - named) as u64,
    })
}

fn why(lost: &DeliveryView) -> String {
    let agent = &lost.agent;
    match (lost.delivery, lost.similar.as_slice()) {
        (DeliveryState::Full, _) => {
            let limit = lost.limit.as_deref().unwrap_or("mailbox_messages_max");
            format!("{agent}: its mailbox is full ({limit})")
        }
        (_, []) => format!("{agent}: no such agent; status names those that are here"),
        (_, similar) => {
            let similar: Vec<String> = similar.iter().map(ToString::to_string).collect();
            format!(
                "{agent}: no such agent; did you mean {}?",
                similar.join(" or ")
            )
        }
    }
}
