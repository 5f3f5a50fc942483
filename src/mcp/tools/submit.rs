//! `submit_task`.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ToolError;
use super::bounds::{TEXT_CHARS_MAX, fitting};
use crate::engine::ids::{Capability, IdempotencyKey, TaskId, Title};
use crate::mcp::caller::Caller;
use crate::mcp::words;
use crate::protocol::operations::Operation;
use crate::protocol::task::{TaskSubmitParams, TaskSubmitResult};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SubmitParams {
    title: Title,
    /// All that the agent who does it needs to know.
    details: Option<String>,
    /// Tasks that must be done before.
    #[serde(default)]
    after: Vec<TaskId>,
    /// Capabilities that its agent must have.
    #[serde(default)]
    requires: BTreeSet<Capability>,
    /// Higher is claimed first; 0 is usual.
    #[serde(default)]
    priority: i32,
    /// Submitting again with the same key adds nothing.
    key: Option<IdempotencyKey>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Submitted {
    task: TaskId,
    /// The key was known: this is the task of then.
    existing: bool,
    /// Why it will not run as things are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

pub(super) async fn submit(
    caller: &mut dyn Caller,
    params: SubmitParams,
) -> Result<Submitted, ToolError> {
    let task = TaskSubmitParams {
        title: params.title,
        payload: params.details.as_deref().map(words::payload_of),
        priority: params.priority,
        requires: params.requires,
        labels: std::collections::BTreeMap::new(),
        after: params.after,
        delay_ms: 0,
        idempotency_key: params.key,
        attempts_max: None,
        backoff_ms: None,
        attempt_timeout_ms: None,
        concurrency: None,
        request_id: None,
    };
    let made: TaskSubmitResult = caller.run(Operation::TaskSubmit, &task).await?;
    let warnings = made.warnings.iter();
    let warnings = warnings.map(|stuck| words::line(&format!("{}: {}", stuck.text, stuck.next)));
    Ok(Submitted {
        task: made.task,
        existing: made.existing,
        warnings: fitting(warnings, TEXT_CHARS_MAX),
    })
}
