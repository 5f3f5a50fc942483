//! Cancels a task, or requeues it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::explain::StuckView;
use crate::engine::command::{self};
use crate::engine::ids::{Note, RequestId, TaskId};
use crate::engine::tasks::stuck::Stuck;

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskCancelParams {
    pub task: TaskId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskRetryParams {
    pub task: TaskId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

/// A task was queued again.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TaskQueuedResult {
    /// Why it cannot run now, if it cannot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<StuckView>,
}

impl From<TaskCancelParams> for command::TaskCancel {
    fn from(params: TaskCancelParams) -> Self {
        Self {
            task: params.task,
            reason: params.reason,
            // Filled in by the driver, which knows who shares the journal.
            tells_stuck: false,
        }
    }
}

impl From<TaskRetryParams> for command::TaskRetry {
    fn from(params: TaskRetryParams) -> Self {
        Self { task: params.task }
    }
}

impl From<Vec<Stuck>> for TaskQueuedResult {
    fn from(stuck: Vec<Stuck>) -> Self {
        Self {
            warnings: stuck.iter().map(StuckView::from).collect(),
        }
    }
}
