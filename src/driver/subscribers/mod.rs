//! Which subscriptions of a project an event may concern, so that the others cost nothing.
//!
//! Each filter is filed once, under what narrows it most. What is found may still not want the event.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::connection::ConnectionId;
use crate::engine::event::{Change, Event, Subject};
use crate::engine::ids::{AgentName, TaskId};
use crate::planted::{Bug, is_on, visit};
use crate::protocol::events::{EventFilter, concerns};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Subscribers {
    /// Their filters; those without any get every event.
    all: BTreeMap<ConnectionId, Vec<EventFilter>>,
    unfiltered: BTreeSet<ConnectionId>,
    tasks: Filed<TaskId>,
    agents: Filed<AgentName>,
    prefixes: Filed<String>,
    kinds: Filed<String>,
    areas: Filed<String>,
}

type Filed<K> = BTreeMap<K, BTreeSet<ConnectionId>>;

impl Subscribers {
    /// Adds a subscription, or replaces its filters.
    pub(super) fn set(&mut self, id: ConnectionId, filters: Vec<EventFilter>) {
        self.remove(id);
        if filters.is_empty() {
            self.unfiltered.insert(id);
        }
        for filter in &filters {
            self.file(id, filter);
        }
        self.all.insert(id, filters);
    }

    pub(super) fn remove(&mut self, id: ConnectionId) {
        let Some(filters) = self.all.remove(&id) else {
            return;
        };
        self.unfiltered.remove(&id);
        for filter in &filters {
            self.take_out(id, filter);
        }
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = ConnectionId> {
        self.all.keys().copied()
    }

    fn file(&mut self, id: ConnectionId, filter: &EventFilter) {
        if let Some(task) = filter.task {
            self.tasks.entry(task).or_default().insert(id);
        } else if let Some(agent) = &filter.agent {
            self.agents.entry(agent.clone()).or_default().insert(id);
        } else if let Some(prefix) = &filter.key_prefix {
            self.prefixes.entry(prefix.clone()).or_default().insert(id);
        } else if filter.kinds.is_empty() {
            self.unfiltered.insert(id);
        } else {
            for pattern in &filter.kinds {
                let (filed, key) = match pattern.strip_suffix(".*") {
                    Some(area) => (&mut self.areas, area),
                    None => (&mut self.kinds, pattern.as_str()),
                };
                filed.entry(key.to_owned()).or_default().insert(id);
            }
        }
    }

    fn take_out(&mut self, id: ConnectionId, filter: &EventFilter) {
        if let Some(task) = &filter.task {
            take(&mut self.tasks, task, id);
        } else if let Some(agent) = &filter.agent {
            take(&mut self.agents, agent, id);
        } else if let Some(prefix) = &filter.key_prefix {
            take(&mut self.prefixes, prefix, id);
        }
        // A filter that is filed elsewhere has no entries here.
        for pattern in &filter.kinds {
            match pattern.strip_suffix(".*") {
                Some(area) => take(&mut self.areas, area, id),
                None => take(&mut self.kinds, pattern.as_str(), id),
            }
        }
    }

    /// Those that may want the event, in the order of their connections.
    pub(super) fn concerned(&self, event: &Event) -> BTreeSet<ConnectionId> {
        let mut found = BTreeSet::new();
        if self.all.is_empty() {
            return found;
        }
        found.extend(self.unfiltered.iter().inspect(|_| visit()));
        for change in &event.changes {
            self.by_kind(change, &mut found);
            self.by_subject(change, &mut found);
            if !self.agents.is_empty() {
                self.by_agent(change, &mut found);
            }
        }
        found
    }

    fn by_kind(&self, change: &Change, found: &mut BTreeSet<ConnectionId>) {
        let kind = change.kind.as_str();
        add(self.kinds.get(kind), found);
        let area = kind.split('.').next().unwrap_or_default();
        if !is_on(Bug::AreaMissed) {
            add(self.areas.get(area), found);
        }
    }

    fn by_subject(&self, change: &Change, found: &mut BTreeSet<ConnectionId>) {
        if let Some(root) = &change.root {
            add(self.tasks.get(root), found);
        }
        match &change.subject {
            Some(Subject::Task { task, .. }) => add(self.tasks.get(task), found),
            Some(Subject::Context { key, .. }) => self.by_prefix(key.as_str(), found),
            _ => {}
        }
    }

    /// The prefixes of a key, from the longest down. Between two of them, nothing is looked at: what stands before
    /// a key and is no prefix of it shows how long the next one is at most.
    fn by_prefix(&self, key: &str, found: &mut BTreeSet<ConnectionId>) {
        let mut rest = key;
        loop {
            let mut before = self
                .prefixes
                .range::<str, _>((Bound::Unbounded, Bound::Included(rest)));
            let before = before.next_back();
            let Some((prefix, ids)) = before else { return };
            let common = rest.chars().zip(prefix.chars());
            let common = common.take_while(|(a, b)| a == b);
            let shared: usize = common.map(|(a, _)| a.len_utf8()).sum();
            if shared == prefix.len() {
                add(Some(ids), found);
                // Next, what is shorter than this one.
                let Some((last, _)) = prefix.char_indices().next_back() else {
                    return;
                };
                rest = &rest[..last];
            } else {
                rest = &rest[..shared];
            }
        }
    }

    /// Those that name an agent which the change concerns, as [`EventFilter::matches`] decides it.
    fn by_agent(&self, change: &Change, found: &mut BTreeSet<ConnectionId>) {
        // A broadcast concerns very many: then it is cheaper to ask each filter.
        if change.to.len() > self.agents.len() {
            for (agent, ids) in &self.agents {
                if concerns(change, agent) {
                    add(Some(ids), found);
                }
            }
            return;
        }
        for who in change.agent.iter().chain(&change.to) {
            add(self.agents.get(who), found);
            if who.is_seat() {
                add(self.agents.get(&who.without_seat()), found);
            }
        }
        for to in change.to.iter().filter(|to| !to.is_seat()) {
            let seats = self.agents.range(to.clone()..);
            let seats = seats.take_while(|(agent, _)| to.covers(agent));
            seats.for_each(|(_, ids)| add(Some(ids), found));
        }
    }
}

fn add(ids: Option<&BTreeSet<ConnectionId>>, found: &mut BTreeSet<ConnectionId>) {
    found.extend(ids.into_iter().flatten().inspect(|_| visit()));
}

fn take<K, Q>(filed: &mut Filed<K>, key: &Q, id: ConnectionId)
where
    K: Ord + std::borrow::Borrow<Q>,
    Q: Ord + ?Sized,
{
    if let Some(ids) = filed.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            filed.remove(key);
        }
    }
}

#[cfg(test)]
mod tests;
