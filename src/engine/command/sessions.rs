//! Commands that open, resume and end sessions.

use serde::{Deserialize, Serialize};

use super::super::ids::{AgentKind, NodeId, SessionId};
use super::agents::{Capabilities, Labels};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionOpen {
    pub node: NodeId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<AgentKind>,
    /// Replaces the agent's capabilities when given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    /// SHA-256 of the secret with which the session is resumed, as hex.
    pub resume_hash: String,
    pub grace_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionResume {
    pub session: SessionId,
    pub node: NodeId,
    pub resume_hash: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionClose {
    pub session: SessionId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionLost {
    pub session: SessionId,
    /// Which of its connections was lost: a late report about an earlier one changes nothing.
    pub connection: u64,
    pub reason: LostReason,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostReason {
    ConnectionLost,
    NoAnswerToPing,
    TokenRevoked,
    Drained,
    NodeRestarted,
    NodeLost,
}

impl LostReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionLost => "connection lost",
            Self::NoAnswerToPing => "no answer to ping",
            Self::TokenRevoked => "token revoked",
            Self::Drained => "coordinator stopping",
            Self::NodeRestarted => "coordinator restarted",
            Self::NodeLost => "coordinator lost",
        }
    }
}
