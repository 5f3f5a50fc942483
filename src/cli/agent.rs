//! `coord agent`.

use std::io;

use super::duration::ago;
use super::error::CliError;
use super::exit::Exit;
use super::output::{Output, Paint, done};
use super::shell::Shell;
use super::table::{Table, joined, or_nothing};
use crate::engine::ids::{
    AgentKind, AgentName, Capability, JournalTime, LabelKey, LabelValue, Note, Topic,
};
use crate::protocol::agent::{
    AgentGetParams, AgentListParams, AgentListResult, AgentRemoveParams, AgentRemoveResult,
    AgentUpdateParams, AgentView, PresenceView, StatusParam,
};
use crate::protocol::operations::Operation;

#[derive(Debug, clap::Subcommand)]
pub(super) enum AgentCommand {
    /// Lists agents with their presence
    List {
        /// Only agents with this capability
        #[arg(long)]
        capability: Option<Capability>,
        /// Only agents that have a session
        #[arg(long)]
        present: bool,
        /// Only agents after this one, in the order of their names
        #[arg(long, value_name = "NAME")]
        after: Option<AgentName>,
        /// At most this many
        #[arg(long, value_name = "N")]
        max: Option<u64>,
    },
    /// Shows one agent
    Get {
        /// The agent's name [default: your own]
        agent: Option<AgentName>,
    },
    /// Updates your own status, labels and capabilities; options that are not given change nothing
    Update(Box<UpdateArgs>),
    /// Removes an agent that has no session, and releases all it held
    Remove { agent: AgentName },
}

#[derive(Debug, clap::Args)]
pub(super) struct UpdateArgs {
    #[arg(long, value_enum)]
    status: Option<StatusArg>,
    /// The program you are, such as claude-code
    #[arg(long)]
    kind: Option<AgentKind>,
    /// A capability of yours; may be repeated; replaces the known ones
    #[arg(long = "capability", value_name = "CAPABILITY")]
    capabilities: Vec<Capability>,
    /// A label; may be repeated; replaces the known ones
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = super::input::label)]
    labels: Vec<(LabelKey, LabelValue)>,
    /// A topic you listen to; may be repeated; replaces the known ones
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<Topic>,
    /// How busy you are, from 0 to 100
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(..=100))]
    load: Option<u8>,
    /// A note for people and other agents
    #[arg(long)]
    note: Option<Note>,
}

/// A status that an agent may set for itself.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum StatusArg {
    Idle,
    Busy,
    Away,
}

pub(super) async fn run(command: AgentCommand, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    match command {
        AgentCommand::List {
            capability,
            present,
            after,
            max,
        } => {
            let params = AgentListParams {
                capability,
                present,
                after,
                count_max: max,
            };
            let operation = Operation::AgentList;
            shell.print(operation, &params, show_list).await?;
        }
        AgentCommand::Get { agent } => {
            let params = AgentGetParams { agent };
            shell.print_at(Operation::AgentGet, &params, show).await?;
        }
        AgentCommand::Update(args) => {
            let params = AgentUpdateParams::from(*args);
            let updated = |out: &mut Output<'_>, agent: &AgentView| {
                out.done(format_args!("updated {}", agent.name))
            };
            let operation = Operation::AgentUpdate;
            shell.print(operation, &params, updated).await?;
        }
        AgentCommand::Remove { agent } => {
            let params = AgentRemoveParams {
                agent: agent.clone(),
                request_id: None,
            };
            let removed = done::<AgentRemoveResult>(format!("removed {agent}"));
            let operation = Operation::AgentRemove;
            let result = shell.print(operation, &params, removed).await?;
            if result.still_known && !shell.out.style().json {
                shell.out.note(format_args!(
                    "a token still names {agent}: `coord token list` shows the token, `coord token revoke` revokes it"
                ));
            }
        }
    }
    Ok(Exit::Ok)
}

