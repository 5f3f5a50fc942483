//! `lease.ensure`: what is mine is renewed, what is free is taken, what others hold refuses all of it.
//!
//! | the resource is | then |
//! |---|---|
//! | contained in a lease that the agent holds, for more than half of its time | nothing is done |
//! | contained in one of which half of the time or less is left | that lease is renewed |
//! | not held by the agent, and in nobody's way | it is taken, with all others like it, as one new lease |
//! | overlapped by a lease of another agent | nothing at all is done |
//!
//! Where nothing is to be done, the answer follows from the state, and no record is written ([`Engine::ensured`]).
//! Any record renews all leases of the agent and the tree that were taken in this way: they lapse together, when
//! nothing was heard of the agent for their time-to-live.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::{Asker, Lease, LeaseState};
use crate::engine::Engine;
use crate::engine::command::{Actor, LeaseEnsure, LeaseMode};
use crate::engine::ids::{AgentName, LeaseId};
use crate::engine::index::Edit;
use crate::engine::limits::check_limit;
use crate::engine::outcome::{Answer, EnsureOutcome, Ensured, EnsuredLease, Outcome, Refusal};
use crate::engine::resource::Resource;
use crate::planted::{Bug, is_on};

/// What the agent holds of the resources that are asked for.
#[derive(Debug, Default)]
pub(in crate::engine) struct Standing {
    /// The leases that contain some of them, and which; the indices are those of the request.
    held: BTreeMap<LeaseId, Vec<u32>>,
    missing: Vec<u32>,
    /// Some lease has half of its time or less left.
    is_due: bool,
}

impl Engine {
    /// The answer, if all is held already and for long enough: then no record is needed.
    pub fn ensured(&self, by: &Actor, ensure: &LeaseEnsure) -> Option<Outcome> {
        if is_on(Bug::EnsureAlwaysWrites) {
            return None;
        }
        let standing = self.check_lease_ensure(by, ensure).ok()?;
        let is_done = standing.missing.is_empty() && !standing.is_due;
        is_done.then(|| self.ensure_outcome(by, ensure, standing, Ensured::Held))
    }

    /// Whether it would take anything, as things are.
    pub fn ensure_takes(&self, by: &Actor, ensure: &LeaseEnsure) -> bool {
        let standing = self.standing(by, ensure);
        !standing.missing.is_empty()
    }

    /// What the agent holds of it, if the rest can be had.
    pub(in crate::engine) fn check_lease_ensure(
        &self,
        by: &Actor,
        ensure: &LeaseEnsure,
    ) -> Result<Standing, Refusal> {
        self.check_new_agent(by.agent())?;
        self.check_hold(by, ensure.hold)?;
        if ensure.resources.is_empty() {
            return Err(Refusal::Invalid {
                path: "resources".to_owned(),
                problem: "there must be at least one resource".to_owned(),
            });
        }
        self.check_sizes(ensure.resources.iter(), 0)?;
        let mut standing = self.standing(by, ensure);
        if standing.missing.is_empty() {
            return Ok(standing);
        }
        check_limit!(self.limits, leases_max, self.state.leases.len() + 1)?;
        let missing = || some_of(ensure, &standing.missing);
        let sizes = self.check_sizes(missing(), 0)?;
        self.check_holdings(by, &sizes)?;
        let asker = Asker::of_ensure(by, ensure);
        let conflicts = self.lease_conflicts(asker, missing());
        if conflicts.is_empty() {
            return Ok(standing);
        }
        if is_on(Bug::EnsureTakesPart) {
            standing.missing.retain(|at| {
                let resource = ensure.resources.get(*at as usize);
                self.lease_conflicts(asker, resource).is_empty()
            });
            return Ok(standing);
        }
        Err(Refusal::LeaseConflict(conflicts))
    }

    fn standing(&self, by: &Actor, ensure: &LeaseEnsure) -> Standing {
        let mut standing = Standing::default();
        for (at, resource) in (0..).zip(&ensure.resources) {
            let Some(lease) = self.own_lease_on(by, ensure, resource) else {
                standing.missing.push(at);
                continue;
            };
            standing.is_due |= lease.hold.is_due(self.state.now, ensure.hold);
            standing.held.entry(lease.id).or_default().push(at);
        }
        standing
    }

