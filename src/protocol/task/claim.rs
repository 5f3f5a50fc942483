//! Claims of tasks, and the data that the holder gets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::view::HandoffView;
use crate::engine::command::{self, HoldRequest, Labels};
use crate::engine::ids::{AgentName, FencingToken, JournalTime, Note, RequestId, TaskId, Title};
use crate::engine::outcome::Grant;
use crate::engine::payload::Payload;

/// Which task to claim, and how to hold it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TaskClaimParams {
    /// Only this task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// Only tasks with all of these labels.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Only tasks of this priority or higher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_min: Option<i32>,
    /// Without it, the session holds the attempt. With it, the attempt expires this long after the last
    /// `task.progress`, whether connected or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// How long to wait for a task if there is none. Not used inside `task.complete`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TaskClaimResult {
    /// `null` if there is nothing to claim.
    pub claim: Option<ClaimView>,
}

/// A claimed attempt, with all that is needed to do the work.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ClaimView {
    pub task: TaskId,
    pub attempt: u32,
    /// The fencing token, which every operation on this attempt needs.
    pub fence: FencingToken,
    pub title: Title,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    pub submitted_by: AgentName,
    /// What the previous holder passed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff: Option<HandoffView>,
    /// Why the previous attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<Note>,
    /// The attempt expires at this time unless it is renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<JournalTime>,
    /// The attempt ends at this time in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_at_ms: Option<JournalTime>,
}

impl From<TaskClaimParams> for command::TaskClaim {
    fn from(params: TaskClaimParams) -> Self {
        Self {
            hold: hold(params.ttl_ms),
            filter: command::ClaimFilter {
                task: params.task,
                labels: params.labels,
                priority_min: params.priority_min,
            },
        }
    }
}

impl From<Grant> for ClaimView {
    fn from(grant: Grant) -> Self {
        Self {
            task: grant.task,
            attempt: grant.attempt,
            fence: grant.fence,
            title: grant.title,
            payload: grant.payload,
            labels: grant.labels,
            submitted_by: grant.submitted_by,
            handoff: grant.handoff.map(HandoffView::from),
            last_error: grant.last_error,
            expires_at_ms: grant.expires_at,
            timeout_at_ms: grant.timeout_at,
        }
    }
}

/// A time-to-live, or the session.
pub(in crate::protocol) fn hold(ttl_ms: Option<u64>) -> HoldRequest {
    ttl_ms.map_or(HoldRequest::Session, HoldRequest::TtlMs)
}
