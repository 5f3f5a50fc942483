//! Commands that change the shared context.

use serde::{Deserialize, Serialize};

use super::super::ids::{ContextKey, Revision};
use super::super::payload::Payload;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContextPut {
    pub key: ContextKey,
    pub value: Payload,
    /// Only if the entry has this revision; 0 means: only if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_revision: Option<Revision>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextDelete {
    pub key: ContextKey,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_revision: Option<Revision>,
}
