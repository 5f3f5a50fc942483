//! One project's line of a shared journal, as the core sees it: what the node proposes, what arrives, and
//! whether the store is reachable.
//!
//! Records arrive from two sides, in any order: as answers to this node's appends, and from the stream. Their
//! numbers are dense, so the line knows the next record to apply. Records ahead of it wait. A record of this
//! node that the stream shows before its append is answered waits too: the answer may still say that the
//! record is less durable than was asked for.
//!
//! ```text
//!  Down ──line_up──► Up ──line_down──► Down      while Down, a batch waits for `unavailable_after_ms`;
//!   └── rebuild, delivered … ──► line_up         then it is answered, and later requests at once
//! ```

mod arrivals;
mod planted;
mod progress;
mod reach;
mod read;
mod rebuilt;
mod sharing;
mod signs;
mod snapshots;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::core::{Core, Moment};
use super::propose::Proposed;
use super::queries::cursor_of;
use super::recover::RecoverError;
use crate::engine::command::{Action, Actor, Command, EpochStart};
use crate::engine::ids::{CommandId, Cursor, Epoch, Position, ProjectName};
use crate::engine::{Engine, Newest};
use crate::journal::Entry;
use crate::journal::shared::StreamRecord;
use progress::LineProgress;
pub use progress::{Condition, Loss, Readiness};
pub use sharing::Sharing;
use snapshots::Snapshots;

/// One project's line.
#[derive(Debug)]
pub(in crate::driver) struct Line {
    reach: Reach,
    /// The newest record when the store last became unreachable.
    went_down: Newest,
    /// Commands that wait for the next append.
    pub(in crate::driver) batch: VecDeque<Proposed>,
    /// Commands that are being appended.
    pub(in crate::driver) appending: Vec<Proposed>,
    /// Where the record of the last append ended.
    appended: Position,
    /// How many commands were under way when that append was answered: its own, and those in `batch`.
    under_way: usize,
    company: OtherWriters,
    /// Records that are not applied yet, by the position of their last command.
    arrivals: BTreeMap<Position, Arrival>,
    /// The state that replaces the present one once it is complete.
    rebuilding: Option<Box<Engine>>,
    snapshots: Snapshots,
    /// Until when a full store is not asked again.
    full_until: Option<Moment>,
    full: Option<Full>,
    /// Since when the store has refused every append without being full.
    refused_since: Option<Moment>,
    /// A heartbeat is under way.
    beating: bool,
    /// Epochs seen since the start.
    epochs: u64,
    progress: LineProgress,
}

/// A full store: since when, and when it last said so.
#[derive(Debug, Clone, Copy)]
struct Full {
    since: Moment,
    last: Moment,
}

#[derive(Debug, Clone, Copy)]
enum Reach {
    Down {
        since: Moment,
    },
    /// When the store last answered.
    Up {
        answered: Moment,
    },
}

/// Who else was writing when the last append was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OtherWriters {
    /// Other coordinators appended since the append before it, or may have.
    Coordinators,
    /// Only other lines of this node.
    Lines,
    Nobody,
}

#[derive(Debug)]
enum Arrival {
    Own(Vec<Proposed>),
    Read(StreamRecord),
}

/// Why an append failed, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendFailure {
    /// Nothing was written, and the same may be tried again.
    NotWritten,
    /// The store is full. Nothing was written.
    Full,
    /// It may have been written.
    Unknown,
}

/// Why records that were read cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The records between were trimmed; the snapshot covers them.
    #[error(
        "record {found} of project {project} came after {known}: the records in between are missing"
    )]
    Hole {
        project: ProjectName,
        known: Position,
        found: Position,
    },
    /// The store holds another line than the one that this node applied.
    #[error(
        "record {found} of project {project} differs from the one that was applied at its position"
    )]
    Replaced { project: ProjectName, found: Cursor },
    /// This program cannot read the record: another program wrote it.
    #[error(transparent)]
    Unreadable(#[from] RecoverError),
}

impl Line {
    /// `late`: the project was added while the coordinator was already serving others.
    pub(in crate::driver) fn new(now: Moment, late: bool) -> Self {
        Self {
            reach: Reach::Down { since: now },
            went_down: Newest::default(),
            batch: VecDeque::new(),
            appending: Vec::new(),
            appended: Position(0),
            under_way: 0,
            company: OtherWriters::Coordinators,
            arrivals: BTreeMap::new(),
            rebuilding: None,
            snapshots: Snapshots::default(),
            full_until: None,
            full: None,
            refused_since: None,
            beating: false,
            epochs: 0,
            progress: LineProgress::new(now, late),
        }
    }

    pub(in crate::driver) fn is_up(&self) -> bool {
        matches!(self.reach, Reach::Up { .. })
    }

    pub(in crate::driver) fn is_full(&self) -> bool {
        self.full_until.is_some()
    }

    pub(in crate::driver) fn wants_flush(&self) -> bool {
        self.is_up() && self.appending.is_empty() && !self.batch.is_empty()
    }

