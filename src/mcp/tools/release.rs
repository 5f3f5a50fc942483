//! `release`: what was taken in one step is given back in one step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reserve::{Thing, own_leases};
use super::{ITEMS_MAX, ToolError};
use crate::mcp::caller::Caller;
use crate::protocol::lease::{LeaseReleaseParams, LeaseView};
use crate::protocol::operations::Operation;
use crate::protocol::session::Empty;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReleaseParams {
    /// As you reserved them.
    #[serde(default)]
    resources: Vec<Thing>,
    /// Everything that you reserved.
    #[serde(default)]
    all: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct GivenBack {
    released: Vec<String>,
    /// What you named and did not hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_held: Vec<String>,
    /// What stays yours, because it was reserved together with something that you did not name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    still_held: Vec<String>,
}

pub(super) async fn release(
    caller: &mut dyn Caller,
    params: ReleaseParams,
) -> Result<GivenBack, ToolError> {
    if params.all != params.resources.is_empty() {
        let what = "arguments: give either resources or all";
        return Err(ToolError::new(what, ""));
    }
    let named: Vec<String> = params.resources.iter().map(|it| it.0.to_string()).collect();
    let own = own_leases(caller).await?.leases;
    let is_named = |text: &String| params.all || named.contains(text);
    let mut answer = GivenBack {
        released: Vec::new(),
        not_held: Vec::new(),
        still_held: Vec::new(),
    };
    for lease in &own {
        let texts: Vec<String> = lease.resources.iter().map(ToString::to_string).collect();
        if texts.iter().all(is_named) {
            give_back(caller, lease).await?;
            answer.released.extend(texts);
        } else if texts.iter().any(is_named) {
            answer.still_held.extend(texts);
        }
    }
    let held = |text: &&String| answer.released.contains(text) || answer.still_held.contains(text);
    answer.not_held = named.iter().filter(|text| !held(text)).cloned().collect();
    for list in [
        &mut answer.released,
        &mut answer.not_held,
        &mut answer.still_held,
    ] {
        shorten(list);
    }
    Ok(answer)
}

async fn give_back(caller: &mut dyn Caller, lease: &LeaseView) -> Result<(), ToolError> {
    let params = LeaseReleaseParams {
        lease: Some(lease.lease),
        fence: Some(lease.fence),
        ..LeaseReleaseParams::default()
    };
    let Empty {} = caller.run(Operation::LeaseRelease, &params).await?;
    Ok(())
}

/// Names the first, counts the rest.
fn shorten(list: &mut Vec<String>) {
    let more = list.len().saturating_sub(ITEMS_MAX);
    if more > 0 {
        list.truncate(ITEMS_MAX);
        list.push(format!("and {more} more"));
    }
}
