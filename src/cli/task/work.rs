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

use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::attempt::watch;
use super::child_output::{
    Progress, STDERR_TAIL_BYTES_MAX, STDOUT_TAIL_BYTES_MAX, Tail, Tee, note_of,
};
use super::handover::{feed, variables};
use super::hold::FilterArgs;
use crate::cli::child::{self, Running, Signals};
use crate::cli::client::{Client, ClientError, Reply};
use crate::cli::duration::Millis;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::lease_run::SessionArgs;
use crate::cli::output::Output;
use crate::cli::shell::Shell;
use crate::cli::table::one_line;
use crate::engine::ids::{Capability, Note};
use crate::engine::payload::Payload;
use crate::protocol::error::ErrorKind;
use crate::protocol::operations::Operation;
use crate::protocol::session::{Empty, SessionOpenParams, SessionOpenResult};
use crate::protocol::task::{
    ClaimView, TaskClaimParams, TaskClaimResult, TaskCompleteParams, TaskCompleteResult,
    TaskFailParams, TaskFailResult, TaskReleaseParams,
};

/// Lines of progress that wait to be reported.
const PROGRESS_QUEUE_MAX: usize = 64;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct WorkArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Something this worker can do, again for more; replaces what was known of the agent
    #[arg(long = "capability", value_name = "CAPABILITY")]
    capabilities: Vec<Capability>,
    /// End after one task, with the exit code of its command
    #[arg(long, conflicts_with = "max")]
    once: bool,
    /// End after so many tasks
    #[arg(long, value_name = "N")]
    max: Option<u64>,
    /// End when there was nothing to claim for so long [default: never]
    #[arg(long, value_name = "DURATION")]
    idle_exit: Option<Millis>,
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
    signals: Signals,
    shell: &'a mut Shell<'b>,
    /// A signal that asks this process to end.
    ending: Option<Signal>,
    left: u64,
    last: Exit,
}

/// What became of a command.
enum Ended {
    Exited {
        status: ExitStatus,
        stdout: Tail,
        stderr: Tail,
    },
    /// The attempt is gone.
    Lost(CliError),
}

