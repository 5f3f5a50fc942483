//! Wire types of the agent operations.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::engine::agents::{Agent, Presence, SessionState};
use crate::engine::command::{AgentRemove, AgentUpdate, Capabilities, DeclaredStatus, Labels};
use crate::engine::ids::{
    AgentKind, AgentName, Capability, JournalTime, NodeId, Note, RequestId, SessionId, TaskId,
    Topic,
};

/// The presence of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PresenceView {
    /// Connected, without a status of its own.
    Online,
    /// Connected and free.
    Idle,
    /// Connected and working.
    Busy,
    /// Set itself away, or lost its connection a moment ago.
    Away,
    /// Has no session.
    Gone,
}

/// A status that an agent may set for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StatusParam {
    Idle,
    Busy,
    Away,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AgentView {
    pub name: AgentName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<AgentKind>,
    pub presence: PresenceView,
    pub since_ms: JournalTime,
    /// Why the presence is what it is.
    pub reason: String,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub capabilities: Capabilities,
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub topics: BTreeSet<Topic>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_percent: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    pub sessions: Vec<SessionView>,
    /// Tasks it has claimed.
    pub tasks: Vec<TaskId>,
    /// Messages in its mailbox.
    pub mailbox: u64,
    /// Of a principal: how many of its seats have a session.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub seats_present: u64,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SessionView {
    pub session: SessionId,
    pub node: NodeId,
    pub opened_at_ms: JournalTime,
    /// Present while the connection is lost: the session ends at this time unless it is resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_until_ms: Option<JournalTime>,
}

/// Which agents to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AgentListParams {
    /// Only agents with this capability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capability: Option<Capability>,
    /// Only agents that have a session.
    pub present: bool,
    /// Only agents after this one, in the order of their names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<AgentName>,
    /// At most this many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count_max: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AgentListResult {
    pub agents: Vec<AgentView>,
    /// Present if there are more: list again with this as `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_after: Option<AgentName>,
    pub now_ms: JournalTime,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AgentGetParams {
    /// The caller when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
}

/// Absent fields stay as they are.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AgentUpdateParams {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusParam>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<AgentKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    /// The topics that the agent listens to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topics: Option<BTreeSet<Topic>>,
    /// From 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_percent: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentRemoveParams {
    pub agent: AgentName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct AgentRemoveResult {
    /// A valid token still names the agent: it stays listed as gone, and can get messages.
    #[serde(default)]
    pub still_known: bool,
}

impl AgentView {
    /// An agent that is known only from a token, and has not changed anything in the project yet.
    pub fn unseen(name: &AgentName, seats_present: u64) -> Self {
        Self {
            name: name.clone(),
            kind: None,
            presence: PresenceView::Gone,
            since_ms: JournalTime::default(),
            reason: "no session yet".to_owned(),
            capabilities: Capabilities::new(),
            labels: Labels::new(),
            topics: BTreeSet::new(),
            load_percent: None,
            note: None,
            sessions: Vec::new(),
            tasks: Vec::new(),
            mailbox: 0,
            seats_present,
        }
    }

    pub fn of(engine: &Engine, agent: &Agent) -> Self {
        Self {
            name: agent.name.clone(),
            kind: agent.kind.clone(),
            presence: agent.presence.into(),
            since_ms: agent.presence_since,
            reason: agent.presence_reason.to_string(),
            capabilities: agent.capabilities.clone(),
            labels: agent.labels.clone(),
            topics: agent.topics.clone(),
            load_percent: agent.load_percent,
            note: agent.note.clone(),
            sessions: engine
                .sessions_of(&agent.name)
                .map(|session| SessionView {
                    session: session.id,
                    node: session.node.clone(),
                    opened_at_ms: session.opened_at,
                    grace_until_ms: match session.state {
                        SessionState::Live => None,
                        SessionState::Grace { until } => Some(until),
                    },
                })
                .collect(),
            tasks: engine.tasks_of(&agent.name).collect(),
            mailbox: engine.mailbox_len(&agent.name),
            seats_present: engine.seats_present(&agent.name),
        }
    }
}

impl From<Presence> for PresenceView {
    fn from(presence: Presence) -> Self {
        match presence {
            Presence::Online => Self::Online,
            Presence::Idle => Self::Idle,
            Presence::Busy => Self::Busy,
            Presence::Away => Self::Away,
            Presence::Gone => Self::Gone,
        }
    }
}

impl From<AgentUpdateParams> for AgentUpdate {
    fn from(params: AgentUpdateParams) -> Self {
        Self {
            status: params.status.map(|status| match status {
                StatusParam::Idle => DeclaredStatus::Idle,
                StatusParam::Busy => DeclaredStatus::Busy,
                StatusParam::Away => DeclaredStatus::Away,
            }),
            kind: params.kind,
            capabilities: params.capabilities,
            labels: params.labels,
            topics: params.topics,
            load_percent: params.load_percent,
            note: params.note,
        }
    }
}

impl From<AgentRemoveParams> for AgentRemove {
    fn from(params: AgentRemoveParams) -> Self {
        Self {
            agent: params.agent,
        }
    }
}
