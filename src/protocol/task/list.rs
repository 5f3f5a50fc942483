//! Asks for one task, or for a list of them.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::view::{StateName, TaskView};
use crate::engine::command::Labels;
use crate::engine::ids::{AgentName, JournalTime, TaskId};
use crate::engine::tasks::Finished;

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskGetParams {
    pub task: TaskId,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TaskListParams {
    /// Only tasks in one of these states; any when empty.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub states: BTreeSet<StateName>,
    /// Only tasks with all of these labels.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Only tasks claimed by this agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// Only stuck tasks, which will not run until somebody acts: see `stuck` of a task.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stuck: bool,
    /// Only tasks with a higher number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<TaskId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count_max: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TaskListResult {
    /// Without payloads and results: `task.get` has them.
    pub tasks: Vec<TaskView>,
    /// Present if there are more: list again with this as `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_after: Option<TaskId>,
    /// Finished tasks of the project that are still stored, whether they are listed or not.
    #[serde(default)]
    pub finished: FinishedTasks,
    pub now_ms: JournalTime,
}

/// The numbers of finished tasks, by how they ended.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
pub struct FinishedTasks {
    pub done: u64,
    pub dead: u64,
    pub cancelled: u64,
}

impl From<Finished> for FinishedTasks {
    fn from(finished: Finished) -> Self {
        Self {
            done: finished.done,
            dead: finished.dead,
            cancelled: finished.cancelled,
        }
    }
}
