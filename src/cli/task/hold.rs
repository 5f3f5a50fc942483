//! The commands for the holder of an attempt: claim, progress, complete, fail, release, handoff.

use std::path::Path;

use clap::ArgGroup;

use super::view;
use crate::cli::duration::{Millis, ahead};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::input;
use crate::cli::output::{Output, done};
use crate::cli::shell::Shell;
use crate::engine::ids::{
    AgentName, Capability, FencingToken, JournalTime, LabelKey, LabelValue, Note, TaskId,
};
use crate::engine::payload::Payload;
use crate::protocol::operations::Operation;
use crate::protocol::session::Empty;
use crate::protocol::task::{
    RenewResult, TaskClaimParams, TaskClaimResult, TaskCompleteParams, TaskCompleteResult,
    TaskFailParams, TaskFailResult, TaskHandoffParams, TaskProgressParams, TaskQueuedResult,
    TaskReleaseParams,
};

/// Which tasks to claim.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct FilterArgs {
    /// Only tasks with this label; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = input::label)]
    labels: Vec<(LabelKey, LabelValue)>,
    /// Only tasks of this priority or higher
    #[arg(long, allow_negative_numbers = true, value_name = "N")]
    priority_min: Option<i32>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ClaimArgs {
    /// Only this task
    task: Option<TaskId>,
    #[command(flatten)]
    filter: FilterArgs,
    /// The time-to-live: the attempt expires unless `task progress` renews it within this time
    #[arg(long, value_name = "DURATION", default_value = crate::cli::TTL_DEFAULT)]
    ttl: Millis,
    /// How long to wait for a task if there is none [default: no wait]
    #[arg(long, value_name = "DURATION")]
    wait: Option<Millis>,
}

/// Which attempt.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(in crate::cli) struct AttemptArgs {
    task: TaskId,
    /// The fencing token that `claim` gave; `COORD_FENCE` for a command of `task work`
    #[arg(long)]
    fence: FencingToken,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ProgressArgs {
    #[command(flatten)]
    attempt: AttemptArgs,
    /// From 0 to 100
    #[arg(long, value_parser = clap::value_parser!(u8).range(..=100))]
    percent: Option<u8>,
    /// A note about the progress
    note: Option<Note>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CompleteArgs {
    #[command(flatten)]
    attempt: AttemptArgs,
    /// The result, as JSON
    #[arg(long, value_name = "JSON", conflicts_with_all = ["result_text", "result_file"])]
    result: Option<String>,
    /// The result, as plain text
    #[arg(long, value_name = "TEXT", conflicts_with = "result_file")]
    result_text: Option<String>,
    /// A file that holds the JSON; - for stdin
    #[arg(long, value_name = "FILE")]
    result_file: Option<std::path::PathBuf>,
    /// Claim the next task in the same step
    #[arg(long)]
    next: bool,
    /// The time-to-live of the next attempt
    #[arg(long, value_name = "DURATION", default_value = crate::cli::TTL_DEFAULT, requires = "next")]
    ttl: Millis,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct FailArgs {
    #[command(flatten)]
    attempt: AttemptArgs,
    /// What went wrong
    error: Note,
    /// Do not retry: another attempt would fail too
    #[arg(long)]
    no_retry: bool,
}

#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(group(ArgGroup::new("recipient").required(true).args(["to", "capability"])))]
pub(in crate::cli) struct HandoffArgs {
    #[command(flatten)]
    attempt: AttemptArgs,
    /// Offer it to this agent first
    #[arg(long, value_name = "AGENT")]
    to: Option<AgentName>,
    /// Offer it to agents with this capability
    #[arg(long)]
    capability: Option<Capability>,
    /// How long it is reserved for the agent [default: 10m]
    #[arg(long, value_name = "DURATION", requires = "to")]
    offer: Option<Millis>,
    /// What the next holder should know
    #[arg(long)]
    note: Option<Note>,
    /// What the next holder needs to know, as JSON
    #[arg(long, value_name = "JSON")]
    context: Option<String>,
    /// A file that holds that JSON; - for stdin
    #[arg(long, value_name = "FILE", conflicts_with = "context")]
    context_file: Option<std::path::PathBuf>,
}

impl FilterArgs {
    pub(super) fn params(&self) -> TaskClaimParams {
        TaskClaimParams {
            labels: self.labels.iter().cloned().collect(),
            priority_min: self.priority_min,
            ..TaskClaimParams::default()
        }
    }
}

pub(super) async fn claim(args: ClaimArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let wait_ms = args.wait.map(|wait| wait.0);
    let params = TaskClaimParams {
        task: args.task,
        ttl_ms: Some(args.ttl.0),
        wait_ms,
        ..args.filter.params()
    };
    let show = |out: &mut Output<'_>, result: &TaskClaimResult| {
        if let Some(claim) = &result.claim {
            return view::show_claim(out, claim);
        }
        out.note("there is nothing to claim");
        if let Some(task) = args.task {
            out.note(format_args!("why: `coord task explain {task}`"));
        }
        Ok(())
    };
    let (operation, wait) = (Operation::TaskClaim, wait_ms.unwrap_or_default());
    let result = shell.print_waiting(operation, &params, wait, show).await?;
    let exit = match (&result.claim, wait_ms) {
        (Some(_), _) => Exit::Ok,
        (None, Some(1..)) => Exit::TimedOut,
        (None, _) => Exit::Conflict,
    };
    if shell.out.style().json && exit != Exit::Ok {
        // The reply is empty, so a program gets the reason as an error.
        return Err(CliError::unmet(exit, "there is nothing to claim"));
    }
    Ok(exit)
}

pub(super) async fn progress(args: ProgressArgs, shell: &mut Shell<'_>) -> Result<(), CliError> {
    let params = TaskProgressParams {
        task: args.attempt.task,
        fence: args.attempt.fence,
        percent: args.percent,
        note: args.note,
        request_id: None,
    };
    let reported = |out: &mut Output<'_>, renewed: &RenewResult, now: JournalTime| {
        let until = renewed.expires_at_ms;
        let until = until.map(|at| format!(", expires {}", ahead(now, at)));
        out.done(format_args!("reported{}", until.unwrap_or_default()))
    };
    let operation = Operation::TaskProgress;
    shell.print_at(operation, &params, reported).await?;
    Ok(())
}

