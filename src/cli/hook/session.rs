//! The beginning and the end of a CLI session.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use super::mail::{self, Mail};
use crate::client::{Client, ClientError};
use crate::engine::ids::{AgentName, ProjectName};
use crate::mcp::words;
use crate::protocol::agent::{AgentGetParams, AgentListParams, AgentListResult, AgentView};
use crate::protocol::error::ErrorKind;
use crate::protocol::lease::{
    LeaseListParams, LeaseListResult, LeaseReleaseParams, LeaseReleaseResult,
};
use crate::protocol::operations::Operation;
use crate::protocol::session::{Empty, SessionCloseParams};
use crate::protocol::task::{StateName, TaskListParams, TaskListResult, TaskReleaseParams};

/// Characters of context at the beginning of a session: at most 1,000 tokens.
const CHARS_MAX: usize = 4_000;
/// Characters of them for other agents.
const PEERS_CHARS_MAX: usize = 1_400;
/// Other agents that are named.
const PEERS_MAX: usize = 12;
/// Files that are named for one of them.
const FILES_MAX: usize = 3;
/// Leases that are looked at.
const LEASES_MAX: u64 = 200;

const NO_SEATS: &str = "\n- Tell your user: this token allows no seats, so all sessions with it are one agent and do not \
    exclude each other; `coord token create NAME --seats` makes one that does.";

/// Who the caller is.
pub(super) async fn myself(client: &mut Client) -> Result<AgentView, ClientError> {
    let params = AgentGetParams::default();
    Ok(client.call(Operation::AgentGet, &params).await?.value)
}

/// What a model is told at the beginning, with the mail that it is shown.
pub(super) async fn greeting(
    client: &mut Client,
    project: Option<&ProjectName>,
) -> Result<Mail, ClientError> {
    let me = myself(client).await?.name;
    let mut text = rules(&me, project);
    if !me.is_seat() {
        text.push_str(NO_SEATS);
    }
    text.push('\n');
    text.push_str(&others(client, &me).await?);
    let left = CHARS_MAX.saturating_sub(text.chars().count() + 1);
    let mut shown = Vec::new();
    if let Some(mail) = mail::take(client, left, None).await? {
        text.push('\n');
        text.push_str(&mail.text);
        shown = mail.shown;
    }
    Ok(Mail { text, shown })
}

fn rules(me: &AgentName, project: Option<&ProjectName>) -> String {
    let project = project.map_or_else(String::new, |name| format!(" --project {name}"));
    format!(
        "Other agents may work on this repository at the same time; `coord` coordinates you. You are {me}.\n\
         - A file is reserved for you when you edit it. An edit of a file that another agent holds is refused, and the \
         reason says who holds it: then work on something else or ask them; never write it by a shell command.\n\
         - Commit what is finished: a file that is as in the last commit is free for others at the end of your turn.\n\
         - If you have tools of `coord`, use them; else the command: `coord{project} message send --to AGENT TEXT`, \
         `coord{project} agent list`, `coord{project} lease list`, `coord{project} task claim --ttl 30m`."
    )
}

/// Who else is here, and what they hold.
async fn others(client: &mut Client, me: &AgentName) -> Result<String, ClientError> {
    let params = AgentListParams {
        present: true,
        ..AgentListParams::default()
    };
    let list: AgentListResult = client.call(Operation::AgentList, &params).await?.value;
    let params = LeaseListParams {
        count_max: Some(LEASES_MAX),
        ..LeaseListParams::default()
    };
    let leases: LeaseListResult = client.call(Operation::LeaseList, &params).await?.value;
    let mut held: BTreeMap<AgentName, Vec<String>> = BTreeMap::new();
    for lease in leases.leases {
        let texts = lease.resources.iter().map(ToString::to_string);
        held.entry(lease.agent).or_default().extend(texts);
    }
    let others: Vec<AgentView> = list
        .agents
        .into_iter()
        // Mail and leases of the principal are those of its seats too.
        .filter(|it| it.name != *me && it.name != me.without_seat())
        .collect();
    if others.is_empty() {
        return Ok("No other agent is here now.".to_owned());
    }
    let mut text = format!("Other agents who are here: {}", others.len());
    for (index, agent) in others.iter().enumerate() {
        let line = peer(agent, held.get(&agent.name).map_or(&[], Vec::as_slice));
        let is_full = text.chars().count() + line.chars().count() > PEERS_CHARS_MAX;
        if index >= PEERS_MAX || is_full {
            let more = others.len() - index;
            write!(text, "\n- and {more} more").expect("a string takes all that is written to it");
            break;
        }
        text.push_str(&line);
    }
    Ok(text)
}

