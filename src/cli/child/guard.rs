//! The guard: a process between a wrapper and its command.
//!
//! ```text
//!  coord ──starts──► coord child-guard ──starts──► command ──► …
//!    │                    │   subreaper: all descendants of the command stay below it
//!    │ ──permit────────►  │   the command may run until then
//!    │     (none comes) ► │   STOP to all of it; a permit continues it
//!    │ ──end───────────►  │   TERM to all of it, KILL after a while
//!    ╳  (killed) ──────►  │   the same; if it was stopped, KILL at once
//! ```
//!
//! So the command never runs while its wrapper is stopped (Ctrl-Z, a debugger, a frozen or suspended
//! machine), and never without it: only the wrapper knows whether its lease still holds. The guard leads its
//! own process group and ignores signals; the command leads another.

use std::ffi::OsString;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, setpgid, setsid};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{self, SignalKind};
use tokio::time::{Instant, sleep_until};

use super::signals::{bit, ignored_signals};
use super::terminal::Terminal;
use super::tree::{ProcessStat, Tree};
use super::words::{GuardReport, GuardTalk, Leftovers, Order, Permit};
use crate::cli::duration::Millis;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::clock::boot_ms;

/// How often the guard checks processes that must end.
const LOOK: Duration = Duration::from_millis(20);
/// How often it checks processes that must stay stopped: another process may continue them.
const LOOK_STILL: Duration = Duration::from_secs(1);
/// How long background processes of an ended command have to end by themselves, as readers of its pipes do.
const LINGER: Duration = Duration::from_millis(500);
/// How long a process may exist after KILL before it counts as one that cannot be ended.
const KILLED: Duration = Duration::from_secs(2);
/// How many processes are named in a report.
const NAMED_MAX: usize = 16;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct GuardArgs {
    /// How long the command has to end after TERM, before KILL
    #[arg(long, value_name = "DURATION")]
    kill_after: Millis,
    /// Start a session of its own, so that the command has no terminal
    #[arg(long)]
    no_terminal: bool,
    /// Leave what the command started running when it ends by itself
    #[arg(long)]
    keep_background: bool,
    /// The command to run
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// The stages of ending everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The command runs, or has not been started.
    No,
    /// The command has ended by itself; its background processes have until then to end.
    Lingering(Instant),
    /// Everything got TERM, and gets KILL then.
    Asked(Instant),
    /// Everything gets KILL, again and again, until then.
    Forced(Instant),
}

struct Guard {
    args: GuardArgs,
    talk: GuardTalk,
    /// Taken when the command is started.
    stdin: Option<OwnedFd>,
    terminal: Option<Terminal>,
    tree: Tree,
    /// The command's process, which leads its group.
    command: Option<Pid>,
    has_ended: bool,
    stands_still: bool,
    /// Fires when the permit runs out, also when the machine was suspended meanwhile.
    permit: AsyncFd<OwnedFd>,
    ending: Ending,
    /// The wrapper ended, so reports go nowhere.
    alone: bool,
    leftovers: Leftovers,
}

/// The guard process itself.
pub(in crate::cli) fn run(args: GuardArgs) -> Result<Exit, CliError> {
    let (socket, stdin) = inherited()?;
    if args.no_terminal {
        setsid().map_err(io::Error::from)?;
    } else {
        setpgid(Pid::from_raw(0), Pid::from_raw(0)).map_err(io::Error::from)?;
    }
    set_child_subreaper(true).map_err(io::Error::from)?;
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build()?;
    runtime.block_on(async {
        // Caught, not blocked or ignored, because the command would inherit that.
        let _caught = catch_all();
        let permit = timer()?;
        let mut guard = Guard {
            talk: GuardTalk::over(socket)?,
            stdin: Some(stdin),
            terminal: Terminal::of_this_process(),
            tree: Tree::below(Pid::this().as_raw()),
            command: None,
            has_ended: false,
            stands_still: false,
            permit,
            ending: Ending::No,
            alone: false,
            leftovers: Leftovers::default(),
            args,
        };
        guard.work().await
    })?;
    Ok(Exit::Ok)
}

