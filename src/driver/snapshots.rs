//! Snapshots: taken when enough records have collected, so that the journal stays small.

use super::core::{Core, CoreOutput};
use crate::engine::ids::{Position, ProjectName};
use crate::journal::{Snapshot, Space};

/// On a full disk, snapshots are taken from this part of `live_bytes_max`.
const PRESSED_SHARE: u64 = 16;

impl Core {
    /// Takes snapshots of every project that changed since its last one, when it is time.
    pub(super) fn maybe_snapshot(&mut self) {
        let live_bytes_max = self.config.driver.live_bytes_max;
        let due = self.status.live_bytes > live_bytes_max;
        // Earlier on a full disk, but not for every record: only whole segments are freed.
        let pressed = self.status.space == Space::Reserve
            && self.status.live_bytes > live_bytes_max / PRESSED_SHARE;
        if self.snapshotting || !(due || pressed) {
            return;
        }
        let (mut snapshots, mut last) = (Vec::new(), Position::default());
        for (name, project) in &self.projects {
            let state = project.engine.state();
            last = last.max(state.position);
            if state.position > project.snapshot_at {
                snapshots.push(Snapshot {
                    project: name.clone(),
                    position: state.position,
                    state: serde_json::to_vec(state).expect("states always encode as JSON"),
                });
            }
        }
        if snapshots.is_empty() {
            return;
        }
        self.snapshotting = true;
        let bytes: usize = snapshots.iter().map(|s| s.state.len()).sum();
        self.metrics
            .journal
            .snapshot_bytes
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
        let floor = Position(last.0 + 1);
        self.outputs
            .push_back(CoreOutput::Snapshots { snapshots, floor });
    }

    /// The shell saved snapshots, or failed to; then they are retried later.
    pub fn snapshots_saved(
        &mut self,
        saved: &[(ProjectName, Position)],
        status: crate::journal::JournalStatus,
    ) {
        self.snapshotting = false;
        self.status = status;
        for (name, position) in saved {
            if let Some(project) = self.projects.get_mut(name) {
                project.snapshot_at = *position;
                self.metrics.journal.snapshots.inc();
            }
        }
    }
}