    /// The lease of the agent that contains a resource for the longest time.
    fn own_lease_on(&self, by: &Actor, ensure: &LeaseEnsure, wanted: &Resource) -> Option<&Lease> {
        let suits = |lease: &Lease| {
            let is_held = lease.is_held() || is_on(Bug::LapsedIsEnsured);
            let mode = lease.mode == LeaseMode::Exclusive || ensure.mode == LeaseMode::Shared;
            // Paths that are held in every tree are held in this one.
            let tree = lease.tree.is_none() || lease.tree == ensure.tree;
            is_held && mode && (tree || !wanted.is_of_tree()) && Some(&lease.agent) == by.agent()
        };
        let near = self.index.held.at_or_above(wanted);
        let own = near.into_iter().filter_map(|(id, at)| {
            let lease = self.state.leases.get(&id).filter(|lease| suits(lease))?;
            let held = lease.resources.get(at as usize)?;
            held.contains(wanted).then_some(lease)
        });
        own.max_by_key(|lease| {
            let end = lease.hold.expires_at();
            let is_due = lease.hold.is_due(self.state.now, ensure.hold);
            // Those that sessions hold have no end.
            (!is_due, end.is_none(), end, Reverse(lease.id))
        })
    }

    pub(in crate::engine) fn lease_ensure(&mut self, by: &Actor, ensure: &LeaseEnsure) -> Answer {
        let mut standing = self.check_lease_ensure(by, ensure)?;
        let Some(agent) = by.agent() else {
            return Ok(Outcome::Done);
        };
        if standing.missing.is_empty() && !standing.is_due {
            return Ok(self.ensure_outcome(by, ensure, standing, Ensured::Held));
        }
        self.renew_ensured(agent, ensure, &standing);
        let missing = std::mem::take(&mut standing.missing);
        let mut outcome = self.ensure_outcome(by, ensure, standing, Ensured::Renewed);
        if let Outcome::Ensured(ensured) = &mut outcome
            && !missing.is_empty()
        {
            let lease = Lease {
                id: self.state.last.lease(),
                agent: agent.clone(),
                resources: some_of(ensure, &missing).cloned().collect(),
                mode: ensure.mode,
                hold: self.hold(by, ensure.hold),
                fence: self.state.last.fence(),
                note: ensure.note.clone(),
                acquired_at: self.state.now,
                state: LeaseState::Held,
                tree: ensure.tree.clone(),
                ensured: true,
            };
            let taken = ensured_lease(&lease, Ensured::Taken, missing, ensure);
            ensured.leases.push(taken);
            self.lease_begins(lease);
        }
        Ok(outcome)
    }

    /// Renews what contains the resources, and all else that the agent has ensured in that tree.
    fn renew_ensured(&mut self, agent: &AgentName, ensure: &LeaseEnsure, standing: &Standing) {
        let now = self.state.now;
        let own = self.index.agent_leases.get(agent).cloned();
        for id in own.into_iter().flatten() {
            let Some(lease) = self.state.leases.get_mut(&id) else {
                continue;
            };
            let is_asked = standing.held.contains_key(&id);
            let goes_along = lease.ensured && lease.tree == ensure.tree;
            if !is_asked && !goes_along {
                continue;
            }
            self.index.edit_lease_deadline(lease, Edit::Remove);
            lease.hold.prolong(now, is_asked.then_some(ensure.hold));
            self.index.edit_lease_deadline(lease, Edit::Insert);
        }
    }

    /// The answer for what is held; `how` is what was done about leases with a time-to-live.
    fn ensure_outcome(
        &self,
        by: &Actor,
        ensure: &LeaseEnsure,
        standing: Standing,
        how: Ensured,
    ) -> Outcome {
        let held = standing.held.into_iter().filter_map(|(id, asked)| {
            let lease = self.state.leases.get(&id)?;
            let is_timed = lease.hold.expires_at().is_some();
            let how = if is_timed { how } else { Ensured::Held };
            Some(ensured_lease(lease, how, asked, ensure))
        });
        let leases = held.collect();
        let asker = Asker::of_ensure(by, ensure);
        let elsewhere = self.held_elsewhere(asker, &ensure.resources);
        Outcome::Ensured(Box::new(EnsureOutcome { leases, elsewhere }))
    }

    /// Puts back what is not kept with an answer: what follows from the request, and what is only true now.
    pub(in crate::engine) fn ensured_again(
        &self,
        by: &Actor,
        ensure: &LeaseEnsure,
        kept: &mut EnsureOutcome,
    ) {
        let asker = Asker::of_ensure(by, ensure);
        kept.elsewhere = self.held_elsewhere(asker, &ensure.resources);
        for lease in &mut kept.leases {
            lease.resources = some_of(ensure, &lease.asked).cloned().collect();
        }
    }
}

fn ensured_lease(
    lease: &Lease,
    how: Ensured,
    asked: Vec<u32>,
    ensure: &LeaseEnsure,
) -> EnsuredLease {
    EnsuredLease {
        lease: lease.id,
        fence: lease.fence,
        how,
        resources: some_of(ensure, &asked).cloned().collect(),
        asked,
        expires_at: lease.hold.expires_at(),
    }
}

/// The resources of a request at these indices.
fn some_of<'a>(ensure: &'a LeaseEnsure, at: &'a [u32]) -> impl Iterator<Item = &'a Resource> {
    at.iter()
        .filter_map(|at| ensure.resources.get(*at as usize))
}