/// The socket to the wrapper, which is this process's stdin, and the command's stdin, sent over it.
fn inherited() -> io::Result<(OwnedFd, OwnedFd)> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let mut byte = [0_u8; 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let slices = &mut [IoSliceMut::new(&mut byte)];
    recvmsg(&socket, slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut sent = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut sent) => sent.next(),
        _ => None,
    });
    let stdin = sent
        .next()
        .ok_or_else(|| io::Error::other("only `coord` itself starts this command"))?;
    Ok((socket, stdin))
}

/// A timer that continues while the machine is suspended.
#[expect(
    deprecated,
    reason = "the replacement is unsafe, for types that lie about their descriptor; an OwnedFd keeps it open"
)]
fn timer() -> io::Result<AsyncFd<OwnedFd>> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    AsyncFd::new(timerfd_create(TimerfdClockId::Boottime, flags)?)
}

/// Catches every signal that would end or stop this process and was not ignored already.
fn catch_all() -> Vec<unix::Signal> {
    let ignored = ignored_signals();
    let caught = (1..=64).filter(|signal| {
        let child = *signal == Signal::SIGCHLD as i32;
        !child && ignored & bit(*signal) == 0
    });
    // Some cannot be caught, and the C library keeps two for itself.
    let caught = caught.filter_map(|signal| unix::signal(SignalKind::from_raw(signal)).ok());
    caught.collect()
}

impl Guard {
    async fn work(&mut self) -> io::Result<()> {
        let mut children = unix::signal(SignalKind::child())?;
        let mut look_at = Instant::now();
        loop {
            let looks = self.stands_still || self.ending != Ending::No;
            tokio::select! {
                order = self.talk.hear(), if !self.alone => match order {
                    Some(order) => self.obey(order)?,
                    None => self.left_alone()?,
                },
                _ = children.recv() => self.reap(),
                fired = self.permit.readable() => {
                    fired?.clear_ready();
                    self.permit_ran_out()?;
                }
                () = sleep_until(look_at), if looks => {
                    if self.look()? {
                        break;
                    }
                    let pause = if self.ending == Ending::No { LOOK_STILL } else { LOOK };
                    look_at = Instant::now() + pause;
                }
            }
            if self.command.is_none() && self.alone {
                break;
            }
        }
        let leftovers = std::mem::take(&mut self.leftovers);
        self.report(&GuardReport::Finished(leftovers));
        Ok(())
    }

    /// If the wrapper ended, nobody reads it; the end of the socket is handled elsewhere.
    fn report(&mut self, report: &GuardReport) {
        let _ = self.talk.say(report);
    }

    fn obey(&mut self, order: Order) -> io::Result<()> {
        match order {
            Order::Run(permit) => return self.go_on(permit),
            Order::StandStill => return self.stand_still(),
            Order::Signal(number) => self.pass_on(number),
            Order::End => return self.end(),
            Order::Kill => self.force(),
        }
        Ok(())
    }

