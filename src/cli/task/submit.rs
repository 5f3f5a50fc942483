//! `coord task submit` and `submit-many`.

use std::io;
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::view;
use crate::cli::duration::Millis;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::input::{self, PayloadInput};
use crate::cli::output::Output;
use crate::cli::shell::Shell;
use crate::cli::table::{joined, one_line};
use crate::engine::ids::{
    Capability, ConcurrencyKey, IdempotencyKey, LabelKey, LabelValue, TaskId, Title,
};
use crate::protocol::operations::Operation;
use crate::protocol::task::{
    ConcurrencyParam, StateName, TaskInGraph, TaskSubmitManyParams, TaskSubmitManyResult,
    TaskSubmitParams, TaskSubmitResult,
};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SubmitArgs {
    title: Title,
    #[command(flatten)]
    payload: PayloadInput,
    /// The priority; a higher one is claimed first
    #[arg(long, default_value_t, allow_negative_numbers = true, value_name = "N")]
    priority: i32,
    /// Only an agent with this capability may claim it; may be repeated
    #[arg(long = "requires", value_name = "CAPABILITY")]
    requires: Vec<Capability>,
    /// A label; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = input::label)]
    labels: Vec<(LabelKey, LabelValue)>,
    /// Wait until this task is done; may be repeated
    #[arg(long = "after", value_name = "ID")]
    after: Vec<TaskId>,
    /// Wait this long before the task is ready
    #[arg(long, value_name = "DURATION")]
    delay: Option<Millis>,
    /// An idempotency key: submitting again under the same key gives the same task
    ///
    /// Exits with 6, and submits nothing, when that task has other parameters (such as its payload), or is
    /// dead or cancelled. The key can be reused once the coordinator has forgotten the task.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<IdempotencyKey>,
    /// The task is dead after this many failed attempts [default: 3]
    #[arg(long, value_name = "N")]
    attempts: Option<u32>,
    /// The pause after the first failed attempt; it doubles each time [default: 1s]
    #[arg(long, value_name = "DURATION")]
    backoff: Option<Millis>,
    /// The longest time for one attempt
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Millis>,
    /// Claim at most MAX tasks of this key at a time
    #[arg(long, value_name = "KEY=MAX", value_parser = concurrency)]
    concurrency: Option<ConcurrencyParam>,
}

pub(super) async fn one(args: SubmitArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let params = args.into_params()?;
    let operation = Operation::TaskSubmit;
    let submitted = shell.print(operation, &params, show).await?;
    Ok(remarks(&shell.out, &[submitted]))
}

pub(super) async fn many(file: &Path, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let params = TaskSubmitManyParams {
        tasks: items(file)?,
        request_id: None,
    };
    let all = |out: &mut Output<'_>, result: &TaskSubmitManyResult| {
        result.tasks.iter().try_for_each(|task| show(out, task))
    };
    let operation = Operation::TaskSubmitMany;
    let result = shell.print(operation, &params, all).await?;
    Ok(remarks(&shell.out, &result.tasks))
}

fn show(out: &mut Output<'_>, submitted: &TaskSubmitResult) -> io::Result<()> {
    out.made(submitted.task, sentence(submitted))
}

/// Prints the next step for tasks that were not submitted as wanted, or will not run. With `--json` it is in
/// the result.
fn remarks(out: &Output<'_>, tasks: &[TaskSubmitResult]) -> Exit {
    for submitted in tasks.iter().filter(|_| !out.style().json) {
        let task = submitted.task;
        if ended(submitted) {
            out.note(format_args!(
                "next: run it again with `coord task retry {task}`, or use another key"
            ));
        } else if !submitted.differs.is_empty() {
            out.note(format_args!(
                "next: see its parameters with `coord task get {task}`, or use another key"
            ));
        }
        view::warn(out, task, &submitted.warnings);
    }
    if tasks.iter().all(is_as_wanted) {
        return Exit::Ok;
    }
    Exit::Conflict
}

/// Whether the task has the submitted parameters, and is done or can still run.
fn is_as_wanted(submitted: &TaskSubmitResult) -> bool {
    submitted.differs.is_empty() && !ended(submitted)
}

