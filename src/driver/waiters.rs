//! The parked requests of a project: in the order they came, and by what can wake them.
//!
//! The entries of a parked request follow from it and from the capabilities of its agent. Whoever changes either
//! takes the entries out and puts them back.

use std::collections::{BTreeMap, BTreeSet};

use super::connection::ConnectionId;
use super::parked::Parked;
use crate::engine::Engine;
use crate::engine::command::{Action, Capabilities, Labels, LeaseAcquire, TaskClaim};
use crate::engine::ids::{AgentName, LabelKey, LabelValue, RequestId, TaskId};
use crate::engine::leases::WantedPlaces;
use crate::engine::tasks::Task;
use crate::planted::{Bug, is_on, visit};

#[derive(Debug, Default)]
pub(super) struct Waiters {
    parked: BTreeMap<u64, (Parked, Filed)>,
    index: WaitersIndex,
}

/// Where a parked request stands in the index.
#[derive(Debug, Clone)]
struct Filed {
    agent: AgentName,
    /// Of a claim.
    class: Option<ClaimClass>,
}

#[derive(Debug, PartialEq, Eq, Default)]
struct WaitersIndex {
    by_agent: BTreeMap<AgentName, BTreeSet<u64>>,
    claims: BTreeMap<Watch, BTreeMap<ClaimClass, BTreeSet<u64>>>,
    /// Claims that wait only until those ahead of them are decided.
    contested: BTreeSet<u64>,
    acquires: WantedPlaces,
    /// The acquires, in the order they came.
    acquiring: BTreeSet<u64>,
}

/// What a claim waits for, as far as it is looked up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Watch {
    AnyTask,
    Task(TaskId),
    Label(LabelKey, LabelValue),
}

/// Claims that can be granted the same tasks, unless one is kept for their agent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClaimClass {
    watch: Watch,
    /// In this order, the classes that a task is important enough for come first.
    priority_min: i32,
    capabilities: Capabilities,
    labels: Labels,
}

impl ClaimClass {
    fn of(claim: &TaskClaim, agent: &AgentName, engine: &Engine) -> Self {
        let filter = &claim.filter;
        let label = || filter.labels.first_key_value();
        let watch = match (filter.task, label()) {
            (Some(task), _) => Watch::Task(task),
            (None, Some((name, value))) => Watch::Label(name.clone(), value.clone()),
            (None, None) => Watch::AnyTask,
        };
        let agent = engine.state().agents.get(agent);
        Self {
            watch,
            priority_min: filter.priority_min.unwrap_or(i32::MIN),
            capabilities: agent.map_or_else(Capabilities::new, |it| it.capabilities.clone()),
            labels: filter.labels.clone(),
        }
    }

    fn suits(&self, task: &Task) -> bool {
        let has = |(name, value)| task.labels.get(name) == Some(value);
        task.requires.is_subset(&self.capabilities) && self.labels.iter().all(has)
    }
}

impl WaitersIndex {
    fn insert(&mut self, order: u64, parked: &Parked, filed: &Filed) {
        let theirs = self.by_agent.entry(filed.agent.clone()).or_default();
        theirs.insert(order);
        if let Some(class) = &filed.class {
            let watching = self.claims.entry(class.watch.clone()).or_default();
            watching.entry(class.clone()).or_default().insert(order);
            if parked.until.is_none() {
                self.contested.insert(order);
            }
        }
        if let Action::LeaseAcquire(acquire) = &parked.action {
            self.acquires.insert(order, acquire);
            self.acquiring.insert(order);
        }
    }

    fn remove(&mut self, order: u64, parked: &Parked, filed: &Filed) {
        if is_on(Bug::WaiterStays) {
            return;
        }
        remove(&mut self.by_agent, &filed.agent, order);
        if let Some(class) = &filed.class
            && let Some(watching) = self.claims.get_mut(&class.watch)
        {
            remove(watching, class, order);
            if watching.is_empty() {
                self.claims.remove(&class.watch);
            }
            self.contested.remove(&order);
        }
        if let Action::LeaseAcquire(acquire) = &parked.action {
            self.acquires.remove(order, acquire);
            self.acquiring.remove(&order);
        }
    }
}

impl Waiters {
    pub(super) fn insert(
        &mut self,
        order: u64,
        parked: Parked,
        agent: &AgentName,
        engine: &Engine,
    ) {
        let filed = filed(&parked, agent, engine);
        self.index.insert(order, &parked, &filed);
        self.parked.insert(order, (parked, filed));
    }

    pub(super) fn remove(&mut self, order: u64) -> Option<Parked> {
        let (parked, filed) = self.parked.remove(&order)?;
        self.index.remove(order, &parked, &filed);
        Some(parked)
    }

    /// The capabilities of an agent changed.
    pub(super) fn refile(&mut self, agent: &AgentName, engine: &Engine) {
        for order in self.of_agent(agent) {
            if let Some((parked, old)) = self.parked.get_mut(&order) {
                self.index.remove(order, parked, old);
                *old = filed(parked, agent, engine);
                self.index.insert(order, parked, old);
            }
        }
    }

