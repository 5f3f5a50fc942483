//! Leases: holds on resources, exclusive or shared, under a fencing token.
//!
//! ```text
//!  acquire ──► Held ──release, revoke, session closed──► gone
//!               │
//!               └─ time-to-live or session lost ──► Lapsed ──lock-delay over──► gone
//! ```

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Engine;
use super::agents::owns_or_operates;
use super::command::{Actor, LeaseAcquire, LeaseMode, LeaseRelease, LeaseRenew, LeaseRevoke};
use super::event::{Change, ChangeKind, Subject};
use super::hold::Hold;
use super::ids::{AgentName, FencingToken, JournalTime, LeaseId, Note};
use super::limits::check_limit;
use super::outcome::{Answer, LeaseConflict, LeaseGrant, Outcome, Refusal};
use super::resource::{Resource, ResourceRequest};

/// A hold on resources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub id: LeaseId,
    pub agent: AgentName,
    pub resources: Vec<Resource>,
    #[serde(default)]
    pub mode: LeaseMode,
    pub hold: Hold,
    pub fence: FencingToken,
    #[serde(default)]
    pub note: Option<Note>,
    pub acquired_at: JournalTime,
    pub state: LeaseState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseState {
    Held,
    /// Its holder was lost; until then only the same agent may take the resources.
    Lapsed {
        opens_at: JournalTime,
    },
}

impl Lease {
    pub fn is_held(&self) -> bool {
        self.state == LeaseState::Held
    }
}

impl Engine {
    /// Every lease that keeps `agent` from getting `resource` in `mode`.
    pub fn lease_conflicts(
        &self,
        agent: Option<&AgentName>,
        resource: &Resource,
        mode: LeaseMode,
    ) -> Vec<LeaseConflict> {
        let mut conflicts = Vec::new();
        for lease in self.state.leases.values() {
            if !bars(lease, agent, mode) {
                continue;
            }
            let held = lease.resources.iter().find(|held| held.overlaps(resource));
            conflicts.extend(held.map(|held| LeaseConflict {
                lease: lease.id,
                holder: lease.agent.clone(),
                held: held.clone(),
                wanted: resource.to_string(),
                example: held.example(resource),
                opens_at: match lease.state {
                    LeaseState::Held => None,
                    LeaseState::Lapsed { opens_at } => Some(opens_at),
                },
            }));
        }
        conflicts
    }

