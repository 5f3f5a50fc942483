//! `read_messages`, and the inbox as a resource.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ToolError;
use super::bounds::{LIST_CHARS_MAX, fitting};
use crate::engine::ids::{AgentName, JournalTime, MessageId};
use crate::mcp::caller::Caller;
use crate::mcp::words;
use crate::protocol::message::{
    ImportanceParam, MessageAckParams, MessageAckResult, MessageInboxParams, MessageInboxResult,
    MessageThreadParams, MessageThreadResult, MessageView,
};
use crate::protocol::operations::Operation;
use crate::protocol::span::Span;

/// Messages in one answer.
const MESSAGES_MAX: u64 = 10;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadParams {
    /// Take those that were shown whole out of the mailbox.
    #[serde(default)]
    acknowledge: bool,
    /// Only this one, whole.
    message: Option<MessageId>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct Mail {
    messages: Vec<Letter>,
    /// Unread ones that were not shown.
    left: u64,
    /// Messages that lapsed before you read them.
    #[serde(skip_serializing_if = "super::status::is_zero")]
    lapsed: u64,
    acknowledged: u64,
    next: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Letter {
    message: MessageId,
    by: AgentName,
    ago: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<MessageId>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    urgent: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject_words: Option<String>,
    words: String,
    /// Something of it is missing here.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
}

pub(super) async fn read(caller: &mut dyn Caller, params: ReadParams) -> Result<Mail, ToolError> {
    let mut messages = match params.message {
        Some(message) => one(caller, message).await?,
        None => peek(caller).await?,
    };
    let shown = messages.messages.iter().filter(|letter| !letter.cut);
    let shown: Vec<MessageId> = shown.map(|letter| letter.message).collect();
    if params.acknowledge && !shown.is_empty() {
        let ack = MessageAckParams {
            messages: Some(shown),
            ..MessageAckParams::default()
        };
        let acked: MessageAckResult = caller.run(Operation::MessageAck, &ack).await?;
        messages.acknowledged = acked.count;
    }
    messages.next = messages.advice(params.acknowledge);
    Ok(messages)
}

/// The oldest unread messages; none is acknowledged.
pub(in crate::mcp) async fn peek(caller: &mut dyn Caller) -> Result<Mail, ToolError> {
    let params = MessageInboxParams {
        count_max: Some(MESSAGES_MAX),
        ..MessageInboxParams::default()
    };
    let inbox: MessageInboxResult = caller.run(Operation::MessageInbox, &params).await?;
    let letter = |message| Letter::of(message, inbox.now_ms, words::TEXT_CHARS_MAX);
    let messages = fitting(inbox.messages.iter().map(letter), LIST_CHARS_MAX);
    let mut messages = Mail {
        left: inbox.waiting.saturating_sub(messages.len() as u64),
        messages,
        lapsed: inbox.expired,
        acknowledged: 0,
        next: String::new(),
    };
    messages.next = messages.advice(false);
    Ok(messages)
}

/// One message, read or unread.
async fn one(caller: &mut dyn Caller, message: MessageId) -> Result<Mail, ToolError> {
    let params = MessageThreadParams { message };
    let thread: MessageThreadResult = caller.run(Operation::MessageThread, &params).await?;
    let found = thread.messages.iter().find(|it| it.message == message);
    let letter = found.map(|it| {
        let mut letter = Letter::of(it, thread.now_ms, words::WHOLE_CHARS_MAX);
        // There is no way to see more of it here.
        letter.cut = false;
        letter
    });
    Ok(Mail {
        messages: letter.into_iter().collect(),
        left: super::status::unread(caller).await?,
        lapsed: 0,
        acknowledged: 0,
        next: String::new(),
    })
}

impl Letter {
    fn of(message: &MessageView, now: JournalTime, chars_max: usize) -> Self {
        let (words, cut) = words::body(&message.body, chars_max);
        let subject = message.subject.as_ref();
        Self {
            message: message.message,
            by: message.from.clone(),
            ago: Span(now.since_ms(message.sent_at_ms)).to_string(),
            reply_to: message.reply_to,
            urgent: message.importance == ImportanceParam::High,
            subject_words: subject.map(|subject| words::line(subject.as_str())),
            words,
            cut,
        }
    }
}

impl Mail {
    fn advice(&self, acknowledge: bool) -> String {
        let cut = self.messages.iter().find(|letter| letter.cut);
        if let Some(letter) = cut {
            return format!(
                "read_messages with message {} shows it whole",
                letter.message
            );
        }
        match (self.messages.is_empty(), acknowledge, self.left) {
            (true, _, 0) => "no message waits".to_owned(),
            (false, false, _) => {
                "read_messages with acknowledge, once you have dealt with them; send_message with reply_to answers"
                    .to_owned()
            }
            (_, _, 0) => "send_message with reply_to answers".to_owned(),
            (_, _, left) => format!("read_messages: {left} more wait"),
        }
    }
}