    /// The state was replaced by another one.
    pub(super) fn refile_all(&mut self, engine: &Engine) {
        let agents: Vec<AgentName> = self.index.by_agent.keys().cloned().collect();
        for agent in agents {
            self.refile(&agent, engine);
        }
    }

    /// Whether the index matches what is parked, and the agents as they are.
    pub(super) fn is_consistent(&self, engine: &Engine) -> bool {
        let mut index = WaitersIndex::default();
        for (order, (parked, old)) in &self.parked {
            index.insert(*order, parked, &filed(parked, &old.agent, engine));
        }
        index == self.index
    }

    pub(super) fn get(&self, order: u64) -> Option<&Parked> {
        self.parked.get(&order).map(|(parked, _)| parked)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Parked)> {
        self.parked
            .iter()
            .map(|(order, (parked, _))| (*order, parked))
    }

    pub(super) fn orders(&self) -> impl Iterator<Item = u64> {
        self.parked.keys().copied()
    }

    pub(super) fn of_connection(&self, agent: &AgentName, id: ConnectionId) -> Vec<u64> {
        let mut own = self.of_agent(agent);
        own.retain(|order| self.get(*order).is_some_and(|it| it.connection == id));
        own
    }

    /// The requests of an agent with this id.
    pub(super) fn repeated<'a>(
        &'a self,
        agent: &AgentName,
        id: &'a RequestId,
    ) -> impl Iterator<Item = u64> {
        let own = self.index.by_agent.get(agent).into_iter().flatten();
        let same = |order: &u64| self.get(*order)?.request_id.as_ref();
        own.filter(move |order| same(order) == Some(id)).copied()
    }

    fn of_agent(&self, agent: &AgentName) -> Vec<u64> {
        let own = self.index.by_agent.get(agent);
        own.into_iter().flatten().copied().collect()
    }

    /// The requests of all agents that a name stands for.
    pub(super) fn covered_by(&self, name: &AgentName) -> impl Iterator<Item = u64> {
        let agents = self.index.by_agent.range(name.clone()..);
        let agents = agents.take_while(|(agent, _)| name.covers(agent));
        agents
            .flat_map(|(_, orders)| orders)
            .copied()
            .inspect(|_| visit())
    }

    pub(super) fn contested(&self) -> impl Iterator<Item = u64> {
        self.index.contested.iter().copied()
    }

    pub(super) fn acquires(&self) -> &WantedPlaces {
        &self.index.acquires
    }

    /// How many kinds of tasks are waited for.
    pub(super) fn watches(&self) -> usize {
        self.index.claims.len()
    }

    /// The acquires that wait, in the order they came.
    pub(super) fn waiting_acquires(&self) -> impl Iterator<Item = &Parked> {
        let orders = self.index.acquiring.iter();
        orders.filter_map(|order| self.get(*order))
    }

    pub(super) fn classes(&self) -> impl Iterator<Item = &ClaimClass> {
        self.index
            .claims
            .values()
            .flat_map(BTreeMap::keys)
            .inspect(|_| visit())
    }

    /// The classes of claims that a ready task can serve.
    pub(super) fn classes_for(&self, task: &Task) -> impl Iterator<Item = &ClaimClass> {
        let labels = task
            .labels
            .iter()
            .filter(|_| !is_on(Bug::LabelWaiterMissed));
        let labels = labels.map(|(name, value)| Watch::Label(name.clone(), value.clone()));
        let watches = [Watch::AnyTask, Watch::Task(task.id)];
        let watching = watches.into_iter().chain(labels);
        let watching = watching.filter_map(|watch| self.index.claims.get(&watch));
        let classes = watching.flat_map(|classes| {
            let classes = classes.keys().inspect(|_| visit());
            classes.take_while(|class| class.priority_min <= task.priority)
        });
        classes.filter(|class| class.suits(task))
    }

    /// The first claim of a class, from a place in line on.
    pub(super) fn next_claim(&self, class: &ClaimClass, from: u64) -> Option<u64> {
        let orders = self.index.claims.get(&class.watch)?.get(class)?;
        orders.range(from..).next().copied()
    }
}

fn filed(parked: &Parked, agent: &AgentName, engine: &Engine) -> Filed {
    let class = match &parked.action {
        Action::TaskClaim(claim) => Some(ClaimClass::of(claim, agent, engine)),
        _ => None,
    };
    Filed {
        agent: agent.clone(),
        class,
    }
}

fn remove<K: Ord>(map: &mut BTreeMap<K, BTreeSet<u64>>, key: &K, order: u64) {
    if let Some(orders) = map.get_mut(key) {
        orders.remove(&order);
        if orders.is_empty() {
            map.remove(key);
        }
    }
}

/// The acquire that is parked.
pub(super) fn acquire_of(parked: &Parked) -> Option<&LeaseAcquire> {
    match &parked.action {
        Action::LeaseAcquire(acquire) => Some(acquire),
        _ => None,
    }
}
