//! A task as queries show it.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::explain::StuckView;
use crate::engine::command::{Capabilities, Labels};
use crate::engine::ids::{
    AgentName, ConcurrencyKey, FencingToken, JournalTime, Note, SessionId, TaskId, Title,
};
use crate::engine::payload::Payload;
use crate::engine::tasks::stuck::Roots;
use crate::engine::tasks::{Handoff, Task, TaskState};

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TaskView {
    pub task: TaskId,
    pub title: Title,
    pub state: StateName,
    pub since_ms: JournalTime,
    pub priority: i32,
    pub submitted_by: AgentName,
    pub submitted_at_ms: JournalTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub requires: Capabilities,
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// All its dependencies.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub after: BTreeSet<TaskId>,
    /// Its dependencies that are not done yet.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub waiting_on: BTreeSet<TaskId>,
    /// Why it is stuck, if it is; `task.explain` says more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stuck: Vec<StuckView>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before_ms: Option<JournalTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_key: Option<ConcurrencyKey>,
    /// How often it was claimed.
    pub attempts: u32,
    /// How many attempts failed.
    pub failures: u32,
    pub attempts_max: u32,
    /// The current attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptView>,
    /// It is reserved for this agent first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered_to: Option<AgentName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressView>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff: Option<HandoffView>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<Note>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Payload>,
    /// Who cancelled it; absent if an older coordinator cancelled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<CancelledView>,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    Blocked,
    Ready,
    Claimed,
    Done,
    Dead,
    Cancelled,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AttemptView {
    pub number: u32,
    pub agent: AgentName,
    pub fence: FencingToken,
    pub claimed_at_ms: JournalTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<JournalTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_at_ms: Option<JournalTime>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ProgressView {
    pub at_ms: JournalTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct HandoffView {
    pub from: AgentName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Payload>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CancelledView {
    pub by: AgentName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
}

impl TaskView {
    /// Everything but payload, result and handed-off context.
    pub fn summary(task: &Task, roots: &mut Roots<'_>) -> Self {
        Self {
            stuck: roots.of(task).iter().map(StuckView::from).collect(),
            task: task.id,
            title: task.title.clone(),
            state: StateName::from(&task.state),
            since_ms: task.state_since,
            priority: task.priority,
            submitted_by: task.submitted_by.clone(),
            submitted_at_ms: task.submitted_at,
            payload: None,
            requires: task.requires.clone(),
            labels: task.labels.clone(),
            after: task.after.clone(),
            waiting_on: task.waiting_on.clone(),
            not_before_ms: task.not_before,
            concurrency_key: task.concurrency.clone(),
            attempts: task.attempts,
            failures: task.failures,
            attempts_max: task.attempts_max,
            attempt: task.attempt().map(|attempt| AttemptView {
                number: attempt.number,
                agent: attempt.agent.clone(),
                fence: attempt.fence,
                claimed_at_ms: attempt.claimed_at,
                session: attempt.hold.session(),
                expires_at_ms: attempt.hold.expires_at(),
                timeout_at_ms: attempt.timeout_at,
            }),
            offered_to: task.offer.as_ref().map(|offer| offer.agent.clone()),
            progress: task.progress.as_ref().map(|progress| ProgressView {
                at_ms: progress.at,
                percent: progress.percent,
                note: progress.note.clone(),
            }),
            handoff: None,
            last_error: task.last_error.clone(),
            result: None,
            cancelled: task.cancelled.as_ref().map(|cancelled| CancelledView {
                by: cancelled.by.clone(),
                reason: cancelled.reason.clone(),
            }),
        }
    }

    pub fn whole(task: &Task, roots: &mut Roots<'_>) -> Self {
        Self {
            payload: task.payload.clone(),
            result: task.result.clone(),
            handoff: task.handoff.clone().map(HandoffView::from),
            ..Self::summary(task, roots)
        }
    }
}

impl From<&TaskState> for StateName {
    fn from(state: &TaskState) -> Self {
        match state {
            TaskState::Blocked => Self::Blocked,
            TaskState::Ready => Self::Ready,
            TaskState::Claimed(_) => Self::Claimed,
            TaskState::Done => Self::Done,
            TaskState::Dead => Self::Dead,
            TaskState::Cancelled => Self::Cancelled,
        }
    }
}

impl From<Handoff> for HandoffView {
    fn from(handoff: Handoff) -> Self {
        Self {
            from: handoff.from,
            note: handoff.note,
            context: handoff.context,
        }
    }
}
