//! `coord task work`: claims tasks one after the other and runs a command for each.
//!
//! ```text
//! claim{wait} ──► run ──► exit 0 ──► complete{next} ──┬─► run …
//!      ▲           │                                  │ none
//!      │           ├──► other ────► fail ─────────────┤
//!      │           ├──► signalled ► release, end      │
//!      │           └──► lost ─────► stop the command ─┤
//!      └──────────────────────────────────────────────┘
//! ```

mod report;

use std::ffi::OsString;
use std::process::ExitStatus;

use nix::sys::signal::Signal;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::attempt::watch;
use super::child_output::{STDERR_TAIL_BYTES_MAX, STDOUT_TAIL_BYTES_MAX, Tail, Tee};
use super::handover::{feed, variables};
use super::hold::FilterArgs;
use crate::cli::child::{self, ChildSignals, ChildSpec, Reaction, Streams, Watch};
use crate::cli::client::{Client, ClientError, Reply};
use crate::cli::duration::Millis;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::lease::SessionArgs;
use crate::cli::output::Output;
use crate::cli::shell::Shell;
use crate::cli::table::one_line;
use crate::clock::boot_ms;
use crate::engine::ids::Capability;
use crate::protocol::operations::Operation;
use crate::protocol::session::{Empty, SessionOpenParams, SessionOpenResult};
use crate::protocol::task::{ClaimView, TaskClaimParams, TaskClaimResult};
use report::release;

/// The default of --failures-max.
const FAILURES_IN_A_ROW_MAX: u64 = 5;

/// How many progress reports may wait to be sent.
const PROGRESS_QUEUE_MAX: usize = 64;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct WorkArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// A capability of this worker; may be repeated; replaces the agent's known ones
    #[arg(long = "capability", value_name = "CAPABILITY")]
    capabilities: Vec<Capability>,
    /// End after one task, with the exit code of its command
    #[arg(long, conflicts_with = "max")]
    once: bool,
    /// End after this many tasks
    #[arg(long, value_name = "N")]
    max: Option<u64>,
    /// End when there was nothing to claim for this long [default: never]
    #[arg(long, value_name = "DURATION")]
    idle_exit: Option<Millis>,
    /// End after this many failures in a row, of any tasks; 0: never. Otherwise a command that always fails
    /// would use up the attempts of every task
    #[arg(long, value_name = "N", default_value_t = FAILURES_IN_A_ROW_MAX)]
    failures_max: u64,
    /// Report lines of stdout like `::progress 40 building` as progress
    #[arg(long)]
    progress_lines: bool,
    #[command(flatten)]
    session: SessionArgs,
    /// The command to run for each task
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

struct Worker<'a, 'b> {
    args: WorkArgs,
    client: Client,
    opened: SessionOpenResult,
    signals: ChildSignals,
    shell: &'a mut Shell<'b>,
    /// A signal that asks this process to end.
    ending: Option<Signal>,
    /// When the current task was requested, on the boot clock.
    asked_at_ms: u64,
    left: u64,
    last: Exit,
    /// Since the last success.
    failures: u64,
}

/// How a command ended.
enum WorkEnded {
    Exited {
        status: ExitStatus,
        stdout: Tail,
        stderr: Tail,
    },
    /// The attempt is gone.
    Lost(CliError),
    /// This process was asked to end before the command started.
    NotStarted,
}

pub(super) async fn run(args: WorkArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let signals = ChildSignals::new()?;
    let mut client = shell.client().await?;
    let opened = client.open_session(&args.session_params()).await?;
    shell.out.warn_of(&opened);
    let left = if args.once {
        1
    } else {
        args.max.unwrap_or(u64::MAX)
    };
    let mut worker = Worker {
        args,
        client,
        opened,
        signals,
        shell,
        ending: None,
        asked_at_ms: 0,
        left,
        last: Exit::Ok,
        failures: 0,
    };
    let ended = Box::pin(worker.work()).await;
    worker.client.close().await;
    ended
}

