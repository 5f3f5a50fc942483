//! Everything that descends from a process, found in /proc.
//!
//! The guard is a subreaper: a process that loses its parent becomes the guard's child. So no process can
//! leave the tree by ending its parent, by starting a new session, or both.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The most scans of a tree in a row; later processes are left to the next call.
const LOOKS_MAX: usize = 16;

/// A process as /proc shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProcessStat {
    pub(super) pid: i32,
    pub(super) parent: i32,
    pub(super) group: i32,
    pub(super) session: i32,
    /// The first letter of its state: R, S, D, T (stopped), t (traced), Z, X.
    state: char,
    threads: u64,
    /// When it was started, in ticks since the boot: tells it from a later process of the same number.
    started: u64,
    name: String,
}

impl fmt::Display for ProcessStat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

impl ProcessStat {
    /// `None` when there is no such process.
    pub(super) fn of(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// One line of /proc/PID/stat; the manual page of proc describes its fields.
    fn parse(stat: &str) -> Option<Self> {
        let (pid, rest) = stat.split_once(" (")?;
        // The name may hold anything, also parentheses.
        let (name, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // Fields count from 3 here: the process id and the name are gone.
        let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
        Some(Self {
            pid: pid.parse().ok()?,
            parent: i32::try_from(number(4)?).ok()?,
            group: i32::try_from(number(5)?).ok()?,
            session: i32::try_from(number(6)?).ok()?,
            state: fields.first()?.chars().next()?,
            threads: u64::try_from(number(20)?).ok()?,
            started: u64::try_from(number(22)?).ok()?,
            name: name.to_owned(),
        })
    }

    /// One whose first thread has ended is shown as a zombie while its other threads run.
    fn runs(&self) -> bool {
        match self.state {
            'X' | 'x' => false,
            'Z' => self.threads > 1,
            _ => true,
        }
    }

    fn stands_still(&self) -> bool {
        matches!(self.state, 'T' | 't')
    }

    fn is(&self, other: &Self) -> bool {
        self.pid == other.pid && self.started == other.started
    }

    /// Sends a signal to this process, and to no later one of its number. One that has ended needs none.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let Some(pid) = Pid::from_raw(self.pid) else {
            return Ok(());
        };
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        // What holds the number now was looked at only before: it has to be the same one.
        if !Self::of(self.pid).is_some_and(|now| now.is(self)) {
            return Ok(());
        }
        match pidfd_send_signal(&handle, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// A process and everything that descends from it.
#[derive(Debug)]
pub(super) struct Tree {
    root: i32,
    /// What [`Tree::stand_still`] stopped, to be continued by [`Tree::go_on`].
    stopped: Vec<ProcessStat>,
}

impl Tree {
    pub(super) fn below(root: i32) -> Self {
        Self {
            root,
            stopped: Vec::new(),
        }
    }

    /// The descendants that run or are stopped, without the root.
    ///
    /// An empty result is confirmed by a scan of all processes: the kernel's lists of children may miss one
    /// while another ends.
    pub(super) fn descendants(&self) -> io::Result<Vec<ProcessStat>> {
        match self.listed() {
            Some(found) if !found.is_empty() => Ok(found),
            _ => self.searched(),
        }
    }

    /// From the kernel's lists of children; `None` if it has none.
    fn listed(&self) -> Option<Vec<ProcessStat>> {
        let mut found = Vec::new();
        let mut parents = vec![self.root];
        while let Some(parent) = parents.pop() {
            let below = children(parent)?;
            found.extend(below.iter().copied().filter_map(ProcessStat::of));
            parents.extend(below);
        }
        found.retain(ProcessStat::runs);
        Some(found)
    }

    /// By the parents of all processes.
    fn searched(&self) -> io::Result<Vec<ProcessStat>> {
        let mut children: BTreeMap<i32, Vec<ProcessStat>> = BTreeMap::new();
        for process in processes()? {
            children.entry(process.parent).or_default().push(process);
        }
        let mut found = Vec::new();
        let mut parents = vec![self.root];
        while let Some(parent) = parents.pop() {
            let below = children.remove(&parent).unwrap_or_default();
            parents.extend(below.iter().map(|process| process.pid));
            found.extend(below.into_iter().filter(ProcessStat::runs));
        }
        Ok(found)
    }

    /// Stops every descendant. Scans again until none runs: a running one may have started another since the
    /// last scan.
    pub(super) fn stand_still(&mut self) -> io::Result<()> {
        for _ in 0..LOOKS_MAX {
            let mut running = self.listed().unwrap_or_default();
            running.retain(|process| !process.stands_still());
            if running.is_empty() {
                running = self.searched()?;
                running.retain(|process| !process.stands_still());
            }
            if running.is_empty() {
                break;
            }
            self.stop(running);
        }
        Ok(())
    }

    /// Stops again the processes that were continued since.
    pub(super) fn stay_still(&mut self) -> io::Result<()> {
        let mut running = self.descendants()?;
        running.retain(|process| !process.stands_still());
        self.stop(running);
        Ok(())
    }

    fn stop(&mut self, running: Vec<ProcessStat>) {
        for process in running {
            // Another user's process cannot be stopped; it is reported when it cannot be ended.
            if process.signal(Signal::STOP).is_ok()
                && !self.stopped.iter().any(|known| known.is(&process))
            {
                self.stopped.push(process);
            }
        }
    }

    /// Continues the processes that were stopped here; with `all`, every descendant.
    pub(super) fn go_on(&mut self, all: bool) -> io::Result<()> {
        let mut stopped = std::mem::take(&mut self.stopped);
        if all {
            stopped = self.descendants()?;
        }
        for process in stopped {
            // It may have become another user's process meanwhile; then it was not stopped here.
            let _ = process.signal(Signal::CONT);
        }
        Ok(())
    }

    /// Asks every descendant to end. A stopped one could not react, so all are continued.
    pub(super) fn terminate(&mut self) -> io::Result<()> {
        for process in self.descendants()? {
            let _ = process.signal(Signal::TERM);
        }
        self.go_on(true)
    }

    /// Ends every descendant by force. They are stopped first, so that none can start another between the
    /// scan and the signal.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        self.stand_still()?;
        for process in self.descendants()? {
            let _ = process.signal(Signal::KILL);
        }
        self.stopped.clear();
        Ok(())
    }
}

/// The children of a process, of all its threads; of one that has ended there are none. `None` where the kernel
/// keeps no such lists.
fn children(pid: i32) -> Option<Vec<i32>> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Some(Vec::new());
    };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(list) => found.extend(
                list.split_whitespace()
                    .filter_map(|it| it.parse::<i32>().ok()),
            ),
            // The thread has ended, or there is no such file for any.
            Err(_) if thread.path().exists() => return None,
            Err(_) => {}
        }
    }
    Some(found)
}

