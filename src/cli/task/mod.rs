//! `coord task`: submit and look here, work on one in `hold`, work on many in `work`.

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
    /// Submits several tasks that may wait for each other, all or none
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
    /// The attempt lapses after its time-to-live unless `progress` renews it. Exits with 6 when there
    /// is none, with 124 when the wait timed out.
    Claim(hold::ClaimArgs),
    /// Reports progress, and renews an attempt
    Progress(hold::ProgressArgs),
    /// Finishes an attempt
    Complete(hold::CompleteArgs),
    /// Reports that an attempt failed
    Fail(hold::FailArgs),
    /// Gives an attempt back; it does not count as failed
    Release(hold::AttemptArgs),
    /// Hands an attempt to another agent, or to whoever has a capability
    Handoff(hold::HandoffArgs),
    /// Cancels a task
    Cancel {
        task: TaskId,
        #[arg(long)]
        reason: Option<Note>,
    },
    /// Takes a dead or cancelled task up again, with all its attempts
    Retry { task: TaskId },
    /// Shows one task with payload and result
    Get { task: TaskId },
    /// Says why a task does not run: every reason, down the chain of what it waits for
    Explain { task: TaskId },
    /// Lists tasks; done and cancelled ones only where they are asked for
    ///
    /// Without --all or --state, those that are blocked, ready, claimed or dead are shown, with --json as well,
    /// whose `finished` says how many others there are. WHY says what keeps a task from running: one that is
    /// stuck does not run unless somebody does something, and `task explain` says what.
    List(ListArgs),
    /// Claims tasks one after the other and runs a command for each
    ///
    /// The command gets the payload, as JSON, on stdin, and in its environment `COORD_TASK_ID`,
    /// `COORD_TASK_TITLE`, `COORD_TASK_ATTEMPT`, `COORD_FENCE`, `COORD_TASK_SUBMITTED_BY`,
    /// `COORD_TASK_LABELS` (JSON), one `COORD_LABEL_NAME` for each label, and where they apply
    /// `COORD_TASK_LAST_ERROR` and `COORD_TASK_HANDOFF` (JSON). Exit code 0 completes the task with
    /// `{"exit_code", "stdout", "stdout_cut"}` as its result; any other fails it with the end of
    /// stderr. When the attempt is lost, or the coordinator cannot be reached for longer than the
    /// session's grace, the command gets TERM, and KILL a little later. INT and TERM are passed on;
    /// a task whose command they end is given back.
    Work(work::WorkArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Only tasks in this state, again for more
    #[arg(long = "state", value_enum)]
    states: Vec<StateArg>,
    /// Tasks in any state, done and cancelled ones too
    #[arg(long, conflicts_with = "states")]
    all: bool,
    /// Only tasks that cannot run unless somebody does something
    #[arg(long)]
    stuck: bool,
    /// Only tasks with this label, again for more
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

/// What is listed when nothing else is asked for: what is to be done, and what somebody should look at.
const UNFINISHED: &[StateArg] = &[
    StateArg::Blocked,
    StateArg::Ready,
    StateArg::Claimed,
    StateArg::Dead,
];

/// Where a task stands.
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
            let queued = done::<TaskQueuedResult>(format!("task {task} is taken up again"));
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
    /// Whether done and cancelled tasks are left out although nothing else would leave them out: claimed and
    /// stuck tasks are open anyway.
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
