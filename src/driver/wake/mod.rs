//! Wakes parked requests: those that what became free can serve, in the order they came, and only as many.

use std::collections::BTreeSet;

use super::core::{Core, Moment};
use super::project::Project;
use super::propose::Pending;
use super::waiters::{ClaimClass, Waiters, acquire_of};
use crate::engine::command::{Action, Command};
use crate::engine::ids::{ProjectName, TaskId};
use crate::engine::leases::Wanted;
use crate::engine::outcome::{Answer, Outcome};
use crate::engine::resource::ResourceRequest;
use crate::engine::{Freed, Signals};
use crate::planted::{Bug, is_on};

/// What may be granted now, and which requests are looked at in any case.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    pub(super) signals: Signals,
    /// A claim was decided, so those that wait only for that are looked at.
    decided: bool,
    orders: BTreeSet<u64>,
}

/// Requests of which the first is looked at next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Queue {
    One,
    Claims(Box<ClaimClass>),
    Acquires(Wanted),
}

/// The first of each queue, by place in line.
type Heads = BTreeSet<(u64, Queue)>;

impl Wakes {
    pub(super) fn all(waiters: &Waiters) -> Self {
        Self {
            orders: waiters.orders().collect(),
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.signals.add(other.signals);
        self.decided |= other.decided;
        self.orders.extend(other.orders);
    }
}

impl Project {
    /// A record was applied: what follows from it for parked requests.
    pub(super) fn wakes(&mut self, signals: Signals, command: &Command) -> Wakes {
        for agent in &signals.agents {
            self.waiters.refile(agent, &self.engine);
        }
        let mut wakes = Wakes {
            signals,
            ..Wakes::default()
        };
        // The same request may be parked, too. It gets the answer that is remembered now.
        if let (Some(agent), Some(id)) = (command.by.agent(), &command.request_id) {
            wakes.orders.extend(self.waiters.repeated(agent, id));
        }
        wakes
    }

    /// A command that was expected to get something is decided; `answer` is set if it was applied.
    pub(super) fn decided(&mut self, pending: &Pending, answer: Option<&Answer>) -> Wakes {
        let mut wakes = Wakes::default();
        if let Some(task) = pending.reserved
            && self.reserved.remove(&task)
        {
            wakes.signals.tasks.push(task);
            wakes.decided = true;
        }
        let Some((order, parked)) = &pending.parked else {
            return wakes;
        };
        let Some(acquire) = acquire_of(parked) else {
            return wakes;
        };
        self.taking.remove(*order, acquire);
        let is_held = match answer {
            Some(Ok(Outcome::Lease(grant))) => {
                let held = self.engine.held_lease(grant.lease, grant.fence);
                held.is_ok()
            }
            _ => false,
        };
        // Those behind it made room for it. If it is held now, they wait for its end.
        if !is_held && !is_on(Bug::WaiterBehindForgotten) {
            let named = acquire.resources.iter().filter_map(ResourceRequest::one);
            wakes.signals.freed.push(Freed {
                resources: named.cloned().collect(),
                only: None,
            });
        }
        wakes
    }

    /// Whether an acquire under way is expected to get what this one wants.
    pub(super) fn makes_room(&self, action: &Action) -> bool {
        let Action::LeaseAcquire(acquire) = action else {
            return false;
        };
        !self.taking.is_empty() && Wanted::all_of(acquire).any(|it| self.taking.excludes(&it))
    }

    fn heads(&self, wakes: &Wakes) -> Heads {
        let mut heads: Heads = wakes
            .orders
            .iter()
            .map(|order| (*order, Queue::One))
            .collect();
        if wakes.decided {
            heads.extend(self.waiters.contested().map(one));
        }
        for agent in &wakes.signals.agents {
            heads.extend(self.waiters.covered_by(agent).map(one));
        }
        if self.waiters.watches() > 0 {
            self.claim_heads(&wakes.signals, &mut heads);
        }
        if !self.waiters.acquires().is_empty() {
            self.acquire_heads(&wakes.signals, &mut heads);
        }
        heads
    }

