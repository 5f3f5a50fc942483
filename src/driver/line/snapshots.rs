//! Snapshots of a shared journal: they let a stream be trimmed, fill an empty store, and move a deployment.

use super::{Full, Line};
use crate::driver::core::{Core, Moment, Output};
use crate::driver::queries::cursor_of;
use crate::engine::Engine;
use crate::engine::ids::{Cursor, ProjectName};
use crate::journal::Snapshot;
use crate::journal::shared::{StreamSnapshot, end_of, number_of};

/// Where there is no room, this part of the bytes that may gather is enough for a snapshot.
const FULL_LIVE_SHARE: u64 = 16;
/// By how much later than the node before it a node takes one there: none is needed once there is room.
const FULL_RANK_MS: u64 = 3_000;
/// The first and the longest pause after a snapshot that could not be saved: each is the whole state.
const FAILED_PAUSE_MS_MIN: u64 = 30_000;
const FAILED_PAUSE_MS_MAX: u64 = 300_000;
/// How long after the last refusal a store counts as full: whoever asks for nothing is not told otherwise.
const FULL_MS: u64 = 30_000;
/// The shortest time between two snapshots that are taken to make room.
const FULL_PAUSE_MS: u64 = 5_000;
/// One that lets go of less than this part of its own size gains little.
const GAIN_SHARE: u64 = 16;

/// The snapshots of a line, as far as this node knows.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    /// Bytes of records that came since the last one.
    pub(super) live_bytes: u64,
    saving: Option<Saving>,
    /// The last one let go of every record that it covers.
    all_let_go: bool,
    /// Until when none is taken, since the last one was not saved.
    rests_until: Option<Moment>,
    pause_ms: u64,
    saved_at: Option<Moment>,
    /// How long after that none is taken to make room.
    room_pause_ms: u64,
}

/// A snapshot on its way.
#[derive(Debug)]
struct Saving {
    live_bytes: u64,
    records_kept: u64,
    state_bytes: u64,
}

impl Snapshots {
    /// Whether one is under way, or should not be taken so soon after the last.
    fn are_held(&self, now: Moment) -> bool {
        self.saving.is_some() || self.rests_until.is_some_and(|until| now < until)
    }

    fn begin(&mut self, records_kept: u64, state_bytes: u64) {
        self.saving = Some(Saving {
            live_bytes: std::mem::take(&mut self.live_bytes),
            records_kept,
            state_bytes,
        });
    }

    fn saved(&mut self, now: Moment) {
        (self.rests_until, self.pause_ms) = (None, 0);
        if let Some(saving) = self.saving.take() {
            self.all_let_go = saving.records_kept == 0;
            // Where much is sent to gain little, ever more rarely.
            let gains = saving.live_bytes > saving.state_bytes / GAIN_SHARE;
            let longer_ms = if gains { 0 } else { self.room_pause_ms * 2 };
            self.room_pause_ms = longer_ms.clamp(FULL_PAUSE_MS, FAILED_PAUSE_MS_MAX);
        }
        self.saved_at = Some(now);
    }

    /// The store has become full: whatever gathered since the last snapshot is worth another one, without a
    /// long pause for one that failed before.
    fn wanted(&mut self, now: Moment) {
        self.all_let_go &= self.live_bytes == 0;
        let latest = now.after_ms(FAILED_PAUSE_MS_MIN);
        self.rests_until = self.rests_until.map(|until| until.min(latest));
    }

    /// The one under way, if any, was not saved, as far as anybody knows.
    pub(super) fn failed(&mut self, now: Moment) {
        let Some(saving) = self.saving.take() else {
            return;
        };
        self.live_bytes += saving.live_bytes;
        let next_ms = (self.pause_ms * 2).clamp(FAILED_PAUSE_MS_MIN, FAILED_PAUSE_MS_MAX);
        (self.rests_until, self.pause_ms) = (Some(now.after_ms(next_ms)), next_ms);
    }
}

