//! The engine: the state of one project, a pure fold over its journal.
//!
//! No IO, no clock, no randomness: time, ids and hashes of secrets come with the commands. Applying is total:
//! for any record it returns an outcome or a refusal, and never panics.
//!
//! Every rule is a `check_…` that changes nothing, followed by a commit that cannot fail. Admission runs the
//! same checks, so a command that would be refused costs no write.
//!
//! What can be computed from the state (deadlines, the order of ready tasks, holders) is in `index`. It is
//! never stored. A change removes an item's entries, changes the item, and inserts its entries again.

mod agent_name;
pub mod agents;
pub mod command;
pub mod context;
mod deadlines;
pub mod event;
pub mod file_path;
pub mod glob;
pub mod hold;
pub mod ids;
mod index;
pub mod leases;
pub mod limits;
mod mailbox;
pub mod messages;
pub mod nodes;
pub mod outcome;
pub mod payload;
mod place;
pub mod resource;
mod seats;
mod sessions;
pub mod state;
pub mod system;
pub mod tasks;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::planted::{Bug, is_on};
use command::{Action, Actor, Command};
use event::{Change, Event};
use ids::{AgentName, ConcurrencyKey, JournalTime, Position, RequestId, TaskId};
pub use index::Counts;
use index::Index;
use limits::Limits;
use outcome::{Answer, Outcome, Refusal};
use resource::Resource;
use state::State;

/// The state of one project and its index.
#[derive(Debug, Clone)]
pub struct Engine {
    limits: Limits,
    state: State,
    /// The position before the one that is being applied.
    before: Position,
    index: Index,
    changes: Vec<Change>,
    /// Tasks that this record may have made stuck or free, and whether each was stuck before.
    touched: BTreeMap<TaskId, bool>,
    signals: Signals,
}

/// A record that was the newest one at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Newest {
    pub position: Position,
    pub at_ms: JournalTime,
}

/// The result of applying one record.
#[derive(Debug, Clone)]
pub struct Applied {
    pub answer: Answer,
    /// `None` when nothing changed.
    pub event: Option<Arc<Event>>,
    pub signals: Signals,
}

/// What may be granted now that could not be before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signals {
    /// They became ready, or are not kept for one agent any more.
    pub tasks: Vec<TaskId>,
    /// One more task of each may run.
    pub keys: Vec<ConcurrencyKey>,
    /// Their capabilities changed.
    pub agents: Vec<AgentName>,
    pub freed: Vec<Freed>,
}

/// Resources that a lease held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freed {
    pub resources: Vec<Resource>,
    /// Set if only its agent may have them at once.
    pub only: Option<AgentName>,
}

impl Signals {
    pub fn add(&mut self, other: Self) {
        self.tasks.extend(other.tasks);
        self.keys.extend(other.keys);
        self.agents.extend(other.agents);
        self.freed.extend(other.freed);
    }
}

impl Engine {
    pub fn new(limits: Limits) -> Self {
        Self::from_state(limits, State::default())
    }

