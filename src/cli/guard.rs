//! A process beside a command that runs while something is held: when whoever holds it is killed, nobody
//! else would end the command, and it would work on beside the next holder.
//!
//! ```text
//!  coord ──starts──► coord guard          leads a group, in which coord starts the command
//!    │ ──"done"──────►│  the command has ended: so does the guard
//!    ╳   (killed) ───►│  TERM to the group, KILL after a while
//! ```
//!
//! At a terminal the command stays in the shell's group, and the guard is told which process it is: it
//! ends that alone.

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

/// What a holder says when its command has ended.
const DONE: &str = "done";
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

    /// The group that it leads and ends.
    pub(super) fn group(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("process ids fit"))
    }

    /// Names the one process to end, in place of the group.
    pub(super) fn watch(&mut self, pid: Pid) {
        self.say(&pid.to_string());
    }

    /// The command has ended.
    pub(super) fn dismiss(&mut self) {
        self.say(DONE);
        if self.says.take().is_some() {
            // It ends at once; not to wait would leave a zombie for each command.
            let _ = self.child.wait();
        }
    }

    /// A guard that somebody ended hears nothing, and there is nothing to be done about that.
    fn say(&mut self, word: &str) {
        if let Some(says) = &mut self.says {
            let _ = says.write_all(format!("{word}\n").as_bytes());
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.dismiss();
    }
}

/// The guard itself: waits, and ends the command if its holder cannot.
pub(super) fn run(args: &GuardArgs) -> Result<Exit, CliError> {
    // Whoever ends a whole tree of processes begins politely, and must not begin with this one.
    SigSet::all().thread_block().map_err(io::Error::from)?;
    let mut process = None;
    for line in io::stdin().lock().lines() {
        match line?.as_str() {
            DONE => return Ok(Exit::Ok),
            word => process = word.parse().ok().filter(|pid| *pid > 1),
        }
    }
    let kill_after = Duration::from_millis(args.kill_after.0);
    match process {
        Some(pid) => end(Pid::from_raw(pid), kill_after),
        None => end_group(kill_after),
    }
    Ok(Exit::Ok)
}

/// Ends the guard's own group, itself among them.
fn end_group(kill_after: Duration) {
    let own = Pid::from_raw(0);
    let _ = kill(own, Signal::SIGTERM);
    thread::sleep(kill_after);
    let _ = kill(own, Signal::SIGKILL);
}

/// Ends one process, unless another one has its number by then.
fn end(pid: Pid, kill_after: Duration) {
    let begun = started(pid);
    let looks = kill_after.as_millis() / LOOK.as_millis();
    let _ = kill(pid, Signal::SIGTERM);
    for _ in 0..looks {
        if started(pid) != begun {
            return;
        }
        thread::sleep(LOOK);
    }
    if begun.is_some() && started(pid) == begun {
        let _ = kill(pid, Signal::SIGKILL);
    }
}

/// When a process was started, in ticks since the boot; `None` when it is gone.
fn started(pid: Pid) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19).map(str::to_owned)
}
