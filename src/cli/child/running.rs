//! The wrapper's end of a command that runs below a guard.

use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::{Instant, sleep};

use super::tree::Tree;
use super::words::{Deaf, GuardReport, GuardTalk, Order, Permit};
use crate::clock::boot_ms;

/// How long a permit lets the command run. If the wrapper is stopped for longer, its command is stopped too.
pub(super) const PERMIT_MS: u64 = 1_000;
/// How often a permit is renewed.
pub(super) const RENEW_MS: u64 = 300;
/// The pause between two checks for processes that a killed guard left.
const LOOK: Duration = Duration::from_millis(20);
/// The most checks for them.
const LOOKS_MAX: usize = 100;

/// What to run, and how.
#[derive(Debug)]
pub(in crate::cli) struct ChildSpec<'a> {
    pub(in crate::cli) words: &'a [OsString],
    pub(in crate::cli) environment: Vec<(OsString, OsString)>,
    pub(in crate::cli) kill_after: Duration,
    /// Leave what the command started running when it ends by itself.
    pub(in crate::cli) keep_background: bool,
    pub(in crate::cli) streams: Streams,
}

/// Where a command reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Streams {
    /// This process's own, and its terminal.
    Inherited,
    /// Pipes to this process, and no terminal: a program that prompts there fails at once.
    Piped,
}

/// A command below its guard. Dropping it ends the command.
#[derive(Debug)]
pub(in crate::cli) struct Running {
    pub(in crate::cli) stdin: Option<pipe::Sender>,
    pub(in crate::cli) stdout: Option<ChildStdout>,
    pub(in crate::cli) stderr: Option<ChildStderr>,
    guard: Child,
    talk: GuardTalk,
    /// The command's process, which leads its group.
    pub(super) pid: Option<Pid>,
    /// Until when the last permit lets the command run.
    until_ms: u64,
}

impl Running {
    /// Starts the guard. The command starts with the first permit.
    pub(super) fn start(spec: &ChildSpec<'_>) -> io::Result<Self> {
        // If the guard is killed, this process becomes the parent of its descendants.
        set_child_subreaper(true)?;
        let (ours, theirs) = UnixStream::pair()?;
        let (stdin, feed) = match spec.streams {
            Streams::Inherited => (io::stdin().as_fd().try_clone_to_owned()?, None),
            Streams::Piped => {
                let (reader, writer) = io::pipe()?;
                let writer = pipe::Sender::from_owned_fd(OwnedFd::from(writer))?;
                (OwnedFd::from(reader), Some(writer))
            }
        };
        send(&ours, stdin.as_fd())?;
        let mut guard = command(spec, OwnedFd::from(theirs)).spawn()?;
        Ok(Self {
            stdin: feed,
            stdout: guard.stdout.take(),
            stderr: guard.stderr.take(),
            guard,
            talk: GuardTalk::over(OwnedFd::from(ours))?,
            pid: None,
            until_ms: 0,
        })
    }

    /// The guard's next message; `None` when it ended. Cancel-safe.
    pub(super) async fn report(&mut self) -> Option<GuardReport> {
        let report = self.talk.hear().await;
        if let Some(GuardReport::Started { pid }) = report {
            self.pid = Some(Pid::from_raw(pid));
        }
        report
    }

    /// Whether this process was stopped for longer than the permit allowed.
    pub(super) fn is_late(&self) -> bool {
        boot_ms() > self.until_ms
    }

    /// Lets the command run from now on.
    pub(super) fn go_on(&mut self, wake_all: bool, foreground: bool) -> Result<(), Deaf> {
        self.until_ms = boot_ms() + PERMIT_MS;
        let permit = Permit {
            until_ms: self.until_ms,
            wake_all,
            foreground,
        };
        self.talk.say(&Order::Run(permit))
    }

    pub(super) fn stand_still(&mut self) -> Result<(), Deaf> {
        self.talk.say(&Order::StandStill)
    }

    pub(super) fn pass_on(&mut self, signal: Signal) -> Result<(), Deaf> {
        self.talk.say(&Order::Signal(signal as i32))
    }

    pub(super) fn end(&mut self) -> Result<(), Deaf> {
        self.talk.say(&Order::End)
    }

    pub(super) fn kill(&mut self) -> Result<(), Deaf> {
        self.talk.say(&Order::Kill)
    }

    /// Waits for the end of the guard after its last report.
    pub(super) async fn finish(&mut self) {
        // Its exit code adds nothing to its report.
        let _ = self.guard.wait().await;
    }

    /// The guard was killed or stopped: ends its processes in its place. Names those that could not be ended.
    pub(super) async fn take_over(&mut self) -> io::Result<Vec<String>> {
        let _ = self.guard.start_kill();
        self.finish().await;
        let mut tree = Tree::below(Pid::this().as_raw());
        let mut looks = 0;
        loop {
            let left = tree.descendants()?;
            if left.is_empty() || looks == LOOKS_MAX {
                return Ok(left.iter().map(ToString::to_string).collect());
            }
            looks += 1;
            tree.kill()?;
            sleep(LOOK).await;
        }
    }

    /// When the next permit is due.
    pub(super) fn renewal() -> Instant {
        Instant::now() + Duration::from_millis(RENEW_MS)
    }
}

/// This program as the guard of a command.
fn command(spec: &ChildSpec<'_>, socket: OwnedFd) -> Command {
    let mut command = std::process::Command::new("/proc/self/exe");
    command
        .arg0("coord")
        .args(["child-guard", "--kill-after"])
        .arg(format!("{}ms", spec.kill_after.as_millis()));
    if spec.streams == Streams::Piped {
        command.arg("--no-terminal");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    if spec.keep_background {
        command.arg("--keep-background");
    }
    command.arg("--").args(spec.words);
    let environment = spec.environment.iter();
    command.envs(environment.map(|(name, value)| (OsStr::new(name), value)));
    command.stdin(Stdio::from(socket));
    command.into()
}

/// Sends a descriptor over the socket, before all messages.
fn send(socket: &UnixStream, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("a descriptor does not fit into a message"));
    }
    sendmsg(
        socket,
        &[IoSlice::new(b"\n")],
        &mut ancillary,
        SendFlags::empty(),
    )?;
    Ok(())
}
