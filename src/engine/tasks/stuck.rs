//! Stuck tasks, which will not run until somebody acts: their causes, and the events about them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::super::Engine;
use super::super::command::Capabilities;
use super::super::event::{Change, ChangeKind, Subject};
use super::super::ids::{AgentName, Capability, TaskId};
use super::super::index::stuck::Standing;
use super::super::nodes::STUCK_FORMAT;
use super::{Task, TaskState};
use crate::planted::{Bug, is_on};

/// The most causes that are named for one task.
const CAUSES_MAX: usize = 8;

/// One cause that keeps a task from running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    pub cause: Cause,
    /// The task that needs attention: the task itself, or one that it waits for, directly or not.
    pub root: TaskId,
    /// The capabilities that `root` requires, if no known agent has all of them.
    pub requires: Capabilities,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It waits for a task that is dead.
    DependencyDead,
    /// It waits for a task that was cancelled.
    DependencyCancelled,
    /// It waits for a task whose capabilities no known agent has.
    DependencyWithoutAgent,
    /// No known agent has the capabilities that it requires.
    NoAgentWithCapability,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = self.root;
        match self.cause {
            Cause::DependencyDead => write!(f, "it waits for task {root}, which is dead"),
            Cause::DependencyCancelled => {
                write!(f, "it waits for task {root}, which was cancelled")
            }
            Cause::DependencyWithoutAgent => {
                let required = listed(&self.requires);
                write!(
                    f,
                    "it waits for task {root}, which no known agent can do: that task requires {required}"
                )
            }
            Cause::NoAgentWithCapability => {
                write!(f, "no known agent has {}", listed(&self.requires))
            }
        }
    }
}

/// Capabilities as text.
pub(crate) fn listed(capabilities: &Capabilities) -> String {
    let names: Vec<&str> = capabilities.iter().map(Capability::as_str).collect();
    names.join(", ")
}

/// Finds why tasks are stuck. It remembers the root of each task, so that the cost for all tasks is linear in
/// tasks and dependencies, however long the chains are.
#[derive(Debug)]
pub struct Roots<'a> {
    engine: &'a Engine,
    found: BTreeMap<TaskId, TaskId>,
}

impl Roots<'_> {
    /// All causes, each once; none of a task that is not stuck.
    pub fn of(&mut self, task: &Task) -> Vec<Stuck> {
        let index = &self.engine.index;
        if !index.standing(task).stuck {
            return Vec::new();
        }
        let own = index.lacks_agent(task).then_some(task.id);
        let halting = index.stuck_on.get(&task.id).into_iter().flatten();
        let roots: BTreeSet<TaskId> = halting.map(|id| self.root(*id)).collect();
        let roots = own.into_iter().chain(roots);
        let causes = roots.filter_map(|root| self.cause(task.id, root));
        causes.take(CAUSES_MAX).collect()
    }

    /// Follows the tasks that halt a task, to one that halts by itself.
    fn root(&mut self, from: TaskId) -> TaskId {
        let mut way = Vec::new();
        let mut at = from;
        // Dependencies have no cycle, so this ends; it would end even if a snapshot had one.
        while way.len() <= self.engine.state.tasks.len() {
            if let Some(known) = self.found.get(&at) {
                at = *known;
                break;
            }
            way.push(at);
            match self.next(at) {
                Some(next) => at = next,
                None => break,
            }
        }
        self.found.extend(way.into_iter().map(|id| (id, at)));
        at
    }

    /// The dependency that halts a task which does not halt by itself.
    fn next(&self, id: TaskId) -> Option<TaskId> {
        let index = &self.engine.index;
        let task = self.engine.state.tasks.get(&id)?;
        let by_itself = task.state != TaskState::Blocked || index.lacks_agent(task);
        let halting = index.stuck_on.get(&id).filter(|_| !by_itself)?;
        halting.first().copied()
    }

    fn cause(&self, of: TaskId, root: TaskId) -> Option<Stuck> {
        let task = self.engine.state.tasks.get(&root)?;
        let cause = match &task.state {
            TaskState::Dead => Cause::DependencyDead,
            TaskState::Cancelled => Cause::DependencyCancelled,
            _ if root == of => Cause::NoAgentWithCapability,
            _ => Cause::DependencyWithoutAgent,
        };
        let lacks = matches!(
            cause,
            Cause::NoAgentWithCapability | Cause::DependencyWithoutAgent
        );
        Some(Stuck {
            cause,
            root,
            requires: if lacks {
                task.requires.clone()
            } else {
                Capabilities::new()
            },
        })
    }
}

