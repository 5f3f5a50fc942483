//! Commands on one attempt at a task: claim, progress and the four ways to end it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::super::ids::{AgentName, Capability, FencingToken, Note, TaskId};
use super::super::payload::Payload;
use super::agents::Labels;
use super::hold::HoldRequest;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskClaim {
    pub hold: HoldRequest,
    #[serde(default, skip_serializing_if = "ClaimFilter::is_empty")]
    pub filter: ClaimFilter,
}

/// Which ready task an agent would take.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClaimFilter {
    /// This one and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// Only tasks that bear all of these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_min: Option<i32>,
}

impl ClaimFilter {
    /// Whether it lets every task pass.
    pub fn is_empty(&self) -> bool {
        self.task.is_none() && self.labels.is_empty() && self.priority_min.is_none()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskProgress {
    pub task: TaskId,
    pub fence: FencingToken,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskComplete {
    pub task: TaskId,
    pub fence: FencingToken,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Payload>,
    /// Claims the next task in the same step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<TaskClaim>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFail {
    pub task: TaskId,
    pub fence: FencingToken,
    pub error: Note,
    /// Whether another attempt makes sense.
    pub retry: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRelease {
    pub task: TaskId,
    pub fence: FencingToken,
}

/// To whom a task is handed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandoffTarget {
    Agent(AgentName),
    Capability(Capability),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskHandoff {
    pub task: TaskId,
    pub fence: FencingToken,
    pub to: HandoffTarget,
    /// How long it is kept for that agent before others may take it.
    pub offer_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Payload>,
    /// As in [`super::MessageSend::introduces`].
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub introduces: BTreeSet<AgentName>,
}

impl TaskHandoff {
    /// The first format of commands that has it.
    pub(super) fn format(&self) -> u32 {
        let introduces = if self.introduces.is_empty() { 1 } else { 3 };
        match &self.to {
            HandoffTarget::Agent(agent) => agent.format().max(introduces),
            HandoffTarget::Capability(_) => introduces,
        }
    }
}
