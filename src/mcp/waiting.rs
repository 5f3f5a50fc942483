//! What somebody who waits looks at: shared by the tool `wait` and the command `coord wait`.

use crate::protocol::agent::AgentView;
use crate::protocol::task::{StateName, TaskListParams, TaskListResult, TaskView};

/// Ready tasks that are looked at.
const READY_MAX: u64 = 100;
/// Changes after which there may be a task to claim.
pub(crate) const WORK: [&str; 6] = [
    "task.ready",
    "task.submitted",
    "task.released",
    "task.handed_off",
    "task.lost",
    "task.retried",
];
/// Changes after which a resource may be free.
pub(crate) const FREED: [&str; 5] = [
    "lease.released",
    "lease.reduced",
    "lease.lapsed",
    "lease.revoked",
    "lease.opened",
];

/// Asks for the tasks that are ready for somebody.
pub(crate) fn ready() -> TaskListParams {
    TaskListParams {
        states: [StateName::Ready].into(),
        count_max: Some(READY_MAX),
        ..TaskListParams::default()
    }
}

/// The first of them that the agent may claim.
pub(crate) fn claimable(ready: TaskListResult, me: &AgentView) -> Option<TaskView> {
    let may_claim = |task: &TaskView| {
        let kept = task.offered_to.as_ref();
        task.requires.is_subset(&me.capabilities) && kept.is_none_or(|agent| *agent == me.name)
    };
    ready.tasks.into_iter().find(may_claim)
}
