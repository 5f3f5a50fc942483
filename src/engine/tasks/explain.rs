//! Explains why a task does not run: every reason in the state, along the chain of its dependencies.
//!
//! It changes nothing, and its cost is bounded: it visits `TASKS_MAX` tasks and walks once down to the root;
//! it visits agents and claimed tasks once for each requirement and concurrency key of those tasks.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Engine;
use super::super::agents::Presence;
use super::super::command::Capabilities;
use super::super::ids::{AgentName, ConcurrencyKey, JournalTime, Note, TaskId};
use super::{Attempt, Cancellation, Progress, Task, TaskState};

/// The most tasks in one explanation.
const TASKS_MAX: usize = 64;
/// The most agents, tasks or holders that one reason names; it counts the rest.
const NAMES_MAX: usize = 8;

/// Why a task does not run; or that it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation<'a> {
    /// The requested task, then its dependencies, each after the task that waits for it.
    pub tasks: Vec<Explained<'a>>,
    /// The number of tasks of the chain that are not shown, or a lower bound.
    pub left_out: u64,
}

/// One task of the chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained<'a> {
    pub task: &'a Task,
    /// The number of steps from the requested task.
    pub depth: u64,
    pub reasons: Vec<Reason>,
}

/// Some members of a set by name, and their total number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<T> {
    pub some: Vec<T>,
    pub count: u64,
}

/// Agents that may claim a task, by presence.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Able {
    /// Connected and not working.
    pub free: Named<AgentName>,
    pub busy: Named<AgentName>,
    pub away: Named<AgentName>,
    /// Known, without a session; they may still claim with a time-to-live.
    pub gone: Named<AgentName>,
}

/// One reason why a task does not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It waits for these, which are open.
    WaitsFor(Named<TaskId>),
    /// It waits for these, which are dead or cancelled.
    WaitsForEnded(Named<TaskId>),
    /// It was submitted with a delay.
    Delayed {
        until: JournalTime,
    },
    /// An attempt failed a moment ago.
    BacksOff {
        until: JournalTime,
        failures: u32,
        attempts_max: u32,
        last_error: Option<Note>,
    },
    /// The maximum number of tasks of its key is running.
    ConcurrencyCap {
        key: ConcurrencyKey,
        cap: u32,
        running: Named<(TaskId, AgentName)>,
    },
    /// No known agent has all of these capabilities.
    NoAgent {
        requires: Capabilities,
    },
    /// Reserved for one agent; others may claim it later.
    Offered {
        agent: AgentName,
        until: JournalTime,
        /// `None`: the agent is no longer known.
        presence: Option<Presence>,
    },
    /// It may be claimed.
    Claimable {
        able: Able,
    },
    /// It runs.
    Claimed {
        attempt: Attempt,
        progress: Option<Progress>,
        presence: Option<Presence>,
    },
    Done,
    Dead {
        failures: u32,
        attempts_max: u32,
        last_error: Option<Note>,
    },
    Cancelled {
        cancellation: Option<Cancellation>,
    },
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self {
            some: Vec::new(),
            count: 0,
        }
    }
}

impl<T> Named<T> {
    fn add(&mut self, one: T) {
        if self.some.len() < NAMES_MAX {
            self.some.push(one);
        }
        self.count += 1;
    }

    /// The number of members that are not named.
    pub fn more(&self) -> u64 {
        self.count - self.some.len() as u64
    }
}

impl<T> FromIterator<T> for Named<T> {
    fn from_iter<I: IntoIterator<Item = T>>(all: I) -> Self {
        let mut named = Self::default();
        all.into_iter().for_each(|one| named.add(one));
        named
    }
}

impl Able {
    pub fn count(&self) -> u64 {
        self.free.count + self.busy.count + self.away.count + self.gone.count
    }
}

impl Engine {
    /// Why a task does not run; `None` if the task does not exist.
    pub fn explain(&self, id: TaskId) -> Option<Explanation<'_>> {
        self.state.tasks.get(&id)?;
        Some(Explainer::new(self).explain(id))
    }
}

