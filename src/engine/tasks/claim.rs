//! Claiming: which task an agent gets, and the attempt it then holds.

use std::collections::BTreeSet;

use super::super::Engine;
use super::super::command::{Actor, Capabilities, ClaimFilter, Labels, TaskClaim};
use super::super::event::ChangeKind;
use super::super::ids::{AgentName, ConcurrencyKey, TaskId};
use super::super::index::{ReadyGroup, ReadyKey, ReadyTasks};
use super::super::outcome::{Grant, Refusal};
use super::{Attempt, Task, TaskState, about};
use crate::planted::visit;

impl Engine {
    pub(in super::super) fn check_task_claim(
        &self,
        by: &Actor,
        claim: &TaskClaim,
    ) -> Result<(), Refusal> {
        self.check_new_agent(by.agent())?;
        self.check_hold(by, claim.hold)?;
        if let Some(id) = claim.filter.task {
            self.task(id)?;
        }
        Ok(())
    }

    /// The task that `agent` would get: first one that is reserved for it, then by priority and age.
    /// `passed_over` are skipped, because earlier claims will get them.
    pub fn claim_candidate(
        &self,
        agent: &AgentName,
        filter: &ClaimFilter,
        passed_over: &dyn Fn(TaskId) -> bool,
    ) -> Option<TaskId> {
        if let Some(id) = filter.task {
            let may = !passed_over(id) && self.passes(filter, id) && self.may_claim(agent, id);
            return may.then_some(id);
        }
        // In order of priority, so the first that is too low ends the search.
        let first = |keys: &BTreeSet<ReadyKey>, suits: &dyn Fn(TaskId) -> bool| {
            let high = |key: &&ReadyKey| filter.priority_min.is_none_or(|min| key.0.0 >= min);
            let fits = |id| !passed_over(id) && suits(id) && self.passes(filter, id);
            let mut keys = keys.iter().take_while(high).inspect(|_| visit());
            keys.find(|key| fits(key.1)).copied()
        };
        // What is kept for a principal may be taken by any of its seats.
        let shared = agent.is_seat().then(|| agent.without_seat());
        let names = std::iter::once(agent).chain(&shared);
        let kept = names.filter_map(|name| {
            let offered = self.index.offered.get(name)?;
            first(offered, &|id| self.has_free_slot(id))
        });
        if let Some((_, id)) = kept.min() {
            return Some(id);
        }
        let groups = self.ready_with(&filter.labels)?.iter();
        let groups = groups.filter(|(group, _)| self.can_do(agent, group));
        let best = groups.filter_map(|(_, keys)| first(keys, &|_| true)).min();
        best.map(|(_, id)| id)
    }

    /// The ready tasks that may have all of these labels: those of the rarest one.
    fn ready_with(&self, labels: &Labels) -> Option<&ReadyTasks> {
        let mut rarest = (usize::MAX, &self.index.ready);
        for (name, value) in labels {
            let labelled = self
                .index
                .ready_labelled
                .get(&(name.clone(), value.clone()))?;
            let count = labelled.values().map(BTreeSet::len).sum();
            if count < rarest.0 {
                rarest = (count, labelled);
            }
        }
        Some(rarest.1)
    }

    fn can_do(&self, agent: &AgentName, group: &ReadyGroup) -> bool {
        let able = match self.state.agents.get(agent) {
            Some(agent) => group.requires.is_subset(&agent.capabilities),
            None => group.requires.is_empty(),
        };
        let key = group.concurrency.as_ref();
        able && key.is_none_or(|key| self.is_below_cap(key))
    }

    /// Whether a task is ready, and an agent may have it.
    fn may_claim(&self, agent: &AgentName, id: TaskId) -> bool {
        self.ready_task(id).is_some_and(|task| match &task.offer {
            Some(offer) => offer.agent.covers(agent) && self.has_free_slot(id),
            None => self.can_do(agent, &task.ready_group()),
        })
    }

    /// The task, if it is ready.
    pub fn ready_task(&self, id: TaskId) -> Option<&Task> {
        let task = self.state.tasks.get(&id).map(|task| &**task);
        task.filter(|task| task.state == TaskState::Ready)
    }

