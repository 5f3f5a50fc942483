//! Wire types of the lease operations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::{Conflict, RpcError};
use super::resource::{ResourceParam, ResourceRequestParam, ResourceText};
use super::task::hold;
use crate::engine::command;
use crate::engine::ids::{
    AgentName, FencingToken, JournalTime, LeaseId, Note, RequestId, SessionId, TreeName,
};
use crate::engine::leases::{Lease, LeaseState};
use crate::engine::outcome::{EnsureOutcome, Ensured, EnsuredLease, LeaseGrant};

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
    /// The worktree that the paths are in: any name that no other worktree has. Paths of different trees do
    /// not conflict. Paths without a tree conflict with those of every tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeName>,
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

/// Holds all of these resources, or none. What the agent already holds is renewed, what is free is taken,
/// and what another agent holds is a conflict. It never waits. It writes nothing while the agent holds all
/// of them for more than half of the time-to-live.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaseEnsureParams {
    pub resources: Vec<ResourceParam>,
    #[serde(default)]
    pub mode: ModeParam,
    /// Without it, the session holds what is taken. With it, the lease expires this long after the agent's
    /// last `lease.ensure` in this tree that renewed or took anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// What it is for; other agents see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// The worktree that the paths are in, as in `lease.acquire`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LeaseEnsureResult {
    /// The leases that hold the resources, each resource by one of them.
    pub leases: Vec<EnsuredLeaseView>,
    /// Leases of other agents on the same paths in other trees. They are no conflicts until the trees are merged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<Conflict>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere_more: Option<u64>,
    pub now_ms: JournalTime,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EnsuredLeaseView {
    pub lease: LeaseId,
    /// As of `lease.acquire`.
    pub fence: FencingToken,
    pub how: EnsuredView,
    /// Of the resources that were asked for, those that this lease holds.
    pub resources: Vec<ResourceText>,
    /// `null`: a session holds it.
    pub expires_at_ms: Option<JournalTime>,
}

/// What was done about a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EnsuredView {
    /// Nothing: it is held for long enough.
    Held,
    Renewed,
    Taken,
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

/// Releases either one lease (`lease` and `fence`), or `resources` that `lease.ensure` took.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LeaseReleaseParams {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fence: Option<FencingToken>,
    /// Everything in them is released: a folder stands for the files in it. Leases of `lease.acquire`, and
    /// resources that are wider than these, stay.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<ResourceParam>,
    /// The worktree that the paths are in, as in `lease.acquire`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LeaseReleaseResult {
    /// How many resources were released, if the request named resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<u64>,
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
    /// Also the acquires that wait, at most as many.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub waiting: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LeaseListResult {
    pub leases: Vec<LeaseView>,
    /// Present if there are more: list again with this as `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_after: Option<LeaseId>,
    /// If asked for: the acquires that wait at this coordinator, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<WaitingAcquireView>,
    pub now_ms: JournalTime,
}

/// A `lease.acquire` that waits.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct WaitingAcquireView {
    pub agent: AgentName,
    pub resources: Vec<String>,
    pub mode: ModeParam,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// For how long it waits.
    pub waited_ms: u64,
    /// For how much longer.
    pub left_ms: u64,
    /// The leases in its way.
    pub conflicts: Vec<Conflict>,
    /// How many more of them there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts_more: Option<u64>,
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
    /// The worktree that its paths are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeName>,
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
    /// The worktree that the paths are in, as in `lease.acquire`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeName>,
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
            tree: params.tree,
        }
    }
}

impl From<LeaseEnsureParams> for command::LeaseEnsure {
    fn from(params: LeaseEnsureParams) -> Self {
        Self {
            resources: params.resources.into_iter().map(|it| it.0).collect(),
            mode: params.mode.into(),
            hold: hold(params.ttl_ms),
            note: params.note,
            tree: params.tree,
        }
    }
}

impl LeaseEnsureResult {
    pub fn of(ensured: EnsureOutcome, now_ms: JournalTime) -> Self {
        let elsewhere = ensured.elsewhere;
        Self {
            leases: ensured.leases.iter().map(EnsuredLeaseView::from).collect(),
            elsewhere_more: (elsewhere.more > 0).then_some(elsewhere.more),
            elsewhere: elsewhere.told.into_iter().map(Conflict::from).collect(),
            now_ms,
        }
    }
}

impl From<&EnsuredLease> for EnsuredLeaseView {
    fn from(lease: &EnsuredLease) -> Self {
        Self {
            lease: lease.lease,
            fence: lease.fence,
            how: match lease.how {
                Ensured::Held => EnsuredView::Held,
                Ensured::Renewed => EnsuredView::Renewed,
                Ensured::Taken => EnsuredView::Taken,
            },
            resources: lease.resources.iter().map(ResourceText::from).collect(),
            expires_at_ms: lease.expires_at,
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

impl TryFrom<LeaseReleaseParams> for command::Action {
    type Error = RpcError;

    fn try_from(params: LeaseReleaseParams) -> Result<Self, RpcError> {
        let resources = params.resources;
        match (params.lease, params.fence, resources.is_empty()) {
            (Some(lease), Some(fence), true) => {
                Ok(Self::LeaseRelease(command::LeaseRelease { lease, fence }))
            }
            (None, None, false) => Ok(Self::LeaseGiveBack(command::LeaseGiveBack {
                resources: resources.into_iter().map(|it| it.0).collect(),
                tree: params.tree,
            })),
            _ => Err(RpcError::invalid(
                "give either lease and fence, or resources",
            )),
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

impl From<command::LeaseMode> for ModeParam {
    fn from(mode: command::LeaseMode) -> Self {
        match mode {
            command::LeaseMode::Exclusive => Self::Exclusive,
            command::LeaseMode::Shared => Self::Shared,
        }
    }
}

impl From<&Lease> for LeaseView {
    fn from(lease: &Lease) -> Self {
        Self {
            lease: lease.id,
            agent: lease.agent.clone(),
            resources: lease.resources.iter().map(ResourceText::from).collect(),
            mode: lease.mode.into(),
            fence: lease.fence,
            note: lease.note.clone(),
            acquired_at_ms: lease.acquired_at,
            session: lease.hold.session(),
            expires_at_ms: lease.hold.expires_at(),
            opens_at_ms: match lease.state {
                LeaseState::Held => None,
                LeaseState::Lapsed { opens_at } => Some(opens_at),
            },
            tree: lease.tree.clone(),
        }
    }
}
