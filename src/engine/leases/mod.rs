//! Leases: holds on resources, exclusive or shared, under a fencing token.
//!
//! ```text
//!  acquire ──► Held ──release, revoke, session closed──► gone
//!               │
//!               └─ time-to-live or session lost ──► Lapsed ──lock-delay over──► gone
//! ```

mod conflicts;
mod ensure;
mod give_back;
pub(super) mod sizes;
#[cfg(test)]
mod tests;
mod wanted;

use serde::{Deserialize, Serialize};

use super::agents::owns_or_operates;
use super::command::{
    Actor, LeaseAcquire, LeaseMode, LeaseRelease, LeaseRenew, LeaseRevoke, is_false,
};
use super::event::{Change, ChangeKind, Subject};
use super::hold::Hold;
use super::ids::{AgentName, FencingToken, JournalTime, LeaseId, Note, TreeName};
use super::index::Edit;
use super::limits::check_limit;
use super::outcome::{Answer, LeaseGrant, Outcome, Refusal};
use super::resource::{Resource, ResourceRequest};
use super::{Engine, Freed};
pub use conflicts::Asker;
use conflicts::RequestedPool;
pub use wanted::{Wanted, WantedPlaces};

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
    /// The tree that its paths are in; without one they exclude those of every tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeName>,
    /// `lease.ensure` took it, so it is renewed with the others that its agent has taken in that way.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ensured: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseState {
    Held,
    /// Its holder was lost; until then only the same agent may lease the resources.
    Lapsed {
        opens_at: JournalTime,
    },
}

impl Lease {
    pub fn is_held(&self) -> bool {
        self.state == LeaseState::Held
    }

    /// How many files it holds.
    pub(super) fn files(&self) -> u64 {
        let files = self.resources.iter().filter_map(Resource::file_bytes);
        files.count() as u64
    }
}

impl Engine {
    /// The resources that a request would get, or why it is refused.
    pub(super) fn check_lease_acquire(
        &self,
        by: &Actor,
        acquire: &LeaseAcquire,
    ) -> Result<Vec<Resource>, Refusal> {
        self.check_new_agent(by.agent())?;
        self.check_hold(by, acquire.hold)?;
        check_limit!(self.limits, leases_max, self.state.leases.len() + 1)?;
        if acquire.resources.is_empty() {
            return Err(Refusal::Invalid {
                path: "resources".to_owned(),
                problem: "a lease needs at least one resource".to_owned(),
            });
        }
        let named = || acquire.resources.iter().filter_map(ResourceRequest::one);
        let pools = acquire.resources.len() - named().count();
        let asked = self.check_sizes(named(), pools)?;
        self.check_holdings(by, &asked)?;
        let mut conflicts = self.acquire_conflicts(by, acquire);
        let mut granted: Vec<Resource> = Vec::with_capacity(acquire.resources.len());
        for wanted in &acquire.resources {
            match wanted {
                ResourceRequest::One(resource) => granted.push(resource.clone()),
                ResourceRequest::PortPool { host, from, to } => {
                    let (from, to) = (*from, *to);
                    let pool = RequestedPool { host, from, to };
                    match self.free_port(by, acquire, &granted, pool) {
                        Some(port) => granted.push(Resource::Port {
                            host: host.clone(),
                            port,
                        }),
                        None => self.tell_holders(by, acquire, wanted, pool, &mut conflicts)?,
                    }
                }
            }
        }
        if conflicts.is_empty() {
            return Ok(granted);
        }
        Err(Refusal::LeaseConflict(conflicts))
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
            tree: acquire.tree.clone(),
            ensured: false,
        };
        let grant = LeaseGrant {
            lease: lease.id,
            fence: lease.fence,
            resources,
            expires_at: lease.hold.expires_at(),
        };
        self.lease_begins(lease);
        Ok(Outcome::Lease(Box::new(grant)))
    }

    fn lease_begins(&mut self, lease: Lease) {
        self.change(of_lease(ChangeKind::LeaseAcquired, &lease));
        self.index.insert(&lease);
        self.state.leases.insert(lease.id, lease);
    }

    /// The lease with this fencing token, if it is still held.
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
                "lease {} is held by its session, so it has no time-to-live",
                renew.lease
            ))),
        }
    }

    pub(super) fn lease_renew(&mut self, renew: &LeaseRenew) -> Outcome {
        let now = self.state.now;
        let mut expires_at = None;
        if let Some(lease) = self.state.leases.get_mut(&renew.lease) {
            self.index.edit_lease_deadline(lease, Edit::Remove);
            lease.hold.renew(now, renew.ttl_ms);
            self.index.edit_lease_deadline(lease, Edit::Insert);
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
                "lease {} belongs to {}: only an operator may revoke it",
                lease.id, lease.agent
            ))),
            None => Err(Refusal::NotFound(format!("lease {}", revoke.lease))),
        }
    }

    pub(super) fn lease_revoke(&mut self, revoke: &LeaseRevoke) {
        let reason = revoke.reason.as_ref().map_or("revoked", Note::as_str);
        self.lease_ends(revoke.lease, ChangeKind::LeaseRevoked, reason);
    }

    /// Ends a lease in order: its resources are free at once.
    pub(super) fn lease_ends(&mut self, id: LeaseId, kind: ChangeKind, reason: &str) {
        if let Some(lease) = self.state.leases.remove(&id) {
            self.index.remove(&lease);
            self.change(of_lease(kind, &lease).reason(reason));
            self.signals.freed.push(Freed {
                resources: lease.resources,
                only: None,
            });
        }
    }

    /// The holder is lost: other agents wait for the lock-delay, because it may still be writing.
    pub(super) fn lease_lapses(&mut self, id: LeaseId, reason: &str) {
        let opens_at = self.state.now.after_ms(self.limits.lock_delay_ms);
        let Some(lease) = self.state.leases.get_mut(&id) else {
            return;
        };
        self.index.remove(lease);
        lease.state = LeaseState::Lapsed { opens_at };
        self.index.insert(lease);
        let change = of_lease(ChangeKind::LeaseLapsed, lease).reason(reason);
        self.state.totals.leases_lapsed += 1;
        self.signals.freed.push(Freed {
            resources: lease.resources.clone(),
            only: Some(lease.agent.clone()),
        });
        self.change(change);
    }

    pub(super) fn lease_opens(&mut self, id: LeaseId) {
        self.lease_ends(id, ChangeKind::LeaseOpened, "lock-delay over");
    }
}

/// The resources of an ended lease, in the requested order; `others` are those that are not files.
pub(super) fn with_files(acquire: &LeaseAcquire, others: Vec<Resource>) -> Vec<Resource> {
    let mut others = others.into_iter();
    let each = acquire.resources.iter().map(|wanted| match wanted.one() {
        Some(file) if file.file_bytes().is_some() => Some(file.clone()),
        _ => others.next(),
    });
    each.flatten().collect()
}

fn of_lease(kind: ChangeKind, lease: &Lease) -> Change {
    let change = Change::new(kind).about(Subject::Lease(lease.id));
    let change = change.tree(lease.tree.as_ref());
    change.agent(&lease.agent).fence(lease.fence)
}