    /// Starts from the state of a snapshot.
    pub fn from_state(limits: Limits, state: State) -> Self {
        let index = Index::of(&state);
        Self {
            limits,
            before: state.position,
            state,
            index,
            changes: Vec::new(),
            touched: BTreeMap::new(),
            signals: Signals::default(),
        }
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// Journal time as of the last record.
    pub fn now(&self) -> JournalTime {
        self.state.now
    }

    /// When the next deadline falls due.
    pub fn next_deadline(&self) -> Option<JournalTime> {
        self.index.deadlines.first().map(|(at, _)| *at)
    }

    /// Applies one record. Deadlines that are due by its time come first.
    pub fn apply(&mut self, position: Position, at_ms: JournalTime, command: &Command) -> Applied {
        self.before = std::mem::replace(&mut self.state.position, position);
        self.advance(at_ms);
        let answer = self.answer(at_ms, command);
        self.settle_seats();
        self.tell_stuck();
        Applied {
            answer,
            event: self.take_event(),
            signals: std::mem::take(&mut self.signals),
        }
    }

    /// Whether `action` would be refused now, by the same checks as when it is applied.
    pub fn check(&self, by: &Actor, action: &Action) -> Result<(), Refusal> {
        match action {
            Action::Tick
            | Action::NodeStart(_)
            | Action::SessionLost(_)
            | Action::MessageTake(_)
            | Action::MessageAck(_) => Ok(()),
            Action::NodeAlive(alive) => self.check_node_alive(alive),
            Action::EpochStart(start) => self.check_epoch_start(start),
            Action::SessionOpen(open) => self.check_session_open(by, open),
            Action::SessionResume(resume) => self.check_session_resume(by, resume),
            Action::SessionClose(close) => self.check_session_close(by, close),
            Action::AgentUpdate(update) => self.check_agent_update(by, update),
            Action::AgentRemove(remove) => self.check_agent_remove(by, remove),
            Action::TaskSubmit(submit) => self.check_task_submit(by, submit),
            Action::TaskClaim(claim) => self.check_task_claim(by, claim),
            Action::TaskProgress(c) => self.check_attempt(by, c.task, c.fence).map(|_| ()),
            Action::TaskComplete(complete) => self.check_task_complete(by, complete),
            Action::TaskFail(c) => self.check_attempt(by, c.task, c.fence).map(|_| ()),
            Action::TaskRelease(c) => self.check_attempt(by, c.task, c.fence).map(|_| ()),
            Action::TaskHandoff(handoff) => self.check_task_handoff(by, handoff),
            Action::TaskCancel(cancel) => self.check_task_cancel(by, cancel),
            Action::TaskRetry(retry) => self.check_task_retry(by, retry),
            Action::LeaseAcquire(acquire) => self.check_lease_acquire(by, acquire).map(|_| ()),
            Action::LeaseEnsure(ensure) => self.check_lease_ensure(by, ensure).map(|_| ()),
            Action::LeaseRenew(renew) => self.check_lease_renew(by, renew),
            Action::LeaseRelease(release) => self.check_lease_release(by, release),
            Action::LeaseGiveBack(back) => self.check_lease_give_back(by, back),
            Action::LeaseRevoke(revoke) => self.check_lease_revoke(by, revoke),
            Action::MessageSend(send) => self.check_message_send(by, send),
            Action::ContextPut(put) => self.check_context_put(put),
            Action::ContextDelete(delete) => self.check_context_delete(delete),
            Action::TokenCreate(create) => self.check_token_create(by, create),
            Action::TokenRevoke(revoke) => self.check_token_revoke(by, revoke),
            Action::ProjectCreate(create) => self.check_project_create(by, create),
        }
    }

    /// The remembered answer to this agent's request with the same id.
    pub fn remembered(&self, by: &Actor, id: &RequestId, action: &Action) -> Option<Answer> {
        if is_on(Bug::RepeatedTwice) {
            return None;
        }
        let known = self.state.answers.get(by.agent()?)?;
        let (_, operation, outcome) = known.iter().find(|(known_id, ..)| known_id == id)?;
        if **operation == *action.name() {
            return Some(Ok(self.with_the_rest(by, outcome.clone(), action)));
        }
        Some(Err(Refusal::Conflict(format!(
            "request_id {id} was already used for {operation}"
        ))))
    }

    /// The newest record, and its time.
    pub fn newest(&self) -> Newest {
        Newest {
            position: self.state.position,
            at_ms: self.state.now,
        }
    }

    /// Whether an answer to this agent may have been dropped since this was the newest record. If so, a
    /// request with a `request_id` from before may be a repeated one.
    pub fn may_have_forgotten(&self, by: &Actor, since: Newest) -> bool {
        if is_on(Bug::OvertakenTwice) {
            return false;
        }
        let moved = self.state.position > since.position;
        self.forgotten(by)
            .is_some_and(|at| at > since.at_ms || (at == since.at_ms && moved))
    }

    fn forgotten(&self, by: &Actor) -> Option<JournalTime> {
        self.state.forgotten.get(by.agent()?).copied()
    }

    fn answer(&mut self, at_ms: JournalTime, command: &Command) -> Answer {
        if let Some(id) = &command.request_id {
            if let Some(answer) = self.remembered(&command.by, id, &command.action) {
                return answer;
            }
            if self.is_overtaken(&command.by, at_ms) {
                return Err(Refusal::Overtaken);
            }
        }
        self.check(&command.by, &command.action)?;
        if let Some(agent) = command.by.agent() {
            self.ensure_agent(agent)?;
        }
        let outcome = self.commit(&command.by, &command.action)?;
        if let Some(id) = &command.request_id {
            self.remember(&command.by, id, &command.action, &outcome);
        }
        if let Some(agent) = command.by.agent() {
            self.index.touch(agent);
        }
        Ok(outcome)
    }

    /// Applies a checked action. It can still be refused only for what the change itself must find out (which
    /// ports of a pool are free).
    fn commit(&mut self, by: &Actor, action: &Action) -> Answer {
        match action {
            Action::Tick => {}
            Action::NodeStart(start) => self.node_start(start),
            Action::NodeAlive(alive) => self.node_alive(alive),
            Action::EpochStart(start) => self.epoch_start(start),
            Action::SessionOpen(open) => return Ok(self.session_open(by, open)),
            Action::SessionResume(resume) => return Ok(self.session_resume(resume)),
            Action::SessionClose(close) => self.session_close(by, close),
            Action::SessionLost(lost) => self.session_lost(lost),
            Action::AgentUpdate(update) => self.agent_update(by, update),
            Action::AgentRemove(remove) => self.agent_remove(remove),
            Action::TaskSubmit(submit) => return Ok(self.task_submit(by, submit)),
            Action::TaskClaim(claim) => {
                return Ok(Outcome::Claimed(self.task_claim(by, claim).map(Box::new)));
            }
            Action::TaskProgress(progress) => return Ok(self.task_progress(progress)),
            Action::TaskComplete(complete) => return Ok(self.task_complete(by, complete)),
            Action::TaskFail(fail) => return Ok(self.task_fail(fail)),
            Action::TaskRelease(release) => self.task_release(release),
            Action::TaskHandoff(handoff) => return self.task_handoff(handoff),
            Action::TaskCancel(cancel) => self.task_cancel(by, cancel),
            Action::TaskRetry(retry) => return Ok(self.task_retry(retry)),
            Action::LeaseAcquire(acquire) => return self.lease_acquire(by, acquire),
            Action::LeaseEnsure(ensure) => return self.lease_ensure(by, ensure),
            Action::LeaseRenew(renew) => return Ok(self.lease_renew(renew)),
            Action::LeaseRelease(release) => self.lease_release(release),
            Action::LeaseGiveBack(back) => return Ok(self.lease_give_back(by, back)),
            Action::LeaseRevoke(revoke) => self.lease_revoke(revoke),
            Action::MessageSend(send) => return Ok(self.message_send(by, send)),
            Action::MessageTake(take) => return Ok(self.message_take(by, take)),
            Action::MessageAck(ack) => return Ok(self.message_ack(by, ack)),
            Action::ContextPut(put) => return Ok(self.context_put(by, put)),
            Action::ContextDelete(delete) => return Ok(self.context_delete(by, delete)),
            Action::TokenCreate(create) => self.token_create(create),
            Action::TokenRevoke(revoke) => self.token_revoke(&revoke.token, "revoked"),
            Action::ProjectCreate(create) => self.project_create(create),
        }
        Ok(Outcome::Done)
    }

    /// Whether a request took so long to reach the journal that the agent may have repeated it at another
    /// coordinator, whose answer was given and dropped since.
    fn is_overtaken(&self, by: &Actor, at_ms: JournalTime) -> bool {
        if is_on(Bug::OvertakenTwice) {
            return false;
        }
        let late = at_ms.after_ms(self.limits.request_late_ms_max) < self.state.now;
        (late && self.forgotten(by).is_some_and(|at| at_ms <= at))
            || self.may_be_of_forgotten_seat(by, at_ms)
    }

    /// Remembers an answer for a repeated request. "Nothing to claim" has no effect, so it is not remembered.
    fn remember(&mut self, by: &Actor, id: &RequestId, action: &Action, outcome: &Outcome) {
        let Some(agent) = by.agent() else { return };
        if !self.state.agents.contains_key(agent) {
            return;
        }
        if matches!(outcome, Outcome::Claimed(None)) {
            self.state.forgotten.insert(agent.clone(), self.state.now);
            return;
        }
        let known = self.state.answers.entry(agent.clone()).or_default();
        let outcome = what_is_kept(outcome.clone());
        known.push_back((id.clone(), action.name().into(), outcome));
        while known.len() as u64 > self.limits.request_ids_per_agent_max {
            known.pop_front();
            self.state.forgotten.insert(agent.clone(), self.state.now);
        }
    }

    /// Restores what [`what_is_kept`] left out, from the present state if it is still there.
    fn with_the_rest(&self, by: &Actor, mut outcome: Outcome, action: &Action) -> Outcome {
        match (&mut outcome, action) {
            (Outcome::Submitted(submitted), Action::TaskSubmit(submit)) => {
                self.describe_submitted(submit, submitted, true);
            }
            (Outcome::Ensured(kept), Action::LeaseEnsure(ensure)) => {
                self.ensured_again(by, ensure, kept);
            }
            (Outcome::Done, Action::TaskRetry(retry)) => return self.queued(retry.task),
            (Outcome::Done, Action::TaskHandoff(handoff)) => return self.queued(handoff.task),
            _ => {}
        }
        if let Some(grant) = grant_of(&mut outcome)
            && let Some(task) = self.state.tasks.get(&grant.task)
        {
            grant.payload.clone_from(&task.payload);
            grant.handoff.clone_from(&task.handoff);
        }
        if let (Outcome::Lease(grant), Action::LeaseAcquire(acquire)) = (&mut outcome, action) {
            let lease = self.state.leases.get(&grant.lease);
            grant.resources = match lease {
                Some(lease) => lease.resources.clone(),
                None => leases::with_files(acquire, std::mem::take(&mut grant.resources)),
            };
        }
        outcome
    }

    fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    fn take_event(&mut self) -> Option<Arc<Event>> {
        if self.changes.is_empty() {
            return None;
        }
        let event = Arc::new(Event {
            position: self.state.position,
            at_ms: self.state.now,
            // Without spare capacity: many answers are kept, for a long time.
            changes: self.changes.drain(..).collect(),
        });
        self.state.history.push(Arc::clone(&event), &self.limits);
        Some(event)
    }

    /// Finished tasks that are still stored, by how they ended.
    pub fn finished_tasks(&self) -> tasks::Finished {
        self.index.tasks_finished
    }

    pub fn counts(&self) -> Counts {
        self.index.counts
    }

    /// Whether the index matches the state; tests check it after every step.
    pub fn is_consistent(&self) -> bool {
        self.index == Index::of(&self.state)
    }
}

/// Remembered answers must not keep payloads and file names that no limit counts any more, nor facts that are
/// true only for a moment.
fn what_is_kept(mut outcome: Outcome) -> Outcome {
    match &mut outcome {
        Outcome::Submitted(submitted) => {
            for given in submitted {
                given.found = None;
                given.stuck = Vec::new();
            }
        }
        Outcome::Queued(_) => return Outcome::Done,
        Outcome::Ensured(ensured) => {
            ensured.elsewhere = outcome::LeaseConflicts::default();
            for lease in &mut ensured.leases {
                lease.resources = Vec::new();
            }
        }
        _ => {}
    }
    if let Some(grant) = grant_of(&mut outcome) {
        grant.payload = None;
        grant.handoff = None;
    }
    if let Outcome::Lease(grant) = &mut outcome {
        grant.resources.retain(|it| it.file_bytes().is_none());
    }
    outcome
}

fn grant_of(outcome: &mut Outcome) -> Option<&mut outcome::Grant> {
    match outcome {
        Outcome::Claimed(grant) | Outcome::Completed { next: grant } => grant.as_deref_mut(),
        _ => None,
    }
}
