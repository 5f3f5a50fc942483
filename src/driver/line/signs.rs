//! This node's heartbeats, its sessions as the state knows them, and its rank among the nodes.

use crate::driver::core::{Core, Moment};
use crate::engine::agents::SessionState;
use crate::engine::command::{Action, LostReason, NodeAlive, SessionLost};
use crate::engine::ids::{JournalTime, ProjectName};

impl Core {
    /// Appends a heartbeat if this node serves sessions and the last heartbeat expires soon.
    pub(in crate::driver) fn beat(&mut self, now: Moment, project: &ProjectName) {
        if self.beat_due(project).is_none_or(|due| due > now) {
            return;
        }
        self.give_sign(now, project);
    }

    pub(in crate::driver) fn give_sign(&mut self, now: Moment, project: &ProjectName) {
        let Some(sharing) = &self.config.sharing else {
            return;
        };
        let alive = NodeAlive {
            node: self.config.node.clone(),
            ttl_ms: sharing.node_ttl_ms,
            command_format: sharing.command_format,
            port_fingerprint: Some(self.config.port_fingerprint.clone()),
        };
        let Some(line) = self.line_mut(project) else {
            return;
        };
        // One at a time: a second one under way would say nothing new.
        if !line.beating {
            line.beating = true;
            self.propose_own(now, project, Action::NodeAlive(alive));
        }
    }

    pub(in crate::driver) fn sign_failed(&mut self, project: &ProjectName) {
        if let Some(line) = self.line_mut(project) {
            line.beating = false;
        }
    }

    /// Whether the project's state does not know this node, so that its death could not be noticed and its sessions
    /// would never be released.
    pub(in crate::driver) fn is_unknown_node(&self, project: &ProjectName) -> bool {
        let Some(known) = self.projects.get(project) else {
            return false;
        };
        let nodes = &known.engine.state().nodes;
        known.line.as_ref().is_some_and(|line| !line.beating)
            && !nodes.contains_key(&self.config.node)
    }

    /// When the next heartbeat is due; `None` if this node serves no session of the project. In the system project,
    /// a heartbeat tells that the node can publish events.
    pub(in crate::driver) fn beat_due(&self, project: &ProjectName) -> Option<Moment> {
        let sharing = self.config.sharing.as_ref()?;
        let known = self.projects.get(project)?;
        let line = known.line.as_ref().filter(|line| line.is_up())?;
        let publishes = self.publishes && *project == self.system;
        if line.beating || (known.by_session.is_empty() && !publishes) {
            return None;
        }
        let due = match known.engine.state().nodes.get(&self.config.node) {
            Some(node) => {
                // At a third of the time to live, so that one that fails can be repeated in time.
                let ahead_ms = sharing.node_ttl_ms / 3 * 2;
                let due = JournalTime(node.until.0.saturating_sub(ahead_ms));
                known.clock.moment_of(due)
            }
            None => Moment::default(),
        };
        // A full store would refuse it again, so wait until it is asked again.
        Some(line.full_until.map_or(due, |until| due.max(until)))
    }

    /// How much later than the first node this node proposes a tick for a deadline.
    pub(in crate::driver) fn tick_delay_ms(&self, project: &ProjectName) -> u64 {
        let Some(sharing) = &self.config.sharing else {
            return 0;
        };
        sharing.tick_rank_ms * self.rank(project)
    }

    /// How many live nodes come before this one, in the order of their names.
    pub(super) fn rank(&self, project: &ProjectName) -> u64 {
        let known = self.projects.get(project);
        let nodes = known.map(|known| known.engine.state().nodes.keys());
        let before = nodes.into_iter().flatten();
        let before = before.take_while(|node| **node != self.config.node);
        before.count() as u64
    }

    /// Ends sessions that this node serves by the state but that have no connection here. Either their opening was
    /// written although no client was told, or their connection ended while the store was unreachable.
    pub(super) fn reconcile_sessions(&mut self, now: Moment, project: &ProjectName) {
        let Some(known) = self.projects.get(project) else {
            return;
        };
        let sessions = known.engine.state().sessions.values();
        let lost: Vec<SessionLost> = sessions
            .filter(|s| s.state == SessionState::Live && s.node == self.config.node)
            .filter(|s| !known.by_session.contains_key(&s.id))
            .map(|s| SessionLost {
                session: s.id,
                connection: s.connection,
                reason: LostReason::ConnectionLost,
            })
            .collect();
        for lost in lost {
            self.propose_own(now, project, Action::SessionLost(lost));
        }
    }
}
