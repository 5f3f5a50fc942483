//! Rebuilding: a state that is read from the store replaces the state of a project. This happens when this node
//! was too far behind, or when the store lost records that this node had applied. Clients that are affected
//! are told.

use super::LineError;
use super::read::read_command;
use crate::driver::connection::{Attached, ConnectionId};
use crate::driver::core::{Core, Moment};
use crate::driver::queries::cursor_of;
use crate::driver::recover::RecoverError;
use crate::engine::Engine;
use crate::engine::agents::SessionState;
use crate::engine::ids::{Cursor, NodeId, Position, ProjectName, SessionId};
use crate::engine::state::State;
use crate::journal::shared::{StreamRecord, StreamSnapshot, next_end};
use crate::planted::{Bug, is_on};
use crate::protocol::error::ErrorKind;
use crate::protocol::events::{EpochChanged, EventsClosed};
use crate::protocol::jsonrpc;

impl Core {
    /// From now on, records that are read continue this snapshot, or an empty state. The present state stays in
    /// place, and answers reads, until the new one is complete.
    pub fn rebuild(
        &mut self,
        project: &ProjectName,
        snapshot: Option<&StreamSnapshot>,
    ) -> Result<(), LineError> {
        let limits = self.config.engine.clone();
        let engine = match snapshot {
            None => Engine::new(limits),
            Some(snapshot) => {
                let state: State = serde_json::from_slice(&snapshot.state).map_err(|source| {
                    RecoverError::Snapshot {
                        project: project.clone(),
                        position: snapshot.at.position,
                        source,
                    }
                })?;
                Engine::from_state(limits, state)
            }
        };
        if let Some(line) = self.line_mut(project) {
            // Arrivals continue the present state. Their positions may belong to other records in the new one.
            line.arrivals.clear();
            line.rebuilding = Some(Box::new(engine));
            line.snapshots.live_bytes = 0;
        }
        Ok(())
    }

    pub(super) fn rebuild_on(
        &mut self,
        project: &ProjectName,
        records: &[StreamRecord],
    ) -> Result<(), LineError> {
        let Some(line) = self.line_mut(project) else {
            return Ok(());
        };
        let Some(engine) = line.rebuilding.as_mut() else {
            return Ok(());
        };
        for record in records {
            let reached = engine.state().position;
            if record.at.position <= reached {
                continue;
            }
            if record.at.position > next_end(reached) {
                return Err(hole(project, reached, record.at.position));
            }
            for read in record.commands() {
                let command = read_command(project, &read)?;
                engine.apply(read.at.position, read.at_ms, &command);
            }
            line.snapshots.live_bytes += record.batch.as_bytes().len() as u64;
        }
        Ok(())
    }

    /// The newest record that is applied, to the state that is being rebuilt if there is one.
    pub fn read_up_to(&self, project: &ProjectName) -> Cursor {
        let known = self.projects.get(project);
        let rebuilding = known.and_then(|p| p.line.as_ref()?.rebuilding.as_deref());
        let engine = rebuilding.or(known.map(|p| &p.engine));
        engine.map(cursor_of).unwrap_or_default()
    }

    fn take_rebuilding(&mut self, project: &ProjectName) -> Option<Box<Engine>> {
        self.line_mut(project)?.rebuilding.take()
    }

    /// Replaces the state with the rebuilt one, if there is one.
    pub(super) fn take_rebuilt(&mut self, now: Moment, project: &ProjectName) {
        let Some(rebuilt) = self.take_rebuilding(project) else {
            return;
        };
        let Some(known) = self.projects.get_mut(project) else {
            return;
        };
        let before = cursor_of(&known.engine);
        self.metrics.shared.rebuilt.inc();
        // A node that was only behind finds its newest record in the rebuilt state. Otherwise the store lost it.
        let lost = !rebuilt.holds(before);
        // Before the state is replaced: the errors go to requests of the old line.
        if lost {
            self.drop_proposed(now, project);
        }
        let Some(known) = self.projects.get_mut(project) else {
            return;
        };
        let lost = lost && !is_on(Bug::LossNotTold);
        let old = std::mem::replace(&mut known.engine, *rebuilt);
        // They name tasks of the old state, and the new state may have other tasks under those numbers.
        known.reserved.clear();
        known.waiters.refile_all(&known.engine);
        known.stand_at(now);
        let here = cursor_of(&known.engine);
        if lost {
            tracing::warn!(%project, %before, %here, "the shared journal lost its latest records");
            self.metrics.shared.tails_lost.inc();
            self.tell_epoch(project, before, here);
        }
        // After clients were told of the epoch, so that they know why a subscription or a session ends.
        self.resubscribe(project, here);
        self.close_stray_sessions(project, &old);
        if *project == self.system {
            self.close_stray_tokens();
        }
    }

