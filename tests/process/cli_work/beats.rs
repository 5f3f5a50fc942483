//! A command of several processes that tell who they are, and that run until somebody ends them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::support::until;

/// Each process writes its number to `pids`, beats, and notes in `woke` that it was continued. One is in the
/// command's group, one leads a session of its own, and one lost its parent on the way there.
pub(crate) const BEATS: &str = r#"
    cat > beat.sh <<'END'
trap 'echo $$ >> woke' CONT
trap '' HUP
echo $$ >> pids
while [ -d "$HOME" ]; do date +%N >> beat; sleep 0.02; done
END
    sh beat.sh &
    setsid sh beat.sh &
    (setsid sh beat.sh > /dev/null 2>&1 < /dev/null &)
    wait
"#;

/// How many processes [`BEATS`] notes.
const COUNT: usize = 3;

/// The processes of [`BEATS`] in a folder.
#[derive(Debug)]
pub(crate) struct Beats {
    folder: PathBuf,
    pids: BTreeSet<String>,
}

impl Beats {
    /// Waits until all of them run.
    pub(crate) async fn in_folder(folder: &Path) -> Self {
        let pids = until("the command's processes to run", async || {
            let text = fs::read_to_string(folder.join("pids")).ok()?;
            let pids: BTreeSet<String> = text.lines().map(str::to_owned).collect();
            (pids.len() == COUNT).then_some(pids)
        })
        .await;
        let beats = Self {
            folder: folder.to_owned(),
            pids,
        };
        beats.beat().await;
        beats
    }

    /// Those that told who they are before their command ended.
    pub(crate) fn in_folder_ended(folder: &Path) -> Self {
        let text = fs::read_to_string(folder.join("pids")).unwrap();
        Self {
            folder: folder.to_owned(),
            pids: text.lines().map(str::to_owned).collect(),
        }
    }

    pub(crate) fn kill(&self) {
        for pid in &self.pids {
            let pid = Pid::from_raw(pid.parse().unwrap());
            nix::sys::signal::kill(pid, Signal::SIGKILL).unwrap();
        }
    }

    /// Forgets those of before, so that another command may run there.
    pub(crate) fn clear(folder: &Path) {
        for name in ["pids", "woke", "beat"] {
            let _ = fs::remove_file(folder.join(name));
        }
    }

    fn states(&self) -> Vec<Option<char>> {
        let state = |pid: &String| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat.rsplit_once(") ")?.1.chars().next()
        };
        self.pids.iter().map(state).collect()
    }

    fn count(&self) -> usize {
        let text = fs::read_to_string(self.folder.join("beat"));
        text.map_or(0, |text| text.lines().count())
    }

    /// Waits until one more beat is there.
    pub(crate) async fn beat(&self) {
        let before = self.count();
        until("another beat", async || {
            (self.count() > before).then_some(())
        })
        .await;
    }

    /// Waits until all of them are stopped. A shell that waits for a child which was stopped between
    /// vfork and exec is shown as D.
    pub(crate) async fn stand_still(&self) {
        let still = |state: &Option<char>| matches!(state, Some('T' | 't' | 'D'));
        let stopped = |state: &Option<char>| matches!(state, Some('T' | 't'));
        until("all to stand still", async || {
            let states = self.states();
            let all = states.iter().all(still) && states.iter().any(stopped);
            all.then_some(())
        })
        .await;
    }

    /// Waits until none of them is there. Nobody may be there to bury them.
    pub(crate) async fn end(&self) {
        let gone = |state: &Option<char>| matches!(state, None | Some('Z' | 'X'));
        until("all to end", async || {
            self.states().iter().all(gone).then_some(())
        })
        .await;
    }

    /// Whether one of them was ever continued.
    pub(crate) fn woke(&self) -> bool {
        self.folder.join("woke").exists()
    }

    pub(crate) fn are_there(&self) -> bool {
        let runs = |state: &Option<char>| state.is_some_and(|state| !"ZX".contains(state));
        self.states().iter().all(runs)
    }
}
