//! The keys of the product in a Redis, and the ids of its records.

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

/// The id of the record that a cursor is of.
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
    // A number of which there are no positions was not given here.
    (number_of(at.position) == number).then_some(at)
}
