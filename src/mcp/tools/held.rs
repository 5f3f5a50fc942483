//! What the caller holds, and how long things last, as answers tell it.

use schemars::JsonSchema;
use serde::Serialize;

use super::ToolError;
use crate::engine::ids::{AgentName, FencingToken, JournalTime, TaskId};
use crate::mcp::caller::Caller;
use crate::mcp::words;
use crate::protocol::agent::{AgentGetParams, AgentView};
use crate::protocol::error::{ErrorKind, RpcError};
use crate::protocol::operations::Operation;
use crate::protocol::span::Span;
use crate::protocol::task::{StateName, TaskGetParams, TaskListParams, TaskListResult, TaskView};

/// A task in one line.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TaskLine {
    pub(super) task: TaskId,
    pub(super) state: StateName,
    /// Who submitted it.
    pub(super) by: AgentName,
    /// Its title.
    pub(super) words: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) holder: Option<AgentName>,
    /// How it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) progress: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stuck: Option<String>,
}

impl TaskLine {
    pub(super) fn of(task: &TaskView) -> Self {
        let progress = task.progress.as_ref();
        let note = progress.and_then(|it| it.note.as_ref());
        let percent = progress.and_then(|it| it.percent);
        let progress = match (percent, note) {
            (None, None) => None,
            (Some(percent), None) => Some(format!("{percent} %")),
            (None, Some(note)) => Some(words::line(note.as_str())),
            (Some(percent), Some(note)) => {
                Some(format!("{percent} %: {}", words::line(note.as_str())))
            }
        };
        Self {
            task: task.task,
            state: task.state,
            by: task.submitted_by.clone(),
            words: words::line(task.title.as_str()),
            holder: task.attempt.as_ref().map(|attempt| attempt.agent.clone()),
            progress,
            stuck: task.stuck.first().map(|stuck| words::line(&stuck.text)),
        }
    }
}

/// Who the caller is. An observer is no agent of the project until it has been one.
pub(in crate::mcp) async fn myself(caller: &mut dyn Caller) -> Result<AgentView, RpcError> {
    let found = caller.run(Operation::AgentGet, &AgentGetParams::default());
    match (found.await, caller.agent()) {
        (Err(error), Some(name)) if error.kind == ErrorKind::NotFound => {
            Ok(AgentView::unseen(&name, 0))
        }
        (found, _) => found,
    }
}

/// The tasks that an agent has claimed.
pub(in crate::mcp) async fn tasks_of(
    caller: &mut dyn Caller,
    agent: &AgentName,
) -> Result<TaskListResult, RpcError> {
    let params = TaskListParams {
        states: [StateName::Claimed].into(),
        agent: Some(agent.clone()),
        ..TaskListParams::default()
    };
    caller.run(Operation::TaskList, &params).await
}

pub(super) async fn task(caller: &mut dyn Caller, task: TaskId) -> Result<TaskView, RpcError> {
    caller
        .run(Operation::TaskGet, &TaskGetParams { task })
        .await
}

/// The fencing token for a task that the caller holds. A model that does not give the one of its claim means
/// the attempt that its agent has now.
pub(super) async fn fence(
    caller: &mut dyn Caller,
    id: TaskId,
    given: Option<FencingToken>,
) -> Result<FencingToken, ToolError> {
    if let Some(fence) = given {
        return Ok(fence);
    }
    let me = myself(caller).await?.name;
    let view = task(caller, id).await?;
    let attempt = view.attempt.filter(|attempt| attempt.agent == me);
    let fence = attempt.map(|attempt| attempt.fence);
    fence.ok_or_else(|| {
        let what = format!("you do not hold task {id}");
        ToolError::from(RpcError::new(ErrorKind::StaleFence, what))
    })
}

/// Until when something is held.
pub(super) fn until(expires_at: Option<JournalTime>, now: JournalTime) -> String {
    match expires_at {
        None => "until your session ends".to_owned(),
        Some(at) => format!(
            "for another {}; your next calls keep it",
            Span(at.since_ms(now))
        ),
    }
}
