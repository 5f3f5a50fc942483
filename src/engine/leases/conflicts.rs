//! Conflicts between a request for resources and the leases that are held.

use std::collections::BTreeSet;

use super::{Lease, LeaseState, Wanted};
use crate::engine::Engine;
use crate::engine::command::{Actor, LeaseAcquire, LeaseEnsure, LeaseMode};
use crate::engine::ids::{AgentName, TreeName};
use crate::engine::outcome::{LeaseConflict, LeaseConflicts, Refusal};
use crate::engine::resource::{HostName, Resource, ResourceRequest};
use crate::planted::{Bug, is_on};

/// Who asks for resources, and in what way.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    pub agent: Option<&'a AgentName>,
    pub mode: LeaseMode,
    pub tree: Option<&'a TreeName>,
    /// What the agent itself holds is not in its way.
    pub adds: bool,
}

impl<'a> Asker<'a> {
    fn of_acquire(by: &'a Actor, acquire: &'a LeaseAcquire) -> Self {
        Self {
            agent: by.agent(),
            mode: acquire.mode,
            tree: acquire.tree.as_ref(),
            adds: false,
        }
    }

    pub(super) fn of_ensure(by: &'a Actor, ensure: &'a LeaseEnsure) -> Self {
        Self {
            agent: by.agent(),
            mode: ensure.mode,
            tree: ensure.tree.as_ref(),
            adds: true,
        }
    }

    /// Whether a lease can be in the way, were the resources to overlap.
    fn is_barred_by(&self, lease: &Lease) -> bool {
        let both_shared = lease.mode == LeaseMode::Shared && self.mode == LeaseMode::Shared;
        let is_own = Some(&lease.agent) == self.agent;
        !both_shared && !(is_own && (self.adds || !lease.is_held()))
    }

    /// Whether paths of a lease are those that are asked for: those of the same tree, or of all trees.
    fn meets(&self, lease: &Lease) -> bool {
        trees_meet(self.tree, lease.tree.as_ref())
    }
}

/// Whether paths of one tree are those of the other.
pub(super) fn trees_meet(one: Option<&TreeName>, other: Option<&TreeName>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one == other,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => !is_on(Bug::TreelessExcludesNothing),
    }
}

/// A requested pool of ports.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestedPool<'a> {
    pub(super) host: &'a HostName,
    pub(super) from: u16,
    pub(super) to: u16,
}

impl RequestedPool<'_> {
    /// The port, if it is one of this pool.
    fn port(&self, resource: &Resource) -> Option<u16> {
        match resource {
            Resource::Port { host, port } if host == self.host => {
                (self.from..=self.to).contains(port).then_some(*port)
            }
            _ => None,
        }
    }
}

impl Lease {
    /// The conflict of this lease with `wanted`.
    fn conflict(&self, held: &Resource, wanted: String, example: Option<String>) -> LeaseConflict {
        LeaseConflict {
            lease: self.id,
            holder: self.agent.clone(),
            held: held.clone(),
            wanted,
            example,
            since: self.acquired_at,
            hold: self.hold,
            note: self.note.clone(),
            opens_at: match self.state {
                LeaseState::Held => None,
                LeaseState::Lapsed { opens_at } => Some(opens_at),
            },
            tree: self.tree.clone(),
        }
    }
}

