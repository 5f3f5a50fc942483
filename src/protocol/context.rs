//! Wire types of the shared context.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::command::{ContextDelete, ContextPut};
use crate::engine::context::ContextEntry;
use crate::engine::ids::{AgentName, ContextKey, Cursor, JournalTime, RequestId, Revision};
use crate::engine::payload::Payload;

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContextGetParams {
    pub key: ContextKey,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ContextView {
    pub key: ContextKey,
    /// Absent in lists without `values`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Payload>,
    pub revision: Revision,
    pub written_by: AgentName,
    pub written_at_ms: JournalTime,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContextPutParams {
    pub key: ContextKey,
    pub value: Payload,
    /// Only if the entry has this revision; 0: only if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_revision: Option<Revision>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ContextPutResult {
    pub revision: Revision,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContextDeleteParams {
    pub key: ContextKey,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_revision: Option<Revision>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContextListParams {
    /// Only keys that begin with this.
    pub prefix: String,
    /// Only keys after this one, in their order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<ContextKey>,
    /// Include the values.
    pub values: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count_max: Option<u64>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ContextListResult {
    pub entries: Vec<ContextView>,
    /// Present if there are more: list again with this as `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_after: Option<ContextKey>,
    /// Watch from this cursor to miss nothing after this list.
    pub cursor: Cursor,
}

/// Sends every change of keys that begin with `prefix` as an `event` notification.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContextWatchParams {
    pub prefix: String,
    /// Start after this cursor; now when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Cursor>,
}

impl From<ContextPutParams> for ContextPut {
    fn from(params: ContextPutParams) -> Self {
        Self {
            key: params.key,
            value: params.value,
            if_revision: params.if_revision,
        }
    }
}

impl From<ContextDeleteParams> for ContextDelete {
    fn from(params: ContextDeleteParams) -> Self {
        Self {
            key: params.key,
            if_revision: params.if_revision,
        }
    }
}

impl ContextView {
    pub fn of(key: &ContextKey, entry: &ContextEntry, value: bool) -> Self {
        Self {
            key: key.clone(),
            value: value.then(|| entry.value.clone()),
            revision: entry.revision,
            written_by: entry.written_by.clone(),
            written_at_ms: entry.written_at,
        }
    }
}
