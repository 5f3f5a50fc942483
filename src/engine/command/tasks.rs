//! Commands that submit, cancel and requeue tasks.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::super::ids::{ConcurrencyKey, IdempotencyKey, Note, TaskId, Title};
use super::super::nodes::STUCK_FORMAT;
use super::super::payload::Payload;
use super::agents::{Capabilities, Labels};
use super::omitted::{is_false, is_zero};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSubmit {
    pub tasks: Vec<TaskSpec>,
    /// From this record on, events tell of tasks that are stuck, and a cancelled task keeps who
    /// cancelled it. Older records are folded without, as they always were.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tells_stuck: bool,
}

impl TaskSubmit {
    /// The first format of commands that has it.
    pub(super) fn format(&self) -> u32 {
        if self.tells_stuck { STUCK_FORMAT } else { 1 }
    }
}

/// What a new task is to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dependency {
    /// A task that exists.
    Task(TaskId),
    /// The task at this index of the same submission.
    Index(u32),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    pub title: Title,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
    #[serde(default)]
    pub priority: i32,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub requires: Capabilities,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Dependency>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub delay_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<IdempotencyKey>,
    pub attempts_max: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub backoff_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
}

/// At most `max` tasks of one key are claimed at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concurrency {
    pub key: ConcurrencyKey,
    pub max: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCancel {
    pub task: TaskId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
    /// As in [`TaskSubmit`].
    #[serde(default, skip_serializing_if = "is_false")]
    pub tells_stuck: bool,
}

impl TaskCancel {
    /// The first format of commands that has it.
    pub(super) fn format(&self) -> u32 {
        if self.tells_stuck { STUCK_FORMAT } else { 1 }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRetry {
    pub task: TaskId,
}
