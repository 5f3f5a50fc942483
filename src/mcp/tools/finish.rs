//! `finish_task`: the four ways in which an attempt ends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ToolError;
use super::bounds::{TEXT_CHARS_MAX, fitting};
use super::held::fence;
use super::send::Recipient;
use crate::engine::ids::{FencingToken, Note, TaskId};
use crate::mcp::caller::Caller;
use crate::mcp::words;
use crate::protocol::error::RpcError;
use crate::protocol::message::RecipientParam;
use crate::protocol::operations::Operation;
use crate::protocol::session::Empty;
use crate::protocol::task::{
    TaskCompleteParams, TaskCompleteResult, TaskFailParams, TaskFailResult, TaskHandoffParams,
    TaskQueuedResult, TaskReleaseParams,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FinishParams {
    task: TaskId,
    outcome: Ending,
    /// The result, why it failed, or what the next agent needs to know.
    text: Option<String>,
    /// For `handed_over`: an agent, or `capability:NAME`.
    to: Option<Recipient>,
    /// For `failed`: false if trying again makes no sense.
    retry: Option<bool>,
    /// That of your claim.
    fence: Option<FencingToken>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Ending {
    Done,
    Failed,
    GivenBack,
    HandedOver,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Finished {
    outcome: String,
    next: &'static str,
}

pub(super) async fn finish(
    caller: &mut dyn Caller,
    params: FinishParams,
) -> Result<Finished, ToolError> {
    let fence = fence(caller, params.task, params.fence).await?;
    let outcome = match params.outcome {
        Ending::Done => done(caller, params, fence).await?,
        Ending::Failed => failed(caller, params, fence).await?,
        Ending::GivenBack => {
            let release = TaskReleaseParams {
                task: params.task,
                fence,
                request_id: None,
            };
            let Empty {} = caller.run(Operation::TaskRelease, &release).await?;
            "given back; another agent may claim it".to_owned()
        }
        Ending::HandedOver => handed_over(caller, params, fence).await?,
    };
    Ok(Finished {
        outcome,
        next: "release what you reserved for it, then claim_task or status",
    })
}

async fn done(
    caller: &mut dyn Caller,
    params: FinishParams,
    fence: FencingToken,
) -> Result<String, RpcError> {
    let complete = TaskCompleteParams {
        task: params.task,
        fence,
        result: params.text.as_deref().map(words::payload_of),
        next: None,
        request_id: None,
    };
    let _: TaskCompleteResult = caller.run(Operation::TaskComplete, &complete).await?;
    Ok("done".to_owned())
}

async fn failed(
    caller: &mut dyn Caller,
    params: FinishParams,
    fence: FencingToken,
) -> Result<String, ToolError> {
    let Some(text) = params.text.as_deref() else {
        let what = "arguments.text: say why it failed, so that the next attempt knows";
        return Err(ToolError::new(what, ""));
    };
    let fail = TaskFailParams {
        task: params.task,
        fence,
        error: note(text)?,
        retry: params.retry.unwrap_or(true),
        request_id: None,
    };
    let failed: TaskFailResult = caller.run(Operation::TaskFail, &fail).await?;
    let outcome = if failed.dead {
        "failed for good; tasks that wait for it are stuck until somebody retries it"
    } else {
        "failed; it is tried again after a pause"
    };
    Ok(outcome.to_owned())
}

async fn handed_over(
    caller: &mut dyn Caller,
    params: FinishParams,
    fence: FencingToken,
) -> Result<String, ToolError> {
    let next = "Give an agent's name, or capability:NAME.";
    let (agent, capability) = match params.to.map(|to| to.0) {
        Some(RecipientParam::Agent(agent)) => (Some(agent), None),
        Some(RecipientParam::Capability(capability)) => (None, Some(capability)),
        _ => {
            return Err(ToolError::new(
                "arguments.to: to whom is it handed over?",
                next,
            ));
        }
    };
    let handoff = TaskHandoffParams {
        task: params.task,
        fence,
        agent,
        capability,
        offer_ms: None,
        note: None,
        context: params.text.as_deref().map(words::payload_of),
        request_id: None,
    };
    let queued: TaskQueuedResult = caller.run(Operation::TaskHandoff, &handoff).await?;
    let warnings = queued.warnings.iter();
    let warnings = fitting(
        warnings.map(|stuck| words::line(&stuck.text)),
        TEXT_CHARS_MAX,
    );
    Ok(match warnings.as_slice() {
        [] => "handed over".to_owned(),
        _ => format!("handed over, but it will not run: {}", warnings.join("; ")),
    })
}

/// A note is one line with a bound; what a model writes about a failure may be longer.
fn note(text: &str) -> Result<Note, ToolError> {
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let at = line.floor_char_boundary(Note::BYTES_MAX);
    line.truncate(at);
    let note = line.parse();
    note.map_err(|error| ToolError::new(format!("arguments.text: {error}"), ""))
}
