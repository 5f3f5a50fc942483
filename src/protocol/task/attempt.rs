//! What the holder of an attempt reports: progress, and the four ways to end it.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::error::RpcError;
use super::claim::{ClaimView, TaskClaimParams};
use crate::engine::command::{self, HandoffTarget};
use crate::engine::ids::{
    AgentName, Capability, FencingToken, JournalTime, Note, RequestId, TaskId,
};
use crate::engine::outcome::FailOutcome;
use crate::engine::payload::Payload;

/// How long a handed-over task is reserved for its new agent by default.
pub const HANDOFF_OFFER_MS_DEFAULT: u64 = 600_000;

/// Reports progress of an attempt, and renews one with a time-to-live.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskProgressParams {
    pub task: TaskId,
    pub fence: FencingToken,
    /// From 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RenewResult {
    /// `null` if its session holds it.
    pub expires_at_ms: Option<JournalTime>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskCompleteParams {
    pub task: TaskId,
    pub fence: FencingToken,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Payload>,
    /// Claims the next task in the same step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<TaskClaimParams>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TaskCompleteResult {
    /// The next task, if one was requested and available.
    pub next: Option<ClaimView>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskFailParams {
    pub task: TaskId,
    pub fence: FencingToken,
    /// What went wrong.
    pub error: Note,
    /// `false` if another attempt would fail too.
    #[serde(default = "yes")]
    pub retry: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TaskFailResult {
    /// Whether the task is dead: it used up its attempts, or `retry` was false.
    pub dead: bool,
    /// It is retried, not before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before_ms: Option<JournalTime>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskReleaseParams {
    pub task: TaskId,
    pub fence: FencingToken,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

/// Hands a task over; give exactly one of `agent` and `capability`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskHandoffParams {
    pub task: TaskId,
    pub fence: FencingToken,
    /// It is reserved for this agent first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// From now on it requires this capability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<Capability>,
    /// How long it is reserved for the agent. 600000 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// What the next holder needs to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Payload>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

impl TryFrom<TaskProgressParams> for command::TaskProgress {
    type Error = RpcError;

    fn try_from(params: TaskProgressParams) -> Result<Self, Self::Error> {
        if params.percent.is_some_and(|percent| percent > 100) {
            let problem = "percent: must be between 0 and 100";
            return Err(RpcError::invalid(problem));
        }
        Ok(Self {
            task: params.task,
            fence: params.fence,
            percent: params.percent,
            note: params.note,
        })
    }
}

impl From<TaskCompleteParams> for command::TaskComplete {
    fn from(params: TaskCompleteParams) -> Self {
        Self {
            task: params.task,
            fence: params.fence,
            result: params.result,
            next: params.next.map(Into::into),
        }
    }
}

impl From<TaskFailParams> for command::TaskFail {
    fn from(params: TaskFailParams) -> Self {
        Self {
            task: params.task,
            fence: params.fence,
            error: params.error,
            retry: params.retry,
        }
    }
}

impl From<FailOutcome> for TaskFailResult {
    fn from(outcome: FailOutcome) -> Self {
        match outcome {
            FailOutcome::Dead => Self {
                dead: true,
                not_before_ms: None,
            },
            FailOutcome::Retry { not_before } => Self {
                dead: false,
                not_before_ms: Some(not_before),
            },
        }
    }
}

impl From<TaskReleaseParams> for command::TaskRelease {
    fn from(params: TaskReleaseParams) -> Self {
        Self {
            task: params.task,
            fence: params.fence,
        }
    }
}

impl TryFrom<TaskHandoffParams> for command::TaskHandoff {
    type Error = RpcError;

    fn try_from(params: TaskHandoffParams) -> Result<Self, Self::Error> {
        let to = match (params.agent, params.capability) {
            (Some(agent), None) => HandoffTarget::Agent(agent),
            (None, Some(capability)) => HandoffTarget::Capability(capability),
            _ => return Err(RpcError::invalid("give either agent or capability")),
        };
        Ok(Self {
            task: params.task,
            fence: params.fence,
            to,
            offer_ms: params.offer_ms.unwrap_or(HANDOFF_OFFER_MS_DEFAULT),
            note: params.note,
            context: params.context,
            // Filled in by the driver, which knows the tokens.
            introduces: BTreeSet::new(),
        })
    }
}

fn yes() -> bool {
    true
}
