//! Events: what an applied command changed. One event a record, with all its changes.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ids::{
    AgentName, ContextKey, Epoch, FencingToken, JournalTime, LeaseId, MessageId, Position,
    ProjectName, Revision, SessionId, TaskId, TokenId, Topic,
};
use super::limits::Limits;

/// What an event and each of its changes count for, beside their texts.
const EVENT_BYTES: usize = 64;
const CHANGE_BYTES: usize = 256;

/// All that one record changed, deadlines that fell due before it included.
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
    /// A session began, or an agent was seen for the first time.
    AgentOnline = "agent.online",
    /// An agent changed what it says of itself.
    AgentUpdated = "agent.updated",
    /// The last session of an agent ended.
    AgentGone = "agent.gone",
    /// An agent was removed from the registry.
    AgentRemoved = "agent.removed",
    /// A session began.
    SessionOpened = "session.opened",
    /// A session was taken up again by a new connection.
    SessionResumed = "session.resumed",
    /// A session lost its connection and waits to be resumed.
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
    /// An attempt was given back.
    TaskReleased = "task.released",
    /// An attempt was handed to another agent.
    TaskHandedOff = "task.handed_off",
    /// A task used up its attempts.
    TaskDead = "task.dead",
    /// A task was cancelled.
    TaskCancelled = "task.cancelled",
    /// A dead or cancelled task was taken up again.
    TaskRetried = "task.retried",
    /// A task cannot run unless somebody does something about `root`: another task that is dead or
    /// cancelled, or a task whose required capabilities no known agent has. Without `task` it counts
    /// more of them.
    TaskStuck = "task.stuck",
    /// A task that was stuck is not any more.
    TaskUnstuck = "task.unstuck",
    /// A lease was granted.
    LeaseAcquired = "lease.acquired",
    /// A lease was given back.
    LeaseReleased = "lease.released",
    /// A lease lapsed, or its holder was lost.
    LeaseLapsed = "lease.lapsed",
    /// An operator took a lease away.
    LeaseRevoked = "lease.revoked",
    /// The resources of a lapsed lease are open again.
    LeaseOpened = "lease.opened",
    /// A message was sent.
    MessageSent = "message.sent",
    /// A recipient acknowledged a message.
    MessageAcked = "message.acked",
    /// A message lapsed before its recipient acknowledged it.
    MessageExpired = "message.expired",
    /// A context entry was written.
    ContextPut = "context.put",
    /// A context entry was deleted.
    ContextDeleted = "context.deleted",
    /// A token was made.
    TokenCreated = "token.created",
    /// A token was revoked or ran out.
    TokenRevoked = "token.revoked",
    /// A project was made.
    ProjectCreated = "project.created",
    /// The shared journal goes on under a new epoch.
    EpochStarted = "epoch.started",
}

/// One thing that changed; only the fields that belong to its kind are set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub kind: ChangeKind,
    /// Whom it concerns: the agent that acted, or the holder that lost something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<FencingToken>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
    /// The agents a message went to, or the one a task was handed to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<AgentName>,
    /// The task that keeps another one from running, or the stuck task itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<TaskId>,
}

/// What a change is about.
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
    /// What it takes in memory, roughly; the same on every machine, since it decides what is kept.
    fn bytes(&self) -> u64 {
        let of = |change: &Change| {
            let reason = change.reason.as_ref().map_or(0, |reason| reason.len());
            CHANGE_BYTES + reason + change.to.len() * AgentName::BYTES_MAX
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
        }
    }

    #[must_use]
    pub fn agent(mut self, agent: &AgentName) -> Self {
        self.agent = Some(agent.clone());
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

/// The events that subscribers can still resume from, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    events: VecDeque<Arc<Event>>,
    /// Every event up to and including this position is forgotten.
    forgotten: Position,
    /// What the events take, roughly.
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

    /// All events after `position`, oldest first; `None` when some of them are forgotten.
    pub fn after(&self, position: Position) -> Option<impl Iterator<Item = &Arc<Event>>> {
        if position < self.forgotten {
            return None;
        }
        let start = self.events.partition_point(|e| e.position <= position);
        Some(self.events.range(start..))
    }

    /// The oldest position a subscriber can resume from.
    pub fn oldest(&self) -> Position {
        self.forgotten
    }
}
