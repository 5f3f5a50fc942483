//! A process beside a command that runs while something is held: when whoever holds it is killed, nobody
//! else would end the command, and it would work on beside the next holder.
//!
//! ```text
//!  coord ──starts──► coord guard          (a group of its own, so that no terminal ends it)
//!    │ ──"-PID"──────►│  waits for the end of its input
//!    │ ──"done"──────►│  the command has ended: so does the guard
//!    ╳   (killed) ───►│  TERM to the command's group, KILL after a while
//! ```

use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::duration::Millis;
use super::error::CliError;
use super::exit::Exit;

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
    /// Starts this very program as the guard of a command that is still to be started.
    pub(super) fn start(kill_after: Duration) -> Result<Self, CliError> {
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
        let failed = |source| CliError::Run {
            program: "coord guard".to_owned(),
            source,
        };
        let mut child = command.spawn().map_err(failed)?;
        let says = child.stdin.take();
        Ok(Self { child, says })
    }

    /// Names the command: a process, or the group that it leads.
    pub(super) fn watch(&mut self, pid: Pid, group: bool) {
        let target = if group { -pid.as_raw() } else { pid.as_raw() };
        self.say(&target.to_string());
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
    let mut target = None;
    for line in io::stdin().lock().lines() {
        match line?.as_str() {
            DONE => return Ok(Exit::Ok),
            word => target = word.parse().ok().filter(|pid| !matches!(pid, -1..=1)),
        }
    }
    if let Some(target) = target {
        end(
            Pid::from_raw(target),
            Duration::from_millis(args.kill_after.0),
        );
    }
    Ok(Exit::Ok)
}

fn end(target: Pid, kill_after: Duration) {
    let looks = kill_after.as_millis() / LOOK.as_millis();
    // Whoever cannot be signalled is gone, or somebody else by now.
    if kill(target, Signal::SIGTERM).is_err() {
        return;
    }
    for _ in 0..looks {
        if kill(target, None) == Err(Errno::ESRCH) {
            return;
        }
        thread::sleep(LOOK);
    }
    let _ = kill(target, Signal::SIGKILL);
}
