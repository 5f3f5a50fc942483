//! Snapshots of a shared journal: they let a stream be trimmed, fill an empty store, and move a deployment.

use crate::driver::core::{Core, Moment, Output};
use crate::driver::queries::cursor_of;
use crate::engine::Engine;
use crate::engine::ids::{Cursor, ProjectName};
use crate::journal::Snapshot;
use crate::journal::shared::StreamSnapshot;

/// Where there is no room, this part of the bytes that may gather is enough for a snapshot.
const FULL_LIVE_SHARE: u64 = 16;
/// How long after a snapshot that could not be saved the next one is taken: each is the whole state.
const FAILED_PAUSE_MS: u64 = 30_000;

impl Core {
    /// The whole project as of `known`, to fill an empty store with.
    pub fn stream_snapshot(&self, project: &ProjectName) -> Option<StreamSnapshot> {
        let at = self.known(project)?;
        let engine = &self.projects.get(project)?.engine;
        Some(snapshot_of(engine, at))
    }

    /// Takes a snapshot of a project whose stream has grown too long, on the first of the nodes that
    /// are alive: the others would only do the same work again. Whoever finds the store full takes one
    /// early, and lets go of every record that it can.
    pub(super) fn maybe_stream_snapshot(&mut self, now: Moment, project: &ProjectName) {
        let Some(sharing) = &self.config.sharing else {
            return;
        };
        let Some(known) = self.projects.get(project) else {
            return;
        };
        let Some(line) = &known.line else { return };
        let first = known.engine.state().nodes.keys().next();
        let turn = first.is_none_or(|first| *first == self.config.node);
        let (turn, bytes_max, records_kept) = if line.is_full() {
            (true, sharing.live_bytes_max / FULL_LIVE_SHARE, 0)
        } else {
            (turn, sharing.live_bytes_max, sharing.records_kept)
        };
        let rests = line.snapshot_failed.is_some_and(|until| now < until);
        if line.snapshotting.is_some() || !line.is_up() || !turn || rests {
            return;
        }
        if line.live_bytes <= bytes_max {
            return;
        }
        let snapshot = snapshot_of(&known.engine, cursor_of(&known.engine));
        let bytes = i64::try_from(snapshot.state.len()).unwrap_or(i64::MAX);
        self.metrics.snapshot_bytes.set(bytes);
        if let Some(line) = self.line_mut(project) {
            line.snapshotting = Some(std::mem::take(&mut line.live_bytes));
        }
        self.outputs.push_back(Output::StreamSnapshot {
            project: project.clone(),
            snapshot,
            records_kept,
        });
    }

    /// The store has a snapshot that covers as much; `kept` says whether it is this one.
    pub fn stream_snapshot_saved(&mut self, project: &ProjectName, kept: bool) {
        if let Some(line) = self.line_mut(project) {
            line.snapshotting = None;
        }
        if kept {
            self.metrics.snapshots.inc();
        }
    }

    /// The snapshot under way was not saved: another one is taken after a pause.
    pub fn stream_snapshot_failed(&mut self, now: Moment, project: &ProjectName) {
        if let Some(line) = self.line_mut(project) {
            line.live_bytes += line.snapshotting.take().unwrap_or(0);
            line.snapshot_failed = Some(now.after_ms(FAILED_PAUSE_MS));
        }
    }

    /// Snapshots of all projects, as they are now.
    pub(in crate::driver) fn all_snapshots(&self) -> Vec<Snapshot> {
        let projects = self.projects.iter();
        projects
            .map(|(name, project)| Snapshot {
                project: name.clone(),
                position: project.engine.state().position,
                state: snapshot_of(&project.engine, Cursor::default()).state,
            })
            .collect()
    }
}

pub(super) fn snapshot_of(engine: &Engine, at: Cursor) -> StreamSnapshot {
    StreamSnapshot {
        at,
        state: serde_json::to_vec(engine.state()).expect("states always encode as JSON"),
    }
}
