//! How tasks look.

use std::io;

use crate::cli::agent::labels;
use crate::cli::duration::{ago, ahead};
use crate::cli::output::{Output, Paint};
use crate::cli::table::{Table, joined, one_line, or_nothing};
use crate::engine::command::Capabilities;
use crate::engine::ids::{JournalTime, TaskId};
use crate::engine::payload::Payload;
use crate::protocol::explain::{StuckReason, StuckView};
use crate::protocol::task::{ClaimView, ProgressView, StateName, TaskListResult, TaskView};

pub(super) fn show_list(
    out: &mut Output<'_>,
    list: &TaskListResult,
    hides_finished: bool,
) -> io::Result<()> {
    let headings = [
        "TASK", "STATE", "SINCE", "PRIORITY", "AGENT", "PROGRESS", "WHY", "TITLE",
    ];
    let mut table = Table::new(&headings);
    for task in &list.tasks {
        let agent = task.attempt.as_ref().map(|attempt| &attempt.agent);
        table.row(&[
            task.task.to_string(),
            state_name(task.state).to_owned(),
            ago(list.now_ms, task.since_ms),
            task.priority.to_string(),
            or_nothing(agent.or(task.offered_to.as_ref())),
            or_nothing(task.progress.as_ref().map(progress)),
            or_nothing(why(task, list.now_ms)),
            task.title.to_string(),
        ]);
    }
    let none = if hides_finished {
        "no open tasks"
    } else {
        "no tasks"
    };
    out.table(&table, none)?;
    let hidden = list.finished.done + list.finished.cancelled;
    if hides_finished && hidden > 0 {
        let tasks = if hidden == 1 { "task" } else { "tasks" };
        out.note(format_args!("{hidden} finished {tasks} not shown: --all"));
    }
    if let Some(after) = list.next_after {
        out.note(format_args!("there are more: --after {after}"));
    }
    Ok(())
}

/// What keeps a task from running, in short.
fn why(task: &TaskView, now: JournalTime) -> Option<String> {
    if let Some(stuck) = task.stuck.first() {
        let more = task.stuck.len() - 1;
        let more = if more > 0 {
            format!(" (+{more})")
        } else {
            String::new()
        };
        return Some(format!("stuck: {}{more}", briefly(stuck)));
    }
    if task.state != StateName::Blocked {
        return None;
    }
    if !task.waiting_on.is_empty() {
        return Some(format!("after {}", joined(&task.waiting_on)));
    }
    task.not_before_ms.map(|at| ahead(now, at))
}

fn briefly(stuck: &StuckView) -> String {
    let (root, requires) = (stuck.root, joined(&stuck.requires));
    match stuck.reason {
        StuckReason::DependencyDead => format!("{root} is dead"),
        StuckReason::DependencyCancelled => format!("{root} was cancelled"),
        StuckReason::DependencyWithoutAgent => format!("{root} needs {requires}"),
        StuckReason::NoAgentWithCapability => format!("no agent has {requires}"),
    }
}

/// Warns that a task that was just queued will not run.
pub(super) fn warn(out: &Output<'_>, task: TaskId, warnings: &[StuckView]) {
    for stuck in warnings {
        let (text, next) = (one_line(&stuck.text), one_line(&stuck.next));
        out.note(format_args!("warning: task {task} cannot run now: {text}"));
        out.note(format_args!("next: {next}: `{}`", remedy(stuck)));
    }
}

/// The command of the next step.
fn remedy(stuck: &StuckView) -> String {
    match stuck.reason {
        StuckReason::DependencyDead | StuckReason::DependencyCancelled => retry(stuck.root),
        StuckReason::DependencyWithoutAgent | StuckReason::NoAgentWithCapability => {
            work(&stuck.requires)
        }
    }
}

pub(super) fn retry(task: TaskId) -> String {
    format!("coord task retry {task}")
}

pub(super) fn work(requires: &Capabilities) -> String {
    let flags = requires.iter().map(|one| format!("--capability {one} "));
    format!("coord task work {}-- COMMAND", flags.collect::<String>())
}

