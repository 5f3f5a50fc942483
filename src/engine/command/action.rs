//! The kinds of commands: the name of each, its format, and whether a full disk refuses it.

use serde::{Deserialize, Serialize};

use super::super::ids::AgentName;
use super::super::nodes::ENSURE_FORMAT;
use super::agents::{AgentRemove, AgentUpdate};
use super::attempts::{TaskClaim, TaskComplete, TaskFail, TaskHandoff, TaskProgress, TaskRelease};
use super::context::{ContextDelete, ContextPut};
use super::leases::{
    LeaseAcquire, LeaseEnsure, LeaseGiveBack, LeaseRelease, LeaseRenew, LeaseRevoke,
};
use super::messages::{MessageAck, MessageSend, MessageTake};
use super::nodes::{EpochStart, NodeAlive, NodeStart};
use super::sessions::{SessionClose, SessionLost, SessionOpen, SessionResume};
use super::system::{ProjectCreate, TokenCreate, TokenRevoke};
use super::tasks::{TaskCancel, TaskRetry, TaskSubmit};

/// What is asked. The names of the variants are the journal's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Lets deadlines fall due; also a node's sign of life.
    Tick,
    /// A coordinator has started: sessions of other runs of it go to grace.
    NodeStart(NodeStart),
    /// A coordinator that shares the journal gives a sign of life.
    NodeAlive(NodeAlive),
    /// The shared journal goes on under a new epoch.
    EpochStart(EpochStart),
    SessionOpen(Box<SessionOpen>),
    SessionResume(SessionResume),
    SessionClose(SessionClose),
    SessionLost(SessionLost),
    AgentUpdate(Box<AgentUpdate>),
    AgentRemove(AgentRemove),
    TaskSubmit(TaskSubmit),
    TaskClaim(TaskClaim),
    TaskProgress(TaskProgress),
    TaskComplete(TaskComplete),
    TaskFail(TaskFail),
    TaskRelease(TaskRelease),
    TaskHandoff(Box<TaskHandoff>),
    TaskCancel(TaskCancel),
    TaskRetry(TaskRetry),
    LeaseAcquire(LeaseAcquire),
    LeaseEnsure(LeaseEnsure),
    LeaseRenew(LeaseRenew),
    LeaseRelease(LeaseRelease),
    LeaseGiveBack(LeaseGiveBack),
    LeaseRevoke(LeaseRevoke),
    MessageSend(Box<MessageSend>),
    MessageTake(MessageTake),
    MessageAck(MessageAck),
    ContextPut(ContextPut),
    ContextDelete(ContextDelete),
    TokenCreate(Box<TokenCreate>),
    TokenRevoke(TokenRevoke),
    ProjectCreate(ProjectCreate),
}

impl Action {
    /// The name of the operation.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Tick => "tick",
            Self::NodeStart(_) => "node.start",
            Self::NodeAlive(_) => "node.alive",
            Self::EpochStart(_) => "epoch.start",
            Self::SessionOpen(_) => "session.open",
            Self::SessionResume(_) => "session.resume",
            Self::SessionClose(_) => "session.close",
            Self::SessionLost(_) => "session.lost",
            Self::AgentUpdate(_) => "agent.update",
            Self::AgentRemove(_) => "agent.remove",
            Self::TaskSubmit(_) => "task.submit",
            Self::TaskClaim(_) => "task.claim",
            Self::TaskProgress(_) => "task.progress",
            Self::TaskComplete(_) => "task.complete",
            Self::TaskFail(_) => "task.fail",
            Self::TaskRelease(_) => "task.release",
            Self::TaskHandoff(_) => "task.handoff",
            Self::TaskCancel(_) => "task.cancel",
            Self::TaskRetry(_) => "task.retry",
            Self::LeaseAcquire(_) => "lease.acquire",
            Self::LeaseEnsure(_) => "lease.ensure",
            Self::LeaseRenew(_) => "lease.renew",
            Self::LeaseRelease(_) => "lease.release",
            Self::LeaseGiveBack(_) => "lease.give_back",
            Self::LeaseRevoke(_) => "lease.revoke",
            Self::MessageSend(_) => "message.send",
            Self::MessageTake(_) => "message.take",
            Self::MessageAck(_) => "message.ack",
            Self::ContextPut(_) => "context.put",
            Self::ContextDelete(_) => "context.delete",
            Self::TokenCreate(_) => "token.create",
            Self::TokenRevoke(_) => "token.revoke",
            Self::ProjectCreate(_) => "project.create",
        }
    }

    /// The format of commands that first had it: written only once every node understands it.
    pub fn format(&self) -> u32 {
        match self {
            Self::NodeAlive(_) | Self::EpochStart(_) => 2,
            Self::TaskSubmit(submit) => submit.format(),
            Self::TaskHandoff(handoff) => handoff.format(),
            Self::TaskCancel(cancel) => cancel.format(),
            Self::LeaseAcquire(acquire) => acquire.format(),
            Self::LeaseEnsure(_) | Self::LeaseGiveBack(_) => ENSURE_FORMAT,
            Self::MessageSend(send) => send.format(),
            Self::MessageAck(ack) => ack.format(),
            Self::AgentRemove(remove) => remove.agent.format(),
            Self::TokenCreate(create) => create.format(),
            Self::Tick
            | Self::NodeStart(_)
            | Self::SessionOpen(_)
            | Self::SessionResume(_)
            | Self::SessionClose(_)
            | Self::SessionLost(_)
            | Self::AgentUpdate(_)
            | Self::TaskClaim(_)
            | Self::TaskProgress(_)
            | Self::TaskComplete(_)
            | Self::TaskFail(_)
            | Self::TaskRelease(_)
            | Self::TaskRetry(_)
            | Self::LeaseRenew(_)
            | Self::LeaseRelease(_)
            | Self::LeaseRevoke(_)
            | Self::MessageTake(_)
            | Self::ContextPut(_)
            | Self::ContextDelete(_)
            | Self::TokenRevoke(_)
            | Self::ProjectCreate(_) => 1,
        }
    }

    /// The same for a command of this agent.
    pub fn format_by(&self, agent: &AgentName) -> u32 {
        self.format().max(agent.format())
    }

    /// Whether it begins new work, which a full disk refuses; all else finishes or frees something.
    pub fn begins_work(&self) -> bool {
        match self {
            Self::TaskSubmit(_)
            | Self::TaskClaim(_)
            | Self::TaskRetry(_)
            | Self::LeaseAcquire(_)
            | Self::LeaseEnsure(_)
            | Self::MessageSend(_)
            | Self::ContextPut(_)
            | Self::TokenCreate(_)
            | Self::ProjectCreate(_) => true,
            Self::Tick
            | Self::NodeStart(_)
            | Self::NodeAlive(_)
            | Self::EpochStart(_)
            | Self::SessionOpen(_)
            | Self::SessionResume(_)
            | Self::SessionClose(_)
            | Self::SessionLost(_)
            | Self::AgentUpdate(_)
            | Self::AgentRemove(_)
            | Self::TaskProgress(_)
            | Self::TaskComplete(_)
            | Self::TaskFail(_)
            | Self::TaskRelease(_)
            | Self::TaskHandoff(_)
            | Self::TaskCancel(_)
            | Self::LeaseRenew(_)
            | Self::LeaseRelease(_)
            | Self::LeaseGiveBack(_)
            | Self::LeaseRevoke(_)
            | Self::MessageTake(_)
            | Self::MessageAck(_)
            | Self::ContextDelete(_)
            | Self::TokenRevoke(_) => false,
        }
    }
}
