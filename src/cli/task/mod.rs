//! `coord task`: submit, show and list here; work on one task in `hold`, on many in `work`.

mod attempt;
mod child_output;
mod explain;
mod handover;
mod hold;
mod submit;
mod view;
mod work;

use super::error::CliError;
use super::exit::Exit;
use super::output::{Output, done};
use super::shell::Shell;
use crate::engine::ids::{AgentName, LabelKey, LabelValue, Note, TaskId};
use crate::protocol::explain::TaskExplainParams;
use crate::protocol::operations::Operation;
use crate::protocol::session::Empty;
use crate::protocol::task::{
    StateName, TaskCancelParams, TaskGetParams, TaskListParams, TaskQueuedResult, TaskRetryParams,
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum TaskCommand {
    /// Submits a task
    Submit(Box<submit::SubmitArgs>),
    /// Submits several tasks, all or none; they may depend on each other
    ///
    /// The file holds a JSON list. Each item is `{"task": {"title": …}, "after_index": [0, …]}`, or
    /// just the task; `coord protocol` has the schema of task.submit.
    SubmitMany {
        /// The file with the list; - for stdin
        #[arg(default_value = "-")]
        file: std::path::PathBuf,
    },
    /// Claims the ready task of the highest priority, the oldest first
    ///
    /// The attempt expires after its time-to-live unless `progress` renews it. Exits with 6 when there is
    /// nothing to claim, with 124 when the wait timed out.
    Claim(hold::ClaimArgs),
    /// Reports progress, and renews an attempt
    Progress(hold::ProgressArgs),
    /// Completes the task of an attempt
    Complete(hold::CompleteArgs),
    /// Reports that an attempt failed
    Fail(hold::FailArgs),
    /// Releases an attempt; it does not count as failed
    Release(hold::AttemptArgs),
    /// Hands a task over to another agent, or to agents with a capability
    Handoff(hold::HandoffArgs),
    /// Cancels a task
    Cancel {
        task: TaskId,
        #[arg(long)]
        reason: Option<Note>,
    },
    /// Requeues a dead or cancelled task and resets its failure count
    Retry { task: TaskId },
    /// Shows one task with its payload and result
    Get { task: TaskId },
    /// Explains why a task does not run: every reason, also of the tasks it waits for
    Explain { task: TaskId },
    /// Lists tasks; done and cancelled ones only on request
    ///
    /// Without --all or --state, it lists blocked, ready, claimed and dead tasks; with --json, `finished`
    /// counts the others. WHY shows what keeps a task from running. A stuck task will not run until somebody
    /// acts; `task explain` says how.
    List(ListArgs),
    /// Claims tasks one after the other and runs a command for each
    ///
    /// The command gets the payload as JSON on stdin. Its environment has `COORD_TASK_ID`,
    /// `COORD_TASK_TITLE`, `COORD_TASK_ATTEMPT`, `COORD_FENCE`, `COORD_TASK_SUBMITTED_BY`,
    /// `COORD_TASK_LABELS` (JSON), one `COORD_LABEL_NAME` for each label, and if they apply
    /// `COORD_TASK_LAST_ERROR` and `COORD_TASK_HANDOFF` (JSON). Exit code 0 completes the task with
    /// `{"exit_code", "stdout", "stdout_cut"}` as its result; any other code fails it with the end of stderr.
    /// When the attempt is lost, or the coordinator cannot be reached for longer than the session's grace,
    /// the command gets TERM, and KILL after --kill-after. INT and TERM are passed on; if they end the
    /// command, its task is released.
    Work(work::WorkArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Only tasks in this state; may be repeated
    #[arg(long = "state", value_enum)]
    states: Vec<StateArg>,
    /// Tasks in any state, including done and cancelled
    #[arg(long, conflicts_with = "states")]
    all: bool,
    /// Only stuck tasks, which will not run until somebody acts
    #[arg(long)]
    stuck: bool,
    /// Only tasks with this label; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = super::input::label)]
    labels: Vec<(LabelKey, LabelValue)>,
    /// Only tasks claimed by this agent
    #[arg(long)]
    agent: Option<AgentName>,
    /// Only tasks with a higher number
    #[arg(long, value_name = "ID")]
    after: Option<TaskId>,
    /// At most this many
    #[arg(long, value_name = "N")]
    max: Option<u64>,
}

/// The states that are listed by default: open tasks, and tasks that need attention.
const UNFINISHED: &[StateArg] = &[
    StateArg::Blocked,
    StateArg::Ready,
    StateArg::Claimed,
    StateArg::Dead,
];

/// The state of a task.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum StateArg {
    Blocked,
    Ready,
    Claimed,
    Done,
    Dead,
    Cancelled,
}

pub(super) async fn run(command: TaskCommand, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    match command {
        TaskCommand::Submit(args) => return submit::one(*args, shell).await,
        TaskCommand::SubmitMany { file } => return submit::many(&file, shell).await,
        TaskCommand::Claim(args) => return hold::claim(args, shell).await,
        TaskCommand::Progress(args) => hold::progress(args, shell).await?,
        TaskCommand::Complete(args) => hold::complete(args, shell).await?,
        TaskCommand::Fail(args) => hold::fail(args, shell).await?,
        TaskCommand::Release(args) => hold::release(args, shell).await?,
        TaskCommand::Handoff(args) => hold::handoff(args, shell).await?,
        TaskCommand::Cancel { task, reason } => {
            let params = TaskCancelParams {
                task,
                reason,
                request_id: None,
            };
            let cancelled = done::<Empty>(format!("cancelled task {task}"));
            let operation = Operation::TaskCancel;
            shell.print(operation, &params, cancelled).await?;
        }
        TaskCommand::Retry { task } => {
            let params = TaskRetryParams {
                task,
                request_id: None,
            };
            let queued = done::<TaskQueuedResult>(format!("requeued task {task}"));
            let result = shell.print(Operation::TaskRetry, &params, queued).await?;
            view::warn(&shell.out, task, &result.warnings);
        }
        TaskCommand::Get { task } => {
            let params = TaskGetParams { task };
            let operation = Operation::TaskGet;
            shell.print_at(operation, &params, view::show).await?;
        }
        TaskCommand::Explain { task } => {
            let params = TaskExplainParams { task };
            let operation = Operation::TaskExplain;
            shell.print(operation, &params, explain::show).await?;
        }
        TaskCommand::List(args) => {
            let hides = args.hides_finished();
            let params = args.into_params();
            let show = |out: &mut Output<'_>, list: &_| view::show_list(out, list, hides);
            shell.print(Operation::TaskList, &params, show).await?;
        }
        TaskCommand::Work(args) => return Box::pin(work::run(args, shell)).await,
    }
    Ok(Exit::Ok)
}

impl ListArgs {
    /// Whether the default hides done and cancelled tasks. A filter for claimed or stuck tasks hides none:
    /// such tasks are open.
    fn hides_finished(&self) -> bool {
        self.states.is_empty() && !self.all && !self.stuck && self.agent.is_none()
    }

    fn into_params(self) -> TaskListParams {
        let states = if self.hides_finished() {
            UNFINISHED.to_vec()
        } else {
            self.states
        };
        TaskListParams {
            states: states.into_iter().map(StateName::from).collect(),
            stuck: self.stuck,
            labels: self.labels.into_iter().collect(),
            agent: self.agent,
            after: self.after,
            count_max: self.max,
        }
    }
}

impl From<StateArg> for StateName {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Blocked => Self::Blocked,
            StateArg::Ready => Self::Ready,
            StateArg::Claimed => Self::Claimed,
            StateArg::Done => Self::Done,
            StateArg::Dead => Self::Dead,
            StateArg::Cancelled => Self::Cancelled,
        }
    }
}