impl WorkArgs {
    fn session_params(&self) -> SessionOpenParams {
        let capabilities = self.capabilities.iter().cloned().collect();
        SessionOpenParams {
            capabilities: (!self.capabilities.is_empty()).then_some(capabilities),
            ..self.session.params()
        }
    }
}

impl Worker<'_, '_> {
    async fn work(&mut self) -> Result<Exit, CliError> {
        let mut next = None;
        while self.left > 0 && self.ending.is_none() {
            let claim = match next.take() {
                Some(claim) => claim,
                None => match self.claim().await? {
                    Some(claim) => claim,
                    None => break,
                },
            };
            self.left -= 1;
            next = self.work_on(&claim).await?;
            self.check_failures()?;
        }
        Ok(match self.ending {
            // A service manager counts an end on TERM as success.
            Some(Signal::SIGTERM) => Exit::Ok,
            Some(signal) => Exit::of_signal(signal as i32),
            None if self.args.once && self.left > 0 => Exit::Conflict,
            None => self.last,
        })
    }

    /// Ends a worker whose command always fails, before every task in the queue is dead.
    fn check_failures(&self) -> Result<(), CliError> {
        let (failures, max) = (self.failures, self.args.failures_max);
        if max == 0 || failures < max || self.args.once {
            return Ok(());
        }
        let what = format!(
            "{failures} failures in a row: this worker ends, so that it does not use up the attempts of other \
             tasks; run the command by hand for one task, or set another --failures-max"
        );
        Err(CliError::unmet(Exit::Failed, what))
    }

