//! Parked requests: claims and acquires that wait. They live in the node of their connection, never in the journal.
//!
//! ```text
//!  admission ──park──► parked ──wake_one──► proposed ──granted──► answered
//!                        ▲                     │
//!                        └─ nothing granted ───┘      at the same place in line
//!  parked ──► answered (time over, refused, draining) or dropped (its connection ended)
//! ```

use serde_json::value::RawValue;

use super::connection::ConnectionId;
use super::core::{Core, Moment};
use super::project::Project;
use super::propose::{Extra, Pending, RequestOrigin};
use super::waiters::acquire_of;
use crate::engine::command::{Action, Actor};
use crate::engine::ids::{ProjectName, RequestId, TaskId};
use crate::engine::outcome::{LeaseConflicts, Outcome, Refusal};
use crate::protocol::error::Conflict;
use crate::protocol::lease::WaitingAcquireView;
use crate::protocol::operations::Operation;

/// The most acquires that one list tells of: each is checked against all leases.
const WAITING_TOLD_MAX: usize = 100;

/// A request that waits until it can be granted, or until its time is over.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) connection: ConnectionId,
    pub(super) id: Option<Box<RawValue>>,
    pub(super) operation: Operation,
    pub(super) started: Moment,
    /// When its time is over. `None`: it waits only until the claims ahead of it are decided.
    pub(super) until: Option<Moment>,
    pub(super) request_id: Option<RequestId>,
    pub(super) action: Action,
}

impl Project {
    /// The task that a claim would get, without tasks that are reserved for claims under way.
    pub(super) fn candidate(&self, by: &Actor, action: &Action) -> Option<TaskId> {
        let (Some(agent), Action::TaskClaim(claim)) = (by.agent(), action) else {
            return None;
        };
        let reserved = |task| self.reserved.contains(&task);
        self.engine.claim_candidate(agent, &claim.filter, &reserved)
    }

    /// Whether there is any task for a claim, including tasks that are reserved for claims under way.
    fn has_candidate(&self, by: &Actor, action: &Action) -> bool {
        match (by.agent(), action) {
            (Some(agent), Action::TaskClaim(claim)) => {
                let candidate = self
                    .engine
                    .claim_candidate(agent, &claim.filter, &|_| false);
                candidate.is_some()
            }
            _ => false,
        }
    }
}

impl Core {
    pub(super) fn park(&mut self, project: &ProjectName, order: u64, parked: Parked) {
        let (Some(connection), Some(known)) = (
            self.connections.get_mut(&parked.connection),
            self.projects.get_mut(project),
        ) else {
            return;
        };
        connection.waiting += 1;
        if let Some(until) = parked.until {
            self.expiries.insert((until, order, project.clone()));
        }
        let agent = &connection.identity.agent;
        known.waiters.insert(order, parked, agent, &known.engine);
        self.waiting += 1;
        self.metrics.waiting.inc();
    }

    pub(super) fn unpark(&mut self, project: &ProjectName, order: u64) -> Option<Parked> {
        let parked = self.projects.get_mut(project)?.waiters.remove(order)?;
        if let Some(connection) = self.connections.get_mut(&parked.connection) {
            connection.waiting -= 1;
        }
        if let Some(until) = parked.until {
            self.expiries.remove(&(until, order, project.clone()));
        }
        self.waiting -= 1;
        self.metrics.waiting.dec();
        Some(parked)
    }

    /// A connection ends: its parked requests are dropped.
    pub(super) fn unpark_all_of(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let project = connection.project.clone();
        let agent = &connection.identity.agent;
        let known = self.projects.get(&project);
        let orders = known.map_or_else(Vec::new, |it| it.waiters.of_connection(agent, id));
        for order in orders {
            self.unpark(&project, order);
        }
    }

