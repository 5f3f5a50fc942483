//! Reasons in words, with the next step of each.

use std::fmt::{Arguments, Write as _};

use super::{ExplainedTask, ReasonKind, ReasonView, start_agent};
use crate::engine::agents::Presence;
use crate::engine::command::Capabilities;
use crate::engine::ids::{AgentName, ConcurrencyKey, JournalTime, Note, TaskId};
use crate::engine::tasks::explain::{Able, Explained, Named, Reason};
use crate::engine::tasks::stuck::listed;
use crate::engine::tasks::{Attempt, Cancellation, Progress};
use crate::protocol::task::StateName;

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

    fn of(reason: &Reason, task: TaskId) -> Self {
        match reason {
            Reason::WaitsFor(tasks) => Self::waits_for(tasks),
            Reason::WaitsForEnded(tasks) => Self::waits_for_ended(tasks),
            Reason::Delayed { until } => {
                let view = Self::new(ReasonKind::Delayed, "it was submitted with a delay");
                view.until(Some(*until))
            }
            Reason::BacksOff {
                until,
                failures,
                attempts_max,
                last_error,
            } => {
                let failed = failed(*failures, *attempts_max, last_error.as_ref());
                let text = format!("it pauses before the next attempt: {failed}");
                Self::new(ReasonKind::BacksOff, text).until(Some(*until))
            }
            Reason::ConcurrencyCap { key, cap, running } => Self::capped(key, *cap, running),
            Reason::NoAgent { requires } => Self::without_agent(requires),
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
                let failed = failed(*failures, *attempts_max, last_error.as_ref());
                Self::new(ReasonKind::Dead, format!("it is dead: {failed}")).next(format!(
                    "fix the cause of the failure, then retry task {task}"
                ))
            }
            Reason::Cancelled { cancellation } => Self::cancelled(cancellation.as_ref(), task),
        }
    }

    fn until(mut self, until: Option<JournalTime>) -> Self {
        self.until_ms = until;
        self
    }

    fn about(mut self, tasks: &Named<TaskId>) -> Self {
        self.more = tasks.more();
        self.tasks.clone_from(&tasks.some);
        self
    }

    fn waits_for(tasks: &Named<TaskId>) -> Self {
        let text = format!("it waits for {}", counted(tasks));
        Self::new(ReasonKind::WaitsFor, text).about(tasks)
    }

    fn waits_for_ended(tasks: &Named<TaskId>) -> Self {
        let named = counted(tasks);
        let text = format!("it waits for {named}, which will not be done until somebody acts");
        Self::new(ReasonKind::WaitsForEnded, text)
            .about(tasks)
            .next("retry what it waits for, or cancel this task")
    }

    fn without_agent(requires: &Capabilities) -> Self {
        let text = format!("no known agent has {}", listed(requires));
        let mut view = Self::new(ReasonKind::NoAgentWithCapability, text);
        view.requires.clone_from(requires);
        view.next(start_agent(requires))
    }

    fn cancelled(cancellation: Option<&Cancellation>, task: TaskId) -> Self {
        let mut text = "it was cancelled".to_owned();
        if let Some(cancellation) = cancellation {
            say(&mut text, format_args!(" by {}", cancellation.by));
        }
        if let Some(reason) = cancellation.and_then(|c| c.reason.as_ref()) {
            say(&mut text, format_args!(": {reason}"));
        }
        let mut view = Self::new(ReasonKind::Cancelled, text).next(format!("retry task {task}"));
        view.agents = cancellation.iter().map(|c| c.by.clone()).collect();
        view
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
        view.next("wait until one of them ends, or submit a task with this key and a higher cap")
    }

    fn offered(agent: &AgentName, until: JournalTime, presence: Option<Presence>) -> Self {
        let presence = presence.map_or("no longer known", Presence::as_str);
        let text = format!(
            "it is reserved for {agent}, who is {presence}; later other agents may claim it"
        );
        let mut view = Self::new(ReasonKind::Offered, text);
        view.agents = vec![agent.clone()];
        view.until_ms = Some(until);
        view
    }

    /// Names the agents that are most likely to claim it soon, and counts the others.
    fn claimable(able: &Able) -> Self {
        let others = [
            (&able.busy, ReasonKind::AgentsBusy, "busy"),
            (&able.away, ReasonKind::AgentsAway, "away"),
            (&able.gone, ReasonKind::AgentsGone, "gone"),
        ];
        let free = [(&able.free, ReasonKind::Claimable, "free")];
        let mut all = free.into_iter().chain(others);
        let Some((who, kind, how)) = all.find(|(agents, ..)| agents.count > 0) else {
            let text = "it is ready, but no known agent may claim it";
            return Self::new(ReasonKind::NoAgents, text).next("start an agent");
        };
        let mut text = format!(
            "it is ready; of the agents that may claim it, {}{} {} {how}",
            names(&who.some),
            and_more(who.more()),
            are(who.count)
        );
        for (agents, _, how) in all.filter(|(agents, ..)| agents.count > 0) {
            let count = agents.count;
            say(&mut text, format_args!(", {count} {} {how}", are(count)));
        }
        let mut view = Self::new(kind, text).next(match kind {
            ReasonKind::Claimable => "let one of them claim it",
            ReasonKind::AgentsGone => "start one of them, or another agent",
            _ => "wait for one of them, or start another agent",
        });
        view.agents.clone_from(&who.some);
        view.more = who.more();
        view
    }

    fn claimed(attempt: &Attempt, progress: Option<&Progress>, presence: Option<Presence>) -> Self {
        let presence = presence.map_or("no longer known", Presence::as_str);
        let held = match attempt.hold.session() {
            Some(session) => format!("as long as session {session} lives"),
            None => "until it expires, unless it is renewed".to_owned(),
        };
        let percent = progress.and_then(|p| p.percent);
        let note = progress.and_then(|p| p.note.as_ref());
        let percent = percent.map(|percent| format!("; {percent} % done"));
        let note = note.map(|note| format!("; latest note: {note}"));
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

fn failed(failures: u32, attempts_max: u32, last_error: Option<&Note>) -> String {
    let mut text = format!("{failures} of at most {attempts_max} attempts failed");
    if let Some(error) = last_error {
        say(&mut text, format_args!("; the last error: {error}"));
    }
    text
}

fn are(count: u64) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

fn say(text: &mut String, more: Arguments<'_>) {
    text.write_fmt(more)
        .expect("a string takes all that is written to it");
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

fn counted(named: &Named<TaskId>) -> String {
    let plural = if named.count == 1 { "" } else { "s" };
    format!(
        "task{plural} {}{}",
        names(&named.some),
        and_more(named.more())
    )
}
