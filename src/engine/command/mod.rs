//! What can be asked of the engine: the commands, as they stand in the journal.
//!
//! These types are the journal's format. A field may be added with a default, never renamed,
//! repurposed or removed: journals of every released format must always load.

mod action;
mod actor;
mod agents;
mod attempts;
mod context;
mod hold;
mod leases;
mod messages;
mod nodes;
mod omitted;
mod sessions;
mod system;
mod tasks;

use serde::{Deserialize, Serialize};

pub use action::Action;
pub use actor::{Actor, Role};
pub use agents::{AgentRemove, AgentUpdate, Capabilities, DeclaredStatus, Labels};
pub use attempts::{
    ClaimFilter, HandoffTarget, TaskClaim, TaskComplete, TaskFail, TaskHandoff, TaskProgress,
    TaskRelease,
};
pub use context::{ContextDelete, ContextPut};
pub use hold::HoldRequest;
pub use leases::{
    LeaseAcquire, LeaseEnsure, LeaseGiveBack, LeaseMode, LeaseRelease, LeaseRenew, LeaseRevoke,
};
pub use messages::{Importance, MessageAck, MessageSend, MessageTake, Recipient};
pub use nodes::{EpochStart, NodeAlive, NodeStart};
pub(super) use omitted::is_false;
pub use sessions::{LostReason, SessionClose, SessionLost, SessionOpen, SessionResume};
pub use system::{ProjectCreate, ProjectScope, TokenCreate, TokenRevoke};
pub use tasks::{Concurrency, Dependency, TaskCancel, TaskRetry, TaskSpec, TaskSubmit};

use super::ids::{CommandId, RequestId};

/// One command: who asks what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Unique over all nodes, so that a proposer finds its own command in the journal.
    pub id: CommandId,
    pub by: Actor,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    #[serde(rename = "do")]
    pub action: Action,
}
