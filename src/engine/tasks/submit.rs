//! Submitting, cancelling and retrying tasks.

use std::collections::BTreeSet;

use super::super::Engine;
use super::super::agents::owns_or_operates;
use super::super::command::{Actor, Dependency, TaskCancel, TaskRetry, TaskSpec, TaskSubmit};
use super::super::event::ChangeKind;
use super::super::ids::TaskId;
use super::super::limits::check_limit;
use super::super::outcome::{Outcome, Refusal, Submitted};
use super::super::payload::bytes_of;
use super::repeat::resolved;
use super::{Cancellation, Task, TaskState, about, graph, named_bytes};

impl Engine {
    pub(in super::super) fn check_task_submit(
        &self,
        by: &Actor,
        submit: &TaskSubmit,
    ) -> Result<(), Refusal> {
        self.check_new_agent(by.agent())?;
        let limits = &self.limits;
        check_limit!(limits, tasks_per_submit_max, submit.tasks.len())?;
        let new = submit
            .tasks
            .iter()
            .filter(|spec| self.existing(spec).is_none());
        check_limit!(
            limits,
            tasks_open_max,
            self.index.tasks_open + new.clone().count() as u64
        )?;
        let bytes = new.map(|spec| {
            bytes_of(spec.payload.as_ref()) + named_bytes(&spec.labels, &spec.requires)
        });
        let dependencies = submit.tasks.iter().flat_map(|spec| &spec.after);
        let needed = dependencies.filter_map(|dependency| match dependency {
            Dependency::Task(id) => Some(*id),
            Dependency::Index(_) => None,
        });
        self.check_tasks_bytes(bytes.sum(), &needed.collect())?;
        self.check_concurrency_keys(submit)?;
        for (index, spec) in submit.tasks.iter().enumerate() {
            self.check_spec(index, spec, submit.tasks.len())?;
        }
        graph::check_acyclic(&submit.tasks)
    }

    fn check_spec(&self, index: usize, spec: &TaskSpec, count: usize) -> Result<(), Refusal> {
        let limits = &self.limits;
        check_limit!(limits, payload_bytes_max, bytes_of(spec.payload.as_ref()))?;
        check_limit!(limits, capabilities_max, spec.requires.len())?;
        check_limit!(limits, labels_max, spec.labels.len())?;
        check_limit!(limits, dependencies_per_task_max, spec.after.len())?;
        check_limit!(limits, task_delay_ms_max, spec.delay_ms)?;
        check_limit!(limits, attempts_per_task_max, spec.attempts_max)?;
        check_limit!(limits, backoff_ms_max, spec.backoff_ms)?;
        check_limit!(
            limits,
            attempt_timeout_ms_max,
            spec.attempt_timeout_ms.unwrap_or(0)
        )?;
        let invalid = |field: &str, problem: &str| Refusal::Invalid {
            path: format!("tasks[{index}].{field}"),
            problem: problem.to_owned(),
        };
        if spec.attempts_max == 0 {
            return Err(invalid("attempts_max", "must be at least 1"));
        }
        if spec.attempt_timeout_ms == Some(0) {
            return Err(invalid("attempt_timeout_ms", "must be above 0"));
        }
        if spec.concurrency.as_ref().is_some_and(|c| c.max == 0) {
            return Err(invalid(
                "concurrency.max",
                "a cap of 0 would never let the task run",
            ));
        }
        for dependency in &spec.after {
            self.check_dependency(*dependency, count)?;
        }
        Ok(())
    }

    fn check_dependency(&self, dependency: Dependency, count: usize) -> Result<(), Refusal> {
        match dependency {
            Dependency::Task(id) if self.state.tasks.contains_key(&id) => Ok(()),
            Dependency::Task(id) if id.0 > 0 && id <= self.state.last.task => {
                Err(Refusal::NotFound(format!(
                    "task {id} to wait for (it finished and was deleted)"
                )))
            }
            Dependency::Task(id) => Err(Refusal::NotFound(format!("task {id} to wait for"))),
            Dependency::Index(index) if (index as usize) < count => Ok(()),
            Dependency::Index(index) => Err(Refusal::NotFound(format!(
                "task number {index} of this submission of {count} tasks"
            ))),
        }
    }

