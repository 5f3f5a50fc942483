//! One project of this coordinator: its engine, its connections, and its reading of journal time.

use std::collections::{BTreeMap, BTreeSet};

use super::connection::ConnectionId;
use super::core::Moment;
use super::line::Line;
use super::subscribers::Subscribers;
use super::waiters::Waiters;
use crate::engine::Engine;
use crate::engine::command::{Action, Command};
use crate::engine::ids::{AgentName, Cursor, JournalTime, Position, SessionId, TaskId};
use crate::engine::leases::WantedPlaces;
use crate::planted::{Bug, is_on, wall_ms};

/// One project and its connections.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) engine: Engine,
    pub(super) clock: ReadingClock,
    pub(super) waiters: Waiters,
    /// Tasks that claims in progress are expected to get.
    pub(super) reserved: BTreeSet<TaskId>,
    /// What acquires in progress are expected to get, by place in line.
    pub(super) taking: WantedPlaces,
    pub(super) by_agent: BTreeMap<AgentName, BTreeSet<ConnectionId>>,
    pub(super) by_session: BTreeMap<SessionId, ConnectionId>,
    pub(super) subscribers: Subscribers,
    /// The newest event that was sent to those that it concerns.
    pub(super) published: Cursor,
    /// Sessions that are being opened, and lost ones that end to make room for them.
    pub(super) opening: u64,
    pub(super) giving_way: BTreeSet<SessionId>,
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
            waiters: Waiters::default(),
            reserved: BTreeSet::new(),
            taking: WantedPlaces::default(),
            by_agent: BTreeMap::new(),
            by_session: BTreeMap::new(),
            subscribers: Subscribers::default(),
            published: Cursor::default(),
            opening: 0,
            giving_way: BTreeSet::new(),
            ticking: false,
            snapshot_at,
            line: None,
        }
    }

    /// This node's reading of the journal clock, at most one step ahead of the last record. Time beyond that
    /// (the process was stopped) is dropped here, once. If every command of a batch carried it, each would
    /// advance the engine by one step.
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

    /// A record was applied. Time continues from the reading of its proposer, not from now. Otherwise the
    /// time of a sync would never count, and journal time would stop under load.
    pub(super) fn applied(&mut self, now: Moment) {
        let ahead = is_on(Bug::ClockStandsStill);
        if ahead || self.engine.now() > self.clock.time_at(now) {
            self.clock = ReadingClock {
                at: now,
                time: self.engine.now(),
            };
        }
    }

    /// A command is under way, or is not any more.
    pub(super) fn count_sessions(&mut self, command: &Command, begins: bool) {
        match &command.action {
            Action::SessionOpen(_) if begins => self.opening += 1,
            Action::SessionOpen(_) => self.opening = self.opening.saturating_sub(1),
            Action::SessionClose(close) if command.by.agent().is_none() => {
                if begins {
                    self.giving_way.insert(close.session);
                } else {
                    self.giving_way.remove(&close.session);
                }
            }
            _ => {}
        }
    }

    pub(super) fn wants_flush(&self) -> bool {
        self.line.as_ref().is_some_and(Line::wants_flush)
    }

    /// Journal time continues from here: the time since the last record does not count.
    pub(super) fn stand_at(&mut self, now: Moment) {
        self.clock = ReadingClock {
            at: now,
            time: self.engine.now(),
        };
    }

    /// When journal time needs a record: at the next deadline, and often enough that no step exceeds the
    /// engine's limit.
    pub(super) fn next_tick(&self, heartbeat_ms: u64) -> Option<Moment> {
        let deadline = self.engine.next_deadline()?;
        let heartbeat = self.engine.now().after_ms(heartbeat_ms);
        Some(self.clock.moment_of(deadline.min(heartbeat)))
    }
}

/// Maps the monotonic clock to journal time: at the moment `at` it was `time`.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadingClock {
    at: Moment,
    time: JournalTime,
}

impl ReadingClock {
    fn time_at(self, now: Moment) -> JournalTime {
        self.time.after_ms(now.since_us(self.at) / 1_000)
    }

    /// The moment at which it will be `time`.
    pub(super) fn moment_of(self, time: JournalTime) -> Moment {
        self.at.after_ms(time.since_ms(self.time))
    }
}
