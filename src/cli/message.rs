//! `coord message`.

use std::io;
use std::path::PathBuf;

use clap::ArgGroup;

use super::duration::{Millis, ago};
use super::error::CliError;
use super::exit::Exit;
use super::input;
use super::output::{Output, Paint};
use super::shell::Shell;
use super::table::{Table, joined, lines, one_line};
use crate::engine::ids::{AgentName, Capability, JournalTime, MessageId, Title, Topic};
use crate::engine::outcome::MailboxLimit;
use crate::engine::payload::Payload;
use crate::protocol::message::{
    DeliveryState, DeliveryView, ImportanceParam, MessageAckParams, MessageAckResult,
    MessageInboxParams, MessageInboxResult, MessageSendParams, MessageSendResult,
    MessageThreadParams, MessageThreadResult, MessageView, RecipientParam,
};
use crate::protocol::operations::Operation;

#[derive(Debug, clap::Subcommand)]
pub(super) enum MessageCommand {
    /// Sends a message, and shows the delivery at each recipient
    ///
    /// Exits with 5 when no such recipient exists, and with 8 when every recipient's mailbox is full: the
    /// table shows which limit is reached. Exits with 0 when some recipients got the message.
    Send(Box<SendArgs>),
    /// Reads your mailbox; messages stay in it until `ack`
    Inbox {
        /// Hide the shown messages from your other sessions for this long
        #[arg(long, value_name = "DURATION")]
        take: Option<Millis>,
        /// Only messages with a higher number
        #[arg(long, value_name = "ID", conflicts_with = "take")]
        after: Option<MessageId>,
        /// Only messages of this importance or higher
        #[arg(long, value_enum, value_name = "IMPORTANCE")]
        importance: Option<ImportanceArg>,
        /// At most this many
        #[arg(long, value_name = "N")]
        max: Option<u64>,
    },
    /// Acknowledges messages, which removes them from your mailbox
    ///
    /// Exits with 5 when a named message is not in it; the others are acknowledged anyway.
    #[command(group(ArgGroup::new("which").required(true).args(["messages", "up_to", "all"])))]
    Ack {
        messages: Vec<MessageId>,
        /// All up to and including this one; later ones stay
        #[arg(long, value_name = "ID")]
        up_to: Option<MessageId>,
        /// All that wait now, also those you have not read
        #[arg(long)]
        all: bool,
    },
    /// Shows the messages of a thread that you sent or got
    Thread {
        /// Any message of the thread
        message: MessageId,
    },
}

#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(group(ArgGroup::new("recipient").required(true).args(["to", "capability", "topic", "all"])))]
#[command(group(ArgGroup::new("content").required(true).args(["text", "body", "file"])))]
pub(super) struct SendArgs {
    /// Send to this agent
    #[arg(long, value_name = "AGENT")]
    to: Option<AgentName>,
    /// Send to every other agent that has this capability
    #[arg(long)]
    capability: Option<Capability>,
    /// Send to every other agent that listens to this topic
    #[arg(long)]
    topic: Option<Topic>,
    /// Send to every other agent of the project
    #[arg(long)]
    all: bool,
    /// The message, as plain text
    text: Option<String>,
    /// The message, as JSON
    #[arg(long, value_name = "JSON")]
    body: Option<String>,
    /// A file that holds the JSON; - for stdin
    #[arg(long)]
    file: Option<PathBuf>,
    #[arg(long)]
    subject: Option<Title>,
    #[arg(long, value_enum, default_value_t)]
    importance: ImportanceArg,
    /// Continues the thread of this message
    #[arg(long, value_name = "ID")]
    reply_to: Option<MessageId>,
    /// How long it stays in a mailbox unread [default: a week]
    #[arg(long, value_name = "DURATION")]
    ttl: Option<Millis>,
}

/// How important a message is.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
pub(super) enum ImportanceArg {
    Low,
    #[default]
    Normal,
    High,
}

pub(super) async fn run(command: MessageCommand, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    match command {
        MessageCommand::Send(args) => return send(*args, shell).await,
        MessageCommand::Inbox {
            take,
            after,
            importance,
            max,
        } => {
            let params = MessageInboxParams {
                take_ms: take.map(|ms| ms.0),
                after,
                importance_min: importance.map(ImportanceParam::from),
                count_max: max,
                request_id: None,
            };
            let whole = params.after.is_none() && params.importance_min.is_none();
            let operation = Operation::MessageInbox;
            let inbox = shell.print(operation, &params, show_inbox).await?;
            if let [_, .., last] = &*inbox.messages
                && whole
                && !shell.out.style().json
            {
                let last = last.message;
                shell.out.note(format_args!(
                    "after reading them, run `coord message ack --up-to {last}`"
                ));
            }
        }
        MessageCommand::Ack {
            messages,
            up_to,
            all,
        } => {
            let params = MessageAckParams {
                messages: (!messages.is_empty()).then_some(messages),
                up_to,
                all,
                request_id: None,
            };
            return ack(params, shell).await;
        }
        MessageCommand::Thread { message } => {
            let params = MessageThreadParams { message };
            let show = |out: &mut Output<'_>, thread: &MessageThreadResult| {
                show_messages(out, &thread.messages, thread.now_ms)
            };
            shell.print(Operation::MessageThread, &params, show).await?;
        }
    }
    Ok(Exit::Ok)
}

async fn ack(params: MessageAckParams, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let show = |out: &mut Output<'_>, result: &MessageAckResult| {
        for message in &result.unknown {
            out.note(format_args!("message {message} is not in the mailbox"));
        }
        // Coordinators of earlier versions send no count.
        let count = result.count.max(result.acked.len() as u64);
        out.done(format_args!("acknowledged {count}"))
    };
    let result = shell.print(Operation::MessageAck, &params, show).await?;
    if result.unknown.is_empty() {
        Ok(Exit::Ok)
    } else {
        Ok(Exit::NotFound)
    }
}