    /// How many commands the next append carries at most. When no other coordinator or line is writing, it is half
    /// of the outstanding commands: while the store writes one half, this node answers the other, whose clients
    /// ask again. With all in one append, the store and this node would wait for each other. Several nodes or
    /// lines take turns anyway, and every append is work for each of them, so there an append carries all.
    pub(in crate::driver) fn share(&self) -> usize {
        if self.company != OtherWriters::Nobody {
            return usize::MAX;
        }
        self.under_way.max(self.batch.len()).div_ceil(2)
    }

    /// Whether the next append has as many commands as it may carry, so that waiting for more gains nothing.
    pub(in crate::driver) fn has_its_share(&self) -> bool {
        self.wants_flush() && self.batch.len() >= self.share()
    }

    pub(in crate::driver) fn is_settled(&self) -> bool {
        self.batch.is_empty() && self.appending.is_empty() && self.arrivals.is_empty()
    }

    /// When requests stop waiting for the store and are answered with an error.
    fn gives_up_at(&self, sharing: &Sharing) -> Option<Moment> {
        let Reach::Down { since } = self.reach else {
            return None;
        };
        // A store that can be read but refuses to write makes the line come up again and again. Counted from the
        // last time down, the wait would begin from zero each time and requests would never be answered.
        let since = self
            .refused_since
            .map_or(since, |refused| refused.min(since));
        Some(since.after_ms(sharing.unavailable_after_ms))
    }

    /// For how long the store has not answered, if that is too long.
    pub(in crate::driver) fn stale_ms(&self, now: Moment, sharing: &Sharing) -> Option<u64> {
        let (since, least) = match self.reach {
            Reach::Down { since } => (since, 0),
            Reach::Up { answered } => (answered, sharing.stale_after_ms),
        };
        let silent_ms = now.since_us(since) / 1_000;
        (silent_ms >= least).then_some(silent_ms)
    }
}

/// The state of a line, for the shell and for health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineStatus {
    pub up: bool,
    pub full: bool,
    /// Milliseconds since the store last answered; `None` while it answers in time.
    pub stale_ms: Option<u64>,
    /// Records that arrived and are not applied yet: they wait for records before them, or for their turn.
    pub waiting: u64,
    pub live_bytes: u64,
    /// Epochs seen since the start.
    pub epochs: u64,
}

impl Core {
    pub(in crate::driver) fn line(&self, project: &ProjectName) -> Option<&Line> {
        self.projects.get(project)?.line.as_ref()
    }

    pub(in crate::driver) fn line_mut(&mut self, project: &ProjectName) -> Option<&mut Line> {
        self.projects.get_mut(project)?.line.as_mut()
    }

    /// The lines of a shared journal, by project.
    pub fn lines(&self, now: Moment) -> impl Iterator<Item = (&ProjectName, LineStatus)> {
        let sharing = self.config.sharing.as_ref();
        self.projects.iter().filter_map(move |(name, project)| {
            let line = project.line.as_ref()?;
            let status = LineStatus {
                up: line.is_up(),
                full: line.is_full(),
                stale_ms: line.stale_ms(now, sharing?),
                waiting: line.arrivals.len() as u64,
                live_bytes: line.snapshots.live_bytes,
                epochs: line.epochs,
            };
            Some((name, status))
        })
    }

    /// The newest record that was applied; `None` when the project holds nothing yet.
    pub fn known(&self, project: &ProjectName) -> Option<Cursor> {
        let engine = &self.projects.get(project)?.engine;
        Some(cursor_of(engine)).filter(|cursor| cursor.position > Position(0))
    }

    /// The record that opens an epoch.
    pub fn epoch_marker(&mut self, now: Moment, project: &ProjectName, epoch: Epoch) -> Entry {
        self.ensure_project(project, now);
        self.last_command += 1;
        let command = Command {
            id: CommandId::of(&self.config.node, self.last_command),
            by: Actor::Node(self.config.node.clone()),
            request_id: None,
            action: Action::EpochStart(EpochStart { epoch }),
        };
        let known = self.projects.get_mut(project);
        Entry {
            project: project.clone(),
            at_ms: known.map(|p| p.engine.now()).unwrap_or_default(),
            body: serde_json::to_vec(&command).expect("commands always encode as JSON"),
        }
    }

    /// Whether the project's line is up: connected, and read to its end.
    pub fn is_established(&self, project: &ProjectName) -> bool {
        self.line(project).is_some_and(Line::is_up)
    }

    /// Whether every project's line is up; an embedded journal always is.
    pub fn is_reachable(&self) -> bool {
        let mut lines = self.projects.values().filter_map(|p| p.line.as_ref());
        lines.all(Line::is_up)
    }

    /// The names of the projects that have a line, in a shared journal.
    pub fn followed(&self) -> BTreeSet<ProjectName> {
        let with_line = self.projects.iter().filter(|(_, p)| p.line.is_some());
        with_line.map(|(name, _)| name.clone()).collect()
    }
}
