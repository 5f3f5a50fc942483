//! The keys of the product in a Redis, and the ids of its records.

use crate::engine::ids::{Cursor, ProjectName};

/// The set of all projects that have a journal here.
pub(super) const PROJECTS_KEY: &str = "coord:projects";

/// The keys of one project. They share a hash tag, so a Cluster keeps them on one node.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    /// A stream; a record's id is `epoch-position`, its fields are `at` (journal time) and `c` (the command).
    pub(super) stream: String,
    /// A hash: `at`, the id of the last record that the snapshot covers, and `state`.
    pub(super) snapshot: String,
    /// A hash: `epoch`, `incarnation` and `format`.
    pub(super) meta: String,
    /// A hash of those who could fill an empty Redis: node to what it knows and the end of its standing.
    pub(super) seeding: String,
}

impl Keys {
    pub(super) fn of(project: &ProjectName) -> Self {
        let key = |part: &str| format!("coord:{{{project}}}:{part}");
        Self {
            stream: key("journal"),
            snapshot: key("snapshot"),
            meta: key("meta"),
            seeding: key("seeding"),
        }
    }
}

pub(super) fn id_of(cursor: Cursor) -> String {
    format!("{}-{}", cursor.epoch, cursor.position)
}

pub(super) fn cursor_of(id: &str) -> Option<Cursor> {
    let (epoch, position) = id.split_once('-')?;
    Some(Cursor {
        epoch: epoch.parse().ok()?,
        position: position.parse().ok()?,
    })
}
