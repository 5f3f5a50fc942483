//! Claiming: which task an agent gets, and the attempt it then holds.

use std::collections::BTreeSet;

use super::super::Engine;
use super::super::command::{Actor, ClaimFilter, TaskClaim};
use super::super::event::ChangeKind;
use super::super::ids::{AgentName, TaskId};
use super::super::index::{ReadyGroup, ReadyKey};
use super::super::outcome::{Grant, Refusal};
use super::{Attempt, Task, TaskState, about};

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
        let fits = |key: &&ReadyKey| {
            let (_, id) = key;
            !passed_over(*id) && self.passes(filter, *id)
        };
        // What is kept for a principal may be taken by any of its seats.
        let shared = agent.is_seat().then(|| agent.without_seat());
        let names = std::iter::once(agent).chain(&shared);
        let kept = names.filter_map(|name| {
            let mut offered = self.index.offered.get(name)?.iter();
            offered.find(|key| self.has_free_slot(key.1) && fits(key))
        });
        if let Some((_, id)) = kept.min() {
            return Some(*id);
        }
        let capabilities = self.state.agents.get(agent).map(|a| &a.capabilities);
        let can_do = |group: &ReadyGroup| {
            let able = match capabilities {
                Some(own) => group.requires.is_subset(own),
                None => group.requires.is_empty(),
            };
            able && group
                .concurrency
                .as_ref()
                .is_none_or(|key| self.is_below_cap(key))
        };
        let groups = self.index.ready.iter().filter(|(group, _)| can_do(group));
        let best = groups.filter_map(|(_, keys)| keys.iter().find(fits)).min();
        best.map(|(_, id)| *id)
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

    pub(super) fn is_below_cap(&self, key: &super::super::ids::ConcurrencyKey) -> bool {
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
