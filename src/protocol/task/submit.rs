//! Submits tasks, one or a graph of them.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::explain::StuckView;
use super::view::StateName;
use crate::engine::command::{self, Capabilities, Dependency, Labels};
use crate::engine::ids::{ConcurrencyKey, IdempotencyKey, Note, RequestId, TaskId, Title};
use crate::engine::outcome::Submitted;
use crate::engine::payload::Payload;

/// The default of `attempts_max`.
pub const ATTEMPTS_MAX_DEFAULT: u32 = 3;

/// The default pause after the first failed attempt.
pub const BACKOFF_MS_DEFAULT: u64 = 1_000;

/// A task to submit, and its conditions.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskSubmitParams {
    pub title: Title,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
    /// Higher is claimed first.
    #[serde(default)]
    pub priority: i32,
    /// Only an agent that has all of these may claim it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub requires: Capabilities,
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// It waits until all of these are done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<TaskId>,
    /// It waits this long before it is ready, in milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
    /// Submitting again under the same key gives the first task unchanged, and the answer lists the
    /// differences. The key can be reused once the task was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<IdempotencyKey>,
    /// It is dead after this many failed attempts. 3 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_max: Option<u32>,
    /// The pause after the first failed attempt; it doubles each time. 1000 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_ms: Option<u64>,
    /// The time limit of one attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<ConcurrencyParam>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

/// At most `max` tasks of this key are claimed at a time; the latest submission sets it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConcurrencyParam {
    pub key: ConcurrencyKey,
    pub max: u32,
}

/// Several tasks at once, all or none; they may depend on each other.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskSubmitManyParams {
    pub tasks: Vec<TaskInGraph>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskInGraph {
    pub task: TaskSubmitParams,
    /// It also waits for the tasks at these places of the list, counted from 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after_index: Vec<u32>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TaskSubmitResult {
    pub task: TaskId,
    /// Whether the idempotency key was known: the task was submitted before, and nothing was submitted now.
    pub existing: bool,
    /// The state of a task that was submitted before. A dead or cancelled one runs only after `task.retry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateName>,
    /// Why the latest attempt of a task that was submitted before failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<Note>,
    /// The parameters that differ from the earlier submission, with the same idempotency key or the same
    /// `request_id`. Payloads are compared as JSON.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<String>,
    /// Why the task cannot run now, if it cannot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<StuckView>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TaskSubmitManyResult {
    /// In the order of the list.
    pub tasks: Vec<TaskSubmitResult>,
}

impl TaskSubmitParams {
    fn into_spec(self, after_index: &[u32]) -> command::TaskSpec {
        let tasks = self.after.into_iter().map(Dependency::Task);
        let siblings = after_index.iter().map(|index| Dependency::Index(*index));
        command::TaskSpec {
            title: self.title,
            payload: self.payload,
            priority: self.priority,
            requires: self.requires,
            labels: self.labels,
            after: tasks.chain(siblings).collect(),
            delay_ms: self.delay_ms,
            idempotency_key: self.idempotency_key,
            attempts_max: self.attempts_max.unwrap_or(ATTEMPTS_MAX_DEFAULT),
            backoff_ms: self.backoff_ms.unwrap_or(BACKOFF_MS_DEFAULT),
            attempt_timeout_ms: self.attempt_timeout_ms,
            concurrency: self.concurrency.map(|c| command::Concurrency {
                key: c.key,
                max: c.max,
            }),
        }
    }
}

impl From<TaskSubmitParams> for command::TaskSubmit {
    fn from(params: TaskSubmitParams) -> Self {
        Self {
            tells_stuck: false,
            tasks: vec![params.into_spec(&[])],
        }
    }
}

impl From<TaskSubmitManyParams> for command::TaskSubmit {
    fn from(params: TaskSubmitManyParams) -> Self {
        let tasks = params.tasks.into_iter();
        Self {
            tells_stuck: false,
            tasks: tasks.map(|t| t.task.into_spec(&t.after_index)).collect(),
        }
    }
}

impl From<Submitted> for TaskSubmitResult {
    fn from(submitted: Submitted) -> Self {
        let (state, last_error, differs) = match submitted.found {
            Some(found) => (
                Some(StateName::from(&found.state)),
                found.last_error,
                found.differs,
            ),
            None => (None, None, Vec::new()),
        };
        Self {
            task: submitted.task,
            existing: submitted.existing,
            state,
            last_error,
            differs: differs.into_iter().map(str::to_owned).collect(),
            warnings: submitted.stuck.iter().map(StuckView::from).collect(),
        }
    }
}

impl From<Vec<Submitted>> for TaskSubmitManyResult {
    fn from(submitted: Vec<Submitted>) -> Self {
        Self {
            tasks: submitted.into_iter().map(TaskSubmitResult::from).collect(),
        }
    }
}
