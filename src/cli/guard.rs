//! A process beside a command that runs while something is held: when whoever holds it is killed, nobody
//! else would end the command, and it would work on beside the next holder.
//!
//! ```text
//!  coord ──starts──► coord guard      in a group of its own, deaf to signals
//!    │ ──"-PID"─────► │  whom to end: the command's group; at a terminal, where it is in the shell's,
//!    │                │  the command alone
//!    │ ──KILL───────► ╳  the command has ended
//!    ╳  (killed) ───► │  the end of its input: TERM to the command, KILL after a while
//! ```

use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use super::duration::Millis;
use super::error::CliError;
use super::exit::Exit;
use super::output::note;

/// How often the guard looks whether the command is gone: it is not its parent, and is not told.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug, clap::Args)]
pub(super) struct GuardArgs {
    /// How long the command has to end after TERM, before KILL
    #[arg(long, value_name = "DURATION")]
    kill_after: Millis,
}

/// The holder's end.
#[derive(Debug)]
pub(super) struct Guard {
    child: Child,
    says: Option<ChildStdin>,
}

impl Guard {
    /// Starts this very program as the guard of a command that is still to be started. Without one the
    /// command runs all the same.
    pub(super) fn start(kill_after: Duration) -> Option<Self> {
        let started = Self::spawn(kill_after);
        let tell = |error: &io::Error| {
            note(format_args!(
                "nothing would end the command if this process were killed: {error}"
            ));
        };
        started.inspect_err(tell).ok()
    }

    fn spawn(kill_after: Duration) -> io::Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg0("coord")
            .args(["guard", "--kill-after"])
            .arg(format!("{}ms", kill_after.as_millis()))
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn()?;
        let says = child.stdin.take();
        Ok(Self { child, says })
    }

    /// Names whom to end: a process, or the group that it leads.
    pub(super) fn watch(&mut self, pid: Pid, group: bool) {
        let target = if group { -pid.as_raw() } else { pid.as_raw() };
        if let Some(says) = &mut self.says {
            // A guard that somebody ended hears nothing, and there is nothing to be done about that.
            let _ = says.write_all(format!("{target}\n").as_bytes());
        }
    }
}

impl Drop for Guard {
    /// The command has ended. The guard is killed before its input ends; not to wait would leave a zombie for
    /// each command.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The guard itself: waits, and ends the command if its holder cannot.
pub(super) fn run(args: &GuardArgs) -> Result<Exit, CliError> {
    // Whoever ends a whole tree of processes begins politely, and must not begin with this one.
    SigSet::all().thread_block().map_err(io::Error::from)?;
    let mut target = None;
    for line in io::stdin().lock().lines() {
        let named = line?.parse().ok().filter(|pid| !matches!(pid, -1..=1));
        target = named.map(Target::of);
    }
    if let Some(target) = target {
        target.end(Duration::from_millis(args.kill_after.0));
    }
    Ok(Exit::Ok)
}

/// Whom to end.
struct Target {
    /// Negative: a group.
    pid: Pid,
    /// When its leader was started, in ticks since the boot.
    started: Option<String>,
}

impl Target {
    fn of(pid: i32) -> Self {
        Self {
            pid: Pid::from_raw(pid),
            started: started(pid),
        }
    }

    fn end(&self, kill_after: Duration) {
        if !self.is_there() {
            return;
        }
        let _ = kill(self.pid, Signal::SIGTERM);
        for _ in 0..kill_after.as_millis() / LOOK.as_millis() {
            if !self.is_there() {
                return;
            }
            thread::sleep(LOOK);
        }
        if self.is_there() {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
    }

    /// Whether it is there, and not another one that has its number by now. The number of a group is not
    /// given anew while somebody is in it.
    fn is_there(&self) -> bool {
        let pid = self.pid.as_raw();
        match started(pid) {
            Some(now) => self.started.as_ref() == Some(&now),
            None => pid < 0 && kill(self.pid, None).is_ok(),
        }
    }
}

/// When a process, or the leader of a group, was started; `None` when it is gone.
fn started(pid: i32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.unsigned_abs())).ok()?;
    // The name before may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19).map(str::to_owned)
}
