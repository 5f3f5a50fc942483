//! Wire types of administration.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::command::{ProjectCreate, ProjectScope, Role, TokenRevoke};
use crate::engine::ids::{
    Cursor, JournalTime, NodeId, PortFingerprint, Principal, ProjectName, RequestId, TokenId,
};
use crate::engine::system::Token;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoleParam {
    /// Reads.
    Observer,
    /// Works.
    #[default]
    Agent,
    /// Administers.
    Operator,
}

/// Creates a token. Only this answer contains its secret.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenCreateParams {
    /// The agent that connects with this token.
    pub agent: Principal,
    #[serde(default)]
    pub role: RoleParam,
    /// The projects that it allows; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projects: Option<BTreeSet<ProjectName>>,
    /// The token expires after this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// Connections may name a seat each, and are then the agents `agent/seat`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub seats: bool,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_false(value: &bool) -> bool {
    !*value
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct TokenCreateResult {
    pub token: TokenId,
    pub agent: Principal,
    /// Not shown again.
    pub secret: String,
}

impl std::fmt::Debug for TokenCreateResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenCreateResult {{ token: {} }}", self.token)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRevokeParams {
    pub token: TokenId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TokenListResult {
    pub tokens: Vec<TokenView>,
    pub now_ms: JournalTime,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TokenView {
    pub token: TokenId,
    pub agent: Principal,
    pub role: RoleParam,
    /// `null`: all.
    pub projects: Option<BTreeSet<ProjectName>>,
    pub created_at_ms: JournalTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<JournalTime>,
    /// Whether connections may name a seat.
    #[serde(default, skip_serializing_if = "is_false")]
    pub seats: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectCreateParams {
    pub project: ProjectName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ProjectListResult {
    /// The projects that the token allows.
    pub projects: Vec<ProjectName>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ServerStatusResult {
    pub version: String,
    pub protocol: String,
    pub node: NodeId,
    pub environment: String,
    /// The fingerprint of the coordinator's port configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_fingerprint: Option<PortFingerprint>,
    /// `embedded` or `redis`.
    pub journal: String,
    /// The same as in `/readyz`: `ready`, `recovering`, `draining`, `storage_full` or `journal_unreachable`.
    #[serde(default)]
    pub status: String,
    /// What the coordinator or the connection's project waits for, if the wait ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    pub uptime_ms: u64,
    pub connections: u64,
    /// The connection to the fleet's MQTT broker, if one is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mqtt: Option<MqttStatus>,
    /// The connection's project.
    pub project: ProjectStatus,
    /// How writing the metrics to a receiver goes, if that is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<PushStatus>,
    /// SHA-256 of the project's state: equal on every node that applied the same records.
    /// For operators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_hash: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PushStatus {
    /// `starting`, `sending`, `retrying`, `suspended` or `clock_wrong`.
    pub state: String,
    /// The age of the newest metrics that the receiver has; at first, how long the coordinator runs.
    pub lag_ms: u64,
    pub backlog_records: u64,
    pub backlog_bytes: u64,
    /// What the receiver said last, or why it could not be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

/// The connection to an MQTT broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MqttStatus {
    pub broker: String,
    /// The broker accepted the connection, and the status says `online`.
    pub connected: bool,
    /// Why it is not connected, or what the broker refused last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Who publishes events: `publisher`, `standby` (another coordinator of the same journal does) or `off`.
    pub events: String,
    /// How often another client with the same client id took the connection over.
    pub takeovers: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ProjectStatus {
    pub project: ProjectName,
    pub cursor: Cursor,
    pub now_ms: JournalTime,
    pub agents: u64,
    pub agents_present: u64,
    pub sessions: u64,
    pub tasks_blocked: u64,
    pub tasks_ready: u64,
    pub tasks_claimed: u64,
    pub tasks_done: u64,
    pub tasks_dead: u64,
    pub leases: u64,
    pub messages_waiting: u64,
    pub context_entries: u64,
}

/// Writes a consistent copy of all state to a new file beside the journal. The coordinator keeps running.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServerBackupParams {
    /// The file name, without folders; made from the position when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ServerBackupResult {
    /// Its path on the coordinator's host.
    pub path: String,
    pub bytes: u64,
    pub records: u64,
}

impl From<TokenRevokeParams> for TokenRevoke {
    fn from(params: TokenRevokeParams) -> Self {
        Self {
            token: params.token,
        }
    }
}

impl From<ProjectCreateParams> for ProjectCreate {
    fn from(params: ProjectCreateParams) -> Self {
        Self {
            project: params.project,
        }
    }
}

impl From<RoleParam> for Role {
    fn from(role: RoleParam) -> Self {
        match role {
            RoleParam::Observer => Self::Observer,
            RoleParam::Agent => Self::Agent,
            RoleParam::Operator => Self::Operator,
        }
    }
}

impl From<Role> for RoleParam {
    fn from(role: Role) -> Self {
        match role {
            Role::Observer => Self::Observer,
            Role::Agent => Self::Agent,
            Role::Operator => Self::Operator,
        }
    }
}

impl From<&Token> for TokenView {
    fn from(token: &Token) -> Self {
        Self {
            token: token.id.clone(),
            agent: token.agent.clone(),
            role: token.role.into(),
            projects: match &token.projects {
                ProjectScope::All => None,
                ProjectScope::Only(projects) => Some(projects.clone()),
            },
            created_at_ms: token.created_at,
            expires_at_ms: token.expires_at,
            seats: token.seats,
        }
    }
}
