//! Conflicts between a request for resources and the leases that are held.

use std::collections::BTreeSet;

use super::{Lease, LeaseState};
use crate::engine::Engine;
use crate::engine::command::{Actor, LeaseAcquire, LeaseMode};
use crate::engine::ids::AgentName;
use crate::engine::outcome::{LeaseConflict, LeaseConflicts, Refusal};
use crate::engine::resource::{HostName, Resource, ResourceRequest};

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
        }
    }
}

impl Engine {
    /// The leases that keep `agent` from getting these resources in `mode`.
    pub fn lease_conflicts<'a>(
        &self,
        agent: Option<&AgentName>,
        wanted: impl IntoIterator<Item = &'a Resource>,
        mode: LeaseMode,
    ) -> LeaseConflicts {
        let mut conflicts = self.no_conflicts();
        for resource in wanted {
            for lease in self.barring(agent, mode) {
                let mut held = lease.resources.iter();
                if let Some(held) = held.find(|held| held.overlaps(resource)) {
                    self.tell(&mut conflicts, || {
                        let example = held.example(resource);
                        lease.conflict(held, resource.to_string(), example)
                    });
                }
            }
        }
        conflicts
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

    fn barring<'a>(
        &'a self,
        agent: Option<&'a AgentName>,
        mode: LeaseMode,
    ) -> impl Iterator<Item = &'a Lease> {
        let leases = self.state.leases.values();
        leases.filter(move |lease| bars(lease, agent, mode))
    }

    /// A port of the pool that is neither held nor requested. One pass finds it, however many are held.
    pub(super) fn free_port(
        &self,
        by: &Actor,
        acquire: &LeaseAcquire,
        granted: &[Resource],
        pool: RequestedPool<'_>,
    ) -> Option<u16> {
        let barring = self.barring(by.agent(), acquire.mode);
        let barred = barring.flat_map(|lease| &lease.resources);
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
        for lease in self.barring(by.agent(), acquire.mode) {
            let ports = lease.resources.iter();
            for held in ports.filter(|held| pool.port(held).is_some()) {
                is_held = true;
                self.tell(conflicts, || lease.conflict(held, wanted.to_string(), None));
            }
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

/// Whether a lease conflicts with a request if their resources overlap.
fn bars(lease: &Lease, agent: Option<&AgentName>, mode: LeaseMode) -> bool {
    let both_shared = lease.mode == LeaseMode::Shared && mode == LeaseMode::Shared;
    let own_lapsed = !lease.is_held() && Some(&lease.agent) == agent;
    !both_shared && !own_lapsed
}
