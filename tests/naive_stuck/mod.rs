//! Which tasks are stuck, said without the engine's own code: by looking at everything until nothing changes.

use std::collections::BTreeSet;

use cli_coordinator::engine::event::{ChangeKind, Event, Subject};
use cli_coordinator::engine::ids::TaskId;
use cli_coordinator::engine::state::State;
use cli_coordinator::engine::tasks::{Task, TaskState};

/// No known agent has all that it requires, and it is kept for nobody.
fn lacks_agent(state: &State, task: &Task) -> bool {
    let mut agents = state.agents.values();
    let waits = matches!(task.state, TaskState::Blocked | TaskState::Ready);
    waits
        && task.offer.is_none()
        && !task.requires.is_empty()
        && !agents.any(|agent| task.requires.is_subset(&agent.capabilities))
}

/// The open tasks that cannot run unless somebody does something.
pub(crate) fn stuck(state: &State) -> BTreeSet<TaskId> {
    let ended = |task: &Task| matches!(task.state, TaskState::Dead | TaskState::Cancelled);
    let mut halting: BTreeSet<TaskId> = state
        .tasks
        .values()
        .filter(|task| ended(task) || lacks_agent(state, task))
        .map(|task| task.id)
        .collect();
    loop {
        let more = state.tasks.values().find(|task| {
            task.state == TaskState::Blocked
                && !halting.contains(&task.id)
                && !task.waiting_on.is_disjoint(&halting)
        });
        match more {
            Some(task) => halting.insert(task.id),
            None => break,
        };
    }
    let is_open = |id: &TaskId| state.tasks[id].state.is_open();
    halting.into_iter().filter(is_open).collect()
}

/// The tasks that an event says are stuck, and those it says no longer are.
pub(crate) fn told(event: Option<&Event>) -> (BTreeSet<TaskId>, BTreeSet<TaskId>) {
    let changes = event.into_iter().flat_map(|event| &event.changes);
    let (mut stuck, mut free) = (BTreeSet::new(), BTreeSet::new());
    for change in changes {
        let Some(Subject::Task { task, .. }) = change.subject else {
            continue;
        };
        match change.kind {
            ChangeKind::TaskStuck => stuck.insert(task),
            ChangeKind::TaskUnstuck => free.insert(task),
            _ => false,
        };
    }
    (stuck, free)
}

/// What an event must tell of a record that led from one state to another.
pub(crate) fn to_tell(before: &State, after: &State) -> (BTreeSet<TaskId>, BTreeSet<TaskId>) {
    let (was, is) = (stuck(before), stuck(after));
    let open = |id: &TaskId| after.tasks.get(id).is_some_and(|task| task.state.is_open());
    let free = was.difference(&is).copied().filter(open).collect();
    (is.difference(&was).copied().collect(), free)
}
