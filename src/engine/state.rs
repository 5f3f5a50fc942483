//! The state of a project: everything that a snapshot stores.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::agents::{Agent, Session};
use super::command::is_false;
use super::context::ContextEntry;
use super::event::History;
use super::ids::{
    AgentName, ConcurrencyKey, ContextKey, Epoch, FencingToken, JournalTime, LeaseId, MessageId,
    NodeId, Position, ProjectName, RequestId, Revision, SessionId, TaskId, TokenId,
};
use super::leases::Lease;
use super::messages::Message;
use super::nodes::{Node, PastEpoch};
use super::outcome::Outcome;
use super::system::{ProjectEntry, Token};
use super::tasks::Task;

/// The state of one project. Absent fields have defaults, so older snapshots load.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    pub epoch: Epoch,
    /// The earlier epochs, oldest first; they decide which cursors belong to this line.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    pub epochs: VecDeque<PastEpoch>,
    pub position: Position,
    pub now: JournalTime,
    /// The last assigned number of each kind.
    pub last: Counters,
    /// Coordinators that share the journal and serve sessions here.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<NodeId, Node>,
    pub agents: BTreeMap<AgentName, Agent>,
    pub sessions: BTreeMap<SessionId, Session>,
    pub tasks: BTreeMap<TaskId, Box<Task>>,
    /// Finished tasks, in the order in which they are deleted.
    pub tasks_finished: VecDeque<TaskId>,
    /// The cap of each concurrency key, from the latest submission.
    pub concurrency: BTreeMap<ConcurrencyKey, u32>,
    /// Whether events report stuck tasks: a record switched it on when every node understood it.
    #[serde(skip_serializing_if = "is_false")]
    pub tells_stuck: bool,
    pub leases: BTreeMap<LeaseId, Lease>,
    pub messages: BTreeMap<MessageId, Message>,
    /// Messages that are acknowledged by all or expired, in the order in which they are deleted.
    pub messages_finished: VecDeque<MessageId>,
    pub context: BTreeMap<ContextKey, ContextEntry>,
    pub history: History,
    /// Remembered answers by `request_id`: the operation and its answer.
    pub answers: BTreeMap<AgentName, VecDeque<(RequestId, Box<str>, Outcome)>>,
    /// When an answer to the agent was last dropped, or given without being remembered.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub forgotten: BTreeMap<AgentName, JournalTime>,
    /// Of the system project only.
    pub tokens: BTreeMap<TokenId, Token>,
    /// Of the system project only.
    pub projects: BTreeMap<ProjectName, ProjectEntry>,
    pub totals: Totals,
}

/// The last assigned number of each kind; 0 before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    pub session: SessionId,
    pub task: TaskId,
    pub lease: LeaseId,
    pub message: MessageId,
    pub fence: FencingToken,
    pub revision: Revision,
}

/// Counts since the project began, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    pub tasks_done: u64,
    pub tasks_dead: u64,
    pub tasks_forgotten: u64,
    pub attempts_lost: u64,
    pub leases_lapsed: u64,
    pub messages_expired: u64,
}

macro_rules! next_number {
    ($($name:ident: $type:ident),*) => {
        impl Counters {
            $(pub(super) fn $name(&mut self) -> $type {
                let last = &mut self.$name;
                last.0 += 1;
                *last
            })*
        }
    };
}

next_number!(session: SessionId, task: TaskId, lease: LeaseId, message: MessageId, fence: FencingToken, revision: Revision);
