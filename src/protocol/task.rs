//! Wire types of the task operations.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::RpcError;
use super::explain::StuckView;
use crate::engine::command::{self, Capabilities, Dependency, HandoffTarget, HoldRequest, Labels};
use crate::engine::ids::{
    AgentName, Capability, ConcurrencyKey, FencingToken, IdempotencyKey, JournalTime, Note,
    RequestId, SessionId, TaskId, Title,
};
use crate::engine::outcome::{FailOutcome, Grant, Submitted};
use crate::engine::payload::Payload;
use crate::engine::tasks::stuck::{Roots, Stuck};
use crate::engine::tasks::{Finished, Handoff, Task, TaskState};

/// Attempts a task gets when its submission does not say.
pub const ATTEMPTS_MAX_DEFAULT: u32 = 3;
/// The pause after a first failed attempt when its submission does not say.
pub const BACKOFF_MS_DEFAULT: u64 = 1_000;
/// How long a handed-off task is kept for its new agent when the handoff does not say.
pub const HANDOFF_OFFER_MS_DEFAULT: u64 = 600_000;

/// What is to be done, and under which conditions.
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
    /// It waits this long first, in milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
    /// Submitting again under the same key gives the same task, as it was submitted first, and the answer
    /// says in what the submissions differ. The key is free again once the task is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<IdempotencyKey>,
    /// After so many failed attempts it is dead. 3 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts_max: Option<u32>,
    /// The pause after a failed attempt; it doubles each time. 1000 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_ms: Option<u64>,
    /// One attempt may take so long.
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

/// Several tasks at once, all or none; they may wait for each other.
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
    /// The idempotency key was known: this task was submitted before, and nothing was submitted now.
    pub existing: bool,
    /// Of a task that was submitted before: its state. A dead or cancelled one runs only after
    /// `task.retry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateName>,
    /// Of a task that was submitted before: why its latest attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<Note>,
    /// The parameters that were other ones when this task was submitted, under its idempotency key or with
    /// the same `request_id`. Payloads are compared as JSON.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<String>,
    /// Why the task will not run, as things are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<StuckView>,
}

/// A task is queued again.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TaskQueuedResult {
    /// Why it will not run, as things are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<StuckView>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TaskSubmitManyResult {
    /// In the order of the list.
    pub tasks: Vec<TaskSubmitResult>,
}

/// Which task an agent would take, and how it holds it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TaskClaimParams {
    /// This one and no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// Only tasks with all of these labels.
    #[serde(skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Only tasks of this priority or higher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_min: Option<i32>,
    /// Without it the session holds the attempt; with it the attempt lapses so long after the last
    /// `task.progress`, whatever the connection does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// How long to wait for a task when there is none. Not used inside `task.complete`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TaskClaimResult {
    /// `null`: there is none to claim.
    pub claim: Option<ClaimView>,
}

/// A claimed attempt, with all that is needed to do the work.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ClaimView {
    pub task: TaskId,
    pub attempt: u32,
    /// Give it with every operation on this attempt.
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
    /// It lapses at this time unless it is renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<JournalTime>,
    /// It is over at this time whatever happens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_at_ms: Option<JournalTime>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct HandoffView {
    pub from: AgentName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Payload>,
}

/// Reports how an attempt goes; renews one that has a time-to-live.
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
    /// `null`: its session holds it.
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
    /// The next task, if one was asked for and there was one.
    pub next: Option<ClaimView>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskFailParams {
    pub task: TaskId,
    pub fence: FencingToken,
    /// What went wrong.
    pub error: Note,
    /// `false`: no further attempt makes sense.
    #[serde(default = "yes")]
    pub retry: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TaskFailResult {
    /// It used up its attempts, or was not to be retried.
    pub dead: bool,
    /// It is tried again, not before this time.
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

/// Hands an attempt on; exactly one of `agent` and `capability` is given.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskHandoffParams {
    pub task: TaskId,
    pub fence: FencingToken,
    /// It is kept for this agent first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// From now on it requires this capability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability: Option<Capability>,
    /// How long it is kept for the agent. 600000 when absent.
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

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskGetParams {
    pub task: TaskId,
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
    /// Only tasks that cannot run unless somebody does something: see `stuck` of a task.
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
    /// There are more: ask again with this as `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_after: Option<TaskId>,
    /// Finished tasks of the project that are still known, whether they are listed or not.
    #[serde(default)]
    pub finished: FinishedTasks,
    pub now_ms: JournalTime,
}

/// How many tasks ended how.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
pub struct FinishedTasks {
    pub done: u64,
    pub dead: u64,
    pub cancelled: u64,
}

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
    /// Everything it was to wait for.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub after: BTreeSet<TaskId>,
    /// What of that is not done yet.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub waiting_on: BTreeSet<TaskId>,
    /// Why it cannot run unless somebody does something; `task.explain` says more.
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
    /// The attempt under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptView>,
    /// It is kept for this agent first.
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
    /// Who cancelled it; absent where the coordinator that did so did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<CancelledView>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CancelledView {
    pub by: AgentName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
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

/// A time-to-live, or the session.
pub(super) fn hold(ttl_ms: Option<u64>) -> HoldRequest {
    ttl_ms.map_or(HoldRequest::Session, HoldRequest::TtlMs)
}

impl TryFrom<TaskProgressParams> for command::TaskProgress {
    type Error = RpcError;

    fn try_from(params: TaskProgressParams) -> Result<Self, Self::Error> {
        if params.percent.is_some_and(|percent| percent > 100) {
            let problem = "percent: a percentage is between 0 and 100";
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

impl From<Handoff> for HandoffView {
    fn from(handoff: Handoff) -> Self {
        Self {
            from: handoff.from,
            note: handoff.note,
            context: handoff.context,
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

impl From<Finished> for FinishedTasks {
    fn from(finished: Finished) -> Self {
        Self {
            done: finished.done,
            dead: finished.dead,
            cancelled: finished.cancelled,
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

impl From<Vec<Submitted>> for TaskSubmitManyResult {
    fn from(submitted: Vec<Submitted>) -> Self {
        Self {
            tasks: submitted.into_iter().map(TaskSubmitResult::from).collect(),
        }
    }
}

impl From<Vec<Stuck>> for TaskQueuedResult {
    fn from(stuck: Vec<Stuck>) -> Self {
        Self {
            warnings: stuck.iter().map(StuckView::from).collect(),
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

fn yes() -> bool {
    true
}
