//! Which tasks are stuck: they will not run until somebody acts.
//!
//! A task halts those that wait for it when it is dead or cancelled, when it requires capabilities
//! that no known agent has, or when it waits for one that halts. The last of these depends on other
//! tasks, so a change is passed on along the dependencies; since those have no cycle, it ends.

use std::collections::BTreeMap;

use super::super::command::Capabilities;
use super::super::ids::{AgentName, TaskId};
use super::super::tasks::{Task, TaskState};
use super::{Edit, Index};

/// Whether a task halts those that wait for it, and whether it is stuck itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Standing {
    pub(in super::super) halts: bool,
    /// It is open but cannot run.
    pub(in super::super) stuck: bool,
}

type Tasks = BTreeMap<TaskId, Box<Task>>;

impl Index {
    pub(in super::super) fn standing(&self, task: &Task) -> Standing {
        let stuck = match &task.state {
            TaskState::Blocked => self.lacks_agent(task) || self.stuck_on.contains_key(&task.id),
            TaskState::Ready => self.lacks_agent(task),
            TaskState::Claimed(_) | TaskState::Done | TaskState::Dead | TaskState::Cancelled => {
                false
            }
        };
        let ended = matches!(task.state, TaskState::Dead | TaskState::Cancelled);
        Standing {
            halts: stuck || ended,
            stuck,
        }
    }

    /// Whether a task waits for an agent with capabilities that no known one has.
    pub(in super::super) fn lacks_agent(&self, task: &Task) -> bool {
        seeks_agent(task) && self.unable.contains(&task.requires)
    }

    /// The agents that have all of these, in order of their names. Empty for no requirement: every agent can.
    pub(in super::super) fn able<'a>(
        &'a self,
        required: &'a Capabilities,
    ) -> impl Iterator<Item = &'a AgentName> {
        let having = required
            .iter()
            .map(|capability| self.capable.get(capability));
        // The rarest capability has the fewest agents to check; one that no agent has leaves none.
        let rarest = having.min_by_key(|agents| agents.map_or(0, std::collections::BTreeSet::len));
        let candidates = rarest.flatten().into_iter().flatten();
        candidates.filter(move |agent| {
            let has = |capability| self.capable.get(capability);
            required
                .iter()
                .all(|capability| has(capability).is_some_and(|all| all.contains(*agent)))
        })
    }

    /// Whether any agent has the capabilities is computed when the first task requires them, and dropped with
    /// the last one.
    pub(super) fn edit_requirement(&mut self, task: &Task, edit: Edit) {
        if !seeks_agent(task) || !edit.member(&mut self.requiring, &task.requires, &task.id) {
            return;
        }
        match edit {
            Edit::Insert if self.able(&task.requires).next().is_none() => {
                self.unable.insert(task.requires.clone());
            }
            Edit::Insert => {}
            Edit::Remove => {
                self.unable.remove(&task.requires);
            }
        }
    }

    /// An agent's capabilities changed from `old` to `new`, so a requirement may have become fulfilled or
    /// not. Returns the affected tasks, with the earlier state of each.
    pub(in super::super) fn requirements_change(
        &mut self,
        tasks: &Tasks,
        old: &Capabilities,
        new: &Capabilities,
    ) -> Vec<(TaskId, Standing)> {
        if old == new {
            return Vec::new();
        }
        let differs = |required: &&Capabilities| required.is_subset(old) != required.is_subset(new);
        let differing: Vec<Capabilities> = self.requiring.keys().filter(differs).cloned().collect();
        let mut affected = Vec::new();
        for required in differing {
            let unable = self.able(&required).next().is_none();
            if unable == self.unable.contains(&required) {
                continue;
            }
            let requiring = self.requiring.get(&required).into_iter().flatten();
            let known = requiring.filter_map(|id| tasks.get(id));
            affected.extend(known.map(|task| (task.id, self.standing(task))));
            if unable {
                self.unable.insert(required);
            } else {
                self.unable.remove(&required);
            }
        }
        affected
    }

    /// A task began to halt those that wait for it, or stopped halting them. Returns all tasks that became
    /// stuck or free by it: each of them now halts as `first` does.
    pub(in super::super) fn pass_on(
        &mut self,
        tasks: &Tasks,
        first: TaskId,
        halts: bool,
    ) -> Vec<TaskId> {
        let edit = if halts { Edit::Insert } else { Edit::Remove };
        let mut turned = Vec::new();
        let mut open = vec![first];
        while let Some(id) = open.pop() {
            let dependents: Vec<TaskId> = self
                .dependents
                .get(&id)
                .into_iter()
                .flatten()
                .copied()
                .collect();
            for dependent in dependents {
                let Some(task) = tasks.get(&dependent) else {
                    continue;
                };
                let before = self.standing(task);
                edit.member(&mut self.stuck_on, &dependent, &id);
                if before != self.standing(task) {
                    turned.push(dependent);
                    open.push(dependent);
                }
            }
        }
        turned
    }

    /// Adds a new task, with the state of its dependencies.
    pub(in super::super) fn begin_stuck_on(&mut self, tasks: &Tasks, task: &Task) {
        let waits_for = task.waiting_on.iter().filter_map(|id| tasks.get(id));
        let halting: Vec<TaskId> = waits_for
            .filter(|other| self.standing(other).halts)
            .map(|other| other.id)
            .collect();
        for other in halting {
            Edit::Insert.member(&mut self.stuck_on, &task.id, &other);
        }
    }

    /// Builds the whole table.
    pub(super) fn find_stuck(&mut self, tasks: &Tasks) {
        for task in tasks.values() {
            if self.standing(task).halts {
                self.pass_on(tasks, task.id, true);
            }
        }
    }
}

fn seeks_agent(task: &Task) -> bool {
    matches!(task.state, TaskState::Blocked | TaskState::Ready)
        && !task.requires.is_empty()
        && task.offer.is_none()
}
