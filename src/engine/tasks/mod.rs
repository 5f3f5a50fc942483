//! Tasks: submitted, claimed in order of priority and age, finished under a fencing token.
//!
//! ```text
//!            dependencies done,
//!            delay over            claim                complete
//!  Blocked ───────────────► Ready ───────► Claimed ───────────────► Done
//!     ▲                       ▲               │ │
//!     │ back-off              │ release,      │ │ no attempt left
//!     └───────────────────────┴─handoff, lost─┘ └─────────────────► Dead ──┐
//!     any open state ── cancel ─────────────────────────────► Cancelled ───┤ retry
//!     ▲                                                                    │
//!     └────────────────────────────────────────────────────────────────────┘
//! ```

mod attempt;
mod claim;
pub mod explain;
mod graph;
mod repeat;
pub mod stuck;
mod submit;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Engine;
use super::command::{Capabilities, Labels};
use super::event::{Change, ChangeKind, Subject};
use super::hold::Hold;
use super::ids::{
    AgentName, ConcurrencyKey, FencingToken, IdempotencyKey, JournalTime, Note, TaskId, Title,
};
use super::index::{ReadyGroup, ReadyKey};
use super::limits::{LimitExceeded, check_limit};
use super::payload::{Payload, bytes_of};

/// The size that counts for a label and a required capability.
const LABEL_BYTES: usize = 200;
const CAPABILITY_BYTES: usize = 72;
/// How many finished tasks are checked to find one that can be deleted; those that other tasks wait for stay.
const FORGET_LOOKS: u32 = 8;

/// A unit of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub id: TaskId,
    pub title: Title,
    #[serde(default)]
    pub payload: Option<Payload>,
    #[serde(default)]
    pub priority: i32,
    #[serde(default)]
    pub requires: Capabilities,
    #[serde(default)]
    pub labels: Labels,
    /// All its dependencies.
    #[serde(default)]
    pub after: BTreeSet<TaskId>,
    /// The dependencies that are not done yet.
    #[serde(default)]
    pub waiting_on: BTreeSet<TaskId>,
    #[serde(default)]
    pub not_before: Option<JournalTime>,
    #[serde(default)]
    pub idempotency_key: Option<IdempotencyKey>,
    pub attempts_max: u32,
    #[serde(default)]
    pub backoff_ms: u64,
    #[serde(default)]
    pub attempt_timeout_ms: Option<u64>,
    #[serde(default)]
    pub concurrency: Option<ConcurrencyKey>,
    pub submitted_by: AgentName,
    pub submitted_at: JournalTime,
    pub state: TaskState,
    pub state_since: JournalTime,
    /// How often it was claimed; the number of the latest attempt.
    #[serde(default)]
    pub attempts: u32,
    /// How many of them failed; this counts against `attempts_max`.
    #[serde(default)]
    pub failures: u32,
    /// The agent for which it is reserved first.
    #[serde(default)]
    pub offer: Option<Offer>,
    #[serde(default)]
    pub handoff: Option<Handoff>,
    #[serde(default)]
    pub progress: Option<Progress>,
    #[serde(default)]
    pub last_error: Option<Note>,
    #[serde(default)]
    pub result: Option<Payload>,
    /// The parameters of the submission that the task itself does not show, to compare a repetition under its
    /// idempotency key. Unknown for tasks that were submitted before format 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_submitted: Option<Box<AsSubmitted>>,
    /// Who cancelled it, and why. Unknown for tasks that were cancelled before format 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<Box<Cancellation>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    Blocked,
    Ready,
    Claimed(Attempt),
    Done,
    Dead,
    Cancelled,
}

/// One claim of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub number: u32,
    pub agent: AgentName,
    pub fence: FencingToken,
    pub hold: Hold,
    pub claimed_at: JournalTime,
    #[serde(default)]
    pub timeout_at: Option<JournalTime>,
}

/// A ready task is reserved for one agent until a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    pub agent: AgentName,
    pub until: JournalTime,
}

/// What the previous holder passed on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Handoff {
    pub from: AgentName,
    #[serde(default)]
    pub note: Option<Note>,
    #[serde(default)]
    pub context: Option<Payload>,
}

/// The parameters of a submission under an idempotency key that the task does not show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsSubmitted {
    #[serde(default)]
    pub delay_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_max: Option<u32>,
    /// The capabilities that hand-offs added to its requirements.
    #[serde(default, skip_serializing_if = "Capabilities::is_empty")]
    pub requires_added: Capabilities,
}

/// Who cancelled a task, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancellation {
    pub by: AgentName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub at: JournalTime,
    #[serde(default)]
    pub percent: Option<u8>,
    #[serde(default)]
    pub note: Option<Note>,
}

/// Finished tasks that are still stored, by how they ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Finished {
    pub done: u64,
    pub dead: u64,
    pub cancelled: u64,
}

impl Finished {
    pub(super) fn of(&mut self, state: &TaskState) -> Option<&mut u64> {
        match state {
            TaskState::Done => Some(&mut self.done),
            TaskState::Dead => Some(&mut self.dead),
            TaskState::Cancelled => Some(&mut self.cancelled),
            TaskState::Blocked | TaskState::Ready | TaskState::Claimed(_) => None,
        }
    }
}

impl TaskState {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Ready => "ready",
            Self::Claimed(_) => "claimed",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn is_open(&self) -> bool {
        matches!(self, Self::Blocked | Self::Ready | Self::Claimed(_))
    }
}

impl Task {
    /// The current attempt.
    pub fn attempt(&self) -> Option<&Attempt> {
        match &self.state {
            TaskState::Claimed(attempt) => Some(attempt),
            _ => None,
        }
    }

