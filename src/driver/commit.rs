//! What happens when the journal has made commands durable: apply, answer, send events, wake parked requests.

use std::collections::BTreeMap;

use super::admit::storage_full;
use super::connection::{Attached, ConnectionId};
use super::core::{Core, CoreOutput, Moment};
use super::propose::{Extra, Pending, Proposed};
use super::wake::Wakes;
use crate::engine::command::{Action, Command, LostReason};
use crate::engine::event::{ChangeKind, Event, Subject};
use crate::engine::ids::{Position, ProjectName, SessionId, TokenId};
use crate::engine::outcome::{Answer, Outcome, Refusal, SessionOutcome};
use crate::journal::{JournalStatus, Space};
use crate::planted::{Bug, is_on};
use crate::protocol::error::RpcError;

/// When the node retries its own commands that a full disk refused.
const DEFERRED_RETRY_MS: u64 = 1_000;
/// The first and the longest pause before a full disk is probed again.
const PROBE_PAUSE_MS_MIN: u64 = 1_000;
const PROBE_PAUSE_MS_MAX: u64 = 60_000;

impl Core {
    /// The batch is durable and is applied at once.
    pub fn appended(&mut self, now: Moment, positions: &[Position], status: JournalStatus) {
        self.synced(positions, status);
        self.apply_synced(now);
    }

    /// The batch is durable; `positions` has the position of each command. The next batch is sent before
    /// [`Core::apply_synced`] applies this one.
    pub fn synced(&mut self, positions: &[Position], status: JournalStatus) {
        self.note_status(status);
        self.probe.under_way = false;
        let batch = std::mem::take(&mut self.appending);
        self.synced
            .extend(batch.into_iter().zip(positions.iter().copied()));
        self.flush();
    }

    /// Applies what is durable, answers, sends events, wakes parked requests.
    pub fn apply_synced(&mut self, now: Moment) {
        let batch = std::mem::take(&mut self.synced);
        self.apply_batch(now, batch);
        self.maybe_snapshot();
        self.flush();
    }

    /// The disk is full; nothing of the batch was written.
    pub fn append_refused(&mut self, now: Moment, status: JournalStatus) {
        self.note_status(status);
        self.status.space = Space::Reserve;
        let mut woken: BTreeMap<ProjectName, Wakes> = BTreeMap::new();
        for proposed in std::mem::take(&mut self.appending) {
            let project = proposed.project.clone();
            let wakes = self.refuse_proposed(now, proposed, &storage_full());
            woken.entry(project).or_default().add(wakes);
        }
        // Requests that waited behind a refused one are checked again: nothing else would wake them.
        for (project, wakes) in woken {
            self.wake_parked(now, &project, &wakes);
        }
        self.maybe_snapshot();
        self.flush();
    }

    /// A command of a line was not applied, as far as is known. The node's own commands are retried.
    pub(super) fn fail_proposed(&mut self, now: Moment, proposed: Proposed, error: &RpcError) {
        let project = proposed.project.clone();
        let wakes = self.refuse_proposed(now, proposed, error);
        self.wake_parked(now, &project, &wakes);
    }

    /// Answers a command with an error. Returns what waited behind it.
    fn refuse_proposed(&mut self, now: Moment, proposed: Proposed, error: &RpcError) -> Wakes {
        let Some(pending) = self.pending.remove(&proposed.sequence) else {
            return Wakes::default();
        };
        self.metrics.in_flight.dec();
        let known = self.projects.get_mut(&proposed.project);
        let wakes = known.map_or_else(Wakes::default, |known| {
            known.count_sessions(&proposed.command, false);
            known.decided(&pending, None)
        });
        self.landed(&pending, &proposed.command);
        match (pending.request, proposed.command.action) {
            (Some(origin), _) => self.send_error(now, &origin, error),
            // Recurring commands are proposed again when they are due.
            (None, Action::NodeAlive(_)) => self.sign_failed(&proposed.project),
            (None, action) => {
                self.deferred.push((proposed.project, action));
                self.deferred_until = Some(now.after_ms(DEFERRED_RETRY_MS));
            }
        }
        wakes
    }

    fn note_status(&mut self, status: JournalStatus) {
        let metrics = &self.metrics;
        metrics
            .journal
            .syncs
            .inc_by(status.syncs.saturating_sub(self.status.syncs));
        let written = status
            .written_bytes
            .saturating_sub(self.status.written_bytes);
        metrics.journal.written_bytes.inc_by(written);
        self.status = status;
    }

    fn apply_batch(&mut self, now: Moment, batch: Vec<(Proposed, Position)>) {
        let mut woken: Vec<(ProjectName, Wakes)> = Vec::new();
        for (proposed, position) in batch {
            let name = proposed.project.clone();
            let wakes = self.apply_one(now, &proposed, position);
            match woken.iter_mut().find(|(project, _)| *project == name) {
                Some((_, known)) => known.add(wakes),
                None => woken.push((name, wakes)),
            }
        }
        for (name, wakes) in woken {
            self.wake_parked(now, &name, &wakes);
        }
    }