    /// Waits for a task. `None`: no task came within `--idle-exit`, or this process must end.
    async fn claim(&mut self) -> Result<Option<ClaimView>, CliError> {
        let idle_since = Instant::now();
        loop {
            let mut wait_ms = self.opened.limits.wait_ms_max;
            if let Some(limit) = self.args.idle_exit {
                let left = limit.duration().saturating_sub(idle_since.elapsed());
                wait_ms = wait_ms.min(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
            }
            let params = TaskClaimParams {
                wait_ms: Some(wait_ms),
                ..self.args.filter.params()
            };
            let operation = Operation::TaskClaim;
            self.asked_at_ms = boot_ms();
            let reply: Result<Reply<TaskClaimResult>, ClientError> = tokio::select! {
                reply = self.client.call_waiting(operation, &params, wait_ms) => reply,
                signal = self.signals.next() => {
                    self.ending = Some(signal);
                    return Ok(None);
                }
            };
            match reply {
                Ok(reply) if reply.value.claim.is_some() => return Ok(reply.value.claim),
                Err(ClientError::SessionGone { .. }) => self.reopen().await?,
                Err(error) => return Err(error.into()),
                Ok(_) => {}
            }
            let limit = self.args.idle_exit.map(Millis::duration);
            if limit.is_some_and(|limit| idle_since.elapsed() >= limit) {
                self.out().note("nothing to claim");
                return Ok(None);
            }
        }
    }

    /// Opens a new session. The old one ended while the connection was lost, and held nothing that is still
    /// needed.
    async fn reopen(&mut self) -> Result<(), CliError> {
        self.out()
            .note("the session ended while the connection was lost; opening another");
        self.opened = self
            .client
            .open_session(&self.args.session_params())
            .await?;
        Ok(())
    }

    /// Runs the command and reports its outcome. Returns the next task, if the coordinator gave one.
    async fn work_on(&mut self, claim: &ClaimView) -> Result<Option<ClaimView>, CliError> {
        let title = one_line(claim.title.as_str());
        self.out().note(format_args!(
            "task {} (attempt {}): {title}",
            claim.task, claim.attempt
        ));
        let ended = match self.run_command(claim).await {
            Ok(ended) => ended,
            Err(error) => {
                // The command could not start here, but another worker may have it: the attempt must not
                // count.
                self.settle::<Empty>(Operation::TaskRelease, &release(claim))
                    .await?;
                return Err(error);
            }
        };
        match ended {
            WorkEnded::Lost(error) => {
                self.last = error.exit();
                self.tell(claim, "lost", None)?;
                match error {
                    CliError::Client(ClientError::SessionGone { .. }) => {
                        self.reopen().await?;
                        Ok(None)
                    }
                    CliError::Unmet { .. } => Ok(None),
                    other => Err(other),
                }
            }
            WorkEnded::NotStarted => {
                self.settle::<Empty>(Operation::TaskRelease, &release(claim))
                    .await?;
                Ok(None)
            }
            WorkEnded::Exited {
                status,
                stdout,
                stderr,
            } => {
                let exit = child::exit_of(status);
                self.last = if self.args.once { exit } else { Exit::Ok };
                match (status.success(), self.ending) {
                    (true, _) => {
                        self.failures = 0;
                        self.complete(claim, stdout).await
                    }
                    (false, Some(_)) => self.give_back(claim, exit).await,
                    (false, None) => {
                        self.failures += 1;
                        self.fail(claim, exit, stderr).await
                    }
                }
            }
        }
    }

    async fn run_command(&mut self, claim: &ClaimView) -> Result<WorkEnded, CliError> {
        let style = self.shell.out.style();
        let connection = &self.shell.connection;
        let connection = connection.for_child(&self.client, &self.opened.project);
        let connection = connection.into_iter();
        let connection = connection.map(|(name, value)| (name.into(), value));
        let task = variables(claim).into_iter();
        let task = task.map(|(name, value)| (name.into(), value.into()));
        let spec = ChildSpec {
            words: &self.args.command,
            environment: connection.chain(task).collect(),
            kill_after: self.args.session.kill_after.duration(),
            keep_background: self.args.session.keep_background,
            streams: Streams::Piped,
        };
        let mut running = spec.start()?;
        feed(&mut running, claim);

        let (progress, reports) = mpsc::channel(PROGRESS_QUEUE_MAX);
        let progress = self.args.progress_lines.then_some(progress);
        let stdout = running.stdout.take().expect("stdout is piped");
        let stderr = running.stderr.take().expect("stderr is piped");
        // With --json our stdout is only for the outcomes.
        let max = STDOUT_TAIL_BYTES_MAX;
        let stdout = if style.json {
            Tee::start(stdout, Some(tokio::io::stderr()), max, progress)
        } else {
            Tee::start(stdout, Some(tokio::io::stdout()), max, progress)
        };
        let max = STDERR_TAIL_BYTES_MAX;
        let stderr = Tee::start(stderr, Some(tokio::io::stderr()), max, None);

        let (ask, questions) = child::questions();
        let watch = Watch {
            lost: watch(&mut self.client, claim, reports, questions),
            ask: Some(ask),
            asked_at_ms: self.asked_at_ms,
        };
        let ending = &mut self.ending;
        let on_signal = |signal| match ending.replace(signal) {
            None => Reaction::PassOn,
            // A second signal means: do not wait for the command.
            Some(_) => Reaction::End,
        };
        let (signals, out) = (&mut self.signals, &self.shell.out);
        let ended = child::accompany(&spec, &mut running, signals, watch, out, on_signal).await?;
        let (stdout, stderr) = (stdout.finish().await, stderr.finish().await);
        Ok(match ended {
            child::Ended::Lost(error) => WorkEnded::Lost(error),
            child::Ended::NotStarted(_) => WorkEnded::NotStarted,
            child::Ended::Exited(status) => WorkEnded::Exited {
                status,
                stdout,
                stderr,
            },
        })
    }
}

impl<'b> Worker<'_, 'b> {
    fn out(&mut self) -> &mut Output<'b> {
        &mut self.shell.out
    }
}
