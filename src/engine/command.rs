//! What can be asked of the engine: the commands, as they stand in the journal.
//!
//! These types are the journal's format. A field may be added with a default, never renamed,
//! repurposed or removed: journals of every released format must always load.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::ids::{
    AgentKind, AgentName, Capability, CommandId, ConcurrencyKey, ContextKey, Epoch, FencingToken,
    IdempotencyKey, LabelKey, LabelValue, LeaseId, MessageId, NodeId, Note, PortFingerprint,
    ProjectName, RequestId, Revision, SessionId, TaskId, Title, TokenId, Topic,
};
use super::nodes::STUCK_FORMAT;
use super::payload::Payload;
use super::resource::{Resource, ResourceRequest};

pub type Capabilities = BTreeSet<Capability>;
pub type Labels = BTreeMap<LabelKey, LabelValue>;

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

/// Who asks: always from a token or from the node itself, never from an argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    Agent {
        name: AgentName,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<SessionId>,
        role: Role,
    },
    Node(NodeId),
}

impl Actor {
    pub fn agent(&self) -> Option<&AgentName> {
        match self {
            Self::Agent { name, .. } => Some(name),
            Self::Node(_) => None,
        }
    }

    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::Agent { session, .. } => *session,
            Self::Node(_) => None,
        }
    }

    pub fn is_operator(&self) -> bool {
        matches!(
            self,
            Self::Agent {
                role: Role::Operator,
                ..
            }
        )
    }
}

/// What a token allows: each role may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Observer,
    /// Works.
    Agent,
    /// Administers.
    Operator,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observer => "observer",
            Self::Agent => "agent",
            Self::Operator => "operator",
        }
    }
}

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
    LeaseRenew(LeaseRenew),
    LeaseRelease(LeaseRelease),
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
            Self::LeaseRenew(_) => "lease.renew",
            Self::LeaseRelease(_) => "lease.release",
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
            Self::TaskHandoff(handoff) if !handoff.introduces.is_empty() => 3,
            Self::MessageSend(send) if send.shares || !send.introduces.is_empty() => 3,
            Self::MessageAck(ack) if ack.up_to.is_some() => 3,
            Self::NodeAlive(_) | Self::EpochStart(_) => 2,
            Self::TaskSubmit(submit) if submit.tells_stuck => STUCK_FORMAT,
            Self::TaskCancel(cancel) if cancel.tells_stuck => STUCK_FORMAT,
            Self::LeaseAcquire(acquire) => acquire.format(),
            _ => 1,
        }
    }

    /// Whether it begins new work, which a full disk refuses; all else finishes or frees something.
    pub fn begins_work(&self) -> bool {
        match self {
            Self::TaskSubmit(_)
            | Self::TaskClaim(_)
            | Self::TaskRetry(_)
            | Self::LeaseAcquire(_)
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
            | Self::LeaseRevoke(_)
            | Self::MessageTake(_)
            | Self::MessageAck(_)
            | Self::ContextDelete(_)
            | Self::TokenRevoke(_) => false,
        }
    }
}

/// How a lease or an attempt is kept alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldRequest {
    /// As long as the session of the request lives, its grace included.
    Session,
    /// For this long after the last renewal.
    TtlMs(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStart {
    pub node: NodeId,
    /// No other coordinator shares the journal, so every session of an earlier run is lost.
    pub sole: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAlive {
    pub node: NodeId,
    /// How long it counts as alive without another sign.
    pub ttl_ms: u64,
    /// The highest format of commands that it understands.
    pub command_format: u32,
    /// Of its port configuration, so that coordinators whose ports differ can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_fingerprint: Option<PortFingerprint>,
}

/// The first record of an epoch; it stands right behind the last one of the epoch before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochStart {
    pub epoch: Epoch,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionOpen {
    pub node: NodeId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<AgentKind>,
    /// Replaces the agent's capabilities when given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    /// SHA-256 of the secret with which the session is resumed, as hex.
    pub resume_hash: String,
    pub grace_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionResume {
    pub session: SessionId,
    pub node: NodeId,
    pub resume_hash: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionClose {
    pub session: SessionId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionLost {
    pub session: SessionId,
    /// Which of its connections was lost: a late report about an earlier one changes nothing.
    pub connection: u64,
    pub reason: LostReason,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostReason {
    ConnectionLost,
    NoAnswerToPing,
    TokenRevoked,
    Drained,
    NodeRestarted,
    NodeLost,
}

impl LostReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionLost => "connection lost",
            Self::NoAnswerToPing => "no answer to ping",
            Self::TokenRevoked => "token revoked",
            Self::Drained => "coordinator stopping",
            Self::NodeRestarted => "coordinator restarted",
            Self::NodeLost => "coordinator lost",
        }
    }
}

/// What an agent says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeclaredStatus {
    Idle,
    Busy,
    Away,
}

/// Absent fields stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AgentUpdate {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<DeclaredStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<AgentKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Labels>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<BTreeSet<Topic>>,
    /// How loaded it is, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_percent: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRemove {
    pub agent: AgentName,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSubmit {
    pub tasks: Vec<TaskSpec>,
    /// From this record on, events tell of tasks that are stuck, and a cancelled task keeps who
    /// cancelled it. Older records are folded without, as they always were.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tells_stuck: bool,
}

/// What a new task is to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dependency {
    /// A task that exists.
    Task(TaskId),
    /// The task at this index of the same submission.
    Index(u32),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    pub title: Title,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
    #[serde(default)]
    pub priority: i32,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub requires: Capabilities,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Dependency>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub delay_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<IdempotencyKey>,
    pub attempts_max: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub backoff_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
}

/// At most `max` tasks of one key are claimed at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concurrency {
    pub key: ConcurrencyKey,
    pub max: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskClaim {
    pub hold: HoldRequest,
    #[serde(default, skip_serializing_if = "ClaimFilter::is_empty")]
    pub filter: ClaimFilter,
}

/// Which ready task an agent would take.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClaimFilter {
    /// This one and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// Only tasks that bear all of these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_min: Option<i32>,
}