pub(super) async fn run(args: WorkArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let signals = Signals::new()?;
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
        left,
        last: Exit::Ok,
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
        }
        Ok(match self.ending {
            // Ending when asked to is what a service manager calls success.
            Some(Signal::SIGTERM) => Exit::Ok,
            Some(signal) => Exit::of_signal(signal as i32),
            None if self.args.once && self.left > 0 => Exit::Conflict,
            None => self.last,
        })
    }

    /// Waits for a task. `None`: none came for as long as `--idle-exit`, or this process is to end.
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

    /// A session that ended while the connection was lost took nothing with it that is still needed.
    async fn reopen(&mut self) -> Result<(), CliError> {
        self.out()
            .note("the session ended while the connection was lost; opening another");
        self.opened = self
            .client
            .open_session(&self.args.session_params())
            .await?;
        Ok(())
    }

    /// Runs the command and reports what became of it; the next task, if there is one already.
    async fn work_on(&mut self, claim: &ClaimView) -> Result<Option<ClaimView>, CliError> {
        let title = one_line(claim.title.as_str());
        self.out().note(format_args!(
            "task {} (attempt {}): {title}",
            claim.task, claim.attempt
        ));
        let ended = match self.run_command(claim).await {
            Ok(ended) => ended,
            Err(error) => {
                // The next worker may have the command; nothing was tried here.
                self.settle::<Empty>(Operation::TaskRelease, &release(claim))
                    .await?;
                return Err(error);
            }
        };
        match ended {
            Ended::Lost(error) => {
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
            Ended::Exited {
                status,
                stdout,
                stderr,
            } => {
                let exit = child::exit_of(status);
                self.last = if self.args.once { exit } else { Exit::Ok };
                match (status.success(), self.ending) {
                    (true, _) => self.complete(claim, stdout).await,
                    (false, Some(_)) => self.give_back(claim, exit).await,
                    (false, None) => self.fail(claim, exit, stderr).await,
                }
            }
        }
    }

    async fn complete(
        &mut self,
        claim: &ClaimView,
        stdout: Tail,
    ) -> Result<Option<ClaimView>, CliError> {
        let goes_on = self.left > 0 && self.ending.is_none();
        let cut = stdout.cut;
        let result = json!({ "exit_code": 0, "stdout": stdout.text(), "stdout_cut": cut });
        let mut params = TaskCompleteParams {
            task: claim.task,
            fence: claim.fence,
            result: Some(payload(&result)),
            next: goes_on.then(|| self.args.filter.params()),
            request_id: None,
        };
        let operation = Operation::TaskComplete;
        let mut reply = self.client.call(operation, &params).await;
        if let Err(error) = &reply
            && error.kind() == Some(ErrorKind::LimitExceeded)
        {
            // The work is done and must not be done again because its output has no room.
            self.out().note(format_args!(
                "task {}: {error}; completed without its output",
                claim.task
            ));
            params.result = Some(payload(&json!({ "exit_code": 0, "stdout_cut": true })));
            reply = self.client.call(operation, &params).await;
        }
        let reply: Option<TaskCompleteResult> = self.settled(claim, reply).await?;
        let Some(reply) = reply else {
            return Ok(None);
        };
        self.tell(claim, "done", Some(Exit::Ok))?;
        Ok(reply.next)
    }

    async fn fail(
        &mut self,
        claim: &ClaimView,
        exit: Exit,
        stderr: Tail,
    ) -> Result<Option<ClaimView>, CliError> {
        let params = TaskFailParams {
            task: claim.task,
            fence: claim.fence,
            error: failure(exit, &stderr.text()),
            retry: true,
            request_id: None,
        };
        let reply = self.client.call(Operation::TaskFail, &params).await;
        let reply: Option<TaskFailResult> = self.settled(claim, reply).await?;
        if let Some(reply) = reply {
            let word = if reply.dead { "dead" } else { "failed" };
            self.tell(claim, word, Some(exit))?;
        }
        Ok(None)
    }

    async fn give_back(
        &mut self,
        claim: &ClaimView,
        exit: Exit,
    ) -> Result<Option<ClaimView>, CliError> {
        let given = self
            .settle::<Empty>(Operation::TaskRelease, &release(claim))
            .await?;
        if given.is_some() {
            self.tell(claim, "given back", Some(exit))?;
        }
        Ok(None)
    }

    async fn settle<R: serde::de::DeserializeOwned>(
        &mut self,
        operation: Operation,
        params: &TaskReleaseParams,
    ) -> Result<Option<R>, CliError> {
        match self.client.call(operation, params).await {
            Ok(reply) => Ok(Some(reply.value)),
            Err(error) if error.kind().is_some() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A report that came too late is told, and the work goes on with the next task.
    async fn settled<R>(
        &mut self,
        claim: &ClaimView,
        reply: Result<Reply<R>, ClientError>,
    ) -> Result<Option<R>, CliError> {
        let error = match reply {
            Ok(reply) => return Ok(Some(reply.value)),
            Err(error) => error,
        };
        let gone = matches!(error, ClientError::SessionGone { .. });
        if !gone
            && !matches!(
                error.kind(),
                Some(ErrorKind::StaleFence | ErrorKind::NotFound)
            )
        {
            return Err(error.into());
        }
        self.out()
            .note(format_args!("task {}: not reported: {error}", claim.task));
        self.last = Exit::StaleFence;
        if gone {
            self.reopen().await?;
        }
        Ok(None)
    }

    async fn run_command(&mut self, claim: &ClaimView) -> Result<Ended, CliError> {
        let style = self.shell.out.style();
        let mut command = child::command(&self.args.command);
        command.envs(
            self.shell
                .connection
                .for_child(&self.client, &self.opened.project),
        );
        command.envs(variables(claim));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let kill_after = self.args.session.kill_after.duration();
        let mut running = Running::start(command, true, kill_after)?;
        feed(&mut running, claim);

        let (progress, reports) = mpsc::channel(PROGRESS_QUEUE_MAX);
        let progress = self.args.progress_lines.then_some(progress);
        let child = &mut running.child;
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        // With --json our stdout is for the outcomes alone.
        let max = STDOUT_TAIL_BYTES_MAX;
        let stdout = if style.json {
            Tee::start(stdout, Some(tokio::io::stderr()), max, progress)
        } else {
            Tee::start(stdout, Some(tokio::io::stdout()), max, progress)
        };
        let stderr = Tee::start(
            stderr,
            Some(tokio::io::stderr()),
            STDERR_TAIL_BYTES_MAX,
            None,
        );

        let (status, lost) = self.accompany(&mut running, claim, reports).await?;
        let (stdout, stderr) = (stdout.finish().await, stderr.finish().await);
        Ok(match lost {
            Some(error) => Ended::Lost(error),
            None => Ended::Exited {
                status,
                stdout,
                stderr,
            },
        })
    }

    /// Until the command ends: passes on signals and progress, and stops it when the attempt is lost.
    async fn accompany(
        &mut self,
        running: &mut Running,
        claim: &ClaimView,
        reports: mpsc::Receiver<Progress>,
    ) -> Result<(ExitStatus, Option<CliError>), CliError> {
        let watch = watch(&mut self.client, claim, reports);
        tokio::pin!(watch);
        let mut lost = None;
        loop {
            tokio::select! {
                status = running.wait() => return Ok((status?, lost)),
                signal = self.signals.next() => match self.ending.replace(signal) {
                    None => running.pass_on(signal),
                    // Whoever asks twice does not want to wait.
                    Some(_) => running.stop(),
                },
                why = &mut watch, if lost.is_none() => {
                    let text = why.summary();
                    self.shell.out.note(format_args!("task {}: {text}; stopping the command", claim.task));
                    running.stop();
                    lost = Some(why);
                }
            }
        }
    }

    /// One line an attempt: for people on stderr, for programs on stdout.
    fn tell(
        &mut self,
        claim: &ClaimView,
        outcome: &str,
        exit: Option<Exit>,
    ) -> Result<(), CliError> {
        let code = exit.map(Exit::code);
        let out = self.out();
        if out.style().json {
            out.json(&json!({
                "task": claim.task, "attempt": claim.attempt, "outcome": outcome, "exit_code": code,
            }))?;
        } else {
            let code = code
                .map(|code| format!(", exit code {code}"))
                .unwrap_or_default();
            out.note(format_args!("task {}: {outcome}{code}", claim.task));
        }
        Ok(())
    }
}

impl<'b> Worker<'_, 'b> {
    fn out(&mut self) -> &mut Output<'b> {
        &mut self.shell.out
    }
}

fn release(claim: &ClaimView) -> TaskReleaseParams {
    TaskReleaseParams {
        task: claim.task,
        fence: claim.fence,
        request_id: None,
    }
}

/// The exit code and the end of stderr.
fn failure(exit: Exit, stderr: &str) -> Note {
    let code = exit.code();
    let stderr = stderr.trim();
    let text = match stderr {
        "" => format!("exit code {code}"),
        _ => format!("exit code {code}: {stderr}"),
    };
    note_of(&text).expect("a text that is not empty makes a note")
}

fn payload(value: &serde_json::Value) -> Payload {
    let raw = serde_json::value::to_raw_value(value).expect("a value always encodes as JSON");
    Payload::new(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_the_code_and_fits() {
        assert_eq!(failure(Exit::Child(3), "").as_str(), "exit code 3");
        assert_eq!(
            failure(Exit::Child(3), "boom\n").as_str(),
            "exit code 3: boom"
        );
        let long = "ü".repeat(STDERR_TAIL_BYTES_MAX / 2);
        assert!(failure(Exit::Child(255), &long).as_str().ends_with('ü'));
    }
}
