//! Compares a peer's configuration with ours when it connects and when it opens a session. This is admission:
//! nothing of it reaches the journal. Coordinators that share a journal send theirs with their heartbeats.
//!
//! A peer of another environment is refused, because a staging agent on production is an accident. A peer
//! with another port configuration is accepted and reported, because it may be intended: a container's ports
//! differ from those of its host.

use std::collections::BTreeSet;

use super::connection::ConnectionId;
use super::core::Core;
use crate::engine::command::NodeAlive;
use crate::engine::ids::{EnvironmentName, PortFingerprint, ProjectName};
use crate::protocol::error::{ErrorKind, RpcError};
use crate::protocol::session::{SessionWarning, WarningKind};

/// The reason under which metrics count a refusal for another environment.
const REASON: &str = "environment";

impl Core {
    /// Refuses a peer of another environment; a peer that sends none is accepted.
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
            "this coordinator's environment is {ours}, but the client expects {theirs}: connect to the {theirs} \
             coordinator, or set the profile {ours}"
        );
        let error = RpcError::new(ErrorKind::Conflict, message);
        Err(error.with(|detail| detail.path = Some("environment".to_owned())))
    }

    /// Records whether a connection's ports are ours; a peer that sends none changes nothing.
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

    /// Logs that another coordinator has a different port configuration, when it appears or changes.
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
                "another coordinator of this journal has a different port configuration: compare `coord config \
                 show` on both"
            );
        }
    }

    /// Coordinators that share the journal, serve sessions and have a different port configuration.
    pub fn other_ports_nodes(&self) -> u64 {
        let nodes = self.projects.values().flat_map(|p| &p.engine.state().nodes);
        let ours = &self.config.port_fingerprint;
        let other = nodes.filter(|(_, node)| {
            let theirs = node.port_fingerprint.as_ref();
            theirs.is_some_and(|theirs| theirs != ours)
        });
        other.map(|(id, _)| id).collect::<BTreeSet<_>>().len() as u64
    }

    /// Open connections with a different port configuration.
    pub fn port_mismatches(&self) -> u64 {
        let open = self.metrics.connections_port_mismatch.get();
        u64::try_from(open).unwrap_or(0)
    }

    /// The warnings for the answer to `session.open`.
    pub(super) fn warnings(&self, id: ConnectionId) -> Vec<SessionWarning> {
        let connection = self.connections.get(&id);
        let Some(theirs) = connection.and_then(|connection| connection.other_ports.as_ref()) else {
            return Vec::new();
        };
        let ours = &self.config.port_fingerprint;
        let message = format!(
            "the client's port configuration ({theirs}) differs from this coordinator's ({ours}): compare `coord \
             config show` on both sides"
        );
        vec![SessionWarning {
            kind: WarningKind::PortFingerprint,
            message,
        }]
    }
}
