//! What a project is: everything a snapshot keeps.

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
    /// The epochs before it, oldest first: which cursors are of this line.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    pub epochs: VecDeque<PastEpoch>,
    pub position: Position,
    pub now: JournalTime,
    /// The last number given out of each kind.
    pub last: Counters,
    /// Coordinators that share the journal and serve sessions here.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<NodeId, Node>,
    pub agents: BTreeMap<AgentName, Agent>,
    pub sessions: BTreeMap<SessionId, Session>,
    pub tasks: BTreeMap<TaskId, Box<Task>>,
    /// Finished tasks, in the order they are forgotten.
    pub tasks_finished: VecDeque<TaskId>,
    /// How many tasks of a key may be claimed at a time, as the latest submission said.
    pub concurrency: BTreeMap<ConcurrencyKey, u32>,
    /// Events tell of tasks that are stuck: a record said so, so every node understood it then.
    #[serde(skip_serializing_if = "is_false")]
    pub tells_stuck: bool,
    pub leases: BTreeMap<LeaseId, Lease>,
    pub messages: BTreeMap<MessageId, Message>,
    /// Messages that everyone acknowledged or that lapsed, in the order they are forgotten.
    pub messages_finished: VecDeque<MessageId>,
    pub context: BTreeMap<ContextKey, ContextEntry>,
    pub history: History,
    /// Answers by `request_id`: the operation and what it answered.
    pub answers: BTreeMap<AgentName, VecDeque<(RequestId, Box<str>, Outcome)>>,
    /// When an answer of the agent was last forgotten, or given without being remembered.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub forgotten: BTreeMap<AgentName, JournalTime>,
    /// Of the system project only.
    pub tokens: BTreeMap<TokenId, Token>,
    /// Of the system project only.
    pub projects: BTreeMap<ProjectName, ProjectEntry>,
    pub totals: Totals,
}

/// The last number given out of each kind; 0 when none was.
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

/// What has happened since the project began, for metrics.
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
