//! Sends batches to the journal, and hands what became of them back to the core.

use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::Driver;
use super::worker::{Done, Job, append};
use crate::causes;
use crate::driver::core::Core;
use crate::engine::ids::Position;
use crate::journal::{Entry, JournalError, JournalStatus};

/// A lone command is synced in place while recent syncs took no longer than this. All connections stand still
/// for that time, which is too short to notice.
const SYNC_IN_PLACE_US_MAX: u64 = 1_000;
/// How many turns of the connections a batch for a shared journal waits at most.
const GATHER_TURNS_MAX: usize = 32;

impl Driver {
    /// Sends a batch whenever commands wait and no batch is under way.
    pub(super) async fn send_off(self) {
        loop {
            self.shared.flush.notified().await;
            self.gather().await;
            self.with_core(None, |core, _| core.flush());
            // Taken out before the sync, so that the lock is free while the disk works.
            let lone = self.lock().lone.take();
            if let Some(entries) = lone
                && !self.sync_in_place(entries)
            {
                return;
            }
        }
    }

    /// Lets the connections add commands to a batch for a shared journal. An append takes far longer than a turn of
    /// the connections. So it pays to wait for another turn as long as each one brings more commands, and until the
    /// line has its share. Otherwise clients that were just answered would miss this batch, and appends would carry
    /// less than they could.
    async fn gather(&self) {
        let mut known = 0;
        for _ in 0..GATHER_TURNS_MAX {
            match self.inspect(Core::gathered) {
                Some(gathered) if gathered > known => known = gathered,
                _ => return,
            }
            tokio::task::yield_now().await;
        }
    }

    /// Syncs a lone command on this thread. Returns false if the journal has failed.
    fn sync_in_place(&self, entries: Vec<Entry>) -> bool {
        let Ok(mut journal) = self.shared.journal.try_lock() else {
            // The journal's thread is busy with a snapshot or a backup. It takes this batch next.
            let _ = self.shared.jobs.try_send(Job::Append(entries));
            return true;
        };
        let done = append(&mut **journal, &entries, &self.shared.clock);
        drop(journal);
        self.finish(done)
    }

    /// Whether to sync this batch in place instead of on the journal's thread.
    pub(super) fn syncs_in_place(&self, entries: &[Entry]) -> bool {
        let fast = self.shared.sync_us.load(Ordering::Relaxed) <= SYNC_IN_PLACE_US_MAX;
        entries.len() == 1 && fast
    }

    pub(super) async fn serve_results(self, mut results: mpsc::Receiver<Done>) {
        while let Some(done) = results.recv().await {
            if !self.finish(done) {
                return;
            }
        }
    }

    /// Handles a finished job of the journal. Returns false if the journal has failed.
    fn finish(&self, done: Done) -> bool {
        match done {
            Done::Appended {
                result,
                status,
                commands,
                micros,
            } => {
                self.observe_append(commands, micros);
                match result {
                    Ok(positions) => self.appended(&positions, status),
                    Err(JournalError::Full { .. }) => {
                        self.with_core(None, |core, now| core.append_refused(now, status));
                    }
                    Err(error) => {
                        self.fail(&error);
                        return false;
                    }
                }
            }
            Done::Snapshots {
                saved,
                failure,
                status,
            } => {
                match failure {
                    None | Some(JournalError::Full { .. }) => {}
                    Some(error) => {
                        self.fail(&error);
                        return false;
                    }
                }
                self.with_core(None, |core, _| core.snapshots_saved(&saved, status));
            }
            Done::Backup { request, result } => {
                self.with_core(None, |core, now| core.backup_done(now, request, result));
            }
            Done::CheckedSync { result, asked } => {
                if let Err(error) = result {
                    self.fail(&error);
                    return false;
                }
                // The asker may have given up meanwhile.
                let _ = asked.send(());
            }
        }
        if self.lock().core.is_settled() {
            self.shared.settled.notify_waiters();
        }
        true
    }

    fn appended(&self, positions: &[Position], status: JournalStatus) {
        // Two calls: the first sends the next batch, so that the disk works while the second applies this one.
        self.with_core(None, |core, _| core.synced(positions, status));
        self.with_core(None, Core::apply_synced);
    }

    pub(super) fn observe_append(&self, commands: usize, micros: u64) {
        let average = self.shared.sync_us.load(Ordering::Relaxed);
        let average = average - average / 8 + micros / 8;
        self.shared.sync_us.store(average, Ordering::Relaxed);
        let metrics = &self.shared.metrics;
        #[allow(clippy::cast_precision_loss, reason = "both are far below 2^52")]
        {
            metrics.journal.batch_commands.observe(commands as f64);
            metrics.journal.sync_seconds.observe(micros as f64 / 1e6);
        }
    }

    fn fail(&self, error: &JournalError) {
        self.fail_with(causes::one_line(error));
    }

    pub(super) fn fail_with(&self, text: String) {
        tracing::error!(error = %text, "the journal failed; no change can be saved any more");
        self.shared.failure.send_replace(Some(text));
    }
}