    /// Every resource that `agent` cannot get in `mode`. One pass finds a pool's free port, however
    /// many of its ports are held.
    fn barred<'a>(
        &'a self,
        agent: Option<&'a AgentName>,
        mode: LeaseMode,
    ) -> impl Iterator<Item = &'a Resource> {
        let leases = self.state.leases.values();
        let barring = leases.filter(move |lease| bars(lease, agent, mode));
        barring.flat_map(|lease| &lease.resources)
    }

    /// The resources a request would get, or why it cannot have them.
    pub(super) fn check_lease_acquire(
        &self,
        by: &Actor,
        acquire: &LeaseAcquire,
    ) -> Result<Vec<Resource>, Refusal> {
        self.check_new_agent(by.agent())?;
        self.check_hold(by, acquire.hold)?;
        let limits = &self.limits;
        check_limit!(limits, resources_per_lease_max, acquire.resources.len())?;
        check_limit!(limits, leases_max, self.state.leases.len() + 1)?;
        if acquire.resources.is_empty() {
            return Err(Refusal::Invalid {
                path: "resources".to_owned(),
                problem: "a lease needs at least one resource".to_owned(),
            });
        }
        self.check_pattern_bytes(by, acquire)?;
        let mut granted: Vec<Resource> = Vec::with_capacity(acquire.resources.len());
        let mut conflicts = Vec::new();
        for wanted in &acquire.resources {
            match wanted {
                ResourceRequest::One(resource) => {
                    conflicts.extend(self.lease_conflicts(by.agent(), resource, acquire.mode));
                    granted.push(resource.clone());
                }
                ResourceRequest::PortPool { host, from, to } => {
                    let named = acquire.resources.iter().filter_map(|wanted| match wanted {
                        ResourceRequest::One(resource) => Some(resource),
                        ResourceRequest::PortPool { .. } => None,
                    });
                    let barred = self.barred(by.agent(), acquire.mode);
                    let taken = barred.chain(&granted).chain(named);
                    let taken: BTreeSet<u16> = taken
                        .filter_map(|resource| match resource {
                            Resource::Port { host: other, port } if other == host => Some(*port),
                            _ => None,
                        })
                        .collect();
                    match (*from..=*to).find(|port| !taken.contains(port)) {
                        Some(port) => granted.push(Resource::Port {
                            host: host.clone(),
                            port,
                        }),
                        None => return Err(self.pool_exhausted(wanted)),
                    }
                }
            }
        }
        if conflicts.is_empty() {
            return Ok(granted);
        }
        Err(Refusal::LeaseConflict(conflicts))
    }

    fn check_pattern_bytes(&self, by: &Actor, acquire: &LeaseAcquire) -> Result<(), Refusal> {
        let wanted: u64 = acquire
            .resources
            .iter()
            .map(|resource| match resource {
                ResourceRequest::One(resource) => resource.pattern_bytes(),
                ResourceRequest::PortPool { .. } => 0,
            })
            .sum();
        check_limit!(self.limits, pattern_bytes_per_lease_max, wanted)?;
        let own = by
            .agent()
            .and_then(|agent| self.index.agent_leases.get(agent));
        let held: u64 = own
            .into_iter()
            .flatten()
            .filter_map(|id| self.state.leases.get(id))
            .flat_map(|lease| &lease.resources)
            .map(Resource::pattern_bytes)
            .sum();
        Ok(check_limit!(
            self.limits,
            pattern_bytes_per_agent_max,
            held + wanted
        )?)
    }

    fn pool_exhausted(&self, wanted: &ResourceRequest) -> Refusal {
        let ResourceRequest::PortPool { host, from, to } = wanted else {
            return Refusal::LeaseConflict(Vec::new());
        };
        let in_pool = |held: &&Resource| matches!(held, Resource::Port { host: h, port } if h == host && (from..=to).contains(&port));
        let conflicts = self.state.leases.values().filter_map(|lease| {
            let held = lease.resources.iter().find(in_pool)?;
            Some(LeaseConflict {
                lease: lease.id,
                holder: lease.agent.clone(),
                held: held.clone(),
                wanted: wanted.to_string(),
                example: None,
                opens_at: None,
            })
        });
        Refusal::LeaseConflict(conflicts.collect())
    }

    pub(super) fn lease_acquire(&mut self, by: &Actor, acquire: &LeaseAcquire) -> Answer {
        let resources = self.check_lease_acquire(by, acquire)?;
        let Some(agent) = by.agent() else {
            return Ok(Outcome::Done);
        };
        let lease = Lease {
            id: self.state.last.lease(),
            agent: agent.clone(),
            resources: resources.clone(),
            mode: acquire.mode,
            hold: self.hold(by, acquire.hold),
            fence: self.state.last.fence(),
            note: acquire.note.clone(),
            acquired_at: self.state.now,
            state: LeaseState::Held,
        };
        self.change(of_lease(ChangeKind::LeaseAcquired, &lease));
        let grant = LeaseGrant {
            lease: lease.id,
            fence: lease.fence,
            resources,
            expires_at: lease.hold.expires_at(),
        };
        self.index.add_lease(&lease);
        self.state.leases.insert(lease.id, lease);
        Ok(Outcome::Lease(Box::new(grant)))
    }

    /// The lease that `fence` stands for, if it is still held.
    pub fn held_lease(&self, id: LeaseId, fence: FencingToken) -> Result<&Lease, Refusal> {
        let lease = self.state.leases.get(&id).filter(|lease| lease.is_held());
        match lease {
            Some(lease) if lease.fence == fence => Ok(lease),
            _ => Err(Refusal::StaleFence {
                what: format!("lease {id}"),
                given: fence,
                current: lease.map(|lease| lease.fence),
            }),
        }
    }

    fn own_lease(&self, by: &Actor, id: LeaseId, fence: FencingToken) -> Result<&Lease, Refusal> {
        let lease = self.held_lease(id, fence)?;
        if by.agent() == Some(&lease.agent) {
            return Ok(lease);
        }
        Err(Refusal::Forbidden(format!(
            "lease {id} is held by {}",
            lease.agent
        )))
    }

    pub(super) fn check_lease_renew(&self, by: &Actor, renew: &LeaseRenew) -> Result<(), Refusal> {
        let lease = self.own_lease(by, renew.lease, renew.fence)?;
        match (lease.hold, renew.ttl_ms) {
            (_, None) => Ok(()),
            (Hold::Ttl { .. }, Some(ttl_ms)) => self.check_ttl(ttl_ms),
            (Hold::Session(_), Some(_)) => Err(Refusal::Conflict(format!(
                "lease {} lives as long as its session; it has no time-to-live to change",
                renew.lease
            ))),
        }
    }

    pub(super) fn lease_renew(&mut self, renew: &LeaseRenew) -> Outcome {
        let now = self.state.now;
        let mut expires_at = None;
        if let Some(lease) = self.state.leases.get_mut(&renew.lease) {
            self.index.remove_lease(lease);
            lease.hold.renew(now, renew.ttl_ms);
            self.index.add_lease(lease);
            expires_at = lease.hold.expires_at();
        }
        Outcome::Renewed { expires_at }
    }

    pub(super) fn check_lease_release(
        &self,
        by: &Actor,
        release: &LeaseRelease,
    ) -> Result<(), Refusal> {
        self.own_lease(by, release.lease, release.fence).map(|_| ())
    }

    pub(super) fn lease_release(&mut self, release: &LeaseRelease) {
        self.lease_ends(release.lease, ChangeKind::LeaseReleased, "released");
    }

    pub(super) fn check_lease_revoke(
        &self,
        by: &Actor,
        revoke: &LeaseRevoke,
    ) -> Result<(), Refusal> {
        let lease = self.state.leases.get(&revoke.lease);
        match lease {
            Some(lease) if owns_or_operates(by, &lease.agent) => Ok(()),
            Some(lease) => Err(Refusal::Forbidden(format!(
                "lease {} belongs to {}: only an operator revokes it",
                lease.id, lease.agent
            ))),
            None => Err(Refusal::NotFound(format!("lease {}", revoke.lease))),
        }
    }

    pub(super) fn lease_revoke(&mut self, revoke: &LeaseRevoke) {
        let reason = revoke.reason.as_ref().map_or("revoked", Note::as_str);
        self.lease_ends(revoke.lease, ChangeKind::LeaseRevoked, reason);
    }

    /// Ends a lease in order: its resources are open at once.
    pub(super) fn lease_ends(&mut self, id: LeaseId, kind: ChangeKind, reason: &str) {
        if let Some(lease) = self.state.leases.remove(&id) {
            self.index.remove_lease(&lease);
            self.signals.leasable = true;
            self.change(of_lease(kind, &lease).reason(reason));
        }
    }

    /// The holder is lost: others wait for the lock-delay, since it may still be writing.
    pub(super) fn lease_lapses(&mut self, id: LeaseId, reason: &str) {
        let opens_at = self.state.now.after_ms(self.limits.lock_delay_ms);
        let Some(lease) = self.state.leases.get_mut(&id) else {
            return;
        };
        self.index.remove_lease(lease);
        lease.state = LeaseState::Lapsed { opens_at };
        self.index.add_lease(lease);
        let change = of_lease(ChangeKind::LeaseLapsed, lease).reason(reason);
        self.state.totals.leases_lapsed += 1;
        // The same agent may take it at once.
        self.signals.leasable = true;
        self.change(change);
    }

    pub(super) fn lease_opens(&mut self, id: LeaseId) {
        self.lease_ends(id, ChangeKind::LeaseOpened, "lock-delay over");
    }
}

/// Whether a lease can stand in the way of a request, were the resources to overlap.
fn bars(lease: &Lease, agent: Option<&AgentName>, mode: LeaseMode) -> bool {
    let both_shared = lease.mode == LeaseMode::Shared && mode == LeaseMode::Shared;
    let own_lapsed = !lease.is_held() && Some(&lease.agent) == agent;
    !both_shared && !own_lapsed
}

fn of_lease(kind: ChangeKind, lease: &Lease) -> Change {
    let change = Change::new(kind).about(Subject::Lease(lease.id));
    change.agent(&lease.agent).fence(lease.fence)
}
