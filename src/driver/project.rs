//! One project of this coordinator: its engine, who is connected to it, and its reading of journal time.

use std::collections::{BTreeMap, BTreeSet};

use super::connection::ConnectionId;
use super::core::Moment;
use super::line::Line;
use super::parked::Parked;
use crate::engine::Engine;
use crate::engine::ids::{AgentName, JournalTime, Position, SessionId, TaskId};
use crate::planted::{Bug, is_on, wall_ms};

/// One project and who is connected to it.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) engine: Engine,
    pub(super) clock: ReadingClock,
    pub(super) parked: BTreeMap<u64, Parked>,
    /// Tasks that claims on their way are expected to get.
    pub(super) reserved: BTreeSet<TaskId>,
    pub(super) by_agent: BTreeMap<AgentName, BTreeSet<ConnectionId>>,
    pub(super) by_session: BTreeMap<SessionId, ConnectionId>,
    pub(super) subscribers: BTreeSet<ConnectionId>,
    pub(super) ticking: bool,
    /// The last record that a saved snapshot covers.
    pub(super) snapshot_at: Position,
    /// Its line of a shared journal.
    pub(super) line: Option<Line>,
}

impl Project {
    pub(super) fn new(engine: Engine, snapshot_at: Position, now: Moment) -> Self {
        Self {
            clock: ReadingClock {
                at: now,
                time: engine.now(),
            },
            engine,
            parked: BTreeMap::new(),
            reserved: BTreeSet::new(),
            by_agent: BTreeMap::new(),
            by_session: BTreeMap::new(),
            subscribers: BTreeSet::new(),
            ticking: false,
            snapshot_at,
            line: None,
        }
    }

    /// This node's reading of the journal clock, at most one step ahead of the last record. What
    /// lies beyond (the process stood still) is dropped here, once: were every command of a batch
    /// to carry it, each would move the engine by a step.
    pub(super) fn reading(&mut self, now: Moment) -> JournalTime {
        if is_on(Bug::DeadlineOnWallClock) {
            return JournalTime(wall_ms());
        }
        if is_on(Bug::JumpsCount) {
            return self.clock.time_at(now);
        }
        let engine = &self.engine;
        let farthest = engine.now().after_ms(engine.limits().clock_step_ms_max);
        if self.clock.time_at(now) > farthest {
            self.clock = ReadingClock {
                at: now,
                time: farthest,
            };
        }
        self.clock.time_at(now)
    }

    /// A record was applied. Time goes on from the reading its proposer took, not from now: else
    /// the time that a sync takes would never count, and a busy journal would stand still.
    pub(super) fn applied(&mut self, now: Moment) {
        let ahead = is_on(Bug::ClockStandsStill);
        if ahead || self.engine.now() > self.clock.time_at(now) {
            self.clock = ReadingClock {
                at: now,
                time: self.engine.now(),
            };
        }
    }

    pub(super) fn wants_flush(&self) -> bool {
        self.line.as_ref().is_some_and(Line::wants_flush)
    }

    /// Journal time goes on from here: what passed since the last record does not count.
    pub(super) fn stand_at(&mut self, now: Moment) {
        self.clock = ReadingClock {
            at: now,
            time: self.engine.now(),
        };
    }

    /// When journal time must get a record: at the next deadline, but often enough that no step
    /// of the clock is larger than the engine lets pass.
    pub(super) fn next_tick(&self, heartbeat_ms: u64) -> Option<Moment> {
        let deadline = self.engine.next_deadline()?;
        let heartbeat = self.engine.now().after_ms(heartbeat_ms);
        Some(self.clock.moment_of(deadline.min(heartbeat)))
    }
}

/// Ties journal time to the monotonic clock: it was `time` at the moment `at`, and goes on from there.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadingClock {
    at: Moment,
    time: JournalTime,
}

impl ReadingClock {
    fn time_at(self, now: Moment) -> JournalTime {
        self.time.after_ms(now.since_us(self.at) / 1_000)
    }

    /// When it will read `time`.
    pub(super) fn moment_of(self, time: JournalTime) -> Moment {
        self.at.after_ms(time.since_ms(self.time))
    }
}