pub(super) async fn complete(args: CompleteArgs, shell: &mut Shell<'_>) -> Result<(), CliError> {
    let result = match &args.result_text {
        Some(text) => Some(input::string(text)),
        None => given_json(args.result.as_deref(), args.result_file.as_deref())?,
    };
    let next = args.next.then(|| TaskClaimParams {
        ttl_ms: Some(args.ttl.0),
        ..TaskClaimParams::default()
    });
    let task = args.attempt.task;
    let params = TaskCompleteParams {
        task,
        fence: args.attempt.fence,
        result,
        next,
        request_id: None,
    };
    let show = |out: &mut Output<'_>, result: &TaskCompleteResult| {
        out.note(format_args!("completed task {task}"));
        match &result.next {
            Some(claim) => view::show_claim(out, claim),
            None if args.next => {
                out.note("there is nothing to claim");
                Ok(())
            }
            None => Ok(()),
        }
    };
    shell.print(Operation::TaskComplete, &params, show).await?;
    Ok(())
}

/// JSON from the command line or from a file, if either is given.
fn given_json(text: Option<&str>, file: Option<&Path>) -> Result<Option<Payload>, CliError> {
    match (text, file) {
        (Some(text), _) => input::json(text, "the argument").map(Some),
        (None, Some(path)) => {
            let place = path.display().to_string();
            input::json(&input::file(path)?, &place).map(Some)
        }
        (None, None) => Ok(None),
    }
}

pub(super) async fn fail(args: FailArgs, shell: &mut Shell<'_>) -> Result<(), CliError> {
    let task = args.attempt.task;
    let params = TaskFailParams {
        task,
        fence: args.attempt.fence,
        error: args.error,
        retry: !args.no_retry,
        request_id: None,
    };
    let failed = |out: &mut Output<'_>, result: &TaskFailResult| {
        if result.dead {
            out.done(format_args!("task {task} failed for good"))
        } else {
            out.done(format_args!("task {task} failed and will be retried"))
        }
    };
    shell.print(Operation::TaskFail, &params, failed).await?;
    Ok(())
}

pub(super) async fn release(args: AttemptArgs, shell: &mut Shell<'_>) -> Result<(), CliError> {
    let task = args.task;
    let params = TaskReleaseParams {
        task,
        fence: args.fence,
        request_id: None,
    };
    let released = done::<Empty>(format!("released task {task}"));
    let operation = Operation::TaskRelease;
    shell.print(operation, &params, released).await?;
    Ok(())
}

pub(super) async fn handoff(args: HandoffArgs, shell: &mut Shell<'_>) -> Result<(), CliError> {
    let task = args.attempt.task;
    let context = given_json(args.context.as_deref(), args.context_file.as_deref())?;
    let params = TaskHandoffParams {
        task,
        fence: args.attempt.fence,
        agent: args.to,
        capability: args.capability,
        offer_ms: args.offer.map(|offer| offer.0),
        note: args.note,
        context,
        request_id: None,
    };
    let handed = done::<TaskQueuedResult>(format!("handed over task {task}"));
    let operation = Operation::TaskHandoff;
    let result = shell.print(operation, &params, handed).await?;
    view::warn(&shell.out, task, &result.warnings);
    Ok(())
}
