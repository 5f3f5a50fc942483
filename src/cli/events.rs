//! `coord events follow`, and the printing of events that `context watch` shares.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;

use super::client::{Client, Notice};
use super::error::CliError;
use super::exit::Exit;
use super::output::{Output, Paint};
use super::reader;
use super::shell::Shell;
use super::table::{joined, one_line};
use crate::engine::ids::{AgentName, Cursor, TaskId};
use crate::protocol::events::{ChangeView, EventFilter, EventView, EventsSubscribeParams};

#[derive(Debug, clap::Subcommand)]
pub(super) enum EventsCommand {
    /// Prints events as they happen; after a lost connection it continues where it stopped
    ///
    /// Ends with 0 when the reader of its output is gone, as in `coord events follow | head -1`.
    Follow(FollowArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct FollowArgs {
    /// Start after this cursor instead of now
    #[arg(long, value_name = "CURSOR")]
    from: Option<Cursor>,
    /// Only this kind, such as task.done, or area, such as task.*; may be repeated
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// Only events that concern this agent
    #[arg(long)]
    agent: Option<AgentName>,
    /// Only events that concern this task
    #[arg(long)]
    task: Option<TaskId>,
    /// End after so many events
    #[arg(long, value_name = "N")]
    max: Option<u64>,
}

pub(super) async fn run(command: EventsCommand, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let EventsCommand::Follow(args) = command;
    let max = args.max;
    let mut client = shell.client().await?;
    let reply = client.subscribe(args.into()).await?;
    let cursor = reply.value.cursor;
    shell.out.note(format_args!("following from {cursor}"));
    print(client, &mut shell.out, max).await?;
    Ok(Exit::Ok)
}

/// Prints events until `max` of them, or until the coordinator cannot be reached any more.
pub(super) async fn print(
    mut client: Client,
    out: &mut Output<'_>,
    max: Option<u64>,
) -> Result<(), CliError> {
    let mut left = max.unwrap_or(u64::MAX);
    while left > 0 {
        let notice = tokio::select! {
            notice = client.notice() => notice?,
            gone = reader::gone() => return Err(gone),
        };
        match notice {
            Notice::Event(_, raw) if out.style().json => {
                out.raw(&raw)?;
                left -= 1;
            }
            Notice::Event(event, _) => {
                show(out, &event)?;
                left -= 1;
            }
            Notice::EventsClosed(closed, raw) => {
                // A reader that expects to see every event must learn of the gap.
                if out.style().json {
                    out.raw(&raw)?;
                }
                super::output::note(format_args!(
                    "{}: events after {} are no longer available; list the state again; continuing from {}",
                    closed.kind.as_str(),
                    closed.cursor,
                    closed.next
                ));
                client.resubscribe().await?;
            }
            Notice::SessionClosed(closed) => out.note(one_line(&closed.reason)),
            Notice::LeaseLost(_) | Notice::TaskLost(_) | Notice::Resumed => {}
        }
    }
    client.close().await;
    Ok(())
}

fn show(out: &mut Output<'_>, event: &EventView) -> io::Result<()> {
    let cursor = out.paint(Paint::Faint, &event.cursor.to_string());
    for change in &event.changes {
        let kind = out.paint(Paint::Heading, &format!("{:<16}", change.kind));
        let rest = one_line(&describe(change));
        out.line(
            format_args!("{cursor}  {kind}  {rest}")
                .to_string()
                .trim_end(),
        )?;
    }
    Ok(())
}

/// The fields that are there, in a fixed order.
fn describe(change: &ChangeView) -> String {
    let mut text = String::new();
    let mut say = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let gap = if text.is_empty() { "" } else { " " };
            write!(text, "{gap}{name}={value}").expect("a string takes all that is written to it");
        }
    };
    say("task", change.task.map(|id| id.to_string()));
    say("root", change.root.map(|id| id.to_string()));
    say("attempt", change.attempt.map(|n| n.to_string()));
    say("lease", change.lease.map(|id| id.to_string()));
    say("message", change.message.map(|id| id.to_string()));
    say("topic", change.topic.as_ref().map(ToString::to_string));
    say("key", change.key.as_ref().map(ToString::to_string));
    say("revision", change.revision.map(|n| n.to_string()));
    say("session", change.session.map(|id| id.to_string()));
    say("agent", change.agent.as_ref().map(ToString::to_string));
    say("to", (!change.to.is_empty()).then(|| joined(&change.to)));
    say("fence", change.fence.map(|n| n.to_string()));
    say("token", change.token.as_ref().map(ToString::to_string));
    say("project", change.project.as_ref().map(ToString::to_string));
    say(
        "reason",
        change.reason.as_ref().map(|text| format!("{text:?}")),
    );
    text
}

impl From<FollowArgs> for EventsSubscribeParams {
    fn from(args: FollowArgs) -> Self {
        let filter = EventFilter {
            kinds: args.kinds.into_iter().collect::<BTreeSet<_>>(),
            agent: args.agent,
            task: args.task,
            key_prefix: None,
        };
        let all = filter == EventFilter::default();
        Self {
            filters: if all { Vec::new() } else { vec![filter] },
            from: args.from,
        }
    }
}
