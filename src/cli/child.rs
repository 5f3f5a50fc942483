//! A command that runs while something is held: started, signalled, stopped, awaited.
//!
//! Where nobody sits at a terminal the command is the leader of a process group of its own, so that
//! a signal reaches all that it started. At a terminal it stays in the shell's group, or it could
//! not read what is typed; there Ctrl-C reaches it without being passed on.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgrp, tcgetpgrp};
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};
use tokio::time::{Instant, sleep_until};

use super::error::CliError;
use super::exit::Exit;
use super::guard::Guard;
use super::output::note;

/// How long a command has to end after TERM, before KILL; as long as the resources of a holder that
/// was lost stay closed to others.
pub(super) const KILL_AFTER_DEFAULT: &str = "5s";

/// The signals that are passed on: those that were not ignored at the start, as `nohup` and a shell's
/// background jobs have them. The command ignores the same.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Option<unix::Signal>,
    terminate: Option<unix::Signal>,
    hangup: Option<unix::Signal>,
    quit: Option<unix::Signal>,
}

impl Signals {
    pub(super) fn new() -> Result<Self, CliError> {
        let ignored = ignored_signals();
        let unless_ignored = |kind: SignalKind| {
            let bit = 1_u64 << (kind.as_raw_value() - 1);
            (ignored & bit == 0).then(|| unix::signal(kind)).transpose()
        };
        Ok(Self {
            interrupt: unless_ignored(SignalKind::interrupt())?,
            terminate: unless_ignored(SignalKind::terminate())?,
            hangup: unless_ignored(SignalKind::hangup())?,
            quit: unless_ignored(SignalKind::quit())?,
        })
    }

    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            () = received(&mut self.interrupt) => Signal::SIGINT,
            () = received(&mut self.terminate) => Signal::SIGTERM,
            () = received(&mut self.hangup) => Signal::SIGHUP,
            () = received(&mut self.quit) => Signal::SIGQUIT,
        }
    }
}

async fn received(signal: &mut Option<unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// A bit for each signal that this process ignores; none where that cannot be read.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

/// A command that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) child: Child,
    pid: Pid,
    own_group: bool,
    kill_after: Duration,
    stopping: bool,
    kill_at: Option<Instant>,
    guard: Option<Guard>,
}

/// A command from the words of the command line.
pub(super) fn command(words: &[OsString]) -> Command {
    let (program, arguments) = words
        .split_first()
        .expect("clap asks for at least one word of a command");
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Whether the terminal sends its signals to this process, and so to a child of the same group.
pub(super) fn at_terminal() -> bool {
    let stdin = io::stdin();
    stdin.is_terminal() && tcgetpgrp(&stdin).is_ok_and(|group| group == getpgrp())
}

impl Running {
    pub(super) fn start(
        mut command: Command,
        own_group: bool,
        kill_after: Duration,
        mut guard: Option<Guard>,
    ) -> Result<Self, CliError> {
        if own_group {
            command.process_group(0);
        }
        command.kill_on_drop(true);
        let child = command.spawn().map_err(|source| CliError::Run {
            program: command
                .as_std()
                .get_program()
                .to_string_lossy()
                .into_owned(),
            source,
        })?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.expect("a child that was not awaited yet has a process id");
        let pid = Pid::from_raw(pid);
        if let Some(guard) = &mut guard {
            guard.watch(pid, own_group);
        }
        Ok(Self {
            child,
            pid,
            own_group,
            kill_after,
            stopping: false,
            kill_at: None,
            guard,
        })
    }

    /// Passes on a signal that this process got. What the terminal sent, the command has already.
    pub(super) fn pass_on(&mut self, signal: Signal) {
        let from_terminal = matches!(signal, Signal::SIGINT | Signal::SIGQUIT);
        if self.own_group || !from_terminal {
            self.send(signal);
        }
    }

    /// TERM now, KILL when that was no use.
    pub(super) fn stop(&mut self) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        self.send(Signal::SIGTERM);
        self.kill_at = Some(Instant::now() + self.kill_after);
    }

    /// Awaits the end. Nothing is lost when the future is dropped.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            let Some(kill_at) = self.kill_at else {
                let status = self.child.wait().await?;
                self.ended();
                return Ok(status);
            };
            tokio::select! {
                status = self.child.wait() => {
                    self.ended();
                    return status;
                }
                () = sleep_until(kill_at) => {
                    self.send(Signal::SIGKILL);
                    self.kill_at = None;
                }
            }
        }
    }

    /// What a stopped command leaves behind in its group must not go on with what it held.
    fn ended(&mut self) {
        if self.stopping && self.own_group {
            self.send(Signal::SIGKILL);
        }
        self.guard = None;
    }

    /// A command that has ended meanwhile is no problem.
    fn send(&self, signal: Signal) {
        let _ = if self.own_group {
            killpg(self.pid, signal)
        } else {
            kill(self.pid, signal)
        };
    }
}