    fn check_concurrency_keys(&self, submit: &TaskSubmit) -> Result<(), Refusal> {
        let keys = submit.tasks.iter().filter_map(|s| s.concurrency.as_ref());
        let new: BTreeSet<_> = keys
            .map(|concurrency| &concurrency.key)
            .filter(|key| !self.state.concurrency.contains_key(*key))
            .collect();
        let used = self.state.concurrency.len() + new.len();
        Ok(check_limit!(self.limits, concurrency_keys_max, used)?)
    }

    fn existing(&self, spec: &TaskSpec) -> Option<TaskId> {
        let key = spec.idempotency_key.as_ref()?;
        self.index.by_idempotency_key.get(key).copied()
    }

    pub(in super::super) fn task_submit(&mut self, by: &Actor, submit: &TaskSubmit) -> Outcome {
        self.state.tells_stuck |= submit.tells_stuck;
        // All ids are assigned first, so that tasks can wait for later ones of the same submission.
        let mut submitted: Vec<Submitted> = Vec::with_capacity(submit.tasks.len());
        for (index, spec) in submit.tasks.iter().enumerate() {
            let same_key = |earlier: &TaskSpec| {
                spec.idempotency_key.is_some() && earlier.idempotency_key == spec.idempotency_key
            };
            let repeated = submit.tasks.iter().take(index).position(same_key);
            let known = self
                .existing(spec)
                .or_else(|| repeated.and_then(|i| submitted.get(i)).map(|s| s.task));
            submitted.push(Submitted {
                task: known.unwrap_or_else(|| self.state.last.task()),
                existing: known.is_some(),
                found: None,
                stuck: Vec::new(),
            });
        }
        let Some(agent) = by.agent() else {
            return Outcome::Submitted(submitted);
        };
        let ids: Vec<TaskId> = submitted.iter().map(|given| given.task).collect();
        for (spec, given) in submit.tasks.iter().zip(&submitted) {
            if !given.existing {
                self.insert_task(spec, given.task, agent, &ids);
            }
        }
        for given in submitted.iter().filter(|s| !s.existing) {
            self.settle(given.task);
        }
        // Only now, when the dependencies of the new tasks are recorded and cannot be deleted.
        self.forget_finished();
        self.describe_submitted(submit, &mut submitted, false);
        Outcome::Submitted(submitted)
    }

    fn insert_task(
        &mut self,
        spec: &TaskSpec,
        id: TaskId,
        agent: &super::super::ids::AgentName,
        ids: &[TaskId],
    ) {
        let now = self.state.now;
        let after: BTreeSet<TaskId> = resolved(&spec.after, ids, id).collect();
        let done = |task: &TaskId| {
            let known = self.state.tasks.get(task);
            known.is_some_and(|t| t.state == TaskState::Done)
        };
        let waiting_on = after.iter().filter(|task| !done(task)).copied().collect();
        if let Some(concurrency) = &spec.concurrency {
            let cap = self.state.concurrency.entry(concurrency.key.clone());
            *cap.or_default() = concurrency.max;
            // Ready tasks of the same key may have waited for a higher cap.
            self.signals.keys.push(concurrency.key.clone());
        }
        let task = Task {
            id,
            title: spec.title.clone(),
            payload: spec.payload.clone(),
            priority: spec.priority,
            requires: spec.requires.clone(),
            labels: spec.labels.clone(),
            after,
            waiting_on,
            not_before: (spec.delay_ms > 0).then(|| now.after_ms(spec.delay_ms)),
            idempotency_key: spec.idempotency_key.clone(),
            attempts_max: spec.attempts_max,
            backoff_ms: spec.backoff_ms,
            attempt_timeout_ms: spec.attempt_timeout_ms,
            concurrency: spec.concurrency.as_ref().map(|c| c.key.clone()),
            submitted_by: agent.clone(),
            submitted_at: now,
            state: TaskState::Blocked,
            state_since: now,
            attempts: 0,
            failures: 0,
            offer: None,
            handoff: None,
            progress: None,
            last_error: None,
            result: None,
            as_submitted: self.as_submitted(spec),
            cancelled: None,
        };
        self.index.insert(&task);
        self.index.begin_stuck_on(&self.state.tasks, &task);
        self.state.tasks.insert(id, Box::new(task));
        self.standing_begins(id);
        self.change(about(ChangeKind::TaskSubmitted, id, 0).agent(agent));
    }

