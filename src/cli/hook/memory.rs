//! What the hooks of one CLI session tell each other: a small file, because each hook is a process of its own.
//!
//! Losing it costs nothing but a line that is said twice. What matters is state of the coordinator.

use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::config::Environment;
use crate::engine::ids::LeaseId;

const BYTES_MAX: u64 = 64 * 1024;
/// Leases of other worktrees that were told, the newest.
const TOLD_MAX: usize = 64;
/// Files of sessions that ended without a word are removed after this time.
const KEPT: Duration = Duration::from_hours(24 * 30);
/// The most files that are looked at for that.
const LOOKED_AT_MAX: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    /// The user was told that the coordinator cannot be reached.
    pub(super) told_away: bool,
    /// The coordinator did not answer, and is left alone until this time since the boot.
    pub(super) silent_until_ms: u64,
    /// Others are told that the agent waits for a human.
    pub(super) is_waiting: bool,
    /// Leases in other worktrees that the agent knows of.
    pub(super) told: Vec<LeaseId>,
    /// What the model is to be told as soon as its CLI allows it.
    pub(super) pending: Vec<String>,
}

impl Memory {
    /// Notes a lease of another worktree. Returns whether it is new.
    pub(super) fn tells(&mut self, lease: LeaseId) -> bool {
        if self.told.contains(&lease) {
            return false;
        }
        if self.told.len() >= TOLD_MAX {
            self.told.remove(0);
        }
        self.told.push(lease);
        true
    }
}

/// Where the memory of one session is; `None` where there is no such place.
#[derive(Debug, Clone)]
pub(super) struct Place {
    folder: PathBuf,
    name: String,
}

impl Place {
    pub(super) fn of(environment: &dyn Environment, cli: &str, session_id: &str) -> Option<Self> {
        let variable = |name| environment.variable(name).ok().flatten();
        let absolute = |path: &PathBuf| path.is_absolute();
        let named = |name| variable(name).map(PathBuf::from).filter(absolute);
        let cache = || named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
        let digest = Sha256::digest(session_id.as_bytes());
        let halves = digest
            .iter()
            .take(16)
            .flat_map(|byte| [byte >> 4, byte & 15]);
        let digits = halves.filter_map(|half| char::from_digit(half.into(), 16));
        let digits: String = digits.collect();
        Some(Self {
            folder: named("XDG_RUNTIME_DIR").or_else(cache)?.join("coord/hooks"),
            name: format!("{cli}-{digits}"),
        })
    }

    pub(super) fn read(&self) -> Memory {
        let read = || -> io::Result<Memory> {
            let mut text = String::new();
            fs::File::open(self.file("json"))?
                .take(BYTES_MAX)
                .read_to_string(&mut text)?;
            Ok(serde_json::from_str(&text)?)
        };
        // A file that cannot be read is as good as none.
        read().unwrap_or_default()
    }

    pub(super) fn write(&self, memory: &Memory) -> io::Result<()> {
        self.replace("json", &serde_json::to_vec(memory)?)
    }

    /// Makes this process the one waiter of the session; an older one sees it and ends.
    pub(super) fn take_over(&self, mark: &str) -> io::Result<()> {
        self.replace("waiter", mark.as_bytes())
    }

    /// Whether no newer waiter came, and the session has not ended.
    pub(super) fn is_newest(&self, mark: &str) -> bool {
        fs::read(self.file("waiter")).is_ok_and(|found| found == mark.as_bytes())
    }

    /// Lets the waiter of the session end, because the session works again.
    pub(super) fn end_waiter(&self) {
        // Mostly there is none.
        let _ = fs::remove_file(self.file("waiter"));
    }

    /// Forgets the session, and with it sessions of long ago.
    pub(super) fn forget(&self) {
        for kind in ["json", "waiter"] {
            // Most sessions have none.
            let _ = fs::remove_file(self.file(kind));
        }
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        for entry in entries.flatten().take(LOOKED_AT_MAX) {
            let age = entry.metadata().and_then(|it| it.modified());
            let age = age.ok().and_then(|at| at.elapsed().ok());
            if age.is_some_and(|age| age > KEPT) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("{}.{kind}", self.name))
    }

    /// Readers see the old file or the new one, never a part.
    fn replace(&self, kind: &str, bytes: &[u8]) -> io::Result<()> {
        private_folder(&self.folder)?;
        // Only its owner may read the file, as `tempfile` makes them.
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(bytes)?;
        file.persist(self.file(kind)).map_err(|error| error.error)?;
        Ok(())
    }
}

fn private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::MapEnvironment;

    #[test]
    fn a_session_remembers_and_is_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = folder.path().to_str().expect("it is text");
        let environment = MapEnvironment::from([("XDG_RUNTIME_DIR", runtime)]);
        let place = Place::of(&environment, "claude", "../../x").expect("a place");
        assert_eq!(place.read(), Memory::default());
        let mut memory = Memory::default();
        assert!(memory.tells(LeaseId(4)) && !memory.tells(LeaseId(4)));
        place.write(&memory).expect("it can be written");
        assert_eq!(place.read(), memory);
        let mode = fs::metadata(place.file("json"))
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        place.take_over("1").expect("it can be written");
        place.take_over("2").expect("it can be written");
        assert!(!place.is_newest("1") && place.is_newest("2"));
        fs::write(place.file("json"), "{").expect("a file");
        assert_eq!(place.read(), Memory::default());
        place.forget();
        assert!(!place.is_newest("2"));
        assert_eq!(fs::read_dir(&place.folder).expect("a folder").count(), 0);
        assert!(Place::of(&MapEnvironment::default(), "claude", "x").is_none());
    }

    #[test]
    fn what_was_told_is_bounded() {
        let mut memory = Memory::default();
        for id in 0..1_000 {
            memory.tells(LeaseId(id));
        }
        assert_eq!(memory.told.len(), TOLD_MAX);
        assert!(!memory.tells(LeaseId(999)));
    }
}
