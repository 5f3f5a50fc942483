//! `status`: one call from which a model knows what to do.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ToolError;
use super::bounds::{TEXT_CHARS_MAX, fitting};
use super::held::{TaskLine, myself, tasks_of, until};
use crate::engine::ids::{AgentName, FencingToken, JournalTime};
use crate::mcp::caller::Caller;
use crate::mcp::words;
use crate::protocol::admin::ServerStatusResult;
use crate::protocol::agent::{AgentListParams, AgentListResult, AgentView, PresenceView};
use crate::protocol::error::{ErrorKind, RpcError};
use crate::protocol::lease::{LeaseListParams, LeaseListResult};
use crate::protocol::message::{MessageInboxParams, MessageInboxResult};
use crate::protocol::operations::Operation;
use crate::protocol::session::Empty;
use crate::protocol::task::{StateName, TaskListParams, TaskListResult};

/// Resources of the caller that are named, of those that are held for equally long.
const OWN_RESOURCES_MAX: usize = 10;
/// Resources named for another agent.
const RESOURCES_MAX: usize = 3;
/// Tasks that the advice names.
const ADVICE_MAX: usize = 3;
/// Agents looked at.
const PEERS_MAX: u64 = 12;
/// Claimed tasks and leases that are looked at, to tell what others are on.
const LOOKED_AT_MAX: u64 = 200;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StatusParams {}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::mcp) struct Status {
    you: AgentName,
    /// What to do next, the most urgent first.
    next: Vec<String>,
    /// Tasks that you hold.
    tasks: Vec<HeldTask>,
    #[serde(skip_serializing_if = "is_zero")]
    more_tasks: u64,
    /// What you reserved.
    reserved: Vec<HeldResources>,
    unread_messages: u64,
    ready_tasks: u64,
    /// Who else is here.
    others: Vec<Peer>,
    #[serde(skip_serializing_if = "is_zero")]
    more_others: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct HeldTask {
    #[serde(flatten)]
    task: TaskLine,
    fence: Option<FencingToken>,
    held: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct HeldResources {
    resources: Vec<String>,
    held: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Peer {
    agent: AgentName,
    presence: PresenceView,
    /// What it says of itself, or the titles of its tasks.
    #[serde(skip_serializing_if = "String::is_empty")]
    words: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reserved: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
pub(super) fn is_zero(number: &u64) -> bool {
    *number == 0
}

pub(super) async fn status(
    caller: &mut dyn Caller,
    StatusParams {}: StatusParams,
) -> Result<Status, ToolError> {
    look(caller).await
}

/// The same for the resource.
pub(in crate::mcp) async fn look(caller: &mut dyn Caller) -> Result<Status, ToolError> {
    let myself = myself(caller).await?;
    let me = myself.name;
    let mine = tasks_of(caller, &me).await?;
    let own = LeaseListParams {
        agent: Some(me.clone()),
        ..LeaseListParams::default()
    };
    let own: LeaseListResult = caller.run(Operation::LeaseList, &own).await?;
    let now = own.now_ms;
    let server: ServerStatusResult = caller.run(Operation::ServerStatus, &Empty {}).await?;
    let ready_tasks = server.project.tasks_ready;
    let unread_messages = unread(caller).await?;
    let others = peers(caller, &me).await?;
    let shown = others.len() as u64 + u64::from(myself.presence != PresenceView::Gone);
    let held = mine.tasks.iter().map(|task| {
        let attempt = task.attempt.as_ref();
        HeldTask {
            task: TaskLine::of(task),
            fence: attempt.map(|attempt| attempt.fence),
            held: until(attempt.and_then(|it| it.expires_at_ms), now),
        }
    });
    let tasks = fitting(held, TEXT_CHARS_MAX);
    Ok(Status {
        next: advice(unread_messages, &tasks, ready_tasks),
        more_tasks: (mine.tasks.len() - tasks.len()) as u64,
        tasks,
        reserved: reserved(own, now),
        you: me,
        unread_messages,
        ready_tasks,
        more_others: server.project.agents_present.saturating_sub(shown),
        others,
    })
}

/// Most are held for equally long, so they are named together.
fn reserved(own: LeaseListResult, now: JournalTime) -> Vec<HeldResources> {
    let mut by_end: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for lease in own.leases {
        let texts = lease.resources.iter().map(ToString::to_string);
        let held = until(lease.expires_at_ms, now);
        by_end.entry(held).or_default().extend(texts);
    }
    let all = by_end.into_iter().map(|(held, mut resources)| {
        shorten(&mut resources, OWN_RESOURCES_MAX);
        HeldResources { resources, held }
    });
    fitting(all, TEXT_CHARS_MAX)
}

/// Names the first, counts the rest.
fn shorten(resources: &mut Vec<String>, count_max: usize) {
    let more = resources.len().saturating_sub(count_max);
    resources.truncate(count_max);
    for resource in resources.iter_mut() {
        *resource = words::line(resource);
    }
    if more > 0 {
        resources.push(format!("and {more} more"));
    }
}

/// How many messages wait. An observer has no mailbox.
pub(super) async fn unread(caller: &mut dyn Caller) -> Result<u64, RpcError> {
    let params = MessageInboxParams {
        count_max: Some(0),
        ..MessageInboxParams::default()
    };
    let inbox: Result<MessageInboxResult, RpcError> =
        caller.run(Operation::MessageInbox, &params).await;
    match inbox {
        Ok(inbox) => Ok(inbox.waiting),
        Err(error) if error.kind == ErrorKind::Forbidden => Ok(0),
        Err(error) => Err(error),
    }
}

/// Who else is here, and on what.
async fn peers(caller: &mut dyn Caller, me: &AgentName) -> Result<Vec<Peer>, RpcError> {
    let params = AgentListParams {
        present: true,
        // One of them may be the caller.
        count_max: Some(PEERS_MAX + 1),
        ..AgentListParams::default()
    };
    let present: AgentListResult = caller.run(Operation::AgentList, &params).await?;
    let mut others: Vec<AgentView> = present.agents;
    others.retain(|agent| agent.name != *me);
    others.truncate(usize::try_from(PEERS_MAX).unwrap_or(usize::MAX));
    let claimed = TaskListParams {
        states: [StateName::Claimed].into(),
        count_max: Some(LOOKED_AT_MAX),
        ..TaskListParams::default()
    };
    let claimed: TaskListResult = caller.run(Operation::TaskList, &claimed).await?;
    let leases = LeaseListParams {
        count_max: Some(LOOKED_AT_MAX),
        ..LeaseListParams::default()
    };
    let leases: LeaseListResult = caller.run(Operation::LeaseList, &leases).await?;
    let mut reserved: BTreeMap<AgentName, Vec<String>> = BTreeMap::new();
    for lease in leases.leases {
        let texts = lease.resources.iter().map(ToString::to_string);
        reserved.entry(lease.agent).or_default().extend(texts);
    }
    let peers = others.into_iter().map(|agent| {
        let mut reserved = reserved.remove(&agent.name).unwrap_or_default();
        shorten(&mut reserved, RESOURCES_MAX);
        Peer {
            words: busy_with(&agent, &claimed),
            presence: agent.presence,
            agent: agent.name,
            reserved,
        }
    });
    Ok(fitting(peers, TEXT_CHARS_MAX))
}

fn busy_with(agent: &AgentView, claimed: &TaskListResult) -> String {
    let holds = |task: &&crate::protocol::task::TaskView| {
        let attempt = task.attempt.as_ref();
        attempt.is_some_and(|attempt| attempt.agent == agent.name)
    };
    let tasks = claimed.tasks.iter().filter(holds);
    let tasks = tasks.map(|task| format!("task {}: {}", task.task, task.title));
    let note = agent.note.iter().map(ToString::to_string);
    let all: Vec<String> = note.chain(tasks).collect();
    words::line(&all.join("; "))
}

fn advice(unread: u64, tasks: &[HeldTask], ready: u64) -> Vec<String> {
    let mut next = Vec::new();
    if unread > 0 {
        next.push(format!("read_messages: {unread} wait"));
    }
    for held in tasks.iter().take(ADVICE_MAX) {
        let task = held.task.task;
        next.push(format!(
            "go on with task {task}; finish_task when it is over"
        ));
    }
    if tasks.is_empty() && ready > 0 {
        next.push(format!("claim_task: {ready} are ready"));
    }
    if next.is_empty() {
        next.push("nothing waits for you; wait tells when something does".to_owned());
    }
    next
}