    fn claim_heads(&self, signals: &Signals, heads: &mut Heads) {
        let mut tasks: BTreeSet<TaskId> = signals.tasks.iter().copied().collect();
        let keys: BTreeSet<_> = signals.keys.iter().collect();
        // Of many tasks under a key, it is cheaper to look at all that waits than at all that is ready.
        let most = self.waiters.watches();
        let mut all = false;
        for key in keys {
            tasks.extend(self.engine.offered_under(key));
            let under: Vec<TaskId> = self.engine.ready_under(key).take(most + 1).collect();
            all |= under.len() > most;
            tasks.extend(under);
        }
        let mut classes: BTreeSet<&ClaimClass> = BTreeSet::new();
        if all {
            classes.extend(self.waiters.classes());
        }
        for id in tasks {
            let ready = self.engine.ready_task(id);
            let Some(task) = ready.filter(|_| !self.reserved.contains(&id)) else {
                continue;
            };
            match &task.offer {
                Some(offer) => heads.extend(self.waiters.covered_by(&offer.agent).map(one)),
                None if all => {}
                None => classes.extend(self.waiters.classes_for(task)),
            }
        }
        heads.extend(classes.into_iter().filter_map(|class| {
            let first = self.waiters.next_claim(class, 0)?;
            Some((first, Queue::Claims(Box::new(class.clone()))))
        }));
    }

    fn acquire_heads(&self, signals: &Signals, heads: &mut Heads) {
        let acquires = self.waiters.acquires();
        for freed in &signals.freed {
            if let Some(agent) = &freed.only {
                heads.extend(self.waiters.covered_by(agent).map(one));
                continue;
            }
            for resource in &freed.resources {
                heads.extend(acquires.of_pools(resource).map(one));
                heads.extend(acquires.overlapping(resource).filter_map(|wanted| {
                    let first = acquires.next(wanted, 0)?;
                    Some((first, Queue::Acquires(wanted.clone())))
                }));
            }
        }
    }

    /// The next request of a queue, if it may be served: all of a class get the same tasks, and what is held or
    /// about to be held is out of reach for all that want it.
    fn next_head(&self, after: u64, queue: Queue) -> Option<(u64, Queue)> {
        let next = match &queue {
            Queue::One => None,
            Queue::Claims(_) if self.waiters.get(after).is_some() => None,
            Queue::Claims(class) => self.waiters.next_claim(class, after + 1),
            Queue::Acquires(wanted) => self.waiters.acquires().next(wanted, after + 1),
        };
        Some((next?, queue))
    }

    fn is_out_of_reach(&self, queue: &Queue) -> bool {
        match queue {
            Queue::Acquires(wanted) => self.taking.excludes(wanted) || self.engine.is_held(wanted),
            Queue::One | Queue::Claims(_) => false,
        }
    }
}

impl Core {
    /// Looks at the parked requests that may be granted now, in the order they came.
    pub(super) fn wake_parked(&mut self, now: Moment, project: &ProjectName, wakes: &Wakes) {
        if is_on(Bug::LostWakeUp) {
            return;
        }
        let Some(known) = self.projects.get(project) else {
            return;
        };
        // While the line is down, this node does not know whether an agent repeated its request at another
        // coordinator. Proposed now, such a request could take effect twice. `line_up` refuses those and then wakes
        // all others.
        if known.line.as_ref().is_some_and(|line| !line.is_up()) {
            return;
        }
        let mut heads = known.heads(wakes);
        while let Some((order, queue)) = heads.pop_first() {
            let known = self.projects.get(project);
            if known.is_none_or(|known| known.is_out_of_reach(&queue)) {
                continue;
            }
            self.wake_one(now, project, order);
            let known = self.projects.get(project);
            heads.extend(known.and_then(|known| known.next_head(order, queue)));
        }
    }
}

fn one(order: u64) -> (u64, Queue) {
    (order, Queue::One)
}

#[cfg(test)]
mod tests;