impl Line {
    /// The store refused an append for want of room.
    pub(super) fn found_full(&mut self, now: Moment) {
        let since = self.full_since(now);
        if since.is_none() {
            self.snapshots.wanted(now);
        }
        self.full = Some(Full {
            since: since.unwrap_or(now),
            last: now,
        });
    }

    /// Another line of this store was refused: what is in this one could make room for it.
    pub(super) fn shares_full(&mut self, now: Moment) {
        let since = self.full_since(now).unwrap_or(now);
        self.full = Some(Full { since, last: now });
    }

    fn full_since(&self, now: Moment) -> Option<Moment> {
        let full = self.full.filter(|full| now < full.last.after_ms(FULL_MS));
        full.map(|full| full.since)
    }
}

impl Core {
    /// The whole project as of `known`, to fill an empty store with.
    pub fn stream_snapshot(&self, project: &ProjectName) -> Option<StreamSnapshot> {
        let at = self.known(project)?;
        let engine = &self.projects.get(project)?.engine;
        Some(snapshot_of(engine, at))
    }

    /// Takes a snapshot of a project whose stream has grown too long.
    pub(super) fn maybe_stream_snapshot(&mut self, now: Moment, project: &ProjectName) {
        let Some(records_kept) = self.snapshot_due(now, project) else {
            return;
        };
        let Some(known) = self.projects.get_mut(project) else {
            return;
        };
        let engine = &known.engine;
        let snapshot = snapshot_of(engine, cursor_of(engine));
        let covered = number_of(snapshot.at.position);
        let keep_from = engine.cursor_at(end_of(covered.saturating_sub(records_kept) + 1));
        let state_bytes = snapshot.state.len() as u64;
        let bytes = i64::try_from(state_bytes).unwrap_or(i64::MAX);
        self.metrics.journal.snapshot_bytes.set(bytes);
        if let Some(line) = &mut known.line {
            line.snapshots.begin(records_kept, state_bytes);
        }
        self.outputs.push_back(Output::StreamSnapshot {
            project: project.clone(),
            snapshot,
            keep_from,
        });
    }

    /// How many of the records that it covers a snapshot that is due now is to leave. The first of the nodes that are alive takes
    /// it: the others would only do the same work again. Where the store is full it is early, and lets go of
    /// all that it can; if that was not enough, the next node tries.
    fn snapshot_due(&self, now: Moment, project: &ProjectName) -> Option<u64> {
        let sharing = self.config.sharing.as_ref()?;
        let line = self.line(project).filter(|line| line.is_up())?;
        if line.snapshots.are_held(now) {
            return None;
        }
        let (rank, live_bytes) = (self.rank(project), line.snapshots.live_bytes);
        if let Some(since) = line.full_since(now) {
            let turn = now >= since.after_ms(FULL_RANK_MS * rank);
            let pause_ms = line.snapshots.room_pause_ms;
            let rested = |at: Moment| now >= at.after_ms(pause_ms);
            let rested = line.snapshots.saved_at.is_none_or(rested);
            let some = live_bytes > sharing.live_bytes_max / FULL_LIVE_SHARE;
            let worth_it = some || !line.snapshots.all_let_go;
            return (turn && rested && worth_it).then_some(0);
        }
        (rank == 0 && live_bytes > sharing.live_bytes_max).then_some(sharing.records_kept)
    }

    /// The store has a snapshot that covers as much; `kept` says whether it is this one.
    pub fn stream_snapshot_saved(&mut self, now: Moment, project: &ProjectName, kept: bool) {
        if let Some(line) = self.line_mut(project) {
            line.snapshots.saved(now);
        }
        if kept {
            self.metrics.journal.snapshots.inc();
        }
    }

    /// The snapshot under way was not saved: another one is taken after a pause.
    pub fn stream_snapshot_failed(&mut self, now: Moment, project: &ProjectName) {
        if let Some(line) = self.line_mut(project) {
            line.snapshots.failed(now);
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
