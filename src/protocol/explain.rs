//! Wire types that say why a task does not run.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::task::StateName;
use crate::engine::agents::Presence;
use crate::engine::command::Capabilities;
use crate::engine::ids::{AgentName, ConcurrencyKey, JournalTime, TaskId, Title};
use crate::engine::tasks::explain::{Able, Explained, Named, Reason};
use crate::engine::tasks::stuck::{Cause, Stuck, listed};
use crate::engine::tasks::{Attempt, Progress};

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
    /// All agents that may claim it are at work.
    AgentsBusy,
    /// All agents that may claim it are away or at work.
    AgentsAway,
    /// All agents that may claim it are gone.
    AgentsGone,
    /// No agent is known.
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
    let required = listed(requires);
    format!("start an agent that has {required}, or cancel the task that requires it")
}

impl ReasonView {
    pub fn new(kind: ReasonKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            next: None,
            tasks: Vec::new(),
            agents: Vec::new(),
            more: 0,
            requires: Capabilities::new(),
            concurrency_key: None,
            until_ms: None,
        }
    }

    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    fn about(mut self, tasks: Named<TaskId>) -> Self {
        self.more = tasks.more();
        self.tasks = tasks.some;
        self
    }

    fn of(reason: &Reason, task: TaskId) -> Self {
        match reason {
            Reason::WaitsFor(tasks) => {
                let text = format!("it waits for {}", counted(tasks, "task"));
                Self::new(ReasonKind::WaitsFor, text).about(tasks.clone())
            }
            Reason::WaitsForEnded(tasks) => {
                let text = format!(
                    "it waits for {}, which will not be done as things are",
                    counted(tasks, "task")
                );
                Self::new(ReasonKind::WaitsForEnded, text)
                    .about(tasks.clone())
                    .next("retry what it waits for, or cancel this task")
            }
            Reason::Delayed { until } => {
                let mut view = Self::new(ReasonKind::Delayed, "it was submitted to begin later");
                view.until_ms = Some(*until);
                view
            }
            Reason::BacksOff {
                until,
                failures,
                attempts_max,
                last_error,
            } => {
                let text = format!(
                    "{failures} of at most {attempts_max} attempts failed, and it pauses before the next{}",
                    because(last_error.as_ref())
                );
                let mut view = Self::new(ReasonKind::BacksOff, text);
                view.until_ms = Some(*until);
                view
            }
            Reason::ConcurrencyCap { key, cap, running } => Self::capped(key, *cap, running),
            Reason::NoAgent { requires } => {
                let text = format!("no known agent has {}", listed(requires));
                let mut view = Self::new(ReasonKind::NoAgentWithCapability, text);
                view.requires.clone_from(requires);
                view.next(start_agent(requires))
            }
            Reason::Offered {
                agent,
                until,
                presence,
            } => Self::offered(agent, *until, *presence),
            Reason::Claimable { able } => Self::claimable(able),
            Reason::Claimed {
                attempt,
                progress,
                presence,
            } => Self::claimed(attempt, progress.as_ref(), *presence),
            Reason::Done => Self::new(ReasonKind::Done, "it is done"),
            Reason::Dead {
                failures,
                attempts_max,
                last_error,
            } => {
                let text = format!(
                    "it is dead: {failures} of at most {attempts_max} attempts failed{}",
                    because(last_error.as_ref())
                );
                Self::new(ReasonKind::Dead, text)
                    .next(format!("find out why it failed, then retry task {task}"))
            }
            Reason::Cancelled { cancellation } => {
                let by = cancellation.as_ref().map(|c| format!(" by {}", c.by));
                let reason = cancellation.as_ref().and_then(|c| c.reason.as_ref());
                let text = format!(
                    "it was cancelled{}{}",
                    by.clone().unwrap_or_default(),
                    reason
                        .map(|reason| format!(": {reason}"))
                        .unwrap_or_default()
                );
                let mut view =
                    Self::new(ReasonKind::Cancelled, text).next(format!("retry task {task}"));
                view.agents = cancellation.iter().map(|c| c.by.clone()).collect();
                view
            }
        }
    }

    fn capped(key: &ConcurrencyKey, cap: u32, running: &Named<(TaskId, AgentName)>) -> Self {
        let held = running.some.iter();
        let held: Vec<String> = held
            .map(|(task, by)| format!("task {task} by {by}"))
            .collect();
        let text = format!(
            "{} of at most {cap} tasks of the concurrency key {key} are claimed: {}{}",
            running.count,
            held.join(", "),
            and_more(running.more())
        );
        let mut view = Self::new(ReasonKind::ConcurrencyCap, text);
        view.tasks = running.some.iter().map(|(task, _)| *task).collect();
        view.agents = running.some.iter().map(|(_, by)| by.clone()).collect();
        view.more = running.more();
        view.concurrency_key = Some(key.clone());
        view.next("wait until one of them ends, or submit a task of the key with a higher cap")
    }

    fn offered(agent: &AgentName, until: JournalTime, presence: Option<Presence>) -> Self {
        let presence = presence.map_or("not known any more", Presence::as_str);
        let text = format!("it is kept for {agent}, who is {presence}; others may have it later");
        let mut view = Self::new(ReasonKind::Offered, text);
        view.agents = vec![agent.clone()];
        view.until_ms = Some(until);
        view
    }

    fn claimable(able: &Able) -> Self {
        let (kind, who, text, next) = if able.free.count > 0 {
            let text = "it is ready, and may be claimed by";
            (
                ReasonKind::Claimable,
                &able.free,
                text,
                "let one of them claim it",
            )
        } else if able.away.count > 0 {
            let text = "it is ready; who may claim it is away or at work:";
            (
                ReasonKind::AgentsAway,
                &able.away,
                text,
                "wait, or start an agent",
            )
        } else if able.busy.count > 0 {
            let text = "it is ready; who may claim it is at work:";
            (
                ReasonKind::AgentsBusy,
                &able.busy,
                text,
                "wait, or start an agent",
            )
        } else if able.gone.count > 0 {
            let text = "it is ready; only agents that are gone may claim it:";
            (
                ReasonKind::AgentsGone,
                &able.gone,
                text,
                "start one of them, or another agent",
            )
        } else {
            let text = "it is ready, and no agent is known that could claim it";
            return Self::new(ReasonKind::NoAgents, text).next("start an agent");
        };
        let others = [
            ("at work", able.busy.count, ReasonKind::AgentsBusy),
            ("away", able.away.count, ReasonKind::AgentsAway),
            ("gone", able.gone.count, ReasonKind::AgentsGone),
        ];
        let others = others
            .iter()
            .filter(|(_, count, is)| *count > 0 && *is != kind);
        let others: String = others
            .map(|(how, count, _)| format!("; {count} more {} {how}", is_are(*count)))
            .collect();
        let text = format!(
            "{text} {}{}{others}",
            names(&who.some),
            and_more(who.more())
        );
        let mut view = Self::new(kind, text).next(next);
        view.agents.clone_from(&who.some);
        view.more = who.more();
        view
    }

    fn claimed(attempt: &Attempt, progress: Option<&Progress>, presence: Option<Presence>) -> Self {
        let presence = presence.map_or("not known any more", Presence::as_str);
        let held = match attempt.hold.session() {
            Some(session) => format!("as long as session {session} lives"),
            None => "until it lapses, unless it is renewed".to_owned(),
        };
        let percent = progress.and_then(|p| p.percent);
        let note = progress.and_then(|p| p.note.as_ref());
        let percent = percent.map(|percent| format!("; {percent} % done"));
        let note = note.map(|note| format!("; last heard: {note}"));
        let text = format!(
            "attempt {} is held by {}, who is {presence}, {held}{}{}",
            attempt.number,
            attempt.agent,
            percent.unwrap_or_default(),
            note.unwrap_or_default()
        );
        let mut view = Self::new(ReasonKind::Claimed, text);
        view.agents = vec![attempt.agent.clone()];
        let ends = attempt
            .hold
            .expires_at()
            .into_iter()
            .chain(attempt.timeout_at);
        view.until_ms = ends.min();
        view
    }
}

impl From<&Explained<'_>> for ExplainedTask {
    fn from(explained: &Explained<'_>) -> Self {
        let task = explained.task;
        let reasons = explained.reasons.iter();
        Self {
            task: task.id,
            title: task.title.clone(),
            state: StateName::from(&task.state),
            since_ms: task.state_since,
            depth: explained.depth,
            reasons: reasons.map(|r| ReasonView::of(r, task.id)).collect(),
        }
    }
}

fn because(error: Option<&crate::engine::ids::Note>) -> String {
    error
        .map(|error| format!("; the last error: {error}"))
        .unwrap_or_default()
}

fn is_are(count: u64) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

fn and_more(more: u64) -> String {
    if more == 0 {
        return String::new();
    }
    format!(" and {more} more")
}

fn names<T: ToString>(all: &[T]) -> String {
    let names: Vec<String> = all.iter().map(ToString::to_string).collect();
    names.join(", ")
}

fn counted<T: ToString>(named: &Named<T>, what: &str) -> String {
    let plural = if named.count == 1 { "" } else { "s" };
    format!(
        "{what}{plural} {}{}",
        names(&named.some),
        and_more(named.more())
    )
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_zero(value: &u64) -> bool {
    *value == 0
}
