//! Prints why a task does not run.

use std::io;

use super::view::{paint, retry, state_name, work};
use crate::cli::duration::{ago, ahead};
use crate::cli::output::Output;
use crate::cli::table::one_line;
use crate::engine::ids::{JournalTime, TaskId};
use crate::protocol::explain::{ExplainedTask, ReasonKind, ReasonView, TaskExplainResult};

/// The deepest indentation of a chain.
const INDENTED_MAX: u64 = 16;

pub(super) fn show(out: &mut Output<'_>, explained: &TaskExplainResult) -> io::Result<()> {
    let now = explained.now_ms;
    for reason in &explained.coordinator {
        show_reason(out, reason, None, 0, now)?;
    }
    let mut above = 0;
    for task in &explained.tasks {
        let hidden = task.depth.saturating_sub(above + 1);
        let indent = indent_of(task.depth);
        if hidden > 0 {
            let gap = " ".repeat(indent);
            out.line(format_args!(
                "{gap}… {hidden} tasks in between are not shown"
            ))?;
        }
        above = task.depth;
        show_task(out, task, indent, now)?;
    }
    if explained.left_out > 0 {
        let more = explained.left_out;
        out.note(format_args!("it waits for at least {more} more tasks"));
    }
    Ok(())
}

fn show_task(
    out: &mut Output<'_>,
    task: &ExplainedTask,
    indent: usize,
    now: JournalTime,
) -> io::Result<()> {
    let state = out.paint(paint(task.state), state_name(task.state));
    let (gap, since) = (" ".repeat(indent), ago(now, task.since_ms));
    let title = one_line(task.title.as_str());
    out.line(format_args!(
        "{gap}task {} {state} {since}: {title}",
        task.task
    ))?;
    task.reasons
        .iter()
        .try_for_each(|reason| show_reason(out, reason, Some(task.task), indent + 2, now))
}

fn show_reason(
    out: &mut Output<'_>,
    reason: &ReasonView,
    task: Option<TaskId>,
    indent: usize,
    now: JournalTime,
) -> io::Result<()> {
    let gap = " ".repeat(indent);
    let until = reason.until_ms.map(|at| format!(" ({})", ahead(now, at)));
    let text = one_line(&reason.text);
    out.line(format_args!("{gap}{text}{}", until.unwrap_or_default()))?;
    let Some(next) = &reason.next else {
        return Ok(());
    };
    let command = command(reason, task);
    let command = command.map(|command| format!(": `{command}`"));
    let next = one_line(next);
    out.line(format_args!(
        "{gap}  next: {next}{}",
        command.unwrap_or_default()
    ))
}

/// The command of the next step, where there is one.
fn command(reason: &ReasonView, task: Option<TaskId>) -> Option<String> {
    match reason.kind {
        ReasonKind::Dead | ReasonKind::Cancelled => task.map(retry),
        ReasonKind::NoAgentWithCapability => Some(work(&reason.requires)),
        ReasonKind::NobodyWaits => Some(format!("coord task claim {}", task?)),
        _ => None,
    }
}

fn indent_of(depth: u64) -> usize {
    usize::try_from(depth.min(INDENTED_MAX) * 4).unwrap_or_default()
}