    pub(super) fn apply_one(
        &mut self,
        now: Moment,
        proposed: &Proposed,
        position: Position,
    ) -> Wakes {
        let Some(project) = self.projects.get_mut(&proposed.project) else {
            return Wakes::default();
        };
        let applied = project
            .engine
            .apply(position, proposed.at_ms, &proposed.command);
        project.applied(now);
        let mut wakes = project.wakes(applied.signals, &proposed.command);
        if matches!(proposed.command.action, Action::Tick) {
            project.ticking = false;
        }
        let pending = self.pending.get(&proposed.sequence);
        let asker = pending.and_then(|p| Some(p.request.as_ref()?.connection));
        if let Some(event) = &applied.event {
            self.publish(&proposed.project, event);
        }
        if let Some(pending) = self.pending.remove(&proposed.sequence) {
            self.metrics.in_flight.dec();
            // Claims that waited behind this one are checked again, whether it got a task or not.
            if let Some(project) = self.projects.get_mut(&proposed.project) {
                project.count_sessions(&proposed.command, false);
                wakes.add(project.decided(&pending, Some(&applied.answer)));
            }
            self.finish(now, proposed, pending, applied.answer);
        }
        // After the answer: an agent that revokes its own token must get the answer before its connection is
        // closed.
        if let Some(event) = &applied.event {
            self.follow_up(now, &proposed.project, event, asker);
        }
        wakes
    }