impl Engine {
    /// A finder of causes.
    pub fn roots(&self) -> Roots<'_> {
        Roots {
            engine: self,
            found: BTreeMap::new(),
        }
    }

    /// Whether a task is stuck, without the causes.
    pub fn is_stuck(&self, task: &Task) -> bool {
        self.index.standing(task).stuck
    }

    pub(super) fn stuck_now(&self, id: TaskId) -> Vec<Stuck> {
        let task = self.state.tasks.get(&id);
        task.map_or_else(Vec::new, |task| self.roots().of(task))
    }

    /// Whether events report stuck tasks: a record switched it on, and no living coordinator would fold this
    /// record without it.
    pub(super) fn tells_stuck(&self) -> bool {
        let mut nodes = self.state.nodes.values();
        self.state.tells_stuck && nodes.all(|node| node.command_format >= STUCK_FORMAT)
    }

    /// A task changed from the state `before`: updates the tasks that wait for it.
    pub(super) fn standing_changes(&mut self, id: TaskId, before: Standing) {
        let Some(task) = self.state.tasks.get(&id) else {
            return;
        };
        let after = self.index.standing(task);
        if before.stuck != after.stuck {
            self.touched.entry(id).or_insert(before.stuck);
        }
        if before.halts != after.halts {
            self.pass_on(id, after.halts);
        }
    }

    /// A task is new.
    pub(super) fn standing_begins(&mut self, id: TaskId) {
        let nothing = Standing {
            halts: false,
            stuck: false,
        };
        self.standing_changes(id, nothing);
    }

    fn pass_on(&mut self, id: TaskId, halts: bool) {
        for turned in self.index.pass_on(&self.state.tasks, id, halts) {
            self.touched.entry(turned).or_insert(!halts);
        }
    }

    /// An agent's capabilities changed.
    pub(in super::super) fn requirements_change(&mut self, old: &Capabilities, new: &Capabilities) {
        let affected = self.index.requirements_change(&self.state.tasks, old, new);
        for (id, before) in affected {
            self.standing_changes(id, before);
        }
    }

    /// Reports the tasks that this record made stuck, and those that are no longer stuck.
    pub(in super::super) fn tell_stuck(&mut self) {
        if self.touched.is_empty() {
            return;
        }
        let touched = std::mem::take(&mut self.touched);
        if !self.tells_stuck() {
            return;
        }
        let (mut stuck, mut free) = (Vec::new(), Vec::new());
        for (id, was) in touched {
            let Some(task) = self.state.tasks.get(&id) else {
                continue;
            };
            match (was, self.is_stuck(task)) {
                (false, true) => stuck.push(id),
                // Its cancellation is reported already.
                (true, false) if task.state.is_open() => free.push(id),
                _ => {}
            }
        }
        let changes = self.changes_of(&stuck, &free);
        self.changes.extend(changes);
    }

    fn changes_of(&self, stuck: &[TaskId], free: &[TaskId]) -> Vec<Change> {
        let max = self.limits.stuck_changes_per_event_max;
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let mut roots = self.roots();
        let mut changes = Vec::new();
        for id in stuck.iter().take(max) {
            if is_on(Bug::DependentsNotTold) && self.waits_for_ended(&mut roots, *id) {
                continue;
            }
            let Some(task) = self.state.tasks.get(id) else {
                continue;
            };
            let mut change = about(ChangeKind::TaskStuck, *id, &task.submitted_by);
            if let Some(cause) = roots.of(task).first() {
                change = change.reason(&cause.to_string());
                change.root = Some(cause.root);
            }
            changes.push(change);
        }
        changes.extend(more(ChangeKind::TaskStuck, stuck.len(), max));
        for id in free.iter().take(max) {
            if let Some(task) = self.state.tasks.get(id) {
                changes.push(about(ChangeKind::TaskUnstuck, *id, &task.submitted_by));
            }
        }
        changes.extend(more(ChangeKind::TaskUnstuck, free.len(), max));
        changes
    }

    /// Whether a task waits for one that is dead or cancelled; a planted bug does not report these.
    fn waits_for_ended(&self, roots: &mut Roots<'_>, id: TaskId) -> bool {
        let causes = self.state.tasks.get(&id).map(|task| roots.of(task));
        let ended = |stuck: &Stuck| {
            matches!(
                stuck.cause,
                Cause::DependencyDead | Cause::DependencyCancelled
            )
        };
        causes.is_some_and(|causes| causes.first().is_some_and(ended))
    }
}

/// It concerns the agent that submitted the task.
fn about(kind: ChangeKind, task: TaskId, submitted_by: &AgentName) -> Change {
    let subject = Subject::Task { task, attempt: 0 };
    Change::new(kind).agent(submitted_by).about(subject)
}

/// Reports how many tasks an event does not name.
fn more(kind: ChangeKind, count: usize, max: usize) -> Option<Change> {
    let left = count.checked_sub(max).filter(|left| *left > 0)?;
    let text = match kind {
        ChangeKind::TaskStuck => format!("{left} more tasks are stuck: list the stuck tasks"),
        _ => format!("{left} more tasks are no longer stuck"),
    };
    Some(Change::new(kind).reason(&text))
}