    pub(super) fn ready_key(&self) -> ReadyKey {
        (Reverse(self.priority), self.id)
    }

    pub(super) fn ready_group(&self) -> ReadyGroup {
        ReadyGroup {
            concurrency: self.concurrency.clone(),
            requires: self.requires.clone(),
        }
    }

    /// The bytes that count against the limits: the data that agents put into it.
    pub(super) fn bytes(&self) -> u64 {
        let context = self.handoff.as_ref().and_then(|h| h.context.as_ref());
        bytes_of(self.payload.as_ref())
            + bytes_of(self.result.as_ref())
            + bytes_of(context)
            + named_bytes(&self.labels, &self.requires)
    }
}

fn named_bytes(labels: &Labels, requires: &Capabilities) -> u64 {
    (labels.len() * LABEL_BYTES + requires.len() * CAPABILITY_BYTES) as u64
}

impl Engine {
    /// Removes a task's entries from the index, changes the task, inserts them again.
    fn with_task<T>(&mut self, id: TaskId, change: impl FnOnce(&mut Task) -> T) -> Option<T> {
        let task = self.state.tasks.get_mut(&id)?;
        let before = self.index.standing(task);
        self.index.remove(&**task);
        let result = change(task);
        self.index.insert(&**task);
        if before != self.index.standing(task) {
            self.standing_changes(id, before);
        }
        Some(result)
    }

    /// Sets the state of a task that nobody holds: ready, or blocked by other tasks or by time.
    fn settle(&mut self, id: TaskId) {
        let now = self.state.now;
        let ready = self.with_task(id, |task| {
            let waits = !task.waiting_on.is_empty() || task.not_before.is_some_and(|at| at > now);
            task.state = if waits {
                TaskState::Blocked
            } else {
                TaskState::Ready
            };
            task.state_since = now;
            if !waits {
                task.not_before = None;
            }
            !waits
        });
        self.frees_key_of(id);
        if ready == Some(true) {
            self.signals.tasks.push(id);
            self.change(about(ChangeKind::TaskReady, id, 0));
        }
    }

    /// A task may not run any more, so another one of its key may.
    fn frees_key_of(&mut self, id: TaskId) {
        let task = self.state.tasks.get(&id);
        let key = task.and_then(|task| task.concurrency.clone());
        self.signals.keys.extend(key);
    }

    /// Finishes a task, and deletes the oldest finished ones.
    fn finish(&mut self, id: TaskId, state: TaskState) {
        let now = self.state.now;
        self.with_task(id, |task| {
            task.state = state;
            task.state_since = now;
            task.offer = None;
            task.not_before = None;
        });
        self.state.tasks_finished.push_back(id);
        self.frees_key_of(id);
        let key = self
            .state
            .tasks
            .get(&id)
            .and_then(|t| t.concurrency.clone());
        self.drop_unused_concurrency(key.as_ref());
        self.forget_finished();
    }

    /// Whether `bytes` more fit into all tasks, if finished tasks that no task waits for are deleted.
    /// Otherwise finished work could use up the limit for ever. New tasks will wait for `needed`.
    fn check_tasks_bytes(
        &self,
        bytes: u64,
        needed: &BTreeSet<TaskId>,
    ) -> Result<(), LimitExceeded> {
        let max = self.limits.tasks_bytes_max;
        let over = (self.index.tasks_bytes + bytes).saturating_sub(max);
        let mut freed = 0;
        for id in &self.state.tasks_finished {
            if freed >= over {
                break;
            }
            if !needed.contains(id) && !self.index.dependents.contains_key(id) {
                freed += self.state.tasks.get(id).map_or(0, |task| task.bytes());
            }
        }
        check_limit!(
            self.limits,
            tasks_bytes_max,
            self.index.tasks_bytes + bytes - freed.min(over)
        )
    }

    /// Deletes the oldest finished tasks while there are too many, or while all tasks exceed the limit of
    /// bytes.
    pub(super) fn forget_finished(&mut self) {
        let mut looks = FORGET_LOOKS;
        while looks > 0 && self.state.tasks_finished.len() as u64 > self.limits.tasks_finished_max {
            self.forget_oldest();
            looks -= 1;
        }
        let mut looks = self.state.tasks_finished.len();
        while looks > 0 && self.index.tasks_bytes > self.limits.tasks_bytes_max {
            self.forget_oldest();
            looks -= 1;
        }
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.state.tasks_finished.pop_front() else {
            return;
        };
        if self.index.dependents.contains_key(&oldest) {
            // Other tasks still wait for it, and a retry may let them run.
            self.state.tasks_finished.push_back(oldest);
            return;
        }
        if let Some(task) = self.state.tasks.remove(&oldest) {
            self.index.remove(&*task);
            self.index.stuck_on.remove(&oldest);
            self.state.totals.tasks_forgotten += 1;
            self.drop_unused_concurrency(task.concurrency.as_ref());
        }
    }

    fn drop_unused_concurrency(&mut self, key: Option<&ConcurrencyKey>) {
        if let Some(key) = key
            && !self.index.using_key.contains_key(key)
        {
            self.state.concurrency.remove(key);
        }
    }

    pub(super) fn task_delay_ends(&mut self, id: TaskId) {
        self.settle(id);
    }

    pub(super) fn task_offer_ends(&mut self, id: TaskId) {
        self.with_task(id, |task| task.offer = None);
        self.signals.tasks.push(id);
    }
}

fn about(kind: ChangeKind, task: TaskId, attempt: u32) -> Change {
    Change::new(kind).about(Subject::Task { task, attempt })
}
