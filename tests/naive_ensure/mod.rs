//! What `lease.ensure` may and must do, said without the engine's own code: by looking at all leases.

use cli_coordinator::engine::command::{HoldRequest, LeaseEnsure, LeaseGiveBack, LeaseMode};
use cli_coordinator::engine::hold::Hold;
use cli_coordinator::engine::ids::{AgentName, JournalTime, TreeName};
use cli_coordinator::engine::leases::Lease;
use cli_coordinator::engine::resource::Resource;

use crate::naive_paths as paths;

pub(crate) fn texts(resources: &[Resource]) -> Vec<String> {
    resources.iter().map(ToString::to_string).collect()
}

/// Whether paths of the one tree can be those of the other.
pub(crate) fn meet(one: Option<&TreeName>, other: Option<&TreeName>) -> bool {
    one.is_none() || other.is_none() || one == other
}

/// Whether two leases must not be held at the same time by two agents.
pub(crate) fn exclude(one: &Lease, other: &Lease) -> bool {
    let shared = one.mode == LeaseMode::Shared && other.mode == LeaseMode::Shared;
    let meet = meet(one.tree.as_ref(), other.tree.as_ref());
    let clash = |a: &String, b: &String| (meet || !paths::is_place(a)) && paths::overlap(a, b);
    let (a, b) = (texts(&one.resources), texts(&other.resources));
    !shared && a.iter().any(|a| b.iter().any(|b| clash(a, b)))
}

/// Whether a lease holds a resource as it was asked for.
fn holds(lease: &Lease, agent: &AgentName, asked: &LeaseEnsure, wanted: &str) -> bool {
    let mode = lease.mode == LeaseMode::Exclusive || asked.mode == LeaseMode::Shared;
    let tree = lease.tree.is_none() || lease.tree == asked.tree || !paths::is_place(wanted);
    let held = texts(&lease.resources);
    let contains = held.iter().any(|held| paths::contains(held, wanted));
    lease.is_held() && lease.agent == *agent && mode && tree && contains
}

/// Whether the agent holds all that was asked for.
pub(crate) fn holds_all<'a>(
    leases: &(impl Iterator<Item = &'a Lease> + Clone),
    agent: &AgentName,
    asked: &LeaseEnsure,
) -> bool {
    let wanted = texts(&asked.resources);
    wanted.iter().all(|wanted| {
        let mut leases = leases.clone();
        leases.any(|lease| holds(lease, agent, asked, wanted))
    })
}

/// Whether the agent holds all of it for more than half of the time, as anybody can tell: what is asked for are files
/// and names.
pub(crate) fn is_spared<'a>(
    leases: &(impl Iterator<Item = &'a Lease> + Clone),
    agent: &AgentName,
    asked: &LeaseEnsure,
    now: JournalTime,
) -> bool {
    let wanted = texts(&asked.resources);
    wanted.iter().all(|wanted| {
        let is_plain = !wanted.starts_with("path:") && !wanted.ends_with('/');
        let mut leases = leases.clone();
        is_plain
            && leases.any(|lease| {
                holds(lease, agent, asked, wanted) && has_half(lease.hold, asked.hold, now)
            })
    })
}

/// Whether more than half is left, of the lease's time and of the time that was asked for.
fn has_half(hold: Hold, asked: HoldRequest, now: JournalTime) -> bool {
    match (hold, asked) {
        (Hold::Session(_), _) => true,
        (Hold::Ttl { ttl_ms, until }, HoldRequest::Session) => 2 * until.since_ms(now) > ttl_ms,
        (Hold::Ttl { ttl_ms, until }, HoldRequest::TtlMs(asked_ms)) => {
            2 * until.since_ms(now) > ttl_ms.max(asked_ms)
        }
    }
}

/// Whether a lease may have ended because all of it was given back.
pub(crate) fn is_given_back(lease: &Lease, back: &LeaseGiveBack) -> bool {
    let asked = texts(&back.resources);
    let held = texts(&lease.resources);
    held.iter().all(|held| {
        let tree = lease.tree == back.tree || !paths::is_place(held);
        tree && asked.iter().any(|asked| paths::contains(asked, held))
    })
}