impl Engine {
    /// The leases that keep the asker from getting these resources.
    pub fn lease_conflicts<'a>(
        &self,
        asker: Asker<'_>,
        wanted: impl IntoIterator<Item = &'a Resource>,
    ) -> LeaseConflicts {
        self.tell_overlaps(wanted, |lease, resource| {
            asker.is_barred_by(lease) && (!resource.is_of_tree() || asker.meets(lease))
        })
    }

    /// Whether a lease that is held keeps everybody from what is wanted, whoever asks.
    pub fn is_held(&self, wanted: &Wanted) -> bool {
        let near = self.index.held.near(&wanted.resource);
        near.into_iter().any(|(id, at)| {
            let lease = self.state.leases.get(&id);
            let lease = lease.filter(|lease| lease.is_held());
            let held = lease.and_then(|lease| Some((lease, lease.resources.get(at as usize)?)));
            held.is_some_and(|(lease, held)| {
                wanted.is_excluded_by(held, lease.mode, lease.tree.as_ref())
            })
        })
    }

    /// What other agents hold of the same paths in other trees: it is in nobody's way until trees are merged.
    pub(super) fn held_elsewhere<'a>(
        &self,
        asker: Asker<'_>,
        wanted: impl IntoIterator<Item = &'a Resource>,
    ) -> LeaseConflicts {
        self.tell_overlaps(wanted, |lease, resource| {
            resource.is_of_tree()
                && lease.is_held()
                && asker.is_barred_by(lease)
                && asker.tree.is_some()
                && lease.tree.is_some()
                && lease.tree.as_ref() != asker.tree
        })
    }

    /// For each resource, the leases that hold something which overlaps it, as far as they count.
    fn tell_overlaps<'a>(
        &self,
        wanted: impl IntoIterator<Item = &'a Resource>,
        counts: impl Fn(&Lease, &Resource) -> bool,
    ) -> LeaseConflicts {
        let mut found = self.no_conflicts();
        for resource in wanted {
            let mut near = self.index.held.near(resource);
            // In the order of the leases, each of which is told once.
            near.sort_unstable();
            let mut told = None;
            for (id, at) in near {
                let lease = self.state.leases.get(&id).filter(|_| told != Some(id));
                let Some(lease) = lease.filter(|lease| counts(lease, resource)) else {
                    continue;
                };
                let held = lease.resources.get(at as usize);
                if let Some(held) = held.filter(|held| held.overlaps(resource)) {
                    told = Some(id);
                    self.tell(&mut found, || {
                        let example = held.example(resource);
                        lease.conflict(held, resource.to_string(), example)
                    });
                }
            }
        }
        found
    }

    fn no_conflicts(&self) -> LeaseConflicts {
        LeaseConflicts {
            now: self.state.now,
            ..LeaseConflicts::default()
        }
    }

    fn tell(&self, conflicts: &mut LeaseConflicts, conflict: impl FnOnce() -> LeaseConflict) {
        // Many files may each conflict with many leases.
        if (conflicts.told.len() as u64) < self.limits.conflicts_told_max {
            conflicts.told.push(conflict());
        } else {
            conflicts.more += 1;
        }
    }

    /// The ports of a pool that leases hold in the way of an acquire, in the order of the leases.
    fn barred_ports<'a>(
        &'a self,
        by: &'a Actor,
        acquire: &'a LeaseAcquire,
        pool: RequestedPool<'_>,
    ) -> impl Iterator<Item = (&'a Lease, &'a Resource)> {
        let asker = Asker::of_acquire(by, acquire);
        let held = self.index.held.ports(pool.host, pool.from, pool.to);
        let mut held: Vec<_> = held.collect();
        held.sort_unstable();
        let held = held.into_iter().filter_map(move |(id, at)| {
            let lease = self.state.leases.get(&id)?;
            Some((lease, lease.resources.get(at as usize)?))
        });
        held.filter(move |(lease, _)| asker.is_barred_by(lease))
    }

    /// What is in the way of the named resources of an acquire.
    pub(super) fn acquire_conflicts(&self, by: &Actor, acquire: &LeaseAcquire) -> LeaseConflicts {
        let named = acquire.resources.iter().filter_map(ResourceRequest::one);
        self.lease_conflicts(Asker::of_acquire(by, acquire), named)
    }

    /// A port of the pool that is neither held nor requested. One pass finds it, however many are held.
    pub(super) fn free_port(
        &self,
        by: &Actor,
        acquire: &LeaseAcquire,
        granted: &[Resource],
        pool: RequestedPool<'_>,
    ) -> Option<u16> {
        let barred = self.barred_ports(by, acquire, pool).map(|(_, port)| port);
        let named = acquire.resources.iter().filter_map(ResourceRequest::one);
        let taken = barred.chain(granted).chain(named);
        let taken: BTreeSet<u16> = taken.filter_map(|held| pool.port(held)).collect();
        (pool.from..=pool.to).find(|port| !taken.contains(port))
    }

    /// The holders of the ports of a pool that has no free port.
    pub(super) fn tell_holders(
        &self,
        by: &Actor,
        acquire: &LeaseAcquire,
        wanted: &ResourceRequest,
        pool: RequestedPool<'_>,
        conflicts: &mut LeaseConflicts,
    ) -> Result<(), Refusal> {
        let mut is_held = false;
        for (lease, held) in self.barred_ports(by, acquire, pool) {
            is_held = true;
            self.tell(conflicts, || lease.conflict(held, wanted.to_string(), None));
        }
        if is_held {
            return Ok(());
        }
        // Waiting would not help: no other agent holds a port that it could release.
        Err(Refusal::Invalid {
            path: "resources".to_owned(),
            problem: format!("the request asks for more ports of {wanted} than the pool has"),
        })
    }
}
