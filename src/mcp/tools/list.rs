//! `list_tasks`: a page of tasks with counts, or one task with everything.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds::{LIST_CHARS_MAX, fitting};
use super::held::{TaskLine, task};
use super::{ITEMS_MAX, ToolError};
use crate::engine::ids::TaskId;
use crate::mcp::caller::Caller;
use crate::mcp::words;
use crate::protocol::admin::ServerStatusResult;
use crate::protocol::explain::{TaskExplainParams, TaskExplainResult};
use crate::protocol::operations::Operation;
use crate::protocol::session::Empty;
use crate::protocol::task::{StateName, TaskListParams, TaskListResult};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParams {
    /// Show only this one, whole.
    task: Option<TaskId>,
    state: Option<StateName>,
    /// Only tasks that cannot run unless somebody does something.
    #[serde(default)]
    stuck: bool,
    /// Only higher numbers: `next_after` of the last answer.
    after: Option<TaskId>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TaskPage {
    tasks: Vec<TaskLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_after: Option<TaskId>,
    /// How many there are in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    counts: Option<Counts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    whole: Option<Whole>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Counts {
    ready: u64,
    claimed: u64,
    blocked: u64,
    done: u64,
    dead: u64,
    cancelled: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Whole {
    #[serde(skip_serializing_if = "Option::is_none")]
    details_words: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_words: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_words: Option<String>,
    /// Why it stands as it does, and what to do about it.
    why: Vec<String>,
}

pub(super) async fn list(
    caller: &mut dyn Caller,
    params: ListParams,
) -> Result<TaskPage, ToolError> {
    if let Some(id) = params.task {
        return one(caller, id).await;
    }
    let open = [StateName::Blocked, StateName::Ready, StateName::Claimed];
    let wanted = TaskListParams {
        states: params
            .state
            .map_or_else(|| open.into(), |state| [state].into()),
        stuck: params.stuck,
        after: params.after,
        count_max: Some(ITEMS_MAX as u64),
        ..TaskListParams::default()
    };
    let found: TaskListResult = caller.run(Operation::TaskList, &wanted).await?;
    let server: ServerStatusResult = caller.run(Operation::ServerStatus, &Empty {}).await?;
    let (project, finished) = (server.project, found.finished);
    let tasks = fitting(found.tasks.iter().map(TaskLine::of), LIST_CHARS_MAX);
    let is_cut = tasks.len() < found.tasks.len();
    let last = tasks.last().map(|task| task.task);
    Ok(TaskPage {
        tasks,
        next_after: if is_cut { last } else { found.next_after },
        counts: Some(Counts {
            ready: project.tasks_ready,
            claimed: project.tasks_claimed,
            blocked: project.tasks_blocked,
            done: finished.done,
            dead: finished.dead,
            cancelled: finished.cancelled,
        }),
        whole: None,
    })
}

async fn one(caller: &mut dyn Caller, id: TaskId) -> Result<TaskPage, ToolError> {
    let task = task(caller, id).await?;
    let params = TaskExplainParams { task: id };
    let explained: TaskExplainResult = caller.run(Operation::TaskExplain, &params).await?;
    let of_tasks = explained.tasks.iter().flat_map(|task| {
        let reasons = task.reasons.iter();
        reasons.map(move |reason| (Some(task.task), reason))
    });
    let of_coordinator = explained.coordinator.iter().map(|reason| (None, reason));
    let reasons = of_coordinator.chain(of_tasks).take(ITEMS_MAX);
    let why = reasons.map(|(about, reason)| match (about, &reason.next) {
        // What it waits for has reasons of its own.
        (Some(other), _) if other != id => words::line(&format!("task {other}: {}", reason.text)),
        (_, next) => with_advice(&reason.text, next.as_deref()),
    });
    let whole = |payload| words::body(payload, words::WHOLE_CHARS_MAX / 2).0;
    Ok(TaskPage {
        tasks: vec![TaskLine::of(&task)],
        next_after: None,
        counts: None,
        whole: Some(Whole {
            details_words: task.payload.as_ref().map(whole),
            result_words: task.result.as_ref().map(whole),
            error_words: task.last_error.as_ref().map(|it| words::line(it.as_str())),
            why: fitting(why, LIST_CHARS_MAX),
        }),
    })
}

fn with_advice(reason: &str, next: Option<&str>) -> String {
    match next {
        Some(next) => words::line(&format!("{reason}: {next}")),
        None => words::line(reason),
    }
}
