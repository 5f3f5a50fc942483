//! Wire types of the lease operations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::Conflict;
use super::resource::{ResourceParam, ResourceRequestParam, ResourceText};
use super::task::hold;
use crate::engine::command;
use crate::engine::ids::{
    AgentName, FencingToken, JournalTime, LeaseId, Note, RequestId, SessionId,
};
use crate::engine::leases::{Lease, LeaseState};
use crate::engine::outcome::LeaseGrant;

/// Whether others may hold the same resource at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModeParam {
    #[default]
    Exclusive,
    Shared,
}

/// Several resources at once, all or none.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaseAcquireParams {
    pub resources: Vec<ResourceRequestParam>,
    #[serde(default)]
    pub mode: ModeParam,
    /// Without it, the session holds the lease. With it, the lease expires this long after the last
    /// `lease.renew`, whether connected or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// How long to wait while other agents hold them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// What the lease is for; other agents see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LeaseAcquireResult {
    pub lease: LeaseId,
    /// Pass it to the protected resource too, so that the resource can refuse a stale holder.
    pub fence: FencingToken,
    /// In the requested order; a pool is replaced by the granted port.
    pub resources: Vec<ResourceText>,
    /// `null` if the session holds it.
    pub expires_at_ms: Option<JournalTime>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaseRenewParams {
    pub lease: LeaseId,
    pub fence: FencingToken,
    /// Changes the time-to-live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaseReleaseParams {
    pub lease: LeaseId,
    pub fence: FencingToken,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

/// Revokes a lease. A holder may revoke its own lease without the fencing token.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaseRevokeParams {
    pub lease: LeaseId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LeaseListParams {
    /// Only leases of this agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// Only leases that overlap this resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceParam>,
    /// Only leases with a higher number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<LeaseId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count_max: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LeaseListResult {
    pub leases: Vec<LeaseView>,
    /// Present if there are more: list again with this as `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_after: Option<LeaseId>,
    pub now_ms: JournalTime,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LeaseView {
    pub lease: LeaseId,
    pub agent: AgentName,
    pub resources: Vec<ResourceText>,
    pub mode: ModeParam,
    pub fence: FencingToken,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    pub acquired_at_ms: JournalTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<JournalTime>,
    /// Present if the holder is lost: other agents may lease the resources from this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_at_ms: Option<JournalTime>,
}

/// Checks either whether a lease still holds (`lease` and `fence`), or which leases conflict with
/// `resources`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LeaseCheckParams {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fence: Option<FencingToken>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ResourceParam>,
    pub mode: ModeParam,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LeaseCheckResult {
    /// Whether the lease holds, or the resources are free now.
    pub ok: bool,
    /// The conflicting leases, the first `conflicts_told_max` of them.
    pub conflicts: Vec<Conflict>,
    /// The number of further conflicting leases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts_more: Option<u64>,
    pub now_ms: JournalTime,
}

/// Sent to the holder: the lease is lost. Stop using what it protected.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LeaseLost {
    pub lease: LeaseId,
    pub fence: FencingToken,
    pub reason: String,
}

impl From<ModeParam> for command::LeaseMode {
    fn from(mode: ModeParam) -> Self {
        match mode {
            ModeParam::Exclusive => Self::Exclusive,
            ModeParam::Shared => Self::Shared,
        }
    }
}

impl From<LeaseAcquireParams> for command::LeaseAcquire {
    fn from(params: LeaseAcquireParams) -> Self {
        Self {
            resources: params.resources.into_iter().map(|it| it.0).collect(),
            mode: params.mode.into(),
            hold: hold(params.ttl_ms),
            note: params.note,
        }
    }
}

impl From<LeaseRenewParams> for command::LeaseRenew {
    fn from(params: LeaseRenewParams) -> Self {
        Self {
            lease: params.lease,
            fence: params.fence,
            ttl_ms: params.ttl_ms,
        }
    }
}

impl From<LeaseReleaseParams> for command::LeaseRelease {
    fn from(params: LeaseReleaseParams) -> Self {
        Self {
            lease: params.lease,
            fence: params.fence,
        }
    }
}

impl From<LeaseRevokeParams> for command::LeaseRevoke {
    fn from(params: LeaseRevokeParams) -> Self {
        Self {
            lease: params.lease,
            reason: params.reason,
        }
    }
}

impl From<LeaseGrant> for LeaseAcquireResult {
    fn from(grant: LeaseGrant) -> Self {
        Self {
            lease: grant.lease,
            fence: grant.fence,
            resources: grant.resources.iter().map(ResourceText::from).collect(),
            expires_at_ms: grant.expires_at,
        }
    }
}

impl From<&Lease> for LeaseView {
    fn from(lease: &Lease) -> Self {
        Self {
            lease: lease.id,
            agent: lease.agent.clone(),
            resources: lease.resources.iter().map(ResourceText::from).collect(),
            mode: match lease.mode {
                command::LeaseMode::Exclusive => ModeParam::Exclusive,
                command::LeaseMode::Shared => ModeParam::Shared,
            },
            fence: lease.fence,
            note: lease.note.clone(),
            acquired_at_ms: lease.acquired_at,
            session: lease.hold.session(),
            expires_at_ms: lease.hold.expires_at(),
            opens_at_ms: match lease.state {
                LeaseState::Held => None,
                LeaseState::Lapsed { opens_at } => Some(opens_at),
            },
        }
    }
}
