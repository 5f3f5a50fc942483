//! `context`: the shared facts of a project.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ToolError;
use super::bounds::{LIST_CHARS_MAX, fitting};
use crate::engine::ids::{AgentName, ContextKey, Revision};
use crate::mcp::caller::Caller;
use crate::mcp::words;
use crate::protocol::context::{
    ContextGetParams, ContextListParams, ContextListResult, ContextPutParams, ContextPutResult,
    ContextView,
};
use crate::protocol::error::ErrorKind;
use crate::protocol::operations::Operation;

/// Keys in one answer.
const KEYS_MAX: u64 = 40;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ContextParams {
    key: Option<ContextKey>,
    /// Write this under the key.
    value: Option<String>,
    /// Write only if the key still has this revision; 0: only if it is new.
    if_revision: Option<Revision>,
    /// List only keys that begin so.
    prefix: Option<String>,
    /// List only keys after this one.
    after: Option<ContextKey>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Facts {
    facts: Vec<Fact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_after: Option<ContextKey>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Fact {
    key: ContextKey,
    revision: Revision,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<AgentName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<String>,
}

pub(super) async fn context(
    caller: &mut dyn Caller,
    params: ContextParams,
) -> Result<Facts, ToolError> {
    let fact = match (params.key, params.value) {
        (None, None) => return list(caller, params.prefix, params.after).await,
        (None, Some(_)) => {
            return Err(ToolError::new("arguments.key: under which key?", ""));
        }
        (Some(key), None) => get(caller, key).await?,
        (Some(key), Some(value)) => put(caller, key, &value, params.if_revision).await?,
    };
    Ok(Facts {
        facts: vec![fact],
        next_after: None,
    })
}

async fn list(
    caller: &mut dyn Caller,
    prefix: Option<String>,
    after: Option<ContextKey>,
) -> Result<Facts, ToolError> {
    let params = ContextListParams {
        prefix: prefix.unwrap_or_default(),
        after,
        values: false,
        count_max: Some(KEYS_MAX),
    };
    let found: ContextListResult = caller.run(Operation::ContextList, &params).await?;
    let count = found.entries.len();
    let facts = found.entries.into_iter().map(|entry| Fact {
        key: entry.key,
        revision: entry.revision,
        by: Some(entry.written_by),
        words: None,
    });
    let facts = fitting(facts, LIST_CHARS_MAX);
    let last = facts.last().map(|fact| fact.key.clone());
    Ok(Facts {
        next_after: if facts.len() < count {
            last
        } else {
            found.next_after
        },
        facts,
    })
}

async fn get(caller: &mut dyn Caller, key: ContextKey) -> Result<Fact, ToolError> {
    let params = ContextGetParams { key };
    let entry: Result<ContextView, _> = caller.run(Operation::ContextGet, &params).await;
    let entry = entry
        .map_err(|error| ToolError::from(error).advise("context without a key lists them."))?;
    let value = entry.value.as_ref();
    Ok(Fact {
        key: entry.key,
        revision: entry.revision,
        by: Some(entry.written_by),
        words: value.map(|value| words::body(value, words::WHOLE_CHARS_MAX).0),
    })
}

async fn put(
    caller: &mut dyn Caller,
    key: ContextKey,
    value: &str,
    if_revision: Option<Revision>,
) -> Result<Fact, ToolError> {
    let params = ContextPutParams {
        key: key.clone(),
        value: words::payload_of(value),
        if_revision,
        request_id: None,
    };
    let put: Result<ContextPutResult, _> = caller.run(Operation::ContextPut, &params).await;
    let put = put.map_err(|error| match error.kind {
        ErrorKind::Conflict => ToolError::from(error)
            .advise("Read the key again, and write with its revision if your value still holds."),
        _ => ToolError::from(error),
    })?;
    Ok(Fact {
        key,
        revision: put.revision,
        by: None,
        words: None,
    })
}