    /// A command is no longer in progress, whatever its result.
    fn landed(&mut self, pending: &Pending, command: &Command) {
        let Some(origin) = &pending.request else {
            return;
        };
        if let (Some(agent), Some(id)) = (command.by.agent(), &command.request_id) {
            let key = (agent.clone(), id.clone());
            if let Some(count) = self.repeatable.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.repeatable.remove(&key);
                }
            }
        }
        let claims = u64::from(pending.parked.is_some());
        self.claiming -= claims;
        if let Some(connection) = self.connections.get_mut(&origin.connection) {
            connection.in_flight -= 1;
            connection.claiming -= claims;
            let opens = matches!(
                command.action,
                Action::SessionOpen(_) | Action::SessionResume(_)
            );
            connection.opening &= !opens;
        }
    }

    /// Answers the request behind an applied command, or puts it back in line.
    fn finish(&mut self, now: Moment, proposed: &Proposed, pending: Pending, answer: Answer) {
        self.landed(&pending, &proposed.command);
        let Some(origin) = pending.request else {
            return;
        };
        if let Extra::Events(request) = pending.extra {
            return self.serve(now, origin, *request);
        }
        if let Ok(Outcome::Session(session)) = &answer {
            self.attach(now, &proposed.project, origin.connection, session);
        }
        let unserved = matches!(
            answer,
            Ok(Outcome::Claimed(None)) | Err(Refusal::LeaseConflict(_))
        );
        if let Some((order, parked)) = pending.parked
            && unserved
            && parked.until.is_some_and(|until| until > now)
            && !self.is_closing(origin.connection)
        {
            if self.draining {
                let error = self.unavailable("the coordinator is stopping");
                return self.send_error(now, &origin, &error);
            }
            return self.park(&proposed.project, order, *parked);
        }
        match answer {
            Ok(outcome) => self.send_answer(now, &origin, Ok(outcome), pending.extra),
            Err(refusal) => {
                let error = self.error_of(&proposed.project, &proposed.command.action, refusal);
                self.send_error(now, &origin, &error);
            }
        }
    }

    /// Binds a session to the connection that opened or resumed it, and closes an older connection.
    fn attach(
        &mut self,
        now: Moment,
        project: &ProjectName,
        id: ConnectionId,
        outcome: &SessionOutcome,
    ) {
        let attached = Attached {
            session: outcome.session,
            connection: outcome.connection,
        };
        let Some(known) = self.projects.get_mut(project) else {
            return;
        };
        let before = known.by_session.insert(outcome.session, id);
        if let Some(before) = before.filter(|before| *before != id) {
            if let Some(connection) = self.connections.get_mut(&before) {
                connection.session = None;
            }
            self.close(before, "the session was resumed by another connection");
        }
        match self.connections.get_mut(&id) {
            Some(connection) => connection.session = Some(attached),
            // The connection ended while its session was being opened.
            None => self.detach(now, project, id, attached, LostReason::ConnectionLost),
        }
    }

    /// What the node itself must do after an event.
    fn follow_up(
        &mut self,
        now: Moment,
        project: &ProjectName,
        event: &Event,
        asker: Option<ConnectionId>,
    ) {
        for change in &event.changes {
            match (change.kind, &change.subject) {
                (ChangeKind::TokenRevoked, Some(Subject::Token(token))) => {
                    self.close_token(token);
                }
                (ChangeKind::SessionEnded, Some(Subject::Session(session))) => {
                    let known = self.projects.get_mut(project);
                    let served = known.and_then(|p| p.by_session.remove(session));
                    let Some(id) = served else { continue };
                    if let Some(connection) = self.connections.get_mut(&id) {
                        connection.session = None;
                    }
                    if asker != served {
                        // All it held is released, so its connection must not continue as if it held it.
                        self.close(id, "the session was closed by another connection");
                    }
                }
                (ChangeKind::SessionLost, Some(Subject::Session(session))) => {
                    self.close_if_served(project, *session);
                }
                (ChangeKind::SessionResumed, Some(Subject::Session(session))) => {
                    self.close_if_resumed_elsewhere(project, *session);
                }
                (ChangeKind::ProjectCreated, Some(Subject::Project(created))) => {
                    self.ensure_project(created, now);
                }
                _ => {}
            }
        }
    }

    /// Other nodes declared this node dead: closes the connection of a session that it still serves, so that
    /// the client resumes the session.
    fn close_if_served(&mut self, project: &ProjectName, session: SessionId) {
        let known = self.projects.get_mut(project);
        let Some(id) = known.and_then(|p| p.by_session.remove(&session)) else {
            return;
        };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.session = None;
        }
        self.close(
            id,
            "other coordinators declared this one dead: resume the session",
        );
    }

    /// A session was resumed at another coordinator: closes its connection here.
    fn close_if_resumed_elsewhere(&mut self, project: &ProjectName, session: SessionId) {
        if is_on(Bug::ResumedTwice) {
            return;
        }
        let known = self.projects.get_mut(project);
        let Some(known) = known.filter(|p| p.by_session.contains_key(&session)) else {
            return;
        };
        let state = known.engine.state().sessions.get(&session);
        if state.is_some_and(|s| s.node == self.config.node) {
            return;
        }
        if let Some(id) = known.by_session.remove(&session) {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.session = None;
            }
            self.close(id, "the session was resumed by another connection");
        }
    }

    pub(super) fn close_token(&mut self, token: &TokenId) {
        let theirs = self
            .connections
            .iter()
            .filter(|(_, c)| c.identity.token == *token);
        let ids: Vec<ConnectionId> = theirs.map(|(id, _)| *id).collect();
        for id in ids {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.lost = Some(LostReason::TokenRevoked);
            }
            self.close(id, "the token was revoked");
        }
    }

    /// Whether a full disk has space again is known only by trying. Requests may never try: there may be no
    /// work to finish, and new work is refused before it reaches the journal.
    fn probe(&mut self, now: Moment) {
        if !self.storage_full() {
            self.probe.next = None;
            return;
        }
        let Some(next) = self.probe.next else {
            self.probe.pause_ms = PROBE_PAUSE_MS_MIN;
            self.probe.next = Some(now.after_ms(self.probe.pause_ms));
            return;
        };
        if next > now || self.probe.under_way {
            return;
        }
        self.probe.pause_ms = (self.probe.pause_ms * 2).min(PROBE_PAUSE_MS_MAX);
        self.probe.next = Some(now.after_ms(self.probe.pause_ms));
        if self.appending.is_empty() {
            self.probe.under_way = true;
            self.outputs.push_back(CoreOutput::Append(Vec::new()));
        }
    }

    /// Handles the passing of time: deadlines, heartbeats, parked requests whose time is over.
    pub fn tick(&mut self, now: Moment) {
        self.expire_parked(now);
        self.probe(now);
        self.tick_lines(now);
        let projects: Vec<ProjectName> = self.projects.keys().cloned().collect();
        for name in projects {
            let Some(project) = self.projects.get_mut(&name) else {
                continue;
            };
            let Some(due) = project.next_tick(self.config.driver.heartbeat_ms) else {
                continue;
            };
            let ticking = project.ticking;
            if due.after_ms(self.tick_delay_ms(&name)) <= now && !ticking {
                if let Some(project) = self.projects.get_mut(&name) {
                    project.ticking = true;
                }
                self.propose_own(now, &name, Action::Tick);
            }
        }
        if self.deferred_until.is_some_and(|until| until <= now) {
            self.deferred_until = None;
            for (project, action) in std::mem::take(&mut self.deferred) {
                self.propose_own(now, &project, action);
            }
        }
        self.flush();
    }

    /// When `tick` has something to do next.
    pub fn next_wakeup(&self) -> Option<Moment> {
        let heartbeat_ms = self.config.driver.heartbeat_ms;
        let projects = self.projects.iter().filter(|(_, p)| !p.ticking);
        let ticks = projects.filter_map(|(name, p)| {
            let due = p.next_tick(heartbeat_ms)?;
            Some(due.after_ms(self.tick_delay_ms(name)))
        });
        let others = self.next_expiry().into_iter().chain(self.deferred_until);
        let others = others.chain(self.next_line_wakeup());
        // A disk that has just become full needs a tick at once, which plans the first probe.
        let probe = (self.storage_full() && !self.probe.under_way)
            .then(|| self.probe.next.unwrap_or_default());
        ticks.chain(others).chain(probe).min()
    }
}
