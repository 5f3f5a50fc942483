//! Snapshots of a shared journal. With them a stream is trimmed, an empty store is filled, and a deployment is
//! moved.

use super::{Full, Line};
use crate::driver::core::{Core, CoreOutput, Moment};
use crate::driver::queries::cursor_of;
use crate::engine::Engine;
use crate::engine::ids::{Cursor, ProjectName};
use crate::journal::Snapshot;
use crate::journal::shared::{StreamSnapshot, end_of, number_of};

/// When the store is full, a snapshot is taken as soon as this part of `live_bytes_max` has accumulated.
const FULL_LIVE_SHARE: u64 = 16;
/// When the store is full, each node waits this much longer than the node before it. Once one snapshot has freed
/// space, the others need none.
const FULL_RANK_MS: u64 = 3_000;
/// The first and the longest pause after a snapshot that could not be saved. Every try sends the whole state.
const FAILED_PAUSE_MS_MIN: u64 = 30_000;
const FAILED_PAUSE_MS_MAX: u64 = 300_000;
/// How long after the last refusal a store counts as full. A node that appends nothing is not told that there is
/// space again.
const FULL_MS: u64 = 30_000;
/// The shortest time between two snapshots that are taken to free space.
const FULL_PAUSE_MS: u64 = 5_000;
/// A snapshot that frees less than this part of its own size gains little.
const GAIN_SHARE: u64 = 16;

/// What this node knows of the snapshots of a line.
#[derive(Debug, Default)]
pub(super) struct Snapshots {
    /// Bytes of records since the last snapshot.
    pub(super) live_bytes: u64,
    saving: Option<Saving>,
    /// The last snapshot let go of every record that it covers.
    all_let_go: bool,
    /// Until when no snapshot is taken, because the last one was not saved.
    rests_until: Option<Moment>,
    pause_ms: u64,
    saved_at: Option<Moment>,
    /// How long after `saved_at` no snapshot is taken to free space.
    room_pause_ms: u64,
}

/// A snapshot under way.
#[derive(Debug)]
struct Saving {
    live_bytes: u64,
    records_kept: u64,
    state_bytes: u64,
}

impl Snapshots {
    /// Whether a snapshot is under way, or the pause after a failed one has not ended.
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
            // If much is sent to gain little, the next pause is twice as long.
            let gains = saving.live_bytes > saving.state_bytes / GAIN_SHARE;
            let longer_ms = if gains { 0 } else { self.room_pause_ms * 2 };
            self.room_pause_ms = longer_ms.clamp(FULL_PAUSE_MS, FAILED_PAUSE_MS_MAX);
        }
        self.saved_at = Some(now);
    }

    /// The store has become full. What accumulated since the last snapshot is worth another one, and the pause after
    /// an earlier failure is shortened.
    fn wanted(&mut self, now: Moment) {
        self.all_let_go &= self.live_bytes == 0;
        let latest = now.after_ms(FAILED_PAUSE_MS_MIN);
        self.rests_until = self.rests_until.map(|until| until.min(latest));
    }

    /// The snapshot under way, if any, was not saved as far as is known.
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
    /// The store refused an append because it is full.
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

    /// The store refused an append of another line. A snapshot of this line could free space for it.
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
    /// The whole project as of `known`, to fill an empty store.
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
        self.outputs.push_back(CoreOutput::StreamSnapshot {
            project: project.clone(),
            snapshot,
            keep_from,
        });
    }

    /// If a snapshot is due now: how many of the records that it covers it leaves in the stream. The first live node
    /// takes it; the others would only repeat the work. When the store is full, it is taken early and leaves no
    /// record. If that frees too little, the next node tries.
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

    /// The store has a snapshot that covers at least as much; `kept` says whether it is this one.
    pub fn stream_snapshot_saved(&mut self, now: Moment, project: &ProjectName, kept: bool) {
        if let Some(line) = self.line_mut(project) {
            line.snapshots.saved(now);
        }
        if kept {
            self.metrics.journal.snapshots.inc();
        }
    }

    /// The snapshot under way was not saved. Another one is taken after a pause.
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
