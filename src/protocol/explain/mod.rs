//! Wire types that explain why a task does not run.

mod reasons;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::task::StateName;
use crate::engine::command::Capabilities;
use crate::engine::ids::{AgentName, ConcurrencyKey, JournalTime, TaskId, Title};
use crate::engine::tasks::stuck::{Cause, Stuck, listed};

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskExplainParams {
    pub task: TaskId,
}

/// Why a task does not run; or that it runs.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TaskExplainResult {
    /// Why this coordinator cannot grant anything now; empty if it can.
    pub coordinator: Vec<ReasonView>,
    /// The requested task, then the tasks it waits for, each after the one that waits for it. A task that
    /// several wait for is listed once.
    pub tasks: Vec<ExplainedTask>,
    /// How many tasks that it waits for are not listed, or a lower bound. The ends of the chain are always
    /// listed.
    pub left_out: u64,
    pub now_ms: JournalTime,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedTask {
    pub task: TaskId,
    pub title: Title,
    pub state: StateName,
    pub since_ms: JournalTime,
    /// The number of steps from the requested task.
    pub depth: u64,
    pub reasons: Vec<ReasonView>,
}

/// One reason; only the fields of its kind are present.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ReasonView {
    pub kind: ReasonKind,
    pub text: String,
    /// The next step; absent if it is enough to wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The tasks it waits for, or those that use the slots of its concurrency key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskId>,
    /// The agents that hold it, may claim it, or have it reserved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<AgentName>,
    /// The number of further tasks or agents.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u64,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub requires: Capabilities,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_key: Option<ConcurrencyKey>,
    /// When this ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<JournalTime>,
}

/// The kind of a reason. The names are stable; match on them, not on the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReasonKind {
    /// It waits for tasks that are open.
    WaitsFor,
    /// It waits for tasks that are dead or cancelled.
    WaitsForEnded,
    /// Its delay is not over.
    Delayed,
    /// An attempt failed, and its pause is not over.
    BacksOff,
    /// The maximum number of tasks of its concurrency key is claimed.
    ConcurrencyCap,
    /// No known agent has the capabilities that it requires.
    NoAgentWithCapability,
    /// It is reserved for one agent, after a crash or a hand-over.
    Offered,
    /// An agent that may claim it is connected and free.
    Claimable,
    /// No agent that may claim it is free; some are busy.
    AgentsBusy,
    /// No agent that may claim it is free or busy; some are away.
    AgentsAway,
    /// All known agents that may claim it are gone.
    AgentsGone,
    /// No agent is known that may claim it.
    NoAgents,
    /// No claim waits at this coordinator.
    NobodyWaits,
    /// Claims wait at this coordinator, none of them for this task.
    ClaimsDoNotMatch,
    /// A claim that waits at this coordinator will get it in a moment.
    ClaimWaits,
    /// It runs.
    Claimed,
    Done,
    /// It used up its attempts, or failed with `retry` false.
    Dead,
    Cancelled,
    /// The disk or the shared store is full: no work is started.
    StorageFull,
    /// The coordinator is stopping.
    Draining,
    /// The shared journal cannot be reached.
    JournalUnreachable,
}

/// Why a task will not run until somebody acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StuckView {
    pub reason: StuckReason,
    /// The task that needs attention: the task itself, or one that it waits for.
    pub root: TaskId,
    /// The capabilities that this task requires, if no known agent has all of them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub requires: Capabilities,
    pub text: String,
    /// The next step.
    pub next: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StuckReason {
    /// It waits, directly or not, for a task that is dead.
    DependencyDead,
    /// It waits, directly or not, for a task that was cancelled.
    DependencyCancelled,
    /// It waits, directly or not, for a task whose capabilities no known agent has.
    DependencyWithoutAgent,
    /// No known agent has the capabilities that it requires.
    NoAgentWithCapability,
}

impl From<&Stuck> for StuckView {
    fn from(stuck: &Stuck) -> Self {
        let (reason, next) = match stuck.cause {
            Cause::DependencyDead => (StuckReason::DependencyDead, retry(stuck.root)),
            Cause::DependencyCancelled => (StuckReason::DependencyCancelled, retry(stuck.root)),
            Cause::DependencyWithoutAgent => (
                StuckReason::DependencyWithoutAgent,
                start_agent(&stuck.requires),
            ),
            Cause::NoAgentWithCapability => (
                StuckReason::NoAgentWithCapability,
                start_agent(&stuck.requires),
            ),
        };
        Self {
            reason,
            root: stuck.root,
            requires: stuck.requires.clone(),
            text: stuck.to_string(),
            next,
        }
    }
}

fn retry(task: TaskId) -> String {
    format!("retry task {task}, or cancel the tasks that wait for it")
}

fn start_agent(requires: &Capabilities) -> String {
    let needed = listed(requires);
    format!("start an agent that has {needed}, or cancel the task that requires it")
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_zero(value: &u64) -> bool {
    *value == 0
}