fn show(out: &mut Output<'_>, agent: &AgentView, now: JournalTime) -> io::Result<()> {
    let presence = out.paint(paint(agent.presence), presence_name(agent.presence));
    let since = ago(now, agent.since_ms);
    out.line(format_args!(
        "{} {presence} {since}: {}",
        agent.name, agent.reason
    ))?;
    out.field("kind", or_nothing(agent.kind.as_ref()))?;
    out.field("capabilities", joined(&agent.capabilities))?;
    out.field("labels", labels(&agent.labels))?;
    out.field("topics", joined(&agent.topics))?;
    out.field(
        "load",
        or_nothing(agent.load_percent.map(|p| format!("{p} %"))),
    )?;
    out.field("note", or_nothing(agent.note.as_ref()))?;
    out.field("tasks", joined(&agent.tasks))?;
    out.field("mailbox", agent.mailbox)?;
    if agent.seats_present > 0 {
        out.field("seats present", agent.seats_present)?;
    }
    for session in &agent.sessions {
        let opened = ago(now, session.opened_at_ms);
        let state = match session.grace_until_ms {
            Some(until) => format!(", lost, ends {}", super::duration::ahead(now, until)),
            None => String::new(),
        };
        let text = format!(
            "{} on {}, opened {opened}{state}",
            session.session, session.node
        );
        out.field("session", text)?;
    }
    Ok(())
}

fn show_list(out: &mut Output<'_>, list: &AgentListResult) -> io::Result<()> {
    let mut table = Table::new(&[
        "AGENT", "KIND", "PRESENCE", "SINCE", "LOAD", "TASKS", "NOTE",
    ]);
    for agent in &list.agents {
        table.row(&[
            agent.name.to_string(),
            or_nothing(agent.kind.as_ref()),
            presence(agent),
            ago(list.now_ms, agent.since_ms),
            or_nothing(agent.load_percent.map(|p| format!("{p} %"))),
            joined(&agent.tasks),
            or_nothing(agent.note.as_ref()),
        ]);
    }
    out.table(&table, "no agents")?;
    if let Some(after) = &list.next_after {
        out.note(format_args!("there are more: --after {after}"));
    }
    Ok(())
}

/// `name=value` pairs in one cell.
pub(super) fn labels(labels: &crate::engine::command::Labels) -> String {
    joined(labels.iter().map(|(key, value)| format!("{key}={value}")))
}

fn paint(presence: PresenceView) -> Paint {
    match presence {
        PresenceView::Online | PresenceView::Idle => Paint::Good,
        PresenceView::Busy => Paint::Busy,
        PresenceView::Away | PresenceView::Gone => Paint::Faint,
    }
}

/// A principal without a session of its own may be there with its seats.
fn presence(agent: &AgentView) -> String {
    match (agent.presence, agent.seats_present) {
        (PresenceView::Gone, 1) => "1 seat".to_owned(),
        (PresenceView::Gone, seats) if seats > 1 => format!("{seats} seats"),
        (presence, _) => presence_name(presence).to_owned(),
    }
}

fn presence_name(presence: PresenceView) -> &'static str {
    match presence {
        PresenceView::Online => "online",
        PresenceView::Idle => "idle",
        PresenceView::Busy => "busy",
        PresenceView::Away => "away",
        PresenceView::Gone => "gone",
    }
}

impl From<UpdateArgs> for AgentUpdateParams {
    fn from(args: UpdateArgs) -> Self {
        fn given<T, C: FromIterator<T>>(values: Vec<T>) -> Option<C> {
            (!values.is_empty()).then(|| values.into_iter().collect())
        }
        Self {
            status: args.status.map(|status| match status {
                StatusArg::Idle => StatusParam::Idle,
                StatusArg::Busy => StatusParam::Busy,
                StatusArg::Away => StatusParam::Away,
            }),
            kind: args.kind,
            capabilities: given(args.capabilities),
            labels: given(args.labels),
            topics: given(args.topics),
            load_percent: args.load,
            note: args.note,
            request_id: None,
        }
    }
}