    pub(super) fn wake_one(&mut self, now: Moment, project: &ProjectName, order: u64) {
        let Some(known) = self.projects.get(project) else {
            return;
        };
        let Some(parked) = known.waiters.get(order) else {
            return;
        };
        let Some(connection) = self.connections.get(&parked.connection) else {
            return;
        };
        let by = connection.actor();
        // The remembered answer comes before everything else: the request had its effect under the same request_id,
        // and a second grant would be a second effect.
        if let Some(answer) = remembered(known, &by, parked) {
            // In a shared journal, the record with that answer may be less durable yet than answers promise. A
            // record of our own comes back behind it, and is answered when both are durable.
            if known.line.is_some() {
                return self.propose_parked(now, project, order, by, None);
            }
            if let Some(parked) = self.unpark(project, order) {
                self.answer_parked(now, parked, answer);
            }
            return;
        }
        if matches!(parked.action, Action::TaskClaim(_)) {
            // Only a claim with a task of its own goes to the journal. Without reservations, all parked claims would
            // be proposed for the same task, and all but one of those writes would be wasted.
            let candidate = known.candidate(&by, &parked.action);
            // A claim without a time waited only for the claims ahead of it. While one of them may still get the
            // task, it stays; once there is no task at all, it is answered.
            let hopeless = parked.until.is_none() && !known.has_candidate(&by, &parked.action);
            if candidate.is_some() {
                self.propose_parked(now, project, order, by, candidate);
            } else if hopeless && let Some(parked) = self.unpark(project, order) {
                self.answer_parked(now, parked, Ok(Outcome::Claimed(None)));
            }
            return;
        }
        // What an acquire ahead of it is about to get is as good as held: it is looked at again when that one is
        // decided. Another acquire under way may still win; then this one returns to its place in line.
        if known.makes_room(&parked.action) {
            return;
        }
        match known.engine.check(&by, &parked.action) {
            Ok(()) => self.propose_parked(now, project, order, by, None),
            // Still held: keep waiting.
            Err(Refusal::LeaseConflict(_)) => {}
            // Refused for another reason than a conflict: the client must know it, and does not wait for that.
            Err(refusal) => {
                if let Some(parked) = self.unpark(project, order) {
                    self.answer_parked(now, parked, Err(refusal));
                }
            }
        }
    }

    fn propose_parked(
        &mut self,
        now: Moment,
        project: &ProjectName,
        order: u64,
        by: Actor,
        reserved: Option<TaskId>,
    ) {
        let Some(parked) = self.unpark(project, order) else {
            return;
        };
        self.propose_waiting(now, project, order, by, parked, reserved);
    }

    /// Proposes a claim or acquire. If it gets nothing, it returns to its place in line, `order`.
    pub(super) fn propose_waiting(
        &mut self,
        now: Moment,
        project: &ProjectName,
        order: u64,
        by: Actor,
        parked: Parked,
        reserved: Option<TaskId>,
    ) {
        // Reserved before the proposal, so that the next parked claim of the same pass looks for another task.
        if let Some(known) = self.projects.get_mut(project) {
            known.reserved.extend(reserved);
            if let Some(acquire) = acquire_of(&parked) {
                known.taking.insert(order, acquire);
            }
        }
        let (request_id, action) = (parked.request_id.clone(), parked.action.clone());
        let pending = Pending {
            request: Some(RequestOrigin {
                connection: parked.connection,
                id: parked.id.clone(),
                operation: parked.operation,
                started: parked.started,
            }),
            extra: Extra::None,
            parked: Some((order, Box::new(parked))),
            reserved,
        };
        self.propose(now, project, by, request_id, action, pending);
    }

    /// Answers parked requests whose time is over.
    pub(super) fn expire_parked(&mut self, now: Moment) {
        while let Some((until, order, project)) = self.expiries.first().cloned() {
            if until > now {
                return;
            }
            match self.unpark(&project, order) {
                Some(parked) => self.answer_unserved(now, &project, parked),
                // Its request is gone. Left in place, the entry would make this loop endless.
                None => drop(self.expiries.pop_first()),
            }
        }
    }