async fn send(args: SendArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let params = MessageSendParams {
        to: recipient(&args),
        body: body(&args)?,
        subject: args.subject,
        importance: args.importance.into(),
        reply_to: args.reply_to,
        ttl_ms: args.ttl.map(|ttl| ttl.0),
        request_id: None,
    };
    let operation = Operation::MessageSend;
    let sent = shell.print(operation, &params, show_sent).await?;
    Ok(sent_exit(&sent))
}

/// If nobody got the message, either no recipient exists or all their mailboxes are full.
fn sent_exit(sent: &MessageSendResult) -> Exit {
    let full = |recipient: &DeliveryView| matches!(recipient.delivery, DeliveryState::Full);
    match sent.message {
        Some(_) => Exit::Ok,
        None if sent.recipients.iter().any(full) => Exit::Limit,
        None => Exit::NotFound,
    }
}

/// Exactly one is given: clap enforces it.
fn recipient(args: &SendArgs) -> RecipientParam {
    if let Some(agent) = &args.to {
        return RecipientParam::Agent(agent.clone());
    }
    if let Some(capability) = &args.capability {
        return RecipientParam::Capability(capability.clone());
    }
    match &args.topic {
        Some(topic) => RecipientParam::Topic(topic.clone()),
        None => RecipientParam::All(true),
    }
}

fn body(args: &SendArgs) -> Result<Payload, CliError> {
    if let Some(path) = &args.file {
        return input::json(&input::file(path)?, &path.display().to_string());
    }
    match (&args.body, &args.text) {
        (Some(body), _) => input::json(body, "--body"),
        (None, text) => Ok(input::string(text.as_deref().unwrap_or_default())),
    }
}

fn show_sent(out: &mut Output<'_>, sent: &MessageSendResult) -> io::Result<()> {
    match (sent.message, out.style().quiet) {
        (Some(message), true) => return out.line(message),
        (Some(message), false) => out.line(format_args!("sent message {message}"))?,
        // Nothing is printed: a script would take it for a message number. The exit code says enough.
        (None, true) => return Ok(()),
        (None, false) => out.line("no recipient got it")?,
    }
    let mut table = Table::new(&["RECIPIENT", "WHAT HAPPENED"]);
    for recipient in &sent.recipients {
        table.row(&[recipient.agent.to_string(), happened(recipient)]);
    }
    if table.is_empty() {
        return Ok(());
    }
    out.table(&table, "")
}

fn happened(recipient: &DeliveryView) -> String {
    match recipient.delivery {
        DeliveryState::Live => "in the mailbox, and connected".to_owned(),
        DeliveryState::Queued => "in the mailbox, not connected now".to_owned(),
        DeliveryState::Unknown if recipient.similar.is_empty() => "no such agent".to_owned(),
        DeliveryState::Unknown => {
            let similar = joined(&recipient.similar);
            format!("no such agent; did you mean {similar}?")
        }
        DeliveryState::Full => format!("not delivered: {}", no_room(recipient.limit.as_deref())),
    }
}

/// Why a recipient's mailbox is full, with the name of the limit.
fn no_room(limit: Option<&str>) -> String {
    let Some(limit) = limit else {
        return "its mailbox is full".to_owned();
    };
    let why = if limit == MailboxLimit::AgentsMax.as_str() {
        "the project has its maximum number of agents"
    } else if limit.ends_with("_per_sender_max") {
        "your share of its mailbox is used up until it acknowledges some messages"
    } else if limit.ends_with("_reserved") {
        "the rest of its mailbox is reserved for direct messages"
    } else {
        "its mailbox is full"
    };
    format!("{why} ({})", one_line(limit))
}

fn show_inbox(out: &mut Output<'_>, inbox: &MessageInboxResult) -> io::Result<()> {
    if inbox.expired > 0 {
        let expired = inbox.expired;
        out.note(format_args!("{expired} messages expired unread"));
    }
    if inbox.messages.is_empty() && !out.style().quiet {
        return out.line("no messages");
    }
    show_messages(out, &inbox.messages, inbox.now_ms)?;
    let hidden = inbox.waiting.saturating_sub(inbox.messages.len() as u64);
    if hidden > 0 {
        out.note(format_args!("{hidden} more wait"));
    }
    Ok(())
}

fn show_messages(
    out: &mut Output<'_>,
    messages: &[MessageView],
    now: JournalTime,
) -> io::Result<()> {
    for message in messages {
        let sent = ago(now, message.sent_at_ms);
        let mark = match message.importance {
            ImportanceParam::High => "  important",
            ImportanceParam::Low | ImportanceParam::Normal => "",
        };
        let subject = message.subject.as_ref().map(|s| format!(": {s}"));
        let subject = subject.unwrap_or_default();
        let (id, from) = (message.message, &message.from);
        let heading = one_line(&format!("#{id}  {from}  {sent}{mark}{subject}"));
        out.line(out.paint(Paint::Heading, &heading))?;
        // A string is shown as text, everything else as JSON.
        let text = serde_json::from_str::<String>(message.body.as_json());
        let body = text.unwrap_or_else(|_| message.body.as_json().to_owned());
        for line in lines(&body).lines() {
            out.line(format_args!("  {line}"))?;
        }
    }
    Ok(())
}

impl From<ImportanceArg> for ImportanceParam {
    fn from(importance: ImportanceArg) -> Self {
        match importance {
            ImportanceArg::Low => Self::Low,
            ImportanceArg::Normal => Self::Normal,
            ImportanceArg::High => Self::High,
        }
    }
}
