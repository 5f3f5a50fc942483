//! Wire types of the session operations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::command::{Capabilities, Labels};
use crate::engine::ids::{
    AgentKind, AgentName, Cursor, EnvironmentName, JournalTime, NodeId, PortFingerprint,
    ProjectName, RequestId, SessionId,
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
    /// The environment the client is meant for. A coordinator of another one refuses with `conflict`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// The fingerprint of the port configuration that the client knows. Another one than the
    /// coordinator's is accepted, and reported in `warnings`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_fingerprint: Option<PortFingerprint>,
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
    /// The fingerprint of the coordinator's port configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_fingerprint: Option<PortFingerprint>,
    /// What does not fit, though the session is open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<SessionWarning>,
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

/// Something that does not fit, though the session is open.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SessionWarning {
    pub kind: WarningKind,
    /// For people: what it is, and the next step.
    pub message: String,
}

/// What a warning is about. The names are stable; more may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    /// The client's port configuration is not the coordinator's.
    PortFingerprint,
    /// One that this version does not know.
    #[serde(other)]
    Unknown,
}

/// What a client says of its own configuration when it connects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerConfig {
    pub environment: Option<EnvironmentName>,
    pub port_fingerprint: Option<PortFingerprint>,
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
