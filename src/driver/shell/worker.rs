//! The journal's thread: appends, snapshots and backups, one job after the other.

use std::sync::mpsc::Receiver;
use std::sync::{Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::engine::ids::{Position, ProjectName};
use crate::journal::memory::MemoryJournal;
use crate::journal::{Entry, Journal, JournalError, JournalStatus, Snapshot};
use crate::protocol::admin::ServerBackupResult;

/// Writes a backup under a name. The composition root supplies it, because it knows where backups go.
pub type BackupWriter =
    Box<dyn FnMut(&mut dyn Journal, Option<String>) -> Result<ServerBackupResult, String> + Send>;

pub(super) enum Job {
    Append(Vec<Entry>),
    Snapshots {
        snapshots: Vec<Snapshot>,
        floor: Position,
    },
    Backup {
        request: u64,
        name: Option<String>,
        /// Written instead of the journal's content, if there are any.
        snapshots: Option<Vec<Snapshot>>,
    },
    CheckSync(oneshot::Sender<()>),
}

pub(super) enum Done {
    Appended {
        result: Result<Vec<Position>, JournalError>,
        status: JournalStatus,
        commands: usize,
        micros: u64,
    },
    Snapshots {
        saved: Vec<(ProjectName, Position)>,
        failure: Option<JournalError>,
        status: JournalStatus,
    },
    Backup {
        request: u64,
        result: Result<ServerBackupResult, String>,
    },
    CheckedSync {
        result: Result<(), JournalError>,
        asked: oneshot::Sender<()>,
    },
}

pub(super) fn journal_thread(
    journal: &Mutex<Box<dyn Journal>>,
    mut backup: BackupWriter,
    jobs: &Receiver<Job>,
    done: &mpsc::Sender<Done>,
    clock: Clock,
) {
    while let Ok(job) = jobs.recv() {
        // A panic under the lock ends a release build; a test continues with what is there.
        let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
        let result = match job {
            Job::Append(entries) => append(&mut **journal, &entries, &clock),
            Job::Snapshots { snapshots, floor } => save(&mut **journal, &snapshots, floor),
            Job::Backup {
                request,
                name,
                snapshots: None,
            } => Done::Backup {
                request,
                result: backup(&mut **journal, name),
            },
            Job::CheckSync(asked) => Done::CheckedSync {
                result: journal.check_sync(),
                asked,
            },
            Job::Backup {
                request,
                name,
                snapshots: Some(snapshots),
            } => Done::Backup {
                request,
                result: backup(&mut MemoryJournal::of(snapshots), name),
            },
        };
        drop(journal);
        if done.blocking_send(result).is_err() {
            return;
        }
    }
}

pub(super) fn append(journal: &mut dyn Journal, entries: &[Entry], clock: &Clock) -> Done {
    let begun = clock.now();
    let result = journal.append(entries);
    Done::Appended {
        result,
        status: journal.status(),
        commands: entries.len(),
        micros: clock.now().since_us(begun),
    }
}

pub(super) fn save(journal: &mut dyn Journal, snapshots: &[Snapshot], floor: Position) -> Done {
    let mut saved = Vec::with_capacity(snapshots.len());
    let mut failure = None;
    for snapshot in snapshots {
        match journal.save_snapshot(snapshot) {
            Ok(()) => saved.push((snapshot.project.clone(), snapshot.position)),
            Err(error) => failure = Some(error),
        }
    }
    // Records may be trimmed only after every snapshot that covers them is durable.
    if failure.is_none() {
        failure = journal.trim(floor).err();
    }
    Done::Snapshots {
        saved,
        failure,
        status: journal.status(),
    }
}