impl ClaimFilter {
    /// Whether it lets every task pass.
    pub fn is_empty(&self) -> bool {
        self.task.is_none() && self.labels.is_empty() && self.priority_min.is_none()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskProgress {
    pub task: TaskId,
    pub fence: FencingToken,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskComplete {
    pub task: TaskId,
    pub fence: FencingToken,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Payload>,
    /// Claims the next task in the same step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<TaskClaim>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFail {
    pub task: TaskId,
    pub fence: FencingToken,
    pub error: Note,
    /// Whether another attempt makes sense.
    pub retry: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRelease {
    pub task: TaskId,
    pub fence: FencingToken,
}

/// To whom a task is handed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandoffTarget {
    Agent(AgentName),
    Capability(Capability),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskHandoff {
    pub task: TaskId,
    pub fence: FencingToken,
    pub to: HandoffTarget,
    /// How long it is kept for that agent before others may take it.
    pub offer_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Payload>,
    /// As in [`MessageSend::introduces`].
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub introduces: BTreeSet<AgentName>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCancel {
    pub task: TaskId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
    /// As in [`TaskSubmit`].
    #[serde(default, skip_serializing_if = "is_false")]
    pub tells_stuck: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRetry {
    pub task: TaskId,
}

/// Whether others may hold the same resource at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseMode {
    #[default]
    Exclusive,
    Shared,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseAcquire {
    pub resources: Vec<ResourceRequest>,
    #[serde(default)]
    pub mode: LeaseMode,
    pub hold: HoldRequest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

impl LeaseAcquire {
    fn format(&self) -> u32 {
        let resources = self.resources.iter().filter_map(ResourceRequest::one);
        resources.map(Resource::format).max().unwrap_or(1)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRenew {
    pub lease: LeaseId,
    pub fence: FencingToken,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRelease {
    pub lease: LeaseId,
    pub fence: FencingToken,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRevoke {
    pub lease: LeaseId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
}

/// Who is to get a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipient {
    Agent(AgentName),
    Capability(Capability),
    Topic(Topic),
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Importance {
    Low,
    #[default]
    Normal,
    High,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MessageSend {
    pub to: Recipient,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Title>,
    pub body: Payload,
    #[serde(default)]
    pub importance: Importance,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    pub ttl_ms: u64,
    /// Agents that a valid token makes known and that this project has not heard of yet. Tokens
    /// are state of the system project, so the proposer has to carry them here.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub introduces: BTreeSet<AgentName>,
    /// Each sender has a share of a mailbox, and direct messages have a reserve. Commands of
    /// earlier versions lack it: for them a mailbox only has a size.
    #[serde(default, skip_serializing_if = "is_false")]
    pub shares: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageTake {
    pub count_max: u32,
    /// How long the taken messages stay hidden from other readers of the mailbox.
    pub take_ms: u64,
    #[serde(default)]
    pub importance_min: Importance,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageAck {
    #[serde(default)]
    pub messages: Vec<MessageId>,
    /// Also everything in the mailbox up to and including this message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<MessageId>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContextPut {
    pub key: ContextKey,
    pub value: Payload,
    /// Only if the entry has this revision; 0 means: only if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_revision: Option<Revision>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextDelete {
    pub key: ContextKey,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_revision: Option<Revision>,
}

/// Which projects a token opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProjectScope {
    All,
    Only(BTreeSet<ProjectName>),
}

impl ProjectScope {
    pub fn allows(&self, project: &ProjectName) -> bool {
        match self {
            Self::All => true,
            Self::Only(set) => set.contains(project),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCreate {
    pub token: TokenId,
    /// SHA-256 of the secret, as hex: the secret itself never reaches the journal.
    pub secret_hash: String,
    pub agent: AgentName,
    pub role: Role,
    pub projects: ProjectScope,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRevoke {
    pub token: TokenId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectCreate {
    pub project: ProjectName,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
pub(super) fn is_false(value: &bool) -> bool {
    !*value
}