    /// Drops commands that were proposed and not written. They name sessions, tasks and leases of the lost line,
    /// whose numbers may now belong to others. The node's own commands are dropped too: the node proposes them
    /// again from the new state.
    fn drop_proposed(&mut self, now: Moment, project: &ProjectName) {
        let error = self.unavailable("the shared journal lost records; nothing was changed");
        let waiting = self
            .line_mut(project)
            .map(|line| std::mem::take(&mut line.batch));
        for proposed in waiting.into_iter().flatten() {
            self.fail_proposed(now, proposed, &error);
        }
        self.deferred.retain(|(concerned, _)| concerned != project);
        if let Some(known) = self.projects.get_mut(project) {
            known.ticking = false;
        }
    }

    /// Tells every connection of the project that acknowledged records may be gone.
    fn tell_epoch(&mut self, project: &ProjectName, before: Cursor, here: Cursor) {
        let changed = EpochChanged {
            project: project.clone(),
            before,
            cursor: here,
        };
        let frame: bytes::Bytes = jsonrpc::notification("epoch.changed", &changed).into();
        for id in self.connections_of(project) {
            self.push_frame(id, frame.clone());
        }
    }

    fn connections_of(&self, project: &ProjectName) -> Vec<ConnectionId> {
        let theirs = self.connections.iter();
        let theirs = theirs.filter(|(_, c)| c.project == *project);
        theirs.map(|(id, _)| *id).collect()
    }

    /// Subscriptions whose cursor is in the new state continue from the history. The others end.
    fn resubscribe(&mut self, project: &ProjectName, here: Cursor) {
        let Some(known) = self.projects.get_mut(project) else {
            return;
        };
        let subscribers: Vec<ConnectionId> = known.subscribers.ids().collect();
        let published = std::mem::replace(&mut known.published, here);
        for id in subscribers {
            if let Some(subscription) = self.subscription_mut(id) {
                subscription.skip_to(published);
            }
            if self.stands_on(project, id) {
                if let Some(subscription) = self.subscription_mut(id) {
                    subscription.lagging = true;
                }
                self.catch_up(id);
                continue;
            }
            let closed = self.subscription_mut(id).map(|subscription| EventsClosed {
                kind: ErrorKind::EpochChanged,
                cursor: subscription.cursor(),
                next: here,
            });
            let Some(closed) = closed else { continue };
            self.drop_subscription(project, id);
            self.push_frame(id, jsonrpc::notification("events.closed", &closed).into());
        }
    }

    fn stands_on(&mut self, project: &ProjectName, id: ConnectionId) -> bool {
        let told = self.subscription_mut(id).map(|s| s.cursor());
        let engine = self.projects.get(project).map(|known| &known.engine);
        told.zip(engine)
            .is_some_and(|(told, engine)| engine.holds(told))
    }

    /// Closes connections whose session the new state does not have, or has for another connection. Their agents
    /// must open a new session.
    fn close_stray_sessions(&mut self, project: &ProjectName, old: &Engine) {
        let node = self.config.node.clone();
        let Some(known) = self.projects.get_mut(project) else {
            return;
        };
        let served = std::mem::take(&mut known.by_session);
        let (kept, stray): (Vec<_>, Vec<_>) = served.into_iter().partition(|(session, id)| {
            let connection = self.connections.get(id);
            let attached = connection.and_then(|c| c.session);
            serves(&known.engine, &node, *session, attached)
                && is_same(old, &known.engine, *session)
        });
        known.by_session = kept.into_iter().collect();
        for (_, id) in stray {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.session = None;
            }
            self.close(id, "the shared journal lost this session: open a new one");
        }
    }

    fn close_stray_tokens(&mut self) {
        let tokens = &self.system_engine().state().tokens;
        let stray = self.connections.values();
        let stray: std::collections::BTreeSet<_> = stray
            .map(|connection| connection.identity.token.clone())
            .filter(|token| !tokens.contains_key(token))
            .collect();
        for token in stray {
            self.close_token(&token);
        }
    }
}

fn serves(engine: &Engine, node: &NodeId, session: SessionId, attached: Option<Attached>) -> bool {
    let session = engine.state().sessions.get(&session);
    session.zip(attached).is_some_and(|(s, attached)| {
        s.node == *node && s.connection == attached.connection && s.state == SessionState::Live
    })
}

/// After a tail was lost, the same number may belong to another agent's session. The resume secret tells.
fn is_same(old: &Engine, new: &Engine, session: SessionId) -> bool {
    let secret = |engine: &Engine| Some(engine.state().sessions.get(&session)?.resume_hash.clone());
    secret(old).is_some() && secret(old) == secret(new)
}

pub(super) fn hole(project: &ProjectName, known: Position, found: Position) -> LineError {
    LineError::Hole {
        project: project.clone(),
        known,
        found,
    }
}
