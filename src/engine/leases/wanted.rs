//! What requests want, by place, so that what becomes free finds those that it can serve.

use std::collections::{BTreeMap, BTreeSet};

use super::conflicts::trees_meet;
use crate::engine::command::{LeaseAcquire, LeaseMode};
use crate::engine::ids::TreeName;
use crate::engine::index::Edit;
use crate::engine::place::Place;
use crate::engine::resource::{HostName, Resource, ResourceRequest};
use crate::planted::visit;

/// One resource that a request names, and in what way it wants it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    pub resource: Resource,
    pub mode: LeaseMode,
    pub tree: Option<TreeName>,
}

/// The requests that want something, by a number that the caller gives each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WantedPlaces {
    named: BTreeMap<Place, BTreeMap<Wanted, BTreeSet<u64>>>,
    /// Requests for any port from the first to the last.
    pools: BTreeMap<(HostName, u16, u16), BTreeSet<u64>>,
}

impl Wanted {
    /// Each resource that an acquire names.
    pub fn all_of(acquire: &LeaseAcquire) -> impl Iterator<Item = Self> + '_ {
        let named = acquire.resources.iter().filter_map(ResourceRequest::one);
        named.map(|resource| Self {
            resource: resource.clone(),
            mode: acquire.mode,
            tree: acquire.tree.clone(),
        })
    }

    /// Whether it cannot be had while this is held.
    pub(super) fn is_excluded_by(
        &self,
        held: &Resource,
        mode: LeaseMode,
        tree: Option<&TreeName>,
    ) -> bool {
        let both_shared = self.mode == LeaseMode::Shared && mode == LeaseMode::Shared;
        let same_trees = !held.is_of_tree() || trees_meet(self.tree.as_ref(), tree);
        !both_shared && same_trees && held.overlaps(&self.resource)
    }
}

impl WantedPlaces {
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.pools.is_empty()
    }

    pub fn insert(&mut self, number: u64, acquire: &LeaseAcquire) {
        self.edit(number, acquire, Edit::Insert);
    }

    pub fn remove(&mut self, number: u64, acquire: &LeaseAcquire) {
        self.edit(number, acquire, Edit::Remove);
    }

    fn edit(&mut self, number: u64, acquire: &LeaseAcquire, edit: Edit) {
        for wanted in Wanted::all_of(acquire) {
            let place = wanted.resource.place();
            let here = self.named.entry(place.clone()).or_default();
            edit.member(here, &wanted, &number);
            if here.is_empty() {
                self.named.remove(&place);
            }
        }
        for request in &acquire.resources {
            if let ResourceRequest::PortPool { host, from, to } = request {
                let pool = (host.clone(), *from, *to);
                edit.member(&mut self.pools, &pool, &number);
            }
        }
    }

    /// What is wanted of this resource.
    pub fn overlapping(&self, resource: &Resource) -> impl Iterator<Item = &Wanted> {
        let place = resource.place();
        let above: Vec<_> = place.above().filter_map(|it| self.named.get(&it)).collect();
        let below = self.named.range(place.clone()..);
        let below = below.take_while(move |(other, _)| place.contains(other));
        let near = above.into_iter().chain(below.map(|(_, here)| here));
        let near = near.flat_map(BTreeMap::keys).inspect(|_| visit());
        near.filter(|wanted| wanted.resource.overlaps(resource))
    }

    /// Whether this cannot be had together with what is wanted here.
    pub fn excludes(&self, wanted: &Wanted) -> bool {
        let mut near = self.overlapping(&wanted.resource);
        near.any(|it| wanted.is_excluded_by(&it.resource, it.mode, it.tree.as_ref()))
    }

    /// The first request that wants this, from a number on.
    pub fn next(&self, wanted: &Wanted, from: u64) -> Option<u64> {
        let here = self.named.get(&wanted.resource.place())?;
        here.get(wanted)?.range(from..).next().copied()
    }

    /// The requests for any port of a pool that has this one.
    pub fn of_pools(&self, resource: &Resource) -> impl Iterator<Item = u64> {
        let port = match resource {
            Resource::Port { host, port } => Some((host.clone(), *port)),
            Resource::Path(_) | Resource::File(_) | Resource::Name(_) => None,
        };
        let pools = port.into_iter().flat_map(|(host, port)| {
            let first = (host.clone(), 0, 0);
            let pools = self.pools.range(first..).inspect(|_| visit());
            let pools = pools.take_while(move |((other, ..), _)| *other == host);
            pools.filter(move |((_, from, to), _)| (*from..=*to).contains(&port))
        });
        pools.flat_map(|(_, numbers)| numbers).copied()
    }
}
