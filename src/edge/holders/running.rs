//! What makes two processes runs of one program: so a process that a supervisor starts again is known before it
//! listens.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::owners;

/// What a process runs, and where. Agents in two worktrees run the same command, and servers in two containers do.
#[derive(Debug, PartialEq, Eq)]
pub struct RunningProcess {
    user_id: u32,
    words: Vec<String>,
    folder: PathBuf,
    network_namespace: PathBuf,
}

impl RunningProcess {
    /// What a process runs; `None` of one that has ended, that this user may not look into, or that is a thread of the
    /// kernel.
    pub fn of(proc: &Path, pid: u32) -> Option<Self> {
        let words = owners::words(proc, pid);
        (!words.is_empty()).then_some(())?;
        Self::with_words(proc, pid, words)
    }

    /// The processes that run the same.
    pub fn all(&self, proc: &Path) -> BTreeSet<u32> {
        // The words first: most processes differ in them.
        let same = |pid: &u32| {
            let words = owners::words(proc, *pid);
            words == self.words && Self::with_words(proc, *pid, words).as_ref() == Some(self)
        };
        owners::processes(proc).filter(same).collect()
    }

    fn with_words(proc: &Path, pid: u32, words: Vec<String>) -> Option<Self> {
        let process = proc.join(pid.to_string());
        Some(Self {
            user_id: owners::user_of(proc, pid),
            words,
            folder: fs::read_link(process.join("cwd")).ok()?,
            network_namespace: fs::read_link(process.join("ns/net")).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;
    use crate::edge::holders::PROC;

    /// A process that ends with its input.
    fn cat(folder: &Path, word: &str) -> Child {
        let mut command = Command::new("cat");
        command.arg(word).current_dir(folder).stdin(Stdio::piped());
        command.spawn().expect("cat is there")
    }

    #[test]
    fn the_same_command_in_another_folder_is_another() {
        let proc = Path::new(PROC);
        let folder = tempfile::tempdir().expect("there is room");
        let other = tempfile::tempdir().expect("there is room");
        let mut cats = [
            cat(folder.path(), "-"),
            cat(folder.path(), "-"),
            cat(other.path(), "-"),
            cat(folder.path(), "--"),
        ];
        let [first, second, ..] = cats.each_ref().map(Child::id);
        let running = RunningProcess::of(proc, first).expect("it runs");
        assert_eq!(running.all(proc), BTreeSet::from([first, second]));
        for cat in &mut cats {
            drop(cat.stdin.take());
            cat.wait().expect("it ends");
        }
        assert_eq!(RunningProcess::of(proc, first), None);
    }
}
