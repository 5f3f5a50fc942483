//! Commands by which coordinators tell each other that they start, live and go on.

use serde::{Deserialize, Serialize};

use super::super::ids::{Epoch, NodeId, PortFingerprint};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStart {
    pub node: NodeId,
    /// No other coordinator shares the journal, so every session of an earlier run is lost.
    pub sole: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAlive {
    pub node: NodeId,
    /// How long it counts as alive without another sign.
    pub ttl_ms: u64,
    /// The highest format of commands that it understands.
    pub command_format: u32,
    /// Of its port configuration, so that coordinators whose ports differ can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_fingerprint: Option<PortFingerprint>,
}

/// The first record of an epoch; it stands right behind the last one of the epoch before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochStart {
    pub epoch: Epoch,
}
