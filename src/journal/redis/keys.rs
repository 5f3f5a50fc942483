//! The keys of coord in a Redis, and the ids of its records.

use crate::engine::ids::{Cursor, ProjectName};
use crate::journal::shared::{end_of, number_of};

/// The set of all projects that have a journal here.
pub(super) const PROJECTS_KEY: &str = "coord:projects";

/// The keys of one project. They share a hash tag, so a Cluster keeps them on one node.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    /// A stream; a record's id is `epoch-number`, its field `b` is the batch.
    pub(super) stream: String,
    /// A hash: `at`, the id of the last record that the snapshot covers, and `state`.
    pub(super) snapshot: String,
    /// A hash: `epoch`, `incarnation` and `format`.
    pub(super) meta: String,
    /// A hash of the candidates for filling an empty Redis: for each node, what it knows and until when it is valid.
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

/// The id of the record that a cursor belongs to.
pub(super) fn id_of(cursor: Cursor) -> String {
    format!("{}-{}", cursor.epoch, number_of(cursor.position))
}

/// The cursor of a record's last command.
pub(super) fn cursor_of(id: &str) -> Option<Cursor> {
    let (epoch, number) = id.split_once('-')?;
    let number = number.parse().ok()?;
    let at = Cursor {
        epoch: epoch.parse().ok()?,
        position: end_of(number),
    };
    // A number so large that it has no positions was not assigned by coord.
    (number_of(at.position) == number).then_some(at)
}
