//! What a peer says of its own configuration, compared with ours when it connects and when it opens
//! a session. This is admission: nothing of it reaches the journal. The coordinators that share a
//! journal tell each other theirs with their signs of life.
//!
//! Another environment is refused, because a staging agent that works on production is an accident.
//! Another port configuration is let in and reported, because it may be meant: a container's ports
//! differ from those of its host.

use std::collections::BTreeSet;

use super::connection::ConnectionId;
use super::core::Core;
use crate::engine::command::NodeAlive;
use crate::engine::ids::{EnvironmentName, PortFingerprint, ProjectName};
use crate::protocol::error::{ErrorKind, RpcError};
use crate::protocol::session::{SessionWarning, WarningKind};

/// How a refusal for another environment is counted among the refused connections.
const REASON: &str = "environment";

impl Core {
    /// Refuses a peer that is meant for another environment; whoever says nothing is let in.
    pub(super) fn check_environment(
        &self,
        theirs: Option<&EnvironmentName>,
    ) -> Result<(), RpcError> {
        let ours = self.config.environment.as_str();
        let Some(theirs) = theirs.filter(|theirs| theirs.as_str() != ours) else {
            return Ok(());
        };
        let refused = self
            .metrics
            .connections_refused
            .with_label_values(&[REASON]);
        refused.inc();
        let message = format!(
            "this coordinator's environment is {ours}, the client is meant for {theirs}: connect to \
             the {theirs} coordinator, or choose the profile {ours}"
        );
        let error = RpcError::new(ErrorKind::Conflict, message);
        Err(error.with(|detail| detail.path = Some("environment".to_owned())))
    }

    /// Remembers of a connection whether its ports are ours; who says nothing changes nothing.
    pub(super) fn compare_ports(&mut self, id: ConnectionId, theirs: Option<&PortFingerprint>) {
        let ours = &self.config.port_fingerprint;
        let (Some(theirs), Some(connection)) = (theirs, self.connections.get_mut(&id)) else {
            return;
        };
        let other = (theirs != ours).then(|| theirs.clone());
        let (before, now) = (connection.other_ports.is_some(), other.is_some());
        connection.other_ports = other;
        match (before, now) {
            (false, true) => {
                self.metrics.port_mismatches.inc();
                self.metrics.connections_port_mismatch.inc();
            }
            (true, false) => self.metrics.connections_port_mismatch.dec(),
            _ => {}
        }
    }

    /// Says of another coordinator, when it comes or changes, that its ports are not ours.
    pub(super) fn compare_node(&self, project: &ProjectName, alive: &NodeAlive) {
        let (node, theirs) = (&alive.node, &alive.port_fingerprint);
        let engine = self.projects.get(project).map(|known| &known.engine);
        let before = engine.and_then(|engine| engine.state().nodes.get(node));
        if before.is_some_and(|before| before.port_fingerprint == *theirs) {
            return;
        }
        let ours = &self.config.port_fingerprint;
        if let Some(theirs) = theirs.as_ref().filter(|theirs| *theirs != ours) {
            tracing::warn!(
                %project, %node, %theirs, %ours,
                "another coordinator of this journal has other ports: compare `coord config show` \
                 on both"
            );
        }
    }

    /// Coordinators that share the journal, serve sessions and have other ports than this one.
    pub fn other_ports_nodes(&self) -> u64 {
        let nodes = self.projects.values().flat_map(|p| &p.engine.state().nodes);
        let ours = &self.config.port_fingerprint;
        let other = nodes.filter(|(_, node)| {
            let theirs = node.port_fingerprint.as_ref();
            theirs.is_some_and(|theirs| theirs != ours)
        });
        other.map(|(id, _)| id).collect::<BTreeSet<_>>().len() as u64
    }

    /// Open connections whose ports are not ours.
    pub fn port_mismatches(&self) -> u64 {
        let open = self.metrics.connections_port_mismatch.get();
        u64::try_from(open).unwrap_or(0)
    }

    /// What the answer to `session.open` has to warn of.
    pub(super) fn warnings(&self, id: ConnectionId) -> Vec<SessionWarning> {
        let connection = self.connections.get(&id);
        let Some(theirs) = connection.and_then(|connection| connection.other_ports.as_ref()) else {
            return Vec::new();
        };
        let ours = &self.config.port_fingerprint;
        let message = format!(
            "the client's port configuration ({theirs}) is not this coordinator's ({ours}): compare \
             `coord config show` on both sides"
        );
        vec![SessionWarning {
            kind: WarningKind::PortFingerprint,
            message,
        }]
    }
}
