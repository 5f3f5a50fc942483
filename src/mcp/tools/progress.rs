//! `report_progress`: of a task, or of the agent itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ToolError;
use super::held::fence;
use crate::engine::ids::{FencingToken, Note, TaskId};
use crate::mcp::caller::Caller;
use crate::protocol::agent::{AgentUpdateParams, AgentView, StatusParam};
use crate::protocol::operations::Operation;
use crate::protocol::task::{RenewResult, TaskProgressParams};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProgressParams {
    task: Option<TaskId>,
    /// That of your claim.
    fence: Option<FencingToken>,
    /// 0 to 100.
    percent: Option<u8>,
    /// One line for the others.
    note: Option<Note>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Reported {
    next: &'static str,
}

pub(super) async fn report(
    caller: &mut dyn Caller,
    params: ProgressParams,
) -> Result<Reported, ToolError> {
    let Some(task) = params.task else {
        return of_agent(caller, params).await;
    };
    let fence = fence(caller, task, params.fence).await?;
    let progress = TaskProgressParams {
        task,
        fence,
        percent: params.percent,
        note: params.note,
        request_id: None,
    };
    let _: RenewResult = caller.run(Operation::TaskProgress, &progress).await?;
    Ok(Reported {
        next: "go on; the task is still yours",
    })
}

async fn of_agent(caller: &mut dyn Caller, params: ProgressParams) -> Result<Reported, ToolError> {
    if params.percent.is_some() || params.fence.is_some() || params.note.is_none() {
        let what = "arguments: give task, or a note alone to say what you are working on";
        return Err(ToolError::new(what, ""));
    }
    let update = AgentUpdateParams {
        status: Some(StatusParam::Busy),
        note: params.note,
        ..AgentUpdateParams::default()
    };
    let _: AgentView = caller.run(Operation::AgentUpdate, &update).await?;
    Ok(Reported {
        next: "the others see it in their status",
    })
}
