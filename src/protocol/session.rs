//! Wire types of the session operations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::command::{Capabilities, Labels};
use crate::engine::ids::{
    AgentKind, AgentName, Cursor, JournalTime, NodeId, ProjectName, RequestId, SessionId,
};

/// Begins a session, or takes one up again that lost its connection.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SessionOpenParams {
    /// What program the agent is, such as `claude-code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<AgentKind>,
    /// Replaces what the agent is known to be able to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// Replaces the agent's labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    /// How long the session waits to be resumed after its connection is lost, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
    /// Takes up this session; everything it held is still held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

/// Which session to take up, and the secret that `session.open` gave with it.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    pub session: SessionId,
    pub secret: String,
}

impl std::fmt::Debug for Resume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Resume {{ session: {} }}", self.session)
    }
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct SessionOpenResult {
    pub session: SessionId,
    /// Keep it: it takes the session up again after a lost connection.
    pub resume_secret: String,
    pub resumed: bool,
    pub agent: AgentName,
    pub project: ProjectName,
    pub node: NodeId,
    /// The profile the coordinator runs in.
    pub environment: String,
    /// The version of the interface.
    pub protocol: String,
    /// The coordinator's version.
    pub version: String,
    /// Subscribe from here to miss nothing after this answer.
    pub cursor: Cursor,
    /// Journal time of this answer; all `…_at_ms` are on the same clock.
    pub now_ms: JournalTime,
    pub grace_ms: u64,
    pub limits: ConnectionLimits,
}

impl std::fmt::Debug for SessionOpenResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionOpenResult {{ session: {} }}", self.session)
    }
}

/// What one connection may do at once.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionLimits {
    pub message_bytes_max: u64,
    pub requests_in_flight_max: u64,
    pub requests_waiting_max: u64,
    pub wait_ms_max: u64,
    pub payload_bytes_max: u64,
}

/// Ends a session in order: all it held is free at once.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SessionCloseParams {
    /// The connection's own session when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

/// An operation that takes no parameters.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PingResult {
    /// Journal time as of the last record.
    pub now_ms: JournalTime,
}