/// Every process there is; one that ends meanwhile is not.
fn processes() -> io::Result<impl Iterator<Item = ProcessStat>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        ProcessStat::of(pid)
    }))
}

/// All processes in a process group.
pub(super) fn members(group: i32) -> io::Result<Vec<ProcessStat>> {
    Ok(processes()?.filter(|it| it.group == group).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "12 (a) R (b c) T 3 4 5 34816 5 4194304 1 2 3 4 5 6 7 8 20 0 2 0 4711 99 1";
        let process = ProcessStat::parse(stat).expect("it is a line of /proc");
        assert_eq!(process.name, "a) R (b c");
        assert_eq!((process.pid, process.parent), (12, 3));
        assert_eq!((process.group, process.session), (4, 5));
        assert_eq!((process.threads, process.started), (2, 4711));
        assert!(process.stands_still() && process.runs());
    }

    #[test]
    fn a_zombie_counts_while_a_thread_of_it_runs() {
        let line = |state: char, threads: u32| {
            format!("1 (x) {state} 0 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 {threads} 0 5 0")
        };
        let runs = |state, threads| ProcessStat::parse(&line(state, threads)).map(|it| it.runs());
        assert_eq!(runs('Z', 1), Some(false));
        assert_eq!(runs('Z', 3), Some(true));
        assert_eq!(runs('D', 1), Some(true));
        assert_eq!(ProcessStat::parse("1 (x) S"), None);
    }
}
