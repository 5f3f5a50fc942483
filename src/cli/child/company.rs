//! A wrapper and its command, until both have ended: what the wrapper does at each event.
//!
//! ```text
//!              ┌─ permit ran out, Ctrl-Z ─► Suspending ─ stands still ─► (this process stops)
//!   Runs ──────┤                                                               │ continued
//!    ▲         └─ this process stood still ───────► Still ◄────────────────────┘
//!    └──────────────── it still holds ───────────────┘ └── it does not ──► KILL
//! ```

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::running::PERMIT_MS;
use super::signals::{ChildSignals, suspend};
use super::terminal::{Mates, Terminal, interrupt_mates};
use super::words::{Deaf, GuardReport, Leftovers};
use super::{ChildSpec, Ended, Question, Reaction, Running, Streams};
use crate::cli::error::CliError;
use crate::cli::output::{self, Output};
use crate::cli::table::{joined, one_line};
use crate::clock::boot_ms;

/// The state of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    /// It runs, or will start.
    Runs,
    /// It was told to stop; when it has stopped, this process stops too.
    Suspending,
    /// It is stopped, or not started yet, until the coordinator confirms that the hold is still valid.
    Still,
}

/// The wrapper and its command.
pub(super) struct Company<'a, 'b> {
    spec: &'a ChildSpec<'a>,
    pub(super) running: &'a mut Running,
    ask: Option<mpsc::Sender<Question>>,
    out: &'a Output<'b>,
    terminal: Option<Terminal>,
    /// The terminal is the command's while it runs.
    has_terminal: bool,
    stand: Stand,
    /// Also continue what the terminal stopped.
    wake_all: bool,
    pub(super) question: Option<oneshot::Receiver<()>>,
    pub(super) renew_at: Instant,
    pub(super) lost: Option<CliError>,
    status: Option<ExitStatus>,
    /// Signals that came before the command started.
    interrupted: Option<Signal>,
    leftovers: Option<Leftovers>,
    /// The guard ended, or does not respond.
    unguarded: bool,
}

impl<'a, 'b> Company<'a, 'b> {
    pub(super) fn new(
        spec: &'a ChildSpec<'a>,
        running: &'a mut Running,
        ask: Option<mpsc::Sender<Question>>,
        out: &'a Output<'b>,
    ) -> Self {
        let inherited = spec.streams == Streams::Inherited;
        let terminal = inherited.then(Terminal::of_this_process).flatten();
        // In a pipeline, other processes may read from the terminal too: the command gets it when it asks.
        let has_terminal =
            terminal.as_ref().is_some_and(Terminal::is_ours) && Mates::now().wait_for_us;
        Self {
            spec,
            running,
            ask,
            out,
            terminal,
            has_terminal,
            stand: Stand::Still,
            wake_all: false,
            question: None,
            renew_at: Running::renewal(),
            lost: None,
            status: None,
            interrupted: None,
            leftovers: None,
            unguarded: false,
        }
    }

    /// A fresh grant is still valid. After a wait, the coordinator must be asked, because this process may
    /// have been stopped before it got the answer.
    pub(super) fn begin(&mut self, asked_at_ms: u64) {
        if self.ask.is_none() || boot_ms() < asked_at_ms.saturating_add(PERMIT_MS) {
            return self.go_on();
        }
        self.ask();
    }

    pub(super) fn is_over(&self) -> bool {
        self.leftovers.is_some() || self.unguarded
    }

    fn said(&mut self, said: Result<(), Deaf>) {
        self.unguarded |= said.is_err();
    }

    fn go_on(&mut self) {
        self.stand = Stand::Runs;
        let foreground = self.has_terminal && self.terminal.as_ref().is_some_and(Terminal::is_ours);
        let wake_all = std::mem::take(&mut self.wake_all);
        self.renew_at = Running::renewal();
        let said = self.running.go_on(wake_all, foreground);
        self.said(said);
    }

    pub(super) fn renew(&mut self) {
        self.renew_at = Running::renewal();
        match self.stand {
            Stand::Runs if self.running.is_late() => self.overslept(),
            Stand::Runs => self.go_on(),
            Stand::Suspending | Stand::Still => {}
        }
    }

    /// This process was stopped so long that another agent may hold the resource by now.
    fn overslept(&mut self) {
        if self.status.is_some() || self.lost.is_some() {
            return;
        }
        if self.ask.is_some() {
            self.out.note(
                "this process and its command were stopped: asking the coordinator whether the hold is still valid",
            );
        }
        self.ask();
    }

    fn ask(&mut self) {
        self.stand = Stand::Still;
        let Some(ask) = &self.ask else {
            return self.go_on();
        };
        let (question, answer) = oneshot::channel();
        // If the receiver is gone, it has found the hold lost and reports that.
        if ask.try_send(question).is_ok() {
            self.question = Some(answer);
        }
    }

    /// The hold is still valid; a loss is reported elsewhere.
    pub(super) fn answered(&mut self, holds: bool) {
        self.question = None;
        if holds && self.stand == Stand::Still {
            self.go_on();
        }
    }

    pub(super) fn lose(&mut self, why: CliError) {
        self.out
            .note(format_args!("{}; stopping the command", why.summary()));
        self.lost = Some(why);
        self.end();
    }

