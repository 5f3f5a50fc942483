//! `release`: gives back by name what `reserve` took.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ToolError;
use super::held::myself;
use super::reserve::Thing;
use crate::engine::ids::TreeName;
use crate::mcp::caller::Caller;
use crate::protocol::error::RpcError;
use crate::protocol::lease::{
    LeaseListParams, LeaseListResult, LeaseReleaseParams, LeaseReleaseResult,
};
use crate::protocol::operations::Operation;
use crate::protocol::resource::ResourceParam;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReleaseParams {
    /// As you reserved them; a folder stands for all in it.
    #[serde(default)]
    resources: Vec<Thing>,
    /// Everything that you reserved.
    #[serde(default)]
    all: bool,
    /// As in reserve.
    tree: Option<TreeName>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct GivenBack {
    /// How many.
    released: u64,
    next: &'static str,
}

pub(super) async fn release(
    caller: &mut dyn Caller,
    params: ReleaseParams,
) -> Result<GivenBack, ToolError> {
    if params.all != params.resources.is_empty() {
        let what = "arguments: give either resources or all";
        return Err(ToolError::new(what, ""));
    }
    let (named, released) = if params.all {
        (0, everything(caller).await?)
    } else {
        let resources: Vec<_> = params.resources.into_iter().map(|it| it.0).collect();
        let tree = params.tree.or_else(|| caller.tree());
        let named = resources.len() as u64;
        (named, give_back(caller, resources, tree).await?)
    };
    let next = if released < named {
        "not all of it was yours, or it is part of something wider: status shows what you still hold"
    } else {
        "claim_task, or status"
    };
    Ok(GivenBack { released, next })
}

async fn give_back(
    caller: &mut dyn Caller,
    resources: Vec<ResourceParam>,
    tree: Option<TreeName>,
) -> Result<u64, RpcError> {
    let params = LeaseReleaseParams {
        resources,
        tree,
        ..LeaseReleaseParams::default()
    };
    let result: LeaseReleaseResult = caller.run(Operation::LeaseRelease, &params).await?;
    Ok(result.released.unwrap_or_default())
}

/// Lease by lease, because what one lease may hold is also what one request may name. What was acquired with a
/// fencing token stays: a command in the agent's shell may rely on it.
async fn everything(caller: &mut dyn Caller) -> Result<u64, RpcError> {
    let own = LeaseListParams {
        agent: Some(myself(caller).await?.name),
        count_max: Some(u64::MAX),
        ..LeaseListParams::default()
    };
    let own: LeaseListResult = caller.run(Operation::LeaseList, &own).await?;
    let mut released = 0;
    for lease in own.leases {
        let texts = lease.resources.iter().map(ToString::to_string);
        let resources: Vec<ResourceParam> = texts.filter_map(|it| it.parse().ok()).collect();
        if !resources.is_empty() {
            released += give_back(caller, resources, lease.tree).await?;
        }
    }
    Ok(released)
}