    fn go_on(&mut self, permit: Permit) -> io::Result<()> {
        if permit.until_ms <= boot_ms() {
            // It arrived while both processes were stopped. The wrapper will notice that too.
            return self.permit_ran_out();
        }
        let until = Duration::from_millis(permit.until_ms);
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: until.try_into().map_err(io::Error::other)?,
        };
        timerfd_settime(self.permit.get_ref(), TimerfdTimerFlags::ABSTIME, &once)?;
        let Some(command) = self.command else {
            return self.start(permit.foreground);
        };
        if permit.foreground {
            self.show(command);
        }
        // A permit may arrive when everything must end; then it continues nothing.
        let wakes = std::mem::take(&mut self.stands_still) || permit.wake_all;
        if wakes && self.ending == Ending::No {
            self.tree.go_on(permit.wake_all)?;
        }
        Ok(())
    }

    fn start(&mut self, foreground: bool) -> io::Result<()> {
        let Some(stdin) = self.stdin.take() else {
            return Ok(());
        };
        self.stands_still = false;
        let (program, arguments) = self.args.command.split_first().expect("clap asks for one");
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::from(stdin))
            .process_group(0);
        match command.spawn() {
            Ok(child) => {
                let pid = Pid::from_raw(child.id().try_into().map_err(io::Error::other)?);
                self.command = Some(pid);
                if foreground {
                    self.show(pid);
                }
                self.report(&GuardReport::Started { pid: pid.as_raw() });
            }
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or_default();
                self.report(&GuardReport::NotStarted { errno });
                self.alone = true;
            }
        }
        // Readers of the command's output wait for the end of the command, not of this process.
        let null = std::fs::File::options().write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdout(&null)?;
        rustix::stdio::dup2_stderr(&null)?;
        Ok(())
    }

    fn show(&self, command: Pid) {
        if let Some(terminal) = &self.terminal {
            // The terminal hung up; the command will notice by itself.
            let _ = terminal.give_to(command);
        }
    }

    fn permit_ran_out(&mut self) -> io::Result<()> {
        match (self.command, self.ending) {
            (Some(_), Ending::No) => return self.stand_still(),
            (Some(_), Ending::Lingering(_)) => self.force(),
            _ => {}
        }
        Ok(())
    }

    fn stand_still(&mut self) -> io::Result<()> {
        self.stands_still = true;
        self.tree.stand_still()?;
        self.report(&GuardReport::StandsStill);
        Ok(())
    }

    fn pass_on(&mut self, number: i32) {
        let (Some(command), Ok(signal)) = (self.command, Signal::try_from(number)) else {
            return;
        };
        // One that has ended meanwhile needs none.
        let _ = killpg(command, signal);
        if !self.stands_still {
            // A stopped process, for instance one that needs the terminal, could not handle it.
            let _ = killpg(command, Signal::SIGCONT);
        }
    }

    fn end(&mut self) -> io::Result<()> {
        if self.command.is_none() {
            self.alone = true;
        }
        if matches!(self.ending, Ending::No | Ending::Lingering(_)) {
            self.ending = Ending::Asked(Instant::now() + self.args.kill_after.duration());
            self.stands_still = false;
            self.tree.terminate()?;
        }
        Ok(())
    }

    fn force(&mut self) {
        if self.command.is_none() {
            self.alone = true;
        }
        if !matches!(self.ending, Ending::Forced(_)) {
            self.ending = Ending::Forced(Instant::now() + KILLED);
            self.stands_still = false;
        }
    }

    /// The wrapper was killed. If the command was stopped, another agent may hold the resource already.
    fn left_alone(&mut self) -> io::Result<()> {
        self.alone = true;
        if self.stands_still {
            self.force();
            return Ok(());
        }
        self.end()
    }

    /// Handles children that ended or stopped; most are not the command's own process.
    fn reap(&mut self) {
        let flags = WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED;
        while let Ok(status) = waitpid(None, Some(flags)) {
            if status == WaitStatus::StillAlive {
                break;
            }
            if status.pid().is_none() || status.pid() != self.command {
                continue;
            }
            match status {
                WaitStatus::Exited(_, code) => self.ended(code << 8),
                WaitStatus::Signaled(_, signal, _) => self.ended(signal as i32),
                WaitStatus::Stopped(_, signal) if !self.stands_still => {
                    let signal = signal as i32;
                    self.report(&GuardReport::Halted { signal });
                }
                _ => {}
            }
        }
    }

    fn ended(&mut self, status: i32) {
        self.has_ended = true;
        if self.ending == Ending::No {
            self.ending = Ending::Lingering(Instant::now() + LINGER);
        }
        self.report(&GuardReport::Ended { status });
    }

    /// Ends or stops what must end or stop; returns whether everything has ended.
    fn look(&mut self) -> io::Result<bool> {
        if self.stands_still {
            self.tree.stay_still()?;
        }
        let left = self.tree.descendants()?;
        if self.has_ended && left.is_empty() {
            return Ok(true);
        }
        let now = Instant::now();
        match self.ending {
            Ending::Lingering(_) if self.args.keep_background => return Ok(true),
            Ending::Lingering(until) if now >= until => {
                self.leftovers.ended = named(&left);
                self.end()?;
            }
            Ending::Asked(until) if now >= until => self.force(),
            Ending::Forced(until) if now >= until => {
                self.leftovers.remain = named(&left);
                return Ok(true);
            }
            Ending::Forced(_) => self.tree.kill()?,
            Ending::No | Ending::Lingering(_) | Ending::Asked(_) => {}
        }
        Ok(false)
    }
}

fn named(processes: &[ProcessStat]) -> Vec<String> {
    let names = processes.iter().take(NAMED_MAX);
    names.map(ToString::to_string).collect()
}
