//! `claim_task`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ToolError;
use crate::engine::ids::{AgentName, FencingToken, TaskId};
use crate::engine::payload::Payload;
use crate::mcp::caller::Caller;
use crate::mcp::words;
use crate::protocol::operations::Operation;
use crate::protocol::task::{ClaimView, TaskClaimParams, TaskClaimResult};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClaimParams {
    /// This one and no other.
    task: Option<TaskId>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Claimed {
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed: Option<Work>,
    next: String,
}

/// What there is to do.
#[derive(Debug, Serialize, JsonSchema)]
struct Work {
    task: TaskId,
    /// Proves that the task is yours.
    fence: FencingToken,
    attempt: u32,
    by: AgentName,
    words: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    details_words: Option<String>,
    /// What whoever had it before you passed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    handover_words: Option<String>,
    /// Why the attempt before yours failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_words: Option<String>,
}

pub(super) async fn claim(
    caller: &mut dyn Caller,
    params: ClaimParams,
) -> Result<Claimed, ToolError> {
    let wanted = TaskClaimParams {
        task: params.task,
        ttl_ms: caller.hold_ms(),
        ..TaskClaimParams::default()
    };
    let found: TaskClaimResult = caller.run(Operation::TaskClaim, &wanted).await?;
    let next = match (&found.claim, params.task) {
        (Some(claim), _) => format!(
            "reserve the files you will edit; report_progress now and then; finish_task with task {} at the end",
            claim.task
        ),
        (None, Some(task)) => {
            format!("task {task} cannot be claimed now: list_tasks with task {task} says why")
        }
        (None, None) => "no task is ready for you: wait with work, or submit_task".to_owned(),
    };
    Ok(Claimed {
        claimed: found.claim.map(work),
        next,
    })
}

fn work(claim: ClaimView) -> Work {
    let handover = claim.handoff.map(|handoff| {
        let note = handoff.note.iter().map(|note| words::line(note.as_str()));
        let context = handoff.context.iter().map(whole);
        let all: Vec<String> = note.chain(context).collect();
        format!("{}: {}", handoff.from, all.join("\n"))
    });
    Work {
        task: claim.task,
        fence: claim.fence,
        attempt: claim.attempt,
        by: claim.submitted_by,
        words: words::line(claim.title.as_str()),
        details_words: claim.payload.as_ref().map(whole),
        handover_words: handover,
        error_words: claim.last_error.map(|error| words::line(error.as_str())),
    }
}

fn whole(payload: &Payload) -> String {
    words::body(payload, words::WHOLE_CHARS_MAX).0
}