    /// Answers a request whose time is over without a grant: nothing to claim, or the leases in its way.
    pub(super) fn answer_unserved(&mut self, now: Moment, project: &ProjectName, parked: Parked) {
        let (Some(connection), Some(known)) = (
            self.connections.get(&parked.connection),
            self.projects.get(project),
        ) else {
            return;
        };
        let by = connection.actor();
        // "Nothing to claim" would be a statement about a state that this node cannot see now.
        if known.line.as_ref().is_some_and(|line| !line.is_up()) {
            let message = "the shared journal cannot be reached, so it is unknown whether there is anything to grant";
            let error = self.unavailable(message);
            return self.send_error(now, &origin_of(parked), &error);
        }
        let answered = remembered(known, &by, &parked);
        if answered.is_some() && known.line.is_some() {
            // As in `wake_one`: a record behind that one is answered only when both are as durable as promised.
            let order = self.next_order();
            return self.propose_waiting(now, project, order, by, parked, None);
        }
        let answer = match (answered, &parked.action) {
            (Some(answer), _) => answer,
            (None, Action::LeaseAcquire(_)) => {
                let refusal = known.engine.check(&by, &parked.action).err();
                Err(refusal.unwrap_or_else(|| Refusal::LeaseConflict(LeaseConflicts::default())))
            }
            (None, _) => Ok(Outcome::Claimed(None)),
        };
        self.answer_parked(now, parked, answer);
    }

    /// The acquires that wait in a project, each with what is in its way now.
    pub(super) fn waiting_acquires(
        &self,
        now: Moment,
        project: &Project,
        count_max: u64,
    ) -> Vec<WaitingAcquireView> {
        let count_max = usize::try_from(count_max).unwrap_or(WAITING_TOLD_MAX);
        let view = |parked: &Parked| {
            let Action::LeaseAcquire(acquire) = &parked.action else {
                return None;
            };
            let by = self.connections.get(&parked.connection)?.actor();
            let LeaseConflicts { told, more, .. } =
                match project.engine.check(&by, &parked.action).err() {
                    Some(Refusal::LeaseConflict(conflicts)) => conflicts,
                    _ => LeaseConflicts::default(),
                };
            let left_us = parked.until.map_or(0, |until| until.since_us(now));
            Some(WaitingAcquireView {
                agent: by.agent()?.clone(),
                resources: acquire.resources.iter().map(ToString::to_string).collect(),
                mode: acquire.mode.into(),
                note: acquire.note.clone(),
                waited_ms: now.since_us(parked.started) / 1_000,
                left_ms: left_us / 1_000,
                conflicts: told.into_iter().map(Conflict::from).collect(),
                conflicts_more: (more > 0).then_some(more),
            })
        };
        let found = project.waiters.waiting_acquires().filter_map(view);
        found.take(count_max.min(WAITING_TOLD_MAX)).collect()
    }

    pub(super) fn answer_all_parked(&mut self, now: Moment, project: &ProjectName) {
        let orders: Vec<u64> = match self.projects.get(project) {
            Some(known) => known.waiters.orders().collect(),
            None => return,
        };
        let error = self.unavailable("the coordinator is stopping");
        for order in orders {
            if let Some(parked) = self.unpark(project, order) {
                let origin = origin_of(parked);
                self.send_error(now, &origin, &error);
            }
        }
    }

    pub(super) fn refuse_parked(
        &mut self,
        now: Moment,
        project: &ProjectName,
        order: u64,
        refusal: Refusal,
    ) {
        if let Some(parked) = self.unpark(project, order) {
            self.answer_parked(now, parked, Err(refusal));
        }
    }

    fn answer_parked(&mut self, now: Moment, parked: Parked, answer: Result<Outcome, Refusal>) {
        let origin = origin_of(parked);
        self.send_answer(now, &origin, answer, Extra::None);
    }

    pub(super) fn next_expiry(&self) -> Option<Moment> {
        self.expiries.first().map(|(until, ..)| *until)
    }
}

fn origin_of(parked: Parked) -> RequestOrigin {
    RequestOrigin {
        connection: parked.connection,
        id: parked.id,
        operation: parked.operation,
        started: parked.started,
    }
}

/// The answer to an earlier sending of the same request. It was under way when this one was parked: a client that
/// lost its connection in between has repeated the request.
fn remembered(project: &Project, by: &Actor, parked: &Parked) -> Option<Result<Outcome, Refusal>> {
    let id = parked.request_id.as_ref()?;
    project.engine.remembered(by, id, &parked.action)
}
