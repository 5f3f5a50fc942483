//! Wire types that say why a task does not run.

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

/// Why a task does not run, or that it does.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TaskExplainResult {
    /// What keeps this coordinator from granting anything; empty when nothing does.
    pub coordinator: Vec<ReasonView>,
    /// The task that was asked for, then what it waits for, each behind the one that waits for it; a task
    /// that several wait for is there once.
    pub tasks: Vec<ExplainedTask>,
    /// Tasks that it waits for and that are not listed, or at least so many. Where the chain ends is listed
    /// even then.
    pub left_out: u64,
    pub now_ms: JournalTime,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedTask {
    pub task: TaskId,
    pub title: Title,
    pub state: StateName,
    pub since_ms: JournalTime,
    /// How many steps it is from the task that was asked for.
    pub depth: u64,
    pub reasons: Vec<ReasonView>,
}

/// One reason; only the fields that belong to its kind are there.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ReasonView {
    pub kind: ReasonKind,
    pub text: String,
    /// What to do about it; absent where it is enough to wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// What it waits for, or what holds the slots.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskId>,
    /// Who holds it, may claim it, or has it kept for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<AgentName>,
    /// Tasks or agents beyond those that are named.
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

/// What kind of reason it is. The names are stable; match on them, not on the text.
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
    /// As many tasks of its concurrency key are claimed as may be.
    ConcurrencyCap,
    /// No known agent has the capabilities that it requires.
    NoAgentWithCapability,
    /// It is kept for one agent, after a crash or a hand-off.
    Offered,
    /// An agent that may claim it is connected and free.
    Claimable,
    /// No agent that may claim it is free; some are at work.
    AgentsBusy,
    /// No agent that may claim it is free or at work; some are away.
    AgentsAway,
    /// All known agents that may claim it are gone.
    AgentsGone,
    /// No agent is known that may claim it.
    NoAgents,
    /// Nobody waits for a task at this coordinator.
    NobodyWaits,
    /// Claims wait at this coordinator, none of them for this task.
    ClaimsDoNotMatch,
    /// A claim that waits at this coordinator is about to get it.
    ClaimWaits,
    /// It runs.
    Claimed,
    Done,
    /// It used up its attempts, or was not to be retried.
    Dead,
    Cancelled,
    /// The disk, or the shared store, is full: nothing new is begun.
    StorageFull,
    /// The coordinator is stopping.
    Draining,
    /// The shared journal is out of reach.
    JournalUnreachable,
}

/// Why a task cannot run unless somebody does something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StuckView {
    pub reason: StuckReason,
    /// About which task something must be done: the task itself, or one that it waits for.
    pub root: TaskId,
    /// What that one requires, where no known agent has all of it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub requires: Capabilities,
    pub text: String,
    /// What to do about it.
    pub next: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StuckReason {
    /// It waits, maybe through others, for a task that is dead.
    DependencyDead,
    /// It waits, maybe through others, for a task that was cancelled.
    DependencyCancelled,
    /// It waits, maybe through others, for a task whose capabilities no known agent has.
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
    format!("retry task {task}, or cancel what waits for it")
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
