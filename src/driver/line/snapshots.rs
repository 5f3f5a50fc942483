//! Snapshots of a shared journal: they let a stream be trimmed, fill an empty store, and move a deployment.

use crate::driver::core::{Core, Output};
use crate::driver::queries::cursor_of;
use crate::engine::Engine;
use crate::engine::ids::{Cursor, ProjectName};
use crate::journal::Snapshot;
use crate::journal::shared::StreamSnapshot;

impl Core {
    /// The whole project as of `known`, to fill an empty store with.
    pub fn stream_snapshot(&self, project: &ProjectName) -> Option<StreamSnapshot> {
        let at = self.known(project)?;
        let engine = &self.projects.get(project)?.engine;
        Some(snapshot_of(engine, at))
    }

    /// Takes a snapshot of a project whose stream has grown too long, on the first of the nodes that
    /// are alive: the others would only do the same work again.
    pub(super) fn maybe_stream_snapshot(&mut self, project: &ProjectName) {
        let Some(sharing) = &self.config.sharing else {
            return;
        };
        let Some(known) = self.projects.get(project) else {
            return;
        };
        let Some(line) = &known.line else { return };
        let first = known.engine.state().nodes.keys().next();
        let turn = first.is_none_or(|first| *first == self.config.node);
        if line.snapshotting || !line.is_up() || !turn || line.live_bytes <= sharing.live_bytes_max
        {
            return;
        }
        let snapshot = snapshot_of(&known.engine, cursor_of(&known.engine));
        let bytes = i64::try_from(snapshot.state.len()).unwrap_or(i64::MAX);
        self.metrics.snapshot_bytes.set(bytes);
        let records_kept = sharing.records_kept;
        if let Some(line) = self.line_mut(project) {
            line.snapshotting = true;
            line.live_bytes = 0;
        }
        self.outputs.push_back(Output::StreamSnapshot {
            project: project.clone(),
            snapshot,
            records_kept,
        });
    }

    /// A snapshot was saved, or could not be; then the next one is tried when as much has gathered again.
    pub fn stream_snapshot_saved(&mut self, project: &ProjectName, kept: bool) {
        if let Some(line) = self.line_mut(project) {
            line.snapshotting = false;
        }
        if kept {
            self.metrics.snapshots.inc();
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
