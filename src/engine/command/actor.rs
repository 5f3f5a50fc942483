//! Who may ask: agents in one of three roles, and nodes.

use serde::{Deserialize, Serialize};

use super::super::ids::{AgentName, NodeId, SessionId};

/// Who asks: always from a token or from the node itself, never from an argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    Agent {
        name: AgentName,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<SessionId>,
        role: Role,
    },
    Node(NodeId),
}

impl Actor {
    pub fn agent(&self) -> Option<&AgentName> {
        match self {
            Self::Agent { name, .. } => Some(name),
            Self::Node(_) => None,
        }
    }

    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::Agent { session, .. } => *session,
            Self::Node(_) => None,
        }
    }

    pub fn is_operator(&self) -> bool {
        matches!(
            self,
            Self::Agent {
                role: Role::Operator,
                ..
            }
        )
    }
}

/// What a token allows: each role may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Observer,
    /// Works.
    Agent,
    /// Administers.
    Operator,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observer => "observer",
            Self::Agent => "agent",
            Self::Operator => "operator",
        }
    }
}
