//! What `lease.ensure` took is given back by its name: fronts know files, and not which lease holds them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Lease, of_lease};
use crate::engine::command::{Actor, LeaseGiveBack};
use crate::engine::event::ChangeKind;
use crate::engine::ids::LeaseId;
use crate::engine::outcome::{Outcome, Refusal};
use crate::engine::{Engine, Freed};

/// Of each lease, the resources to give back.
type Returned = BTreeMap<LeaseId, BTreeSet<u32>>;

impl Engine {
    pub(in crate::engine) fn check_lease_give_back(
        &self,
        by: &Actor,
        back: &LeaseGiveBack,
    ) -> Result<(), Refusal> {
        self.check_new_agent(by.agent())?;
        self.check_sizes(back.resources.iter(), 0).map(|_| ())
    }

    /// The answer, if nothing is held of it: then no record is needed.
    pub fn nothing_to_give_back(&self, by: &Actor, back: &LeaseGiveBack) -> Option<Outcome> {
        self.check_lease_give_back(by, back).ok()?;
        let returned = self.returned(by, back);
        returned.is_empty().then_some(Outcome::GivenBack(0))
    }

    /// What the agent has ensured and these resources contain. Leases that it acquired have a lease and a fencing
    /// token, and are released by those.
    fn returned(&self, by: &Actor, back: &LeaseGiveBack) -> Returned {
        let mut returned = Returned::new();
        for resource in &back.resources {
            for (id, at) in self.index.held.near(resource) {
                let lease = self.state.leases.get(&id);
                let suits = |lease: &&Lease| {
                    let is_own = lease.ensured && by.agent() == Some(&lease.agent);
                    let is_of_tree = lease.tree == back.tree || !resource.is_of_tree();
                    lease.is_held() && is_own && is_of_tree
                };
                let held = lease.filter(suits);
                let held = held.and_then(|lease| lease.resources.get(at as usize));
                if held.is_some_and(|held| resource.contains(held)) {
                    returned.entry(id).or_default().insert(at);
                }
            }
        }
        returned
    }

    pub(in crate::engine) fn lease_give_back(
        &mut self,
        by: &Actor,
        back: &LeaseGiveBack,
    ) -> Outcome {
        let returned = self.returned(by, back);
        let count = returned.values().map(|at| at.len() as u64).sum();
        for (id, at) in returned {
            let Some(lease) = self.state.leases.get_mut(&id) else {
                continue;
            };
            if at.len() == lease.resources.len() {
                self.lease_ends(id, ChangeKind::LeaseReleased, "released");
                continue;
            }
            self.index.remove(lease);
            let mut next = 0;
            let returned = lease.resources.extract_if(.., |_| {
                next += 1;
                at.contains(&(next - 1))
            });
            let resources = returned.collect();
            self.index.insert(lease);
            let change = of_lease(ChangeKind::LeaseReduced, lease);
            self.signals.freed.push(Freed {
                resources,
                only: None,
            });
            self.change(change);
        }
        Outcome::GivenBack(count)
    }
}
