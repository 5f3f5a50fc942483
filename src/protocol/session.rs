//! Wire types of the session operations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::command::{Capabilities, Labels};
use crate::engine::ids::{
    AgentKind, AgentName, Cursor, EnvironmentName, JournalTime, NodeId, PortFingerprint,
    ProjectName, RequestId, SessionId,
};

/// Opens a session, or resumes one that lost its connection.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SessionOpenParams {
    /// The program that the agent is, such as `claude-code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<AgentKind>,
    /// Replaces the agent's capabilities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// Replaces the agent's labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    /// How long the session can be resumed after a lost connection, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
    /// Resumes this session; it still holds all it held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    /// The client's environment. A coordinator of another environment refuses with `conflict`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// The fingerprint of the client's port configuration. If it differs from the coordinator's, the session
    /// opens with a warning in `warnings`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_fingerprint: Option<PortFingerprint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

/// The session to resume, and the secret from its `session.open`.
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
    /// Keep it: it is needed to resume the session after a lost connection.
    pub resume_secret: String,
    pub resumed: bool,
    pub agent: AgentName,
    pub project: ProjectName,
    pub node: NodeId,
    /// The coordinator's profile.
    pub environment: String,
    /// The fingerprint of the coordinator's port configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_fingerprint: Option<PortFingerprint>,
    /// Warnings; the session is open anyway.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<SessionWarning>,
    /// The version of the protocol.
    pub protocol: String,
    /// The coordinator's version.
    pub version: String,
    /// Subscribe from this cursor to miss nothing after this answer.
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

/// A warning; the session is open anyway.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SessionWarning {
    pub kind: WarningKind,
    /// For people: the problem, and the next step.
    pub message: String,
}

/// The kind of a warning. The names are stable; new ones may be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    /// The client's port configuration differs from the coordinator's.
    PortFingerprint,
    /// One that this version does not know.
    #[serde(other)]
    Unknown,
}

/// What a client sends about its own configuration when it connects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerConfig {
    pub environment: Option<EnvironmentName>,
    pub port_fingerprint: Option<PortFingerprint>,
}

/// The limits of one connection.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionLimits {
    pub message_bytes_max: u64,
    pub requests_in_flight_max: u64,
    pub requests_waiting_max: u64,
    pub wait_ms_max: u64,
    pub payload_bytes_max: u64,
}

/// Ends a session: all it held is released at once.
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