fn ended(submitted: &TaskSubmitResult) -> bool {
    matches!(
        submitted.state,
        Some(StateName::Dead | StateName::Cancelled)
    )
}

/// Each item is parsed separately, so that an error names the item and the place.
fn items(file: &Path) -> Result<Vec<TaskInGraph>, CliError> {
    let text = input::file(file)?;
    let failed = |error| CliError::input(format!("use {}", file.display()), error);
    let list: Vec<&RawValue> = serde_json::from_str(&text).map_err(failed)?;
    let read = |(index, raw): (usize, &RawValue)| {
        let what = format!("use item {index} of {}", file.display());
        item(raw).map_err(|error| CliError::input(what, error))
    };
    list.into_iter().enumerate().map(read).collect()
}

/// A task with its dependencies, or the task alone; the field `task` tells them apart.
fn item(raw: &RawValue) -> Result<TaskInGraph, serde_path_to_error::Error<serde_json::Error>> {
    #[derive(Deserialize)]
    struct Probe<'a> {
        #[serde(borrow, default)]
        task: Option<&'a RawValue>,
    }
    let in_graph = serde_json::from_str::<Probe>(raw.get()).is_ok_and(|p| p.task.is_some());
    let mut reader = serde_json::Deserializer::from_str(raw.get());
    if in_graph {
        return serde_path_to_error::deserialize(&mut reader);
    }
    let task: TaskSubmitParams = serde_path_to_error::deserialize(&mut reader)?;
    Ok(TaskInGraph {
        task,
        after_index: Vec::new(),
    })
}

fn sentence(submitted: &TaskSubmitResult) -> String {
    let task = submitted.task;
    if !submitted.existing {
        return format!("submitted task {task}");
    }
    let differs = joined(&submitted.differs);
    let error = submitted.last_error.as_ref().filter(|_| ended(submitted));
    let parts = [
        (!differs.is_empty()).then(|| format!(", with another {differs}")),
        submitted
            .state
            .map(|state| format!(", and is {}", view::state_name(state))),
        error.map(|error| format!(" (last error: {})", one_line(error.as_str()))),
    ];
    let parts: String = parts.into_iter().flatten().collect();
    format!("task {task} was submitted before under this key{parts}: nothing was submitted")
}

impl SubmitArgs {
    fn into_params(self) -> Result<TaskSubmitParams, CliError> {
        Ok(TaskSubmitParams {
            payload: self.payload.read()?,
            title: self.title,
            priority: self.priority,
            requires: self.requires.into_iter().collect(),
            labels: self.labels.into_iter().collect(),
            after: self.after,
            delay_ms: self.delay.map_or(0, |delay| delay.0),
            idempotency_key: self.idempotency_key,
            attempts_max: self.attempts,
            backoff_ms: self.backoff.map(|backoff| backoff.0),
            attempt_timeout_ms: self.timeout.map(|timeout| timeout.0),
            concurrency: self.concurrency,
            request_id: None,
        })
    }
}

fn concurrency(text: &str) -> Result<ConcurrencyParam, String> {
    let (key, max) = text.rsplit_once('=').ok_or("write KEY=MAX")?;
    let key: ConcurrencyKey = key.parse().map_err(|error| format!("{error}"))?;
    let max = max.parse().map_err(|_| "MAX must be a number")?;
    Ok(ConcurrencyParam { key, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<TaskInGraph, String> {
        item(serde_json::from_str(text).expect("it is JSON")).map_err(|error| error.to_string())
    }

    #[test]
    fn items_have_two_forms() {
        let alone = parse(r#"{"title":"a"}"#).expect("a task alone");
        assert_eq!(alone.task.title.as_str(), "a");
        let graph = parse(r#"{"task":{"title":"b"},"after_index":[0]}"#).expect("in a graph");
        assert_eq!(graph.after_index, [0]);
    }

    #[test]
    fn an_error_names_the_field() {
        let error = parse(r#"{"task":{"title":"b","priority":"high"}}"#).expect_err("no number");
        assert!(error.contains("task.priority"), "{error}");
    }
}
