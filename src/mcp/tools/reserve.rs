//! `reserve`: what is mine is kept longer, what is free is taken, what is another agent's is told.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use super::ToolError;
use super::held::{myself, until};
use crate::engine::ids::{JournalTime, Note};
use crate::mcp::caller::Caller;
use crate::mcp::renewal;
use crate::protocol::lease::{
    LeaseAcquireParams, LeaseAcquireResult, LeaseListParams, LeaseListResult, LeaseView, ModeParam,
};
use crate::protocol::operations::Operation;
use crate::protocol::resource::{ResourceKind, ResourceRequestParam, check_meaning};

/// Resources in one call.
const RESOURCES_MAX: usize = 100;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReserveParams {
    /// Paths from the repository's root: a file, a folder with `/` at its end, a pattern with `*`; or
    /// `name:NAME`, `port:HOST:NUMBER`.
    resources: Vec<Thing>,
    /// What for; the others see it.
    note: Option<Note>,
    /// Let others hold them shared too.
    #[serde(default)]
    shared: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Reserved {
    /// Taken now.
    taken: Vec<String>,
    /// Yours already.
    kept: Vec<String>,
    held: String,
    next: &'static str,
}

/// A resource as a model writes it: mostly the path of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Thing(pub(super) ResourceRequestParam);

impl<'de> Deserialize<'de> for Thing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let kinds = ["file:", "path:", "name:", "port:"];
        let text = if kinds.iter().any(|kind| text.starts_with(kind)) {
            text
        } else if text.contains('*') {
            format!("path:{text}")
        } else {
            // A plain text may be several names, or a place in a file. After `file:` it would be one name.
            let meant = check_meaning(ResourceKind::Path, &text);
            meant.map_err(serde::de::Error::custom)?;
            // Brackets and braces are common in names of files, so they make no pattern.
            format!("file:{text}")
        };
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Thing {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Thing".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

pub(super) async fn reserve(
    caller: &mut dyn Caller,
    params: ReserveParams,
) -> Result<Reserved, ToolError> {
    if params.resources.is_empty() || params.resources.len() > RESOURCES_MAX {
        let what = format!("arguments.resources: name 1 to {RESOURCES_MAX} of them");
        return Err(ToolError::new(
            what,
            "A folder with / at its end covers all in it.",
        ));
    }
    let mode = if params.shared {
        ModeParam::Shared
    } else {
        ModeParam::Exclusive
    };
    let ensured = ensure(caller, params.resources, mode, params.note).await?;
    Ok(Reserved {
        taken: ensured.taken,
        kept: ensured.kept,
        held: until(ensured.expires_at, ensured.now),
        next: "edit, then release",
    })
}

struct Ensured {
    taken: Vec<String>,
    kept: Vec<String>,
    expires_at: Option<JournalTime>,
    now: JournalTime,
}

/// Makes sure that the caller holds all of them, or takes none. The operation `lease.ensure` does this in one
/// step; this is its place.
async fn ensure(
    caller: &mut dyn Caller,
    wanted: Vec<Thing>,
    mode: ModeParam,
    note: Option<Note>,
) -> Result<Ensured, ToolError> {
    let own = own_leases(caller).await?;
    let now = own.now_ms;
    let holds = |lease: &LeaseView, text: &str| {
        lease.mode == mode && lease.resources.iter().any(|held| held.to_string() == text)
    };
    let (mut missing, mut kept, mut leases) = (Vec::new(), Vec::new(), Vec::new());
    for Thing(resource) in wanted {
        let text = resource.to_string();
        match own.leases.iter().find(|lease| holds(lease, &text)) {
            Some(lease) => {
                kept.push(text);
                leases.push(lease);
            }
            None => missing.push(resource),
        }
    }
    let mut expires_at = leases.first().and_then(|lease| lease.expires_at_ms);
    let mut taken = Vec::new();
    if !missing.is_empty() {
        let acquire = LeaseAcquireParams {
            resources: missing,
            mode,
            ttl_ms: caller.hold_ms(),
            wait_ms: None,
            note,
            tree: None,
            request_id: None,
        };
        let granted: LeaseAcquireResult = caller.run(Operation::LeaseAcquire, &acquire).await?;
        taken = granted.resources.iter().map(ToString::to_string).collect();
        expires_at = granted.expires_at_ms;
    }
    for lease in leases {
        renewal::renew_lease(caller, lease, now).await?;
    }
    Ok(Ensured {
        taken,
        kept,
        expires_at,
        now,
    })
}

/// The leases of the caller.
pub(super) async fn own_leases(caller: &mut dyn Caller) -> Result<LeaseListResult, ToolError> {
    let params = LeaseListParams {
        agent: Some(myself(caller).await?.name),
        count_max: Some(u64::MAX),
        ..LeaseListParams::default()
    };
    Ok(caller.run(Operation::LeaseList, &params).await?)
}
