//! The terminal that a wrapper and its command share, if there is one.
//!
//! The command leads its own process group, so a wrapper in the foreground gives the terminal to that group
//! and takes it back at the end, as a shell does with a job. Otherwise `fg` after Ctrl-Z would continue the
//! command together with the wrapper, before the wrapper could check its hold.

use std::fs::{File, OpenOptions};
use std::io;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

use super::tree::{ProcessStat, members};

/// The controlling terminal.
#[derive(Debug)]
pub(super) struct Terminal(File);

impl Terminal {
    /// `None` when this process has no controlling terminal.
    pub(super) fn of_this_process() -> Option<Self> {
        let opened = OpenOptions::new().read(true).write(true).open("/dev/tty");
        opened.ok().map(Self)
    }

    /// Whether this process's group is the one that may read from it.
    pub(super) fn is_ours(&self) -> bool {
        tcgetpgrp(&self.0).is_ok_and(|group| group == getpgrp())
    }

    /// Makes a group the foreground group. From the background, the kernel allows that only to a process that
    /// blocks SIGTTOU.
    pub(super) fn give_to(&self, group: Pid) -> io::Result<()> {
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGTTOU);
        let mut before = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&blocked), Some(&mut before))?;
        let given = tcsetpgrp(&self.0, group);
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
        Ok(given?)
    }

    /// Makes this process's group the foreground group again, if `group` still has the terminal; returns
    /// whether it had. A shell that took the terminal meanwhile keeps it.
    pub(super) fn take_back_from(&self, group: Pid) -> bool {
        let has_it = tcgetpgrp(&self.0).is_ok_and(|now| now == group);
        // A terminal that hung up has no foreground group.
        has_it && self.give_to(getpgrp()).is_ok()
    }
}

/// The other processes in this process's group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mates {
    /// All of them are ancestors: a script waits for this process, and nobody else uses the terminal.
    pub(super) wait_for_us: bool,
    pub(super) some: bool,
    /// A shell outside of the group can continue it. Without one, what stops stays stopped.
    pub(super) has_shell: bool,
}

impl Mates {
    pub(super) fn now() -> Self {
        let group = getpgrp().as_raw();
        let own = std::process::id().try_into().unwrap_or_default();
        let ancestors = ancestors(own);
        let in_group = |process: &&ProcessStat| process.group == group;
        let mates = members(group).unwrap_or_default();
        let mut mates = mates.iter().filter(|mate| mate.pid != own).peekable();
        let some = mates.peek().is_some();
        let is_ancestor = |mate: &ProcessStat| ancestors.iter().any(|it| it.pid == mate.pid);
        let own = ProcessStat::of(own);
        let outside = ancestors.iter().find(|process| !in_group(process));
        Self {
            wait_for_us: mates.all(is_ancestor),
            some,
            has_shell: outside
                .zip(own)
                .is_some_and(|(it, own)| it.session == own.session),
        }
    }
}

/// The parent, its parent and so on.
fn ancestors(pid: i32) -> Vec<ProcessStat> {
    let parent = |process: &ProcessStat| ProcessStat::of(process.parent);
    let first = ProcessStat::of(pid).as_ref().and_then(parent);
    std::iter::successors(first, parent).collect()
}

/// Interrupts the other processes of this process's group, as the terminal would have done if the command
/// were in it: a script ends when its command was interrupted.
pub(super) fn interrupt_mates() {
    let own = ProcessStat::of(std::process::id().try_into().unwrap_or_default());
    for mate in members(getpgrp().as_raw()).unwrap_or_default() {
        if own.as_ref().is_none_or(|own| own.pid != mate.pid) {
            // Another user's process does not get it, as with a signal of the terminal.
            let _ = mate.signal(rustix::process::Signal::INT);
        }
    }
}
