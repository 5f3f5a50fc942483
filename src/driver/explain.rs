//! Adds to the explanation of a task what only this coordinator knows: the claims that wait here, and why it
//! cannot grant anything.

use super::core::Core;
use super::parked::Parked;
use super::project::Project;
use crate::engine::command::Action;
use crate::engine::ids::TaskId;
use crate::engine::tasks::Task;
use crate::engine::tasks::explain::{Explained, Reason};
use crate::protocol::explain::{ExplainedTask, ReasonKind, ReasonView, TaskExplainResult};

/// For how many ready tasks of one explanation the waiting claims are checked.
const LOOKS_MAX: usize = 4;

/// The claims that wait at this coordinator, counted for one task.
#[derive(Debug, Default)]
struct WaitingClaims {
    suitable: u64,
    /// For other labels, a higher priority, or another task.
    elsewhere: u64,
    /// From agents that lack a capability.
    lacking: u64,
}

impl Core {
    pub(super) fn explain(&self, project: &Project, task: TaskId) -> Option<TaskExplainResult> {
        let engine = &project.engine;
        let explanation = engine.explain(task)?;
        let mut looks = LOOKS_MAX;
        let view = |explained: &Explained<'_>| {
            let mut view = ExplainedTask::from(explained);
            let claimable = |reason: &Reason| matches!(reason, Reason::Claimable { .. });
            if looks > 0 && explained.reasons.iter().any(claimable) {
                looks -= 1;
                view.reasons
                    .push(self.waiting(project, explained.task).reason());
            }
            view
        };
        Some(TaskExplainResult {
            coordinator: self.obstacles(project),
            tasks: explanation.tasks.iter().map(view).collect(),
            left_out: explanation.left_out,
            now_ms: engine.now(),
        })
    }

    /// Why this coordinator cannot grant anything.
    fn obstacles(&self, project: &Project) -> Vec<ReasonView> {
        let line = project.line.as_ref();
        let obstacles = [
            (
                self.is_draining(),
                ReasonKind::Draining,
                "the coordinator is stopping, so it grants nothing",
                "wait until it runs again, or use another coordinator",
            ),
            (
                line.is_some_and(|line| !line.is_up()),
                ReasonKind::JournalUnreachable,
                "the shared journal cannot be reached: nothing can be granted, and this answer may be out of date",
                "check with `coord health` that the store runs",
            ),
            (
                self.storage_full(),
                ReasonKind::StorageFull,
                "the disk is full: no task can be claimed or submitted",
                "free disk space",
            ),
        ];
        let there = obstacles.into_iter().filter(|(is, ..)| *is);
        there
            .map(|(_, kind, text, next)| ReasonView::new(kind, text).next(next))
            .collect()
    }

    fn waiting(&self, project: &Project, task: &Task) -> WaitingClaims {
        let mut waiting = WaitingClaims::default();
        for (_, parked) in project.waiters.iter() {
            let Action::TaskClaim(claim) = &parked.action else {
                continue;
            };
            if !claim.filter.passes(task) {
                waiting.elsewhere += 1;
            } else if self.is_able(project, parked, task) {
                waiting.suitable += 1;
            } else {
                waiting.lacking += 1;
            }
        }
        waiting
    }

    fn is_able(&self, project: &Project, parked: &Parked, task: &Task) -> bool {
        let connection = self.connections.get(&parked.connection);
        let agents = &project.engine.state().agents;
        let agent = connection.and_then(|connection| agents.get(&connection.identity.agent));
        task.requires.is_empty()
            || agent.is_some_and(|agent| task.requires.is_subset(&agent.capabilities))
    }
}

impl WaitingClaims {
    fn reason(&self) -> ReasonView {
        let all = self.suitable + self.elsewhere + self.lacking;
        if self.suitable > 0 {
            let text = "a claim that waits at this coordinator will get it in a moment";
            return ReasonView::new(ReasonKind::ClaimWaits, text);
        }
        if all == 0 {
            let text = "no claim waits at this coordinator";
            return ReasonView::new(ReasonKind::NobodyWaits, text)
                .next("claim it, or start a worker");
        }
        let waiting = if all == 1 {
            "claim waits"
        } else {
            "claims wait"
        };
        let why = [
            (self.elsewhere, "for other labels, priorities or tasks"),
            (self.lacking, "by agents that lack what it requires"),
        ];
        let why: Vec<String> = why
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, why)| format!("{count} {why}"))
            .collect();
        let why = why.join(", ");
        let text = format!("{all} {waiting} at this coordinator, none for this task: {why}");
        ReasonView::new(ReasonKind::ClaimsDoNotMatch, text)
            .next("start a worker whose filter and capabilities match this task")
    }
}
