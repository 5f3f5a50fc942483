//! Commands that take, keep and end leases.

use serde::{Deserialize, Serialize};

use super::super::ids::{FencingToken, LeaseId, Note, TreeName};
use super::super::nodes::ENSURE_FORMAT;
use super::super::resource::{Resource, ResourceRequest};
use super::hold::HoldRequest;

/// Whether others may hold the same resource at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseMode {
    #[default]
    Exclusive,
    Shared,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseAcquire {
    pub resources: Vec<ResourceRequest>,
    #[serde(default)]
    pub mode: LeaseMode,
    pub hold: HoldRequest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// The tree that its paths are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeName>,
}

impl LeaseAcquire {
    /// The first format of commands that has all of its resources, and its tree.
    pub(super) fn format(&self) -> u32 {
        if self.tree.is_some() {
            return ENSURE_FORMAT;
        }
        let resources = self.resources.iter().filter_map(ResourceRequest::one);
        resources.map(Resource::format).max().unwrap_or(1)
    }
}

/// Holds all of these, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseEnsure {
    pub resources: Vec<Resource>,
    #[serde(default)]
    pub mode: LeaseMode,
    pub hold: HoldRequest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    /// As in [`LeaseAcquire`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeName>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRenew {
    pub lease: LeaseId,
    pub fence: FencingToken,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRelease {
    pub lease: LeaseId,
    pub fence: FencingToken,
}

/// Gives back what the agent has ensured of these resources, in one tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseGiveBack {
    pub resources: Vec<Resource>,
    /// As in [`LeaseAcquire`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeName>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRevoke {
    pub lease: LeaseId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
}
