//! Subscriptions: each connection has at most one, with filters, resumable from a cursor.
//!
//! Events go directly to the outbox while it has space. Otherwise the subscription lags: it gets events from
//! the history as its outbox drains. If the history no longer has them, the subscription ends with an error.

use std::sync::Arc;

use bytes::Bytes;

use super::connection::ConnectionId;
use super::core::{Core, Moment};
use super::propose::RequestOrigin;
use super::queries::cursor_of;
use crate::engine::Engine;
use crate::engine::event::{Change, ChangeKind, Event, Subject};
use crate::engine::ids::{Cursor, Epoch, Position, ProjectName};
use crate::planted::{Bug, is_on};
use crate::protocol::context::ContextWatchParams;
use crate::protocol::error::{ErrorKind, RpcError};
use crate::protocol::events::{
    EventFilter, EventView, EventsClosed, EventsSubscribeParams, EventsSubscribeResult,
    FILTERS_MAX, TaskLost,
};
use crate::protocol::jsonrpc;
use crate::protocol::lease::LeaseLost;
use crate::protocol::session::Empty;

#[derive(Debug)]
pub(super) struct EventSubscription {
    filters: Vec<EventFilter>,
    watches: Vec<EventFilter>,
    /// Every event up to this position was sent or did not match. Unless it lags, so did those that were published
    /// since: only subscriptions that an event may concern are looked at.
    told: Position,
    /// The epoch of the project at that time.
    epoch: Epoch,
    /// An event did not fit; the rest comes from the history.
    pub(super) lagging: bool,
}

impl EventSubscription {
    /// The cursor up to which events were sent.
    pub(super) fn cursor(&self) -> Cursor {
        Cursor {
            epoch: self.epoch,
            position: self.told,
        }
    }

    /// Counts what was published and did not concern it.
    pub(super) fn skip_to(&mut self, published: Cursor) {
        if !self.lagging && self.cursor() < published {
            self.tell(published.position, published.epoch);
        }
    }

    fn tell(&mut self, up_to: Position, epoch: Epoch) {
        self.told = up_to;
        self.epoch = epoch;
    }

    /// What it is filed under.
    pub(super) fn filters(&self) -> impl Iterator<Item = &EventFilter> {
        self.filters.iter().chain(&self.watches)
    }

    fn wants(&self, event: &Event) -> bool {
        let all = self.filters.is_empty() && self.watches.is_empty();
        all || self
            .filters()
            .any(|filter| event.changes.iter().any(|c| filter.matches(c)))
    }
}

impl Core {
    pub(super) fn subscription_mut(&mut self, id: ConnectionId) -> Option<&mut EventSubscription> {
        self.connections.get_mut(&id)?.subscription.as_deref_mut()
    }

