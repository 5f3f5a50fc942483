//! Claims and acquires that wait. They live with the connection's node, never in the journal.

use serde_json::value::RawValue;

use super::connection::ConnectionId;
use super::core::{Core, Moment};
use super::project::Project;
use super::propose::{Extra, Pending, RequestOrigin};
use crate::engine::command::{Action, Actor};
use crate::engine::ids::{ProjectName, RequestId, TaskId};
use crate::engine::outcome::{LeaseConflicts, Outcome, Refusal};
use crate::protocol::operations::Operation;

/// A request that waits until it can be granted, or until its time is over.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) connection: ConnectionId,
    pub(super) id: Option<Box<RawValue>>,
    pub(super) operation: Operation,
    pub(super) started: Moment,
    /// `None`: only until the claims that were ahead of it are decided.
    pub(super) until: Option<Moment>,
    pub(super) request_id: Option<RequestId>,
    pub(super) action: Action,
}

impl Project {
    /// The places in line that belong to a connection.
    pub(super) fn parked_of(&self, connection: ConnectionId) -> Vec<u64> {
        let own = self
            .parked
            .iter()
            .filter(|(_, p)| p.connection == connection);
        own.map(|(order, _)| *order).collect()
    }

    /// The task a claim would get that no other claim on its way is expected to get.
    pub(super) fn candidate(&self, by: &Actor, action: &Action) -> Option<TaskId> {
        let (Some(agent), Action::TaskClaim(claim)) = (by.agent(), action) else {
            return None;
        };
        let reserved = |task| self.reserved.contains(&task);
        self.engine.claim_candidate(agent, &claim.filter, &reserved)
    }

    /// Whether there is any task for a claim, were no other claim on its way.
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
        if let Some(connection) = self.connections.get_mut(&parked.connection) {
            connection.waiting += 1;
        }
        if let Some(known) = self.projects.get_mut(project) {
            if let Some(until) = parked.until {
                self.expiries.insert((until, order, project.clone()));
            }
            known.parked.insert(order, parked);
            self.waiting += 1;
            self.metrics.waiting.inc();
        }
    }

    pub(super) fn unpark(&mut self, project: &ProjectName, order: u64) -> Option<Parked> {
        let parked = self.projects.get_mut(project)?.parked.remove(&order)?;
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

    /// A connection ends: what it waits for is let go.
    pub(super) fn unpark_all_of(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let project = connection.project.clone();
        let known = self.projects.get(&project);
        let orders = known.map_or_else(Vec::new, |known| known.parked_of(id));
        for order in orders {
            self.unpark(&project, order);
        }
    }

    /// Looks at everyone who waits in a project, in the order they came.
    pub(super) fn wake_parked(
        &mut self,
        now: Moment,
        project: &ProjectName,
        claims: bool,
        acquires: bool,
    ) {
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is_on(crate::planted::Bug::LostWakeUp) {
            return;
        }
        let Some(known) = self.projects.get(project) else {
            return;
        };
        // Once the line is up, it is known whether their agents went elsewhere, and all are woken.
        if known.line.as_ref().is_some_and(|line| !line.is_up()) {
            return;
        }
        let wanted = |parked: &Parked| match parked.action {
            Action::TaskClaim(_) => claims,
            _ => acquires,
        };
        let orders: Vec<u64> = known
            .parked
            .iter()
            .filter(|(_, parked)| wanted(parked))
            .map(|(order, _)| *order)
            .collect();
        for order in orders {
            self.wake_one(now, project, order);
        }
    }

    fn wake_one(&mut self, now: Moment, project: &ProjectName, order: u64) {
        let Some(known) = self.projects.get(project) else {
            return;
        };
        let Some(parked) = known.parked.get(&order) else {
            return;
        };
        let Some(connection) = self.connections.get(&parked.connection) else {
            return;
        };
        let by = connection.actor();
        if let Some(answer) = remembered(known, &by, parked) {
            if known.line.is_some() {
                return self.propose_parked(now, project, order, by, None);
            }
            if let Some(parked) = self.unpark(project, order) {
                self.answer_parked(now, parked, answer);
            }
            return;
        }
        if matches!(parked.action, Action::TaskClaim(_)) {
            let candidate = known.candidate(&by, &parked.action);
            let hopeless = parked.until.is_none() && !known.has_candidate(&by, &parked.action);
            if candidate.is_some() {
                self.propose_parked(now, project, order, by, candidate);
            } else if hopeless && let Some(parked) = self.unpark(project, order) {
                self.answer_parked(now, parked, Ok(Outcome::Claimed(None)));
            }
            return;
        }
        match known.engine.check(&by, &parked.action) {
            Ok(()) => self.propose_parked(now, project, order, by, None),
            Err(Refusal::LeaseConflict(_)) => {}
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

    /// Proposes a claim or acquire that goes back to its place in line if it gets nothing.
    pub(super) fn propose_waiting(
        &mut self,
        now: Moment,
        project: &ProjectName,
        order: u64,
        by: Actor,
        parked: Parked,
        reserved: Option<TaskId>,
    ) {
        if let (Some(task), Some(known)) = (reserved, self.projects.get_mut(project)) {
            known.reserved.insert(task);
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

    /// Answers those whose time is over.
    pub(super) fn expire_parked(&mut self, now: Moment) {
        while let Some((until, order, project)) = self.expiries.first().cloned() {
            if until > now {
                return;
            }
            match self.unpark(&project, order) {
                Some(parked) => self.answer_unserved(now, &project, parked),
                None => drop(self.expiries.pop_first()),
            }
        }
    }

    /// What a request gets that waited in vain: nothing to claim, or who stands in its way.
    pub(super) fn answer_unserved(&mut self, now: Moment, project: &ProjectName, parked: Parked) {
        let (Some(connection), Some(known)) = (
            self.connections.get(&parked.connection),
            self.projects.get(project),
        ) else {
            return;
        };
        let by = connection.actor();
        if known.line.as_ref().is_some_and(|line| !line.is_up()) {
            let message =
                "the shared journal is out of reach: whether there is anything is not known";
            let error = self.unavailable(message);
            return self.send_error(now, &origin_of(parked), &error);
        }
        let answered = remembered(known, &by, &parked);
        if answered.is_some() && known.line.is_some() {
            // Not before that record is as durable as answers promise.
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

    pub(super) fn answer_all_parked(&mut self, now: Moment, project: &ProjectName) {
        let orders: Vec<u64> = match self.projects.get(project) {
            Some(known) => known.parked.keys().copied().collect(),
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

/// The answer to an earlier sending of the same request, which was still on its way when this one
/// came to wait: a client that lost its connection in between repeats itself.
fn remembered(project: &Project, by: &Actor, parked: &Parked) -> Option<Result<Outcome, Refusal>> {
    let id = parked.request_id.as_ref()?;
    project.engine.remembered(by, id, &parked.action)
}
