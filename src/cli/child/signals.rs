//! The signals that a wrapper gets while it holds something.

use futures_util::FutureExt;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::signal::unix::{self, SignalKind};

use super::terminal::Terminal;
use crate::cli::error::CliError;

/// The signals that are passed on, and Ctrl-Z, except those that were ignored at the start, as under `nohup`
/// or in background jobs. The command ignores the same ones.
#[derive(Debug)]
pub(in crate::cli) struct ChildSignals {
    interrupt: Option<unix::Signal>,
    terminate: Option<unix::Signal>,
    hangup: Option<unix::Signal>,
    quit: Option<unix::Signal>,
    suspend: Option<unix::Signal>,
    /// This process was continued. Catching the signal does not prevent that.
    continued: unix::Signal,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignalRequest {
    /// Pass this signal to the command.
    PassOn(Signal),
    /// Ctrl-Z.
    Suspend,
}

impl ChildSignals {
    pub(in crate::cli) fn new() -> Result<Self, CliError> {
        let ignored = ignored_signals();
        let unless_ignored = |signal: Signal| {
            let number = signal as i32;
            let caught = (ignored & bit(number) == 0).then(|| SignalKind::from_raw(number));
            caught.map(unix::signal).transpose()
        };
        Ok(Self {
            interrupt: unless_ignored(Signal::SIGINT)?,
            terminate: unless_ignored(Signal::SIGTERM)?,
            hangup: unless_ignored(Signal::SIGHUP)?,
            quit: unless_ignored(Signal::SIGQUIT)?,
            suspend: unless_ignored(Signal::SIGTSTP)?,
            continued: unix::signal(SignalKind::from_raw(Signal::SIGCONT as i32))?,
        })
    }

    /// The next signal that asks this process to end. Ctrl-Z is obeyed here: no command runs yet.
    pub(in crate::cli) async fn next(&mut self) -> Signal {
        loop {
            match self.asked().await {
                SignalRequest::PassOn(signal) => return signal,
                SignalRequest::Suspend => suspend(),
            }
        }
    }

    /// Whether this process was continued since the last call.
    pub(super) fn was_continued(&mut self) -> bool {
        let mut continued = false;
        while self.continued.recv().now_or_never().is_some() {
            continued = true;
        }
        continued
    }

    pub(super) async fn asked(&mut self) -> SignalRequest {
        tokio::select! {
            () = received(&mut self.interrupt) => SignalRequest::PassOn(Signal::SIGINT),
            () = received(&mut self.terminate) => SignalRequest::PassOn(Signal::SIGTERM),
            () = received(&mut self.hangup) => SignalRequest::PassOn(Signal::SIGHUP),
            () = received(&mut self.quit) => SignalRequest::PassOn(Signal::SIGQUIT),
            () = received(&mut self.suspend) => SignalRequest::Suspend,
        }
    }
}

/// Stops this process until it is continued. At a terminal it stops its whole process group. If a script that
/// waits for this process were stopped earlier, its shell could continue both before this process has
/// stopped, and then this process would stay stopped for ever.
pub(super) fn suspend() {
    let whom = match Terminal::of_this_process() {
        Some(_) => Pid::from_raw(0),
        None => Pid::this(),
    };
    // A process may always stop itself.
    let _ = kill(whom, Signal::SIGSTOP);
}

async fn received(signal: &mut Option<unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

pub(super) fn bit(signal: i32) -> u64 {
    1_u64 << (signal - 1)
}

/// A bit for each signal that this process ignores; empty if that cannot be read.
pub(super) fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
