//! The life of a claimed attempt: progress, completion, failure, release, handoff, loss.

use std::collections::BTreeSet;

use super::super::Engine;
use super::super::command::{
    Actor, HandoffTarget, TaskComplete, TaskFail, TaskHandoff, TaskProgress, TaskRelease,
};
use super::super::event::{Change, ChangeKind};
use super::super::ids::{FencingToken, JournalTime, TaskId};
use super::super::limits::check_limit;
use super::super::outcome::{Answer, FailOutcome, Outcome, Refusal};
use super::super::payload::bytes_of;
use super::{Attempt, CAPABILITY_BYTES, Handoff, Offer, Progress, TaskState, about};
use crate::planted::{Bug, is_on};

impl Engine {
    /// The attempt of `task` with this fencing token, if `by` holds it.
    pub(in super::super) fn check_attempt(
        &self,
        by: &Actor,
        task: TaskId,
        fence: FencingToken,
    ) -> Result<&Attempt, Refusal> {
        let attempt = self.task(task)?.attempt();
        let current = attempt.map(|a| a.fence);
        match attempt {
            Some(attempt) if is_current(current, fence) => {
                if by.agent() == Some(&attempt.agent) {
                    return Ok(attempt);
                }
                Err(Refusal::Forbidden(format!(
                    "the attempt of task {task} is held by {}",
                    attempt.agent
                )))
            }
            _ => Err(Refusal::StaleFence {
                what: format!("task {task}"),
                given: fence,
                current,
            }),
        }
    }

    pub(in super::super) fn task_progress(&mut self, progress: &TaskProgress) -> Outcome {
        let now = self.state.now;
        let renewed = self.with_task(progress.task, |task| {
            task.progress = Some(Progress {
                at: now,
                percent: progress.percent,
                note: progress.note.clone(),
            });
            let TaskState::Claimed(attempt) = &mut task.state else {
                return None;
            };
            attempt.hold.renew(now, None);
            Some(attempt.clone())
        });
        let Some(Some(attempt)) = renewed else {
            return Outcome::Done;
        };
        let mut change = of_attempt(ChangeKind::TaskProgress, progress.task, &attempt);
        if let Some(note) = &progress.note {
            change = change.reason(note.as_str());
        }
        self.change(change);
        Outcome::Renewed {
            expires_at: attempt.hold.expires_at(),
        }
    }

    pub(in super::super) fn check_task_complete(
        &self,
        by: &Actor,
        complete: &TaskComplete,
    ) -> Result<(), Refusal> {
        self.check_attempt(by, complete.task, complete.fence)?;
        let bytes = bytes_of(complete.result.as_ref());
        check_limit!(self.limits, payload_bytes_max, bytes)?;
        match &complete.next {
            Some(claim) => self.check_task_claim(by, claim),
            None => Ok(()),
        }
    }

    pub(in super::super) fn task_complete(
        &mut self,
        by: &Actor,
        complete: &TaskComplete,
    ) -> Outcome {
        let id = complete.task;
        let attempt = self.state.tasks.get(&id).and_then(|t| t.attempt().cloned());
        self.with_task(id, |task| task.result.clone_from(&complete.result));
        self.finish(id, TaskState::Done);
        self.state.totals.tasks_done += 1;
        if let Some(attempt) = &attempt {
            self.change(of_attempt(ChangeKind::TaskDone, id, attempt));
        }
        let dependents = self.index.dependents.get(&id).cloned();
        for dependent in dependents.into_iter().flatten() {
            self.dependency_done(dependent, id);
        }
        let next = match &complete.next {
            Some(claim) => self.task_claim(by, claim).map(Box::new),
            None => None,
        };
        if let Some(attempt) = attempt {
            self.refresh_presence(&attempt.agent, "completed its task");
        }
        Outcome::Completed { next }
    }

    fn dependency_done(&mut self, dependent: TaskId, done: TaskId) {
        let free = self.with_task(dependent, |task| {
            task.waiting_on.remove(&done);
            task.waiting_on.is_empty() && task.state == TaskState::Blocked
        });
        if free == Some(true) {
            self.settle(dependent);
        }
    }

    pub(in super::super) fn task_fail(&mut self, fail: &TaskFail) -> Outcome {
        let id = fail.task;
        self.with_task(id, |task| task.last_error = Some(fail.error.clone()));
        let outcome =
            self.attempt_fails(id, ChangeKind::TaskFailed, fail.error.as_str(), fail.retry);
        Outcome::Failed(outcome)
    }

    /// Counts a failure; the task is retried after its back-off, or is dead.
    fn attempt_fails(
        &mut self,
        id: TaskId,
        kind: ChangeKind,
        reason: &str,
        retry: bool,
    ) -> FailOutcome {
        let now = self.state.now;
        let backoff_ms_max = self.limits.backoff_ms_max;
        let attempt = self.state.tasks.get(&id).and_then(|t| t.attempt().cloned());
        if let Some(attempt) = &attempt {
            let change = of_attempt(kind, id, attempt);
            self.change(change.reason(reason));
        }
        let not_before = self.with_task(id, |task| {
            task.failures += 1;
            if !retry || task.failures >= task.attempts_max {
                return None;
            }
            let at = now.after_ms(backoff_ms(task.backoff_ms, task.failures, backoff_ms_max));
            task.not_before = Some(at);
            Some(at)
        });
        let outcome = self.retry_or_bury(id, not_before.flatten());
        if let Some(attempt) = attempt {
            self.refresh_presence(&attempt.agent, "its attempt failed");
        }
        outcome
    }