    /// The ready tasks under a concurrency key that are kept for an agent.
    pub fn offered_under(&self, key: &ConcurrencyKey) -> impl Iterator<Item = TaskId> {
        let offered = self.index.offered_under.get(key);
        offered.into_iter().flatten().copied().inspect(|_| visit())
    }

    /// The others.
    pub fn ready_under(&self, key: &ConcurrencyKey) -> impl Iterator<Item = TaskId> {
        let first = ReadyGroup {
            concurrency: Some(key.clone()),
            requires: Capabilities::new(),
        };
        let groups = self.index.ready.range(first..);
        let groups = groups.take_while(|(group, _)| group.concurrency.as_ref() == Some(key));
        let ready = groups.flat_map(|(_, keys)| keys);
        ready.map(|(_, id)| *id).inspect(|_| visit())
    }

    /// The tasks that an agent has claimed.
    pub fn tasks_of(&self, agent: &AgentName) -> impl Iterator<Item = TaskId> {
        self.index
            .agent_tasks
            .get(agent)
            .into_iter()
            .flatten()
            .copied()
    }

    fn passes(&self, filter: &ClaimFilter, id: TaskId) -> bool {
        let task = || self.state.tasks.get(&id);
        filter.is_empty() || task().is_some_and(|task| filter.passes(task))
    }

    fn has_free_slot(&self, id: TaskId) -> bool {
        let key = self
            .state
            .tasks
            .get(&id)
            .and_then(|t| t.concurrency.as_ref());
        key.is_none_or(|key| self.is_below_cap(key))
    }

    pub(super) fn is_below_cap(&self, key: &ConcurrencyKey) -> bool {
        let running = self.index.running.get(key).map_or(0, BTreeSet::len);
        let cap = self.state.concurrency.get(key).copied();
        // 32 bits are enough: fewer tasks than that can be open.
        u32::try_from(running).unwrap_or(u32::MAX) < cap.unwrap_or(u32::MAX)
    }

    pub(in super::super) fn task_claim(&mut self, by: &Actor, claim: &TaskClaim) -> Option<Grant> {
        let agent = by.agent()?;
        let id = self.claim_candidate(agent, &claim.filter, &|_| false)?;
        let fence = self.state.last.fence();
        let now = self.state.now;
        let hold = self.hold(by, claim.hold);
        let grant = self.with_task(id, |task| {
            task.attempts += 1;
            task.offer = None;
            task.progress = None;
            let timeout_at = task.attempt_timeout_ms.map(|ms| now.after_ms(ms));
            let attempt = Attempt {
                number: task.attempts,
                agent: agent.clone(),
                fence,
                hold,
                claimed_at: now,
                timeout_at,
            };
            let grant = grant(task, &attempt);
            task.state = TaskState::Claimed(attempt);
            task.state_since = now;
            grant
        })?;
        let change = about(ChangeKind::TaskClaimed, id, grant.attempt);
        self.change(change.agent(agent).fence(fence));
        self.refresh_presence(agent, "claimed a task");
        Some(grant)
    }
}

impl ClaimFilter {
    /// Whether the filter matches this task.
    pub fn passes(&self, task: &Task) -> bool {
        self.task.is_none_or(|wanted| wanted == task.id)
            && self.priority_min.is_none_or(|min| task.priority >= min)
            && self
                .labels
                .iter()
                .all(|(k, v)| task.labels.get(k) == Some(v))
    }
}

fn grant(task: &Task, attempt: &Attempt) -> Grant {
    Grant {
        task: task.id,
        attempt: attempt.number,
        fence: attempt.fence,
        title: task.title.clone(),
        payload: task.payload.clone(),
        labels: task.labels.clone(),
        submitted_by: task.submitted_by.clone(),
        handoff: task.handoff.clone(),
        last_error: task.last_error.clone(),
        expires_at: attempt.hold.expires_at(),
        timeout_at: attempt.timeout_at,
    }
}