fn peer(agent: &AgentView, held: &[String]) -> String {
    let presence = serde_json::to_value(agent.presence).unwrap_or_default();
    let mut text = format!(
        "\n- {} ({})",
        agent.name,
        presence.as_str().unwrap_or_default()
    );
    if !held.is_empty() {
        let files: Vec<String> = held
            .iter()
            .take(FILES_MAX)
            .map(|it| words::line(it))
            .collect();
        write!(text, " holds {}", files.join(", "))
            .expect("a string takes all that is written to it");
        let more = held.len().saturating_sub(FILES_MAX);
        if more > 0 {
            write!(text, " and {more} more").expect("a string takes all that is written to it");
        }
    }
    if let Some(note) = &agent.note {
        text.push_str("; it says:\n  > ");
        text.push_str(&words::line(note.as_str()));
    }
    text
}

/// Lets commands of the session's shell work in the project of the repository.
pub(super) fn export(file: &Path, project: &ProjectName) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(file)?;
    // The name of a project has no character that a shell knows.
    writeln!(file, "export COORD_PROJECT={project}")
}

/// Releases all that a seat holds. An agent without a seat may be several sessions, so nothing of it is released.
pub(super) async fn release_all(client: &mut Client) -> Result<(), ClientError> {
    let me = myself(client).await?;
    if !me.name.is_seat() {
        return Ok(());
    }
    let params = LeaseListParams {
        agent: Some(me.name.clone()),
        ..LeaseListParams::default()
    };
    let list: LeaseListResult = client.call(Operation::LeaseList, &params).await?.value;
    for lease in list
        .leases
        .into_iter()
        .filter(|it| it.opens_at_ms.is_none())
    {
        let params = LeaseReleaseParams {
            lease: Some(lease.lease),
            fence: Some(lease.fence),
            ..LeaseReleaseParams::default()
        };
        let released = client
            .call::<LeaseReleaseResult>(Operation::LeaseRelease, &params)
            .await;
        released.map(drop).or_else(unless_gone)?;
    }
    let params = TaskListParams {
        states: [StateName::Claimed].into(),
        agent: Some(me.name),
        ..TaskListParams::default()
    };
    let list: TaskListResult = client.call(Operation::TaskList, &params).await?.value;
    // Waiters that the CLI killed leave sessions that are only lost.
    for session in me.sessions.iter().filter(|it| it.grace_until_ms.is_some()) {
        let params = SessionCloseParams {
            session: Some(session.session),
            ..SessionCloseParams::default()
        };
        let closed = client.call::<Empty>(Operation::SessionClose, &params).await;
        closed.map(drop).or_else(unless_gone)?;
    }
    for task in list.tasks {
        let Some(attempt) = &task.attempt else {
            continue;
        };
        let params = TaskReleaseParams {
            task: task.task,
            fence: attempt.fence,
            request_id: None,
        };
        let released = client.call::<Empty>(Operation::TaskRelease, &params).await;
        released.map(drop).or_else(unless_gone)?;
    }
    Ok(())
}

/// What lapsed meanwhile needs no release.
fn unless_gone(error: ClientError) -> Result<(), ClientError> {
    match error.kind() {
        Some(ErrorKind::NotFound | ErrorKind::StaleFence) => Ok(()),
        _ => Err(error),
    }
}
