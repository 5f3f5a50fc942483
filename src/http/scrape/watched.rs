//! Notices that files changed, by what the file system says of them.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Loaded;
use super::tls::LoadError;
use crate::config::web::WebSource;

/// The files of a state, as they were when it was read.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    pub(super) source: Arc<WebSource>,
    stamps: BTreeMap<PathBuf, Option<Stamp>>,
}

/// What differs when a file was written or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Watched {
    /// Reads a state. `files` were watched before: what is wrong now may become right in any of them.
    pub(super) fn read(
        source: Arc<WebSource>,
        files: &[PathBuf],
    ) -> (Self, Result<Loaded, LoadError>) {
        // Before the files are read, so that a change while they are is noticed the next time.
        let written = source.files();
        let mut stamps: BTreeMap<_, _> = written.into_iter().map(stamped).collect();
        let before: Vec<_> = files.iter().cloned().map(stamped).collect();
        let config = match source.read() {
            Ok(config) => config,
            Err(error) => {
                stamps.extend(before);
                return (Self { source, stamps }, Err(error.into()));
            }
        };
        stamps.extend(config.files().into_iter().map(stamped));
        let loaded = Loaded::read(config);
        if loaded.is_err() {
            stamps.extend(before);
        }
        (Self { source, stamps }, loaded)
    }

    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.stamps.keys().cloned().collect()
    }

    pub(super) fn has_changed(&self) -> bool {
        let mut stamps = self.stamps.iter();
        stamps.any(|(path, before)| stamp(path) != *before)
    }
}

fn stamped(path: PathBuf) -> (PathBuf, Option<Stamp>) {
    let stamp = stamp(&path);
    (path, stamp)
}

/// `None`: the file cannot be seen.
fn stamp(path: &Path) -> Option<Stamp> {
    let found = path.metadata().ok()?;
    Some(Stamp {
        device: found.dev(),
        inode: found.ino(),
        bytes: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}
