//! Events: the changes of an applied command. One event for each record, with all its changes.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ids::{
    AgentName, ContextKey, Epoch, FencingToken, JournalTime, LeaseId, MessageId, Position,
    Principal, ProjectName, Revision, SessionId, TaskId, TokenId, Topic, TreeName,
};
use super::limits::Limits;

/// The estimated size of an event and of each change, without their texts.
const EVENT_BYTES: usize = 64;
const CHANGE_BYTES: usize = 256;

/// All changes of one record, including those of deadlines that were due before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub position: Position,
    pub at_ms: JournalTime,
    pub changes: Vec<Change>,
}

macro_rules! change_kinds {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// What happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum ChangeKind {
            $($(#[doc = $doc])* #[serde(rename = $name)] $variant,)*
        }

        impl ChangeKind {
            /// Every kind with its meaning.
            pub const ALL: &[(Self, &'static str)] = &[$((Self::$variant, concat!($($doc,)*)),)*];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

change_kinds! {
    /// An agent opened its first session, or was seen for the first time.
    AgentOnline = "agent.online",
    /// An agent updated its status, labels or capabilities.
    AgentUpdated = "agent.updated",
    /// The last session of an agent ended.
    AgentGone = "agent.gone",
    /// An agent was removed from the registry.
    AgentRemoved = "agent.removed",
    /// A session was opened.
    SessionOpened = "session.opened",
    /// A new connection resumed a session.
    SessionResumed = "session.resumed",
    /// A session lost its connection and can be resumed.
    SessionLost = "session.lost",
    /// A session ended.
    SessionEnded = "session.ended",
    /// A task was submitted.
    TaskSubmitted = "task.submitted",
    /// A task can be claimed.
    TaskReady = "task.ready",
    /// A task was claimed.
    TaskClaimed = "task.claimed",
    /// The holder of an attempt reported progress.
    TaskProgress = "task.progress",
    /// A task is done.
    TaskDone = "task.done",
    /// The holder of an attempt reported that it failed.
    TaskFailed = "task.failed",
    /// An attempt timed out, or its holder was lost.
    TaskLost = "task.lost",
    /// An attempt was released.
    TaskReleased = "task.released",
    /// A task was handed over to another agent.
    TaskHandedOff = "task.handed_off",
    /// A task used up its attempts.
    TaskDead = "task.dead",
    /// A task was cancelled.
    TaskCancelled = "task.cancelled",
    /// A dead or cancelled task was requeued.
    TaskRetried = "task.retried",
    /// A task became stuck: it will not run until somebody acts on `root`, which is another task that is dead
    /// or cancelled, or a task whose required capabilities no known agent has. Without `task`, it counts
    /// further tasks.
    TaskStuck = "task.stuck",
    /// A task is no longer stuck.
    TaskUnstuck = "task.unstuck",
    /// A lease was granted.
    LeaseAcquired = "lease.acquired",
    /// A lease was released.
    LeaseReleased = "lease.released",
    /// Some resources of a lease were released.
    LeaseReduced = "lease.reduced",
    /// A lease expired, or its holder was lost.
    LeaseLapsed = "lease.lapsed",
    /// A lease was revoked.
    LeaseRevoked = "lease.revoked",
    /// The resources of an expired lease are free again.
    LeaseOpened = "lease.opened",
    /// A message was sent.
    MessageSent = "message.sent",
    /// A recipient acknowledged a message.
    MessageAcked = "message.acked",
    /// A message expired before its recipient acknowledged it.
    MessageExpired = "message.expired",
    /// A context entry was written.
    ContextPut = "context.put",
    /// A context entry was deleted.
    ContextDeleted = "context.deleted",
    /// A token was created.
    TokenCreated = "token.created",
    /// A token was revoked or expired.
    TokenRevoked = "token.revoked",
    /// A project was created.
    ProjectCreated = "project.created",
    /// The shared journal began a new epoch.
    EpochStarted = "epoch.started",
}

/// One change; only the fields of its kind are set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub kind: ChangeKind,
    /// The agent that acted, or the holder that lost something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<FencingToken>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
    /// The agents that got a message, or the one that a task was handed to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<AgentName>,
    /// The task that keeps another one from running, or the stuck task itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<TaskId>,
    /// The tree that the paths of the lease are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeName>,
}

/// The subject of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    Session(SessionId),
    Task {
        task: TaskId,
        attempt: u32,
    },
    Lease(LeaseId),
    Message {
        message: MessageId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        topic: Option<Box<Topic>>,
    },
    Context {
        key: Box<ContextKey>,
        revision: Revision,
    },
    Token(TokenId),
    Project(ProjectName),
    Epoch(Epoch),
}

impl Event {
    /// Its approximate size in memory. The same on every machine, because it decides which events are kept.
    fn bytes(&self) -> u64 {
        let of = |change: &Change| {
            let reason = change.reason.as_ref().map_or(0, |reason| reason.len());
            let tree = change.tree.as_ref().map_or(0, |tree| tree.as_str().len());
            CHANGE_BYTES + reason + tree + change.to.len() * Principal::BYTES_MAX
        };
        let changes: usize = self.changes.iter().map(of).sum();
        (EVENT_BYTES + changes) as u64
    }
}

impl Change {
    pub fn new(kind: ChangeKind) -> Self {
        Self {
            kind,
            agent: None,
            subject: None,
            fence: None,
            reason: None,
            to: Vec::new(),
            root: None,
            tree: None,
        }
    }

    #[must_use]
    pub fn agent(mut self, agent: &AgentName) -> Self {
        self.agent = Some(agent.clone());
        self
    }

    #[must_use]
    pub fn tree(mut self, tree: Option<&TreeName>) -> Self {
        self.tree = tree.cloned();
        self
    }

    #[must_use]
    pub fn about(mut self, subject: Subject) -> Self {
        self.subject = Some(subject);
        self
    }

    #[must_use]
    pub fn fence(mut self, fence: FencingToken) -> Self {
        self.fence = Some(fence);
        self
    }

    #[must_use]
    pub fn reason(mut self, reason: &str) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

/// The history of events from which subscribers can resume, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    events: VecDeque<Arc<Event>>,
    /// Every event up to and including this position was dropped.
    forgotten: Position,
    /// The approximate size of the events.
    bytes: u64,
}

impl History {
    pub(super) fn push(&mut self, event: Arc<Event>, limits: &Limits) {
        self.bytes += event.bytes();
        self.events.push_back(event);
        while self.events.len() as u64 > limits.events_history_max
            || self.bytes > limits.events_history_bytes_max
        {
            let Some(oldest) = self.events.pop_front() else {
                return;
            };
            self.bytes -= oldest.bytes();
            self.forgotten = oldest.position;
        }
    }

    /// All events after `position`, oldest first; `None` when some of them were dropped.
    pub fn after(&self, position: Position) -> Option<impl Iterator<Item = &Arc<Event>>> {
        if position < self.forgotten {
            return None;
        }
        let start = self.events.partition_point(|e| e.position <= position);
        Some(self.events.range(start..))
    }

    /// How many events there are after `position`.
    pub fn count_after(&self, position: Position) -> u64 {
        let before = self.events.partition_point(|e| e.position <= position);
        (self.events.len() - before) as u64
    }

    /// The oldest position from which a subscriber can resume.
    pub fn oldest(&self) -> Position {
        self.forgotten
    }
}
