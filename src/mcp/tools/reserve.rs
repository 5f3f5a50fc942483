//! `reserve`: what is mine is kept longer, what is free is taken, what is another agent's is told.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use super::bounds::{TEXT_CHARS_MAX, fitting};
use super::held::until;
use super::{ITEMS_MAX, ToolError};
use crate::engine::ids::{AgentName, Note, TreeName};
use crate::mcp::caller::Caller;
use crate::mcp::words;
use crate::protocol::error::Conflict;
use crate::protocol::lease::{
    EnsuredLeaseView, EnsuredView, LeaseEnsureParams, LeaseEnsureResult, ModeParam,
};
use crate::protocol::operations::Operation;
use crate::protocol::resource::{ResourceKind, ResourceParam, check_meaning};

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
    /// `HOST:/PATH` of your git worktree: agents in other worktrees are then told, not kept out.
    tree: Option<TreeName>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Reserved {
    /// Taken now.
    taken: Vec<String>,
    /// Yours already.
    kept: Vec<String>,
    held: String,
    /// Others on the same files in other worktrees.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    also_edited_by: Vec<Elsewhere>,
    #[serde(skip_serializing_if = "super::status::is_zero")]
    more_also: u64,
    next: &'static str,
}

/// What another agent holds in another worktree.
#[derive(Debug, Serialize, JsonSchema)]
struct Elsewhere {
    agent: AgentName,
    resource: String,
    /// Its worktree, and what for.
    words: String,
}

/// A resource as a model writes it: mostly the path of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Thing(pub(super) ResourceParam);

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
    let ensure = LeaseEnsureParams {
        resources: params.resources.into_iter().map(|it| it.0).collect(),
        mode: if params.shared {
            ModeParam::Shared
        } else {
            ModeParam::Exclusive
        },
        ttl_ms: caller.hold_ms(),
        note: params.note,
        tree: params.tree.or_else(|| caller.tree()),
        request_id: None,
    };
    let ensured: LeaseEnsureResult = caller.run(Operation::LeaseEnsure, &ensure).await?;
    Ok(Reserved::of(&ensured))
}

impl Reserved {
    fn of(ensured: &LeaseEnsureResult) -> Self {
        let taken = |lease: &&EnsuredLeaseView| lease.how == EnsuredView::Taken;
        let leases = ensured.leases.iter();
        let (taken, kept): (Vec<_>, Vec<_>) = leases.partition(taken);
        // What a session holds outlasts what has an end.
        let first_end = ensured.leases.iter().filter_map(|it| it.expires_at_ms);
        let also = fitting(ensured.elsewhere.iter().map(Elsewhere::of), TEXT_CHARS_MAX);
        let all = ensured.elsewhere.len() as u64 + ensured.elsewhere_more.unwrap_or_default();
        Self {
            taken: names(&taken),
            kept: names(&kept),
            held: until(first_end.min(), ensured.now_ms),
            more_also: all - also.len() as u64,
            next: if also.is_empty() {
                "edit, then release"
            } else {
                "edit, then release; others change the same files elsewhere, so agree with them before you merge"
            },
            also_edited_by: also,
        }
    }
}

impl Elsewhere {
    fn of(other: &Conflict) -> Self {
        let tree = other.tree.iter().map(TreeName::as_str);
        let about: Vec<&str> = tree.chain(other.note.iter().map(Note::as_str)).collect();
        Self {
            agent: other.holder.clone(),
            resource: words::line(&other.held),
            words: words::line(&about.join(": ")),
        }
    }
}

/// The first of what leases hold, and how many more there are.
fn names(leases: &[&EnsuredLeaseView]) -> Vec<String> {
    let resources = leases.iter().flat_map(|lease| &lease.resources);
    let all: Vec<String> = resources.map(|it| words::line(&it.to_string())).collect();
    let count = all.len();
    let mut shown = fitting(all.into_iter().take(ITEMS_MAX), TEXT_CHARS_MAX);
    if shown.len() < count {
        shown.push(format!("and {} more", count - shown.len()));
    }
    shown
}
