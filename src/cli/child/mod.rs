//! A command that runs while something is held: a task's attempt, leases, ports.
//!
//! ```text
//!  coord (wrapper) ──► coord child-guard ──► command ──► whatever it starts
//! ```
//!
//! - While the wrapper is stopped, everything below the guard is stopped. Before it continues, the wrapper
//!   asks the coordinator whether its hold is still valid.
//! - When the wrapper ends, is killed or has lost its hold, everything below the guard is ended.
//! - The command leads a process group of its own. At a terminal that group is the foreground group.
//!
//! What the guard does is in [`guard`]; what the wrapper decides is in [`company`].

mod company;
pub(super) mod guard;
mod running;
mod signals;
mod terminal;
mod tree;
mod words;

use std::future;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::sys::signal::Signal;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;

use super::error::CliError;
use super::exit::Exit;
use super::output::Output;
use company::Company;
pub(super) use running::{ChildSpec, Running, Streams};
pub(super) use signals::ChildSignals;
use signals::SignalRequest;

/// How long a command has between TERM and KILL. It equals the lock-delay, during which other agents cannot
/// lease the resources of a lost holder.
pub(super) const KILL_AFTER_DEFAULT: &str = "5s";

/// Asks whether the hold is still valid; the answer is empty if it is.
pub(super) type Question = oneshot::Sender<()>;

/// Watches the hold while the command runs.
pub(super) struct Watch<F> {
    /// Ends when the hold is lost, with the reason.
    pub(super) lost: F,
    /// Where to ask whether the hold is still valid. `None`: it cannot be lost while this process runs.
    pub(super) ask: Option<mpsc::Sender<Question>>,
    /// When the request for the hold was sent, on the boot clock.
    pub(super) asked_at_ms: u64,
}

/// How a command ended.
#[derive(Debug)]
pub(super) enum Ended {
    Exited(ExitStatus),
    /// It was ended, because its hold was lost.
    Lost(CliError),
    /// This signal came before the command started.
    NotStarted(Signal),
}

/// A way to ask, and what is asked.
pub(super) fn questions() -> (mpsc::Sender<Question>, mpsc::Receiver<Question>) {
    // One at a time: the command is stopped until it is answered.
    mpsc::channel(1)
}

/// Runs a command to its end, passing signals on. When its hold is lost, the command is ended, and the loss
/// is the error.
pub(super) async fn run_while(
    spec: &ChildSpec<'_>,
    signals: &mut ChildSignals,
    watch: Watch<impl Future<Output = CliError>>,
    out: &Output<'_>,
) -> Result<Exit, CliError> {
    let mut running = spec.start()?;
    let pass_on = |_| Reaction::PassOn;
    match accompany(spec, &mut running, signals, watch, out, pass_on).await? {
        Ended::Exited(status) => Ok(exit_of(status)),
        Ended::Lost(why) => Err(why),
        Ended::NotStarted(signal) => Ok(Exit::of_signal(signal as i32)),
    }
}

/// The reaction to a signal that asks the wrapper to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reaction {
    PassOn,
    /// End the command, and all that it started.
    End,
}

impl ChildSpec<'_> {
    pub(super) fn start(&self) -> Result<Running, CliError> {
        Running::start(self).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> CliError {
        CliError::Run {
            program: self.words[0].to_string_lossy().into_owned(),
            source,
        }
    }
}

/// Stays with a command until it and all that it started have ended.
pub(super) async fn accompany(
    spec: &ChildSpec<'_>,
    running: &mut Running,
    signals: &mut ChildSignals,
    watch: Watch<impl Future<Output = CliError>>,
    out: &Output<'_>,
    mut on_signal: impl FnMut(Signal) -> Reaction,
) -> Result<Ended, CliError> {
    let Watch {
        lost,
        ask,
        asked_at_ms,
    } = watch;
    tokio::pin!(lost);
    let mut company = Company::new(spec, running, ask, out);
    company.begin(asked_at_ms);
    while !company.is_over() {
        tokio::select! {
            report = company.running.report() => company.hear(report, signals)?,
            asked = signals.asked() => match asked {
                SignalRequest::Suspend => {
                    signals.was_continued();
                    company.stand_still();
                }
                SignalRequest::PassOn(signal) => company.pass_on(signal, on_signal(signal)),
            },
            () = sleep_until(company.renew_at) => company.renew(),
            answer = answered(&mut company.question) => company.answered(answer.is_ok()),
            why = &mut lost, if company.lost.is_none() => company.lose(why),
        }
    }
    company.finish().await
}

async fn answered(
    question: &mut Option<oneshot::Receiver<()>>,
) -> Result<(), oneshot::error::RecvError> {
    match question {
        Some(answer) => answer.await,
        None => future::pending().await,
    }
}

/// The exit code as a shell would give it.
pub(super) fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Child(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, Some(signal)) => Exit::of_signal(signal),
        (None, None) => Exit::Failed,
    }
}