    pub(in super::super) fn check_task_cancel(
        &self,
        by: &Actor,
        cancel: &TaskCancel,
    ) -> Result<(), Refusal> {
        let task = self.task(cancel.task)?;
        let holds = task.attempt().is_some_and(|a| by.agent() == Some(&a.agent));
        if !holds && !owns_or_operates(by, &task.submitted_by) {
            return Err(Refusal::Forbidden(format!(
                "task {} belongs to {}: only its submitter, its holder or an operator may cancel it",
                task.id, task.submitted_by
            )));
        }
        if task.state.is_open() {
            return Ok(());
        }
        Err(Refusal::Conflict(format!(
            "task {} is already {}",
            task.id,
            task.state.as_str()
        )))
    }

    pub(in super::super) fn task_cancel(&mut self, by: &Actor, cancel: &TaskCancel) {
        self.state.tells_stuck |= cancel.tells_stuck;
        self.keep_who_cancelled(by, cancel);
        let attempt = self
            .state
            .tasks
            .get(&cancel.task)
            .and_then(|t| t.attempt().cloned());
        let mut change = about(ChangeKind::TaskCancelled, cancel.task, 0);
        if let Some(attempt) = &attempt {
            let change_attempt = about(ChangeKind::TaskCancelled, cancel.task, attempt.number);
            change = change_attempt.agent(&attempt.agent).fence(attempt.fence);
        }
        if let Some(reason) = &cancel.reason {
            change = change.reason(reason.as_str());
        }
        self.finish(cancel.task, TaskState::Cancelled);
        self.change(change);
        if let Some(attempt) = attempt {
            self.refresh_presence(&attempt.agent, "task cancelled");
        }
    }

    pub(in super::super) fn check_task_retry(
        &self,
        by: &Actor,
        retry: &TaskRetry,
    ) -> Result<(), Refusal> {
        let task = self.task(retry.task)?;
        if !owns_or_operates(by, &task.submitted_by) {
            return Err(Refusal::Forbidden(format!(
                "task {} belongs to {}: only its submitter or an operator may retry it",
                task.id, task.submitted_by
            )));
        }
        check_limit!(self.limits, tasks_open_max, self.index.tasks_open + 1)?;
        match task.state {
            TaskState::Dead | TaskState::Cancelled => Ok(()),
            _ => Err(Refusal::Conflict(format!(
                "task {} is {}: only a dead or cancelled task can be retried",
                task.id,
                task.state.as_str()
            ))),
        }
    }

    pub(in super::super) fn task_retry(&mut self, retry: &TaskRetry) -> Outcome {
        let id = retry.task;
        self.state.tasks_finished.retain(|finished| *finished != id);
        self.with_task(id, |task| {
            task.failures = 0;
            task.cancelled = None;
            task.state = TaskState::Blocked;
        });
        self.change(about(ChangeKind::TaskRetried, id, 0));
        // Its dependencies may be done by now.
        let waiting = self.state.tasks.get(&id).map(|t| t.waiting_on.clone());
        for dependency in waiting.into_iter().flatten() {
            let known = self.state.tasks.get(&dependency);
            if known.is_none_or(|t| t.state == TaskState::Done) {
                self.with_task(id, |task| task.waiting_on.remove(&dependency));
            }
        }
        self.settle(id);
        self.queued(id)
    }

    /// Task `id` waits again; if it is stuck, why.
    pub(in super::super) fn queued(&self, id: TaskId) -> Outcome {
        Outcome::Queued(self.stuck_now(id))
    }

    fn keep_who_cancelled(&mut self, by: &Actor, cancel: &TaskCancel) {
        let (Some(by), true) = (by.agent(), self.tells_stuck()) else {
            return;
        };
        let cancellation = Cancellation {
            by: by.clone(),
            reason: cancel.reason.clone(),
        };
        self.with_task(cancel.task, |task| {
            task.cancelled = Some(Box::new(cancellation));
        });
    }

    pub(in super::super) fn task(&self, id: TaskId) -> Result<&Task, Refusal> {
        match self.state.tasks.get(&id) {
            Some(task) => Ok(task),
            None => Err(Refusal::NotFound(format!("task {id}"))),
        }
    }
}
