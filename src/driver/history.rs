//! Reads the history of events for a reader inside the coordinator that keeps cursors of its own.
//!
//! Such a reader gets exactly what `events.subscribe` sends. It has no connection and no outbox: it is woken when
//! there may be something new and reads as much as it can use, so that it delays nobody.

use std::sync::Arc;

use super::connection::ConnectionId;
use super::core::{Core, CoreOutput};
use crate::engine::Engine;
use crate::engine::event::Event;
use crate::engine::ids::{Cursor, Epoch, Position, ProjectName};
use crate::protocol::admin::MqttStatus;
use crate::protocol::events::EventView;

/// Connections begin at 1.
pub(super) const READER: ConnectionId = ConnectionId(0);

/// What follows a cursor.
#[derive(Debug)]
pub enum HistoryRead {
    /// The next events, oldest first; none if there are no more yet.
    Events(Vec<EventView>),
    /// The events between the cursor and `next` are no longer available, or belong to a lost part of the journal.
    Gap { next: Cursor, reason: &'static str },
}

/// Who publishes the events of this journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publisher {
    This,
    Another,
}

impl Core {
    /// From now on the reader is woken.
    pub fn begin_reading(&mut self) {
        self.read = true;
    }

    pub(super) fn wake_reader(&mut self) {
        if self.read {
            self.outputs.push_back(CoreOutput::Wake(READER));
        }
    }

    /// Whether this coordinator may be the one that publishes events for all that share its journal.
    pub fn stand_for_publisher(&mut self, stands: bool) {
        self.publishes = stands;
    }

    pub fn set_mqtt_status(&mut self, status: MqttStatus) {
        self.mqtt = Some(status);
    }

    /// Of several coordinators, the one whose id is the lowest of those with a heartbeat in the system project. Only
    /// those that can publish send one there.
    pub fn publisher(&self) -> Publisher {
        if self.config.sharing.is_none() {
            return Publisher::This;
        }
        let first = self.system_engine().state().nodes.keys().next();
        if first == Some(&self.config.node) {
            Publisher::This
        } else {
            Publisher::Another
        }
    }

    /// The projects that agents can be in.
    pub fn readable_projects(&self) -> Vec<ProjectName> {
        let names = self.projects.keys().filter(|name| **name != self.system);
        names.cloned().collect()
    }

    /// The cursor of the newest record; `None` if there is no such project, or its state is not complete yet.
    pub fn history_end(&self, project: &ProjectName) -> Option<Cursor> {
        self.history_of(project).map(super::queries::cursor_of)
    }

    fn history_of(&self, project: &ProjectName) -> Option<&Engine> {
        let known = self.projects.get(project)?;
        let up = known.line.as_ref().is_none_or(super::line::Line::is_up);
        up.then_some(&known.engine)
    }

    /// How many events a project has after a cursor.
    pub fn events_after(&self, project: &ProjectName, after: Option<Cursor>) -> u64 {
        let engine = self.history_of(project);
        engine.map_or(0, |engine| {
            let after = after.map_or(engine.state().history.oldest(), |c| c.position);
            engine.state().history.count_after(after)
        })
    }

    /// What follows `after`; without it, all that there ever was: events that are no longer kept are a gap then too.
    pub fn read_history(
        &self,
        project: &ProjectName,
        after: Option<Cursor>,
        events_max: usize,
    ) -> HistoryRead {
        let nothing = HistoryRead::Events(Vec::new());
        let Some(engine) = self.history_of(project) else {
            return nothing;
        };
        let history = &engine.state().history;
        let oldest = history.oldest();
        let start = after.map_or(Position(0), |cursor| cursor.position);
        match after {
            Some(cursor) if !engine.holds(cursor) => {
                let next = end_of_epoch(engine, cursor.epoch);
                return HistoryRead::Gap {
                    next: next.unwrap_or_else(|| engine.cursor_at(oldest)),
                    reason: "epoch_changed",
                };
            }
            _ => {}
        }
        let Some(events) = history.after(start) else {
            return HistoryRead::Gap {
                next: engine.cursor_at(oldest),
                reason: "cursor_expired",
            };
        };
        let view = |event: &Arc<Event>| {
            // Not the present epoch: the same event has the same cursor whenever it is read.
            let epoch = engine.cursor_at(event.position).epoch;
            EventView::of(epoch, event)
        };
        HistoryRead::Events(events.take(events_max).map(view).collect())
    }
}

/// Where an epoch ended whose last records were lost.
fn end_of_epoch(engine: &Engine, epoch: Epoch) -> Option<Cursor> {
    let past = engine.state().epochs.iter().find(|p| p.epoch == epoch)?;
    let oldest = engine.state().history.oldest();
    (past.end >= oldest).then_some(Cursor {
        epoch,
        position: past.end,
    })
}