    fn retry_or_bury(&mut self, id: TaskId, not_before: Option<JournalTime>) -> FailOutcome {
        if let Some(not_before) = not_before {
            self.settle(id);
            return FailOutcome::Retry { not_before };
        }
        self.finish(id, TaskState::Dead);
        self.state.totals.tasks_dead += 1;
        self.change(about(ChangeKind::TaskDead, id, 0));
        FailOutcome::Dead
    }

    pub(in super::super) fn attempt_times_out(&mut self, id: TaskId) {
        self.state.totals.attempts_lost += 1;
        self.attempt_fails(id, ChangeKind::TaskLost, "timed out", true);
    }

    /// The holder is lost: the attempt counts as failed, and the task is offered to the same agent first.
    pub(in super::super) fn attempt_lost(&mut self, id: TaskId, reason: &str) {
        let now = self.state.now;
        let offer_ms = self.limits.crash_offer_ms;
        let Some(attempt) = self.state.tasks.get(&id).and_then(|t| t.attempt().cloned()) else {
            return;
        };
        self.state.totals.attempts_lost += 1;
        let change = of_attempt(ChangeKind::TaskLost, id, &attempt);
        self.change(change.reason(reason));
        let again = self.with_task(id, |task| {
            task.failures += 1;
            task.offer = Some(Offer {
                agent: attempt.agent.clone(),
                until: now.after_ms(offer_ms),
            });
            task.failures < task.attempts_max
        });
        self.retry_or_bury(id, (again == Some(true)).then_some(now));
        self.refresh_presence(&attempt.agent, reason);
    }

    pub(in super::super) fn task_release(&mut self, release: &TaskRelease) {
        self.attempt_released(release.task, "released");
    }

    /// Releases an attempt; it does not count as a failure.
    pub(in super::super) fn attempt_released(&mut self, id: TaskId, reason: &str) {
        let Some(attempt) = self.state.tasks.get(&id).and_then(|t| t.attempt().cloned()) else {
            return;
        };
        let change = of_attempt(ChangeKind::TaskReleased, id, &attempt);
        self.change(change.reason(reason));
        self.settle(id);
        self.refresh_presence(&attempt.agent, reason);
    }

    pub(in super::super) fn check_task_handoff(
        &self,
        by: &Actor,
        handoff: &TaskHandoff,
    ) -> Result<(), Refusal> {
        self.check_attempt(by, handoff.task, handoff.fence)?;
        let limits = &self.limits;
        check_limit!(limits, handoff_offer_ms_max, handoff.offer_ms)?;
        let bytes = bytes_of(handoff.context.as_ref());
        check_limit!(limits, payload_bytes_max, bytes)?;
        self.check_tasks_bytes(bytes + CAPABILITY_BYTES as u64, &BTreeSet::new())?;
        match &handoff.to {
            HandoffTarget::Agent(agent) if self.is_known_or(&handoff.introduces, agent) => {
                Ok(self.check_new_pair(by, agent)?)
            }
            HandoffTarget::Agent(agent) => Err(Refusal::NotFound(format!(
                "agent {agent} to hand the task to"
            ))),
            HandoffTarget::Capability(_) => {
                let required = self.task(handoff.task)?.requires.len();
                Ok(check_limit!(limits, capabilities_max, required + 1)?)
            }
        }
    }

    pub(in super::super) fn task_handoff(&mut self, handoff: &TaskHandoff) -> Answer {
        let now = self.state.now;
        let id = handoff.task;
        let Some(attempt) = self.state.tasks.get(&id).and_then(|t| t.attempt().cloned()) else {
            return Ok(Outcome::Done);
        };
        if let HandoffTarget::Agent(agent) = &handoff.to {
            // The check made sure that it fits.
            self.ensure_agent(agent)?;
        }
        let mut change = of_attempt(ChangeKind::TaskHandedOff, id, &attempt);
        self.with_task(id, |task| {
            task.handoff = Some(Handoff {
                from: attempt.agent.clone(),
                note: handoff.note.clone(),
                context: handoff.context.clone(),
            });
            match &handoff.to {
                HandoffTarget::Agent(agent) => {
                    task.offer = Some(Offer {
                        agent: agent.clone(),
                        until: now.after_ms(handoff.offer_ms),
                    });
                }
                HandoffTarget::Capability(capability) => {
                    let added = task.requires.insert(capability.clone());
                    if let Some(as_submitted) = task.as_submitted.as_mut().filter(|_| added) {
                        as_submitted.requires_added.insert(capability.clone());
                    }
                }
            }
        });
        if let HandoffTarget::Agent(agent) = &handoff.to {
            change.to.push(agent.clone());
        }
        self.change(change);
        self.settle(id);
        self.forget_finished();
        self.refresh_presence(&attempt.agent, "handed its task off");
        Ok(self.queued(id))
    }
}

fn of_attempt(kind: ChangeKind, task: TaskId, attempt: &Attempt) -> Change {
    let change = about(kind, task, attempt.number);
    change.agent(&attempt.agent).fence(attempt.fence)
}

/// Doubles with every failure, up to the limit.
fn backoff_ms(base_ms: u64, failures: u32, backoff_ms_max: u64) -> u64 {
    let doublings = failures.saturating_sub(1).min(u64::BITS - 1);
    base_ms.saturating_mul(1 << doublings).min(backoff_ms_max)
}

fn is_current(current: Option<FencingToken>, given: FencingToken) -> bool {
    is_on(Bug::FenceNotChecked) || current == Some(given)
}