    /// A stopped command must not run again: another agent may hold the resource by now.
    fn end(&mut self) {
        let was_still = self.stand != Stand::Runs || self.running.is_late();
        self.stand = Stand::Runs;
        self.wake_all = false;
        let said = if was_still {
            self.running.kill()
        } else {
            self.running.end()
        };
        self.said(said);
    }

    pub(super) fn pass_on(&mut self, signal: Signal, reaction: Reaction) {
        if self.running.pid.is_none() {
            self.interrupted = Some(signal);
        }
        if reaction == Reaction::End || self.interrupted.is_some() {
            return self.end();
        }
        let said = self.running.pass_on(signal);
        self.said(said);
    }

    pub(super) fn stand_still(&mut self) {
        self.stand = Stand::Suspending;
        let said = self.running.stand_still();
        self.said(said);
    }

    pub(super) fn hear(
        &mut self,
        report: Option<GuardReport>,
        signals: &mut ChildSignals,
    ) -> Result<(), CliError> {
        match report {
            Some(GuardReport::NotStarted { errno }) => {
                return Err(self.spec.failed(io::Error::from_raw_os_error(errno)));
            }
            Some(GuardReport::StandsStill) if self.stand == Stand::Suspending => {
                self.sleep(signals);
            }
            Some(GuardReport::StandsStill) if self.stand == Stand::Runs => self.overslept(),
            // Told of already, or expected.
            Some(GuardReport::Started { .. } | GuardReport::StandsStill) => {}
            Some(GuardReport::Halted { signal }) => self.halted(signal, signals),
            Some(GuardReport::Ended { status }) => self.status = Some(ExitStatus::from_raw(status)),
            Some(GuardReport::Finished(leftovers)) => self.leftovers = Some(leftovers),
            None => self.unguarded = true,
        }
        Ok(())
    }

    /// Stops this process as Ctrl-Z would have, and continues when a shell continues it.
    fn sleep(&mut self, signals: &mut ChildSignals) {
        self.take_terminal();
        // A script may have been stopped at once, and continued by its shell with this process already.
        if !signals.was_continued() {
            suspend();
        }
        self.wake_all = true;
        self.ask();
    }

    /// Takes the terminal back from the command; returns whether the command had it.
    fn take_terminal(&self) -> bool {
        let both = self.terminal.as_ref().zip(self.running.pid);
        both.is_some_and(|(terminal, command)| terminal.take_back_from(command))
    }

    /// The command was stopped: by Ctrl-Z, because it needs the terminal, or by another process.
    fn halted(&mut self, signal: i32, signals: &mut ChildSignals) {
        let Ok(signal) = Signal::try_from(signal) else {
            return;
        };
        let wants_terminal = matches!(signal, Signal::SIGTTIN | Signal::SIGTTOU);
        let in_front = self.terminal.as_ref().is_some_and(Terminal::is_ours);
        if wants_terminal && in_front {
            self.has_terminal = true;
            self.wake_all = true;
            return self.go_on();
        }
        let is_job = self.terminal.is_some() && Mates::now().has_shell;
        if is_job && (self.has_terminal || wants_terminal) {
            self.has_terminal = true;
            signals.was_continued();
            return self.stand_still();
        }
        if self.has_terminal {
            // Without a shell that could continue it, Ctrl-Z does nothing.
            self.wake_all = true;
            return self.go_on();
        }
        let pid = self.running.pid.map_or(0, Pid::as_raw);
        self.out.note(format_args!(
            "the command was stopped by {signal}; the hold is kept: continue it with `kill -CONT {pid}`"
        ));
    }

    pub(super) async fn finish(mut self) -> Result<Ended, CliError> {
        let guarded = self.leftovers.take();
        let unguarded = guarded.is_none();
        let leftovers = match guarded {
            Some(leftovers) => leftovers,
            None => Leftovers {
                ended: Vec::new(),
                remain: self.running.take_over().await?,
            },
        };
        self.running.finish().await;
        let had_terminal = self.take_terminal();
        self.tell(&leftovers);
        match (self.lost, self.interrupted, self.status) {
            (Some(why), ..) => Ok(Ended::Lost(why)),
            (None, Some(signal), None) => Ok(Ended::NotStarted(signal)),
            (None, _, Some(status)) if !unguarded => {
                let interrupted = status.signal() == Some(Signal::SIGINT as i32);
                if interrupted && had_terminal && Mates::now().some {
                    interrupt_mates();
                }
                Ok(Ended::Exited(status))
            }
            (None, ..) => {
                let source = io::Error::other("its guard was killed, so the command was ended");
                Err(self.spec.failed(source))
            }
        }
    }

    fn tell(&self, leftovers: &Leftovers) {
        let Leftovers { ended, remain } = leftovers;
        let ended: Vec<&String> = ended.iter().filter(|name| !remain.contains(name)).collect();
        if !ended.is_empty() && self.lost.is_none() {
            self.out.note(format_args!(
                "the command left background processes, which were ended: {}",
                one_line(&joined(ended))
            ));
        }
        if !remain.is_empty() {
            output::note(format_args!(
                "warning: could not end {}: it may still work when the next agent holds the resource; end it by hand",
                one_line(&joined(remain))
            ));
        }
    }
}
