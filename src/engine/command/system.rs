//! Commands of the system project: tokens and projects.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::super::ids::{Principal, ProjectName, TokenId};
use super::super::nodes::SEAT_FORMAT;
use super::actor::Role;
use super::omitted::is_false;

/// Which projects a token opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProjectScope {
    All,
    Only(BTreeSet<ProjectName>),
}

impl ProjectScope {
    pub fn allows(&self, project: &ProjectName) -> bool {
        match self {
            Self::All => true,
            Self::Only(set) => set.contains(project),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCreate {
    pub token: TokenId,
    /// SHA-256 of the secret, as hex: the secret itself never reaches the journal.
    pub secret_hash: String,
    pub agent: Principal,
    pub role: Role,
    pub projects: ProjectScope,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// Whether connections may name a seat.
    #[serde(default, skip_serializing_if = "is_false")]
    pub seats: bool,
}

impl TokenCreate {
    /// The first format of commands that has it.
    pub(super) fn format(&self) -> u32 {
        if self.seats { SEAT_FORMAT } else { 1 }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRevoke {
    pub token: TokenId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectCreate {
    pub project: ProjectName,
}
