//! Commands of the system project: tokens and projects.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::super::ids::{AgentName, ProjectName, TokenId};
use super::actor::Role;

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
    pub agent: AgentName,
    pub role: Role,
    pub projects: ProjectScope,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRevoke {
    pub token: TokenId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectCreate {
    pub project: ProjectName,
}