/// A claimed attempt, with all that the work needs.
pub(super) fn show_claim(out: &mut Output<'_>, claim: &ClaimView) -> io::Result<()> {
    let (task, fence) = (claim.task, claim.fence);
    if out.style().quiet {
        return out.line(format_args!("{task} {fence}"));
    }
    out.field("task", task)?;
    out.field("attempt", claim.attempt)?;
    out.field("fence", fence)?;
    out.field("title", &claim.title)?;
    out.field("submitted by", &claim.submitted_by)?;
    if !claim.labels.is_empty() {
        out.field("labels", labels(&claim.labels))?;
    }
    if let Some(handoff) = &claim.handoff {
        out.field("handed over by", &handoff.from)?;
        out.field("handoff note", or_nothing(handoff.note.as_ref()))?;
        out.field("context", payload(handoff.context.as_ref()))?;
    }
    if let Some(error) = &claim.last_error {
        out.field("last error", error)?;
    }
    out.field("payload", payload(claim.payload.as_ref()))?;
    out.note(format_args!(
        "finish it with `coord task complete {task} --fence {fence}`; renew it with `coord task progress {task} --fence {fence}`"
    ));
    Ok(())
}

pub(super) fn show(out: &mut Output<'_>, task: &TaskView, now: JournalTime) -> io::Result<()> {
    let state = out.paint(paint(task.state), state_name(task.state));
    let since = ago(now, task.since_ms);
    let title = one_line(task.title.as_str());
    out.line(format_args!("task {} {state} {since}: {title}", task.task))?;
    let submitted = ago(now, task.submitted_at_ms);
    out.field(
        "submitted",
        format_args!("by {} {submitted}", task.submitted_by),
    )?;
    out.field("priority", task.priority)?;
    let (attempts, failures, max) = (task.attempts, task.failures, task.attempts_max);
    out.field(
        "attempts",
        format_args!("{attempts}, {failures} of at most {max} failed"),
    )?;
    if let Some(attempt) = &task.attempt {
        let claimed = ago(now, attempt.claimed_at_ms);
        let text = format!("{} since {claimed}, fence {}", attempt.agent, attempt.fence);
        out.field("held by", text)?;
        if let Some(at) = attempt.expires_at_ms.or(attempt.timeout_at_ms) {
            out.field("lapses", ahead(now, at))?;
        }
    }
    if let Some(at) = task.not_before_ms {
        out.field("not before", ahead(now, at))?;
    }
    if let Some(agent) = &task.offered_to {
        out.field("offered to", agent)?;
    }
    if let Some(view) = &task.progress {
        out.field(
            "progress",
            format_args!("{} {}", progress(view), ago(now, view.at_ms)),
        )?;
    }
    show_conditions(out, task)?;
    if let Some(error) = &task.last_error {
        out.field("last error", error)?;
    }
    out.field("payload", payload(task.payload.as_ref()))?;
    match &task.result {
        Some(_) => out.field("result", payload(task.result.as_ref())),
        None => Ok(()),
    }
}

fn show_conditions(out: &mut Output<'_>, task: &TaskView) -> io::Result<()> {
    if !task.requires.is_empty() {
        out.field("requires", joined(&task.requires))?;
    }
    if !task.labels.is_empty() {
        out.field("labels", labels(&task.labels))?;
    }
    if !task.after.is_empty() {
        out.field("after", joined(&task.after))?;
    }
    if !task.waiting_on.is_empty() {
        out.field("waiting on", joined(&task.waiting_on))?;
    }
    for stuck in &task.stuck {
        out.field(
            "stuck",
            format_args!("{}; next: {}: `{}`", stuck.text, stuck.next, remedy(stuck)),
        )?;
    }
    if let Some(cancelled) = &task.cancelled {
        out.field("cancelled by", &cancelled.by)?;
        out.field("reason", or_nothing(cancelled.reason.as_ref()))?;
    }
    match &task.concurrency_key {
        Some(key) => out.field("concurrency", key),
        None => Ok(()),
    }
}

fn progress(progress: &ProgressView) -> String {
    let percent = progress.percent.map(|percent| format!("{percent} %"));
    let note = progress.note.as_ref().map(ToString::to_string);
    let parts: Vec<String> = percent.into_iter().chain(note).collect();
    parts.join(" ")
}

fn payload(payload: Option<&Payload>) -> String {
    or_nothing(payload.map(Payload::as_json))
}

pub(super) fn paint(state: StateName) -> Paint {
    match state {
        StateName::Ready | StateName::Done => Paint::Good,
        StateName::Claimed => Paint::Busy,
        StateName::Dead => Paint::Bad,
        StateName::Blocked | StateName::Cancelled => Paint::Faint,
    }
}

pub(super) fn state_name(state: StateName) -> &'static str {
    match state {
        StateName::Blocked => "blocked",
        StateName::Ready => "ready",
        StateName::Claimed => "claimed",
        StateName::Done => "done",
        StateName::Dead => "dead",
        StateName::Cancelled => "cancelled",
    }
}