/// Runs a command to its end, passing signals on. When what it needs is `lost` it is stopped, and
/// that is the error.
pub(super) async fn run_while(
    command: Command,
    kill_after: Duration,
    signals: &mut Signals,
    lost: impl Future<Output = CliError>,
) -> Result<Exit, CliError> {
    let guard = Guard::start(kill_after);
    let mut running = Running::start(command, !at_terminal(), kill_after, guard)?;
    tokio::pin!(lost);
    let mut gone = None;
    let status = loop {
        tokio::select! {
            status = running.wait() => break status?,
            signal = signals.next() => running.pass_on(signal),
            why = &mut lost, if gone.is_none() => {
                note(format_args!("{}; stopping the command", why.summary()));
                running.stop();
                gone = Some(why);
            }
        }
    };
    gone.map_or(Ok(exit_of(status)), Err)
}

/// The exit code as a shell would give it.
pub(super) fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Child(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, Some(signal)) => Exit::of_signal(signal),
        (None, None) => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        command(&["sh".into(), "-c".into(), script.into()])
    }

    async fn check(script: &str, stop: bool) -> u8 {
        let kill_after = Duration::from_millis(200);
        let mut running =
            Running::start(shell(script), true, kill_after, None).expect("there is sh");
        if stop {
            running.stop();
        }
        exit_of(running.wait().await.expect("it can be awaited")).code()
    }

    #[tokio::test]
    async fn exit_codes_are_passed_through() {
        assert_eq!(check("exit 0", false).await, 0);
        assert_eq!(check("exit 42", false).await, 42);
        assert_eq!(check("kill -9 $$", false).await, 137);
    }

    #[tokio::test]
    async fn a_command_is_stopped_and_if_need_be_killed() {
        assert_eq!(check("sleep 60", true).await, 143);
        // The trap is in place when the line is read, or TERM ends it earlier.
        let script = "trap '' TERM; echo ready; while :; do sleep 1; done";
        let mut command = shell(script);
        command.stdout(std::process::Stdio::piped());
        let kill_after = Duration::from_millis(100);
        let mut running = Running::start(command, true, kill_after, None).expect("there is sh");
        let mut stdout = running.child.stdout.take().expect("it is piped");
        let mut line = [0_u8; 6];
        tokio::io::AsyncReadExt::read_exact(&mut stdout, &mut line)
            .await
            .expect("it says so");
        running.stop();
        let status = running.wait().await.expect("it can be awaited");
        assert_eq!(exit_of(status).code(), 137);
    }

    #[tokio::test]
    async fn what_cannot_run_has_the_codes_of_shells() {
        let missing = command(&["/nowhere/such-a-command".into()]);
        let error = Running::start(missing, true, Duration::ZERO, None).expect_err("there is none");
        assert_eq!(error.exit(), Exit::CommandNotFound);
        let folder = command(&["/".into()]);
        let error = Running::start(folder, true, Duration::ZERO, None).expect_err("it is a folder");
        assert_eq!(error.exit(), Exit::CannotExecute);
    }
}