/// The visited tasks, and cached results.
struct Explainer<'a> {
    engine: &'a Engine,
    tasks: Vec<Explained<'a>>,
    seen: BTreeSet<TaskId>,
    able: BTreeMap<&'a Capabilities, Able>,
    running: BTreeMap<&'a ConcurrencyKey, Named<(TaskId, AgentName)>>,
}

impl<'a> Explainer<'a> {
    fn new(engine: &'a Engine) -> Self {
        Self {
            engine,
            tasks: Vec::new(),
            seen: BTreeSet::new(),
            able: BTreeMap::new(),
            running: BTreeMap::new(),
        }
    }

    fn explain(mut self, id: TaskId) -> Explanation<'a> {
        let mut open = vec![(id, 0)];
        let mut left_out = 0;
        while let Some((id, depth)) = open.pop() {
            if self.seen.contains(&id) {
                continue;
            }
            if self.tasks.len() == TASKS_MAX {
                left_out = self.unseen(&open, id);
                break;
            }
            self.visit(id, depth);
            // The last one is visited first, so that dependencies that halt the task come before open ones.
            let (halting, others) = self.dependencies(id);
            let next = halting.into_iter().chain(others).map(|on| (on, depth + 1));
            open.extend(next.collect::<Vec<_>>().into_iter().rev());
        }
        if left_out > 0 {
            left_out -= self.visit_root(id);
        }
        Explanation {
            tasks: self.tasks,
            left_out,
        }
    }

    fn unseen(&self, open: &[(TaskId, u64)], id: TaskId) -> u64 {
        let open = open.iter().map(|(id, _)| *id).chain([id]);
        let unseen: BTreeSet<TaskId> = open.filter(|id| !self.seen.contains(id)).collect();
        unseen.len() as u64
    }

    /// The dependencies of a task that are not done: those that halt it, and the rest.
    fn dependencies(&self, id: TaskId) -> (Vec<TaskId>, Vec<TaskId>) {
        let Some(task) = self.engine.state.tasks.get(&id) else {
            return (Vec::new(), Vec::new());
        };
        if task.state != TaskState::Blocked {
            return (Vec::new(), Vec::new());
        }
        let halting = self.engine.index.stuck_on.get(&id);
        let halts = |on: &TaskId| halting.is_some_and(|halting| halting.contains(on));
        task.waiting_on.iter().copied().partition(halts)
    }

    /// Follows the first dependency of each task to the end of the chain, and shows that task, however far it
    /// is: nothing runs before it. Returns how many tasks it showed.
    fn visit_root(&mut self, from: TaskId) -> u64 {
        let (mut at, mut depth) = (from, 0);
        // Dependencies have no cycle, so this ends; it would end even if a snapshot had one.
        for _ in 0..self.engine.state.tasks.len() {
            let (halting, others) = self.dependencies(at);
            let Some(next) = halting.first().or(others.first()) else {
                break;
            };
            (at, depth) = (*next, depth + 1);
        }
        if self.seen.contains(&at) {
            return 0;
        }
        self.visit(at, depth);
        1
    }

    fn visit(&mut self, id: TaskId, depth: u64) {
        self.seen.insert(id);
        if let Some(task) = self.engine.state.tasks.get(&id) {
            let reasons = self.reasons(task);
            self.tasks.push(Explained {
                task,
                depth,
                reasons,
            });
        }
    }

    fn reasons(&mut self, task: &'a Task) -> Vec<Reason> {
        match &task.state {
            TaskState::Blocked => self.of_blocked(task),
            TaskState::Ready => self.of_ready(task),
            TaskState::Claimed(attempt) => vec![Reason::Claimed {
                attempt: attempt.clone(),
                progress: task.progress.clone(),
                presence: self.presence(&attempt.agent),
            }],
            TaskState::Done => vec![Reason::Done],
            TaskState::Dead => vec![Reason::Dead {
                failures: task.failures,
                attempts_max: task.attempts_max,
                last_error: task.last_error.clone(),
            }],
            TaskState::Cancelled => vec![Reason::Cancelled {
                cancellation: task.cancelled.as_deref().cloned(),
            }],
        }
    }

    fn of_blocked(&self, task: &Task) -> Vec<Reason> {
        let state = |id: &&TaskId| self.engine.state.tasks.get(id).map(|on| &on.state);
        let ended =
            |id: &&TaskId| matches!(state(id), Some(TaskState::Dead | TaskState::Cancelled));
        let (ended, open): (Vec<&TaskId>, Vec<&TaskId>) = task.waiting_on.iter().partition(ended);
        let ended: Named<TaskId> = ended.into_iter().copied().collect();
        let open: Named<TaskId> = open.into_iter().copied().collect();
        let mut reasons = Vec::new();
        if ended.count > 0 {
            reasons.push(Reason::WaitsForEnded(ended));
        }
        if open.count > 0 {
            reasons.push(Reason::WaitsFor(open));
        }
        reasons.extend(self.waits_for_time(task));
        reasons.extend(self.lacks_agent(task));
        reasons
    }

    fn waits_for_time(&self, task: &Task) -> Option<Reason> {
        let over = |at: &JournalTime| *at <= self.engine.state.now && !task.waiting_on.is_empty();
        let until = task.not_before.filter(|at| !over(at))?;
        if task.failures == 0 {
            return Some(Reason::Delayed { until });
        }
        Some(Reason::BacksOff {
            until,
            failures: task.failures,
            attempts_max: task.attempts_max,
            last_error: task.last_error.clone(),
        })
    }

    fn lacks_agent(&self, task: &Task) -> Option<Reason> {
        let lacks = self.engine.index.lacks_agent(task);
        lacks.then(|| Reason::NoAgent {
            requires: task.requires.clone(),
        })
    }

    fn of_ready(&mut self, task: &'a Task) -> Vec<Reason> {
        let mut reasons = Vec::new();
        if let Some(key) = &task.concurrency
            && !self.engine.is_below_cap(key)
        {
            reasons.push(Reason::ConcurrencyCap {
                key: key.clone(),
                cap: self.engine.state.concurrency.get(key).copied().unwrap_or(0),
                running: self.running(key),
            });
        }
        if let Some(offer) = &task.offer {
            reasons.push(Reason::Offered {
                agent: offer.agent.clone(),
                until: offer.until,
                presence: self.engine.presence_of(&offer.agent),
            });
        }
        reasons.extend(self.lacks_agent(task));
        if reasons.is_empty() {
            let able = self.able(&task.requires);
            reasons.push(Reason::Claimable { able });
        }
        reasons
    }

    fn presence(&self, agent: &AgentName) -> Option<Presence> {
        let known = self.engine.state.agents.get(agent);
        known.map(|agent| agent.presence)
    }

    fn running(&mut self, key: &'a ConcurrencyKey) -> Named<(TaskId, AgentName)> {
        let engine = self.engine;
        let find = || {
            let ids = engine.index.running.get(key).into_iter().flatten();
            let tasks = ids.filter_map(|id| engine.state.tasks.get(id));
            let held = tasks.filter_map(|task| Some((task.id, task.attempt()?.agent.clone())));
            held.collect()
        };
        self.running.entry(key).or_insert_with(find).clone()
    }

    fn able(&mut self, requires: &'a Capabilities) -> Able {
        let engine = self.engine;
        let find = || {
            let agents = &engine.state.agents;
            let mut able = Able::default();
            let mut add = |name: &AgentName| {
                let Some(agent) = agents.get(name) else {
                    return;
                };
                let place = match agent.presence {
                    Presence::Online | Presence::Idle => &mut able.free,
                    Presence::Busy => &mut able.busy,
                    Presence::Away => &mut able.away,
                    Presence::Gone => &mut able.gone,
                };
                place.add(name.clone());
            };
            if requires.is_empty() {
                agents.keys().for_each(&mut add);
            } else {
                engine.index.able(requires).for_each(&mut add);
            }
            able
        };
        self.able.entry(requires).or_insert_with(find).clone()
    }
}

impl Reason {
    /// Whether a suitable agent could claim the task now.
    pub fn is_claimable(&self) -> bool {
        matches!(self, Self::Claimable { .. } | Self::Offered { .. })
    }
}