    pub(super) fn drop_subscription(&mut self, project: &ProjectName, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.subscription = None;
        }
        if let Some(project) = self.projects.get_mut(project) {
            project.subscribers.remove(id);
        }
    }

    pub(super) fn subscribe(
        &mut self,
        now: Moment,
        origin: &RequestOrigin,
        params: EventsSubscribeParams,
    ) {
        if params.filters.len() > FILTERS_MAX {
            let error = RpcError::limit("filters_max", FILTERS_MAX as u64);
            return self.send_error(now, origin, &error);
        }
        self.begin(now, origin, params.from, |subscription| {
            subscription.filters = params.filters;
        });
    }

    pub(super) fn watch(
        &mut self,
        now: Moment,
        origin: &RequestOrigin,
        params: ContextWatchParams,
    ) {
        let filter = EventFilter {
            kinds: ["context.*".to_owned()].into(),
            key_prefix: Some(params.prefix),
            ..EventFilter::default()
        };
        let connection = self.connections.get(&origin.connection);
        let watches = connection.and_then(|c| c.subscription.as_ref());
        if watches.is_some_and(|s| s.watches.len() >= FILTERS_MAX) {
            let error = RpcError::limit("filters_max", FILTERS_MAX as u64);
            return self.send_error(now, origin, &error);
        }
        self.begin(now, origin, params.from, |subscription| {
            subscription.watches.push(filter);
        });
    }

    /// Begins or changes a connection's subscription. The answer is sent before its first event.
    fn begin(
        &mut self,
        now: Moment,
        origin: &RequestOrigin,
        from: Option<Cursor>,
        change: impl FnOnce(&mut EventSubscription),
    ) {
        let Some(connection) = self.connections.get_mut(&origin.connection) else {
            return;
        };
        let Some(project) = self.projects.get_mut(&connection.project) else {
            return;
        };
        let here = cursor_of(&project.engine);
        let start = match resume_point(&project.engine, from) {
            Ok(start) => start,
            Err(error) => return self.send_error(now, origin, &error),
        };
        let subscription = connection.subscription.get_or_insert_with(|| {
            Box::new(EventSubscription {
                filters: Vec::new(),
                watches: Vec::new(),
                told: start,
                epoch: here.epoch,
                lagging: false,
            })
        });
        subscription.skip_to(project.published);
        change(subscription);
        if from.is_some() {
            subscription.tell(start, here.epoch);
        }
        subscription.lagging = subscription.told < here.position;
        let cursor = Cursor {
            epoch: here.epoch,
            position: subscription.told,
        };
        let all = subscription.filters().cloned().collect();
        project.subscribers.set(origin.connection, all);
        self.send(now, origin, Ok(&EventsSubscribeResult { cursor }));
        self.catch_up(origin.connection);
    }

    pub(super) fn unsubscribe(&mut self, now: Moment, origin: &RequestOrigin) {
        if let Some(connection) = self.connections.get_mut(&origin.connection) {
            connection.subscription = None;
            if let Some(project) = self.projects.get_mut(&connection.project) {
                project.subscribers.remove(origin.connection);
            }
        }
        self.send(now, origin, Ok(&Empty {}));
    }

    /// Sends events from the history to a lagging subscription, as far as its outbox has space.
    pub(super) fn catch_up(&mut self, id: ConnectionId) {
        let room = usize::try_from(self.config.driver.events_queued_max).unwrap_or(usize::MAX);
        loop {
            let Some(connection) = self.connections.get_mut(&id) else {
                return;
            };
            let Some(subscription) = connection.subscription.as_mut() else {
                return;
            };
            if !subscription.lagging || connection.outbox.frames.len() >= room {
                return;
            }
            let Some(project) = self.projects.get(&connection.project) else {
                return;
            };
            let engine = &project.engine;
            let told = subscription.told;
            let Some(mut events) = engine.state().history.after(told) else {
                return self.expire(id);
            };
            let found = events.find(|event| subscription.wants(event)).cloned();
            drop(events);
            let Some(event) = found else {
                subscription.tell(engine.state().position, engine.state().epoch);
                subscription.lagging = false;
                return;
            };
            subscription.tell(event.position, engine.state().epoch);
            let frame = encode(engine, &event);
            self.metrics.events_sent.inc();
            self.push_frame(id, frame);
        }
    }

    /// Ends a subscription that is behind the history, and sends the cursor for a new one.
    fn expire(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let Some(subscription) = connection.subscription.take() else {
            return;
        };
        let Some(project) = self.projects.get_mut(&connection.project) else {
            return;
        };
        project.subscribers.remove(id);
        let next = cursor_of(&project.engine);
        let closed = EventsClosed {
            kind: ErrorKind::CursorExpired,
            cursor: Cursor {
                epoch: next.epoch,
                position: subscription.told,
            },
            next,
        };
        self.metrics.subscriptions_expired.inc();
        self.push_frame(id, jsonrpc::notification("events.closed", &closed).into());
    }

    /// Sends an event to its subscribers, and notices to holders that lost something.
    pub(super) fn publish(&mut self, name: &ProjectName, event: &Arc<Event>) {
        self.wake_reader();
        let room = self.config.driver.events_queued_max;
        let Some(project) = self.projects.get_mut(name) else {
            return;
        };
        let epoch = project.engine.state().epoch;
        let newest = Cursor {
            epoch,
            position: event.position,
        };
        let before = std::mem::replace(&mut project.published, newest);
        let mut encoded: Option<Bytes> = None;
        let mut frames: Vec<(ConnectionId, Bytes)> = Vec::new();
        for id in project.subscribers.concerned(event) {
            let Some(connection) = self.connections.get_mut(&id) else {
                continue;
            };
            let queued = connection.outbox.frames.len() as u64;
            let Some(subscription) = connection.subscription.as_mut() else {
                continue;
            };
            if subscription.lagging || event.position <= subscription.told {
                continue;
            }
            if !subscription.wants(event) {
                continue;
            }
            if queued >= room {
                subscription.skip_to(before);
                subscription.lagging = true;
            } else {
                subscription.tell(event.position, epoch);
                // Encoded once for all.
                let frame = encoded.get_or_insert_with(|| encode(&project.engine, event));
                frames.push((id, frame.clone()));
            }
        }
        for change in &event.changes {
            let Some(frame) = loss(change) else { continue };
            let holder = change.agent.as_ref();
            let theirs = holder.and_then(|agent| project.by_agent.get(agent));
            frames.extend(theirs.into_iter().flatten().map(|id| (*id, frame.clone())));
        }
        for (id, frame) in frames {
            self.metrics.events_sent.inc();
            self.push_frame(id, frame);
        }
    }
}

fn encode(engine: &Engine, event: &Event) -> Bytes {
    let view = EventView::of(engine.state().epoch, event);
    jsonrpc::notification("event", &view).into()
}

/// Where a subscription begins: at a cursor that can still be resumed, or now.
fn resume_point(engine: &Engine, from: Option<Cursor>) -> Result<Position, RpcError> {
    let here = cursor_of(engine);
    let Some(from) = from else {
        return Ok(here.position);
    };
    let refuse = |kind, message: String| {
        let error = RpcError::new(kind, message);
        Err(error.with(|detail| detail.cursor = Some(here)))
    };
    let accepted = is_on(Bug::StaleCursorAccepted);
    if !accepted && !engine.holds(from) {
        let message = if from.epoch == here.epoch {
            format!("cursor {from} does not belong to this journal, which is at {here}")
        } else {
            format!("cursor {from} belongs to another epoch than {here}")
        };
        return refuse(ErrorKind::EpochChanged, message);
    }
    if engine.state().history.after(from.position).is_none() {
        let message = format!("events after cursor {from} are no longer available");
        return refuse(ErrorKind::CursorExpired, message);
    }
    Ok(from.position)
}

/// The notice to a holder that lost something without its own request.
fn loss(change: &Change) -> Option<Bytes> {
    let fence = change.fence?;
    let reason = change.reason.as_deref().unwrap_or("gone").to_owned();
    match (&change.subject, change.kind) {
        (Some(Subject::Lease(lease)), ChangeKind::LeaseLapsed | ChangeKind::LeaseRevoked) => {
            let lost = LeaseLost {
                lease: *lease,
                fence,
                reason,
            };
            Some(jsonrpc::notification("lease.lost", &lost).into())
        }
        (
            Some(Subject::Task { task, attempt }),
            ChangeKind::TaskLost | ChangeKind::TaskCancelled,
        ) => {
            let lost = TaskLost {
                task: *task,
                attempt: *attempt,
                fence,
                reason,
            };
            Some(jsonrpc::notification("task.lost", &lost).into())
        }
        _ => None,
    }
}
