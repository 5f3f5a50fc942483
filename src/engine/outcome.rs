//! The answer to an applied command: an outcome, or a refusal.

use serde::{Deserialize, Serialize};

use super::command::Labels;
use super::hold::Hold;
use super::ids::{
    AgentName, FencingToken, JournalTime, LeaseId, MessageId, Note, Revision, SessionId, TaskId,
    Title, TreeName,
};
use super::limits::LimitExceeded;
use super::payload::Payload;
use super::resource::Resource;
use super::tasks::stuck::Stuck;
use super::tasks::{Handoff, TaskState};

/// The result of a command that was applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Applied, without further data.
    Done,
    Session(SessionOutcome),
    Submitted(Vec<Submitted>),
    /// A task is queued again; if it is stuck, why. Not remembered: computed for each answer.
    #[serde(skip)]
    Queued(Vec<Stuck>),
    /// `None`: nothing to claim.
    Claimed(Option<Box<Grant>>),
    Completed {
        next: Option<Box<Grant>>,
    },
    Failed(FailOutcome),
    Lease(Box<LeaseGrant>),
    Ensured(Box<EnsureOutcome>),
    /// So many resources were given back.
    GivenBack(u64),
    Renewed {
        expires_at: Option<JournalTime>,
    },
    Sent(SendOutcome),
    Taken(Vec<MessageId>),
    Acked {
        acked: Vec<MessageId>,
        unknown: Vec<MessageId>,
    },
    /// Everything up to a message, and the named ones; `unknown` are the named ones that are not there.
    AckedUpTo {
        count: u64,
        unknown: Vec<MessageId>,
    },
    Context {
        revision: Revision,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionOutcome {
    pub session: SessionId,
    /// Counts the connections of the session, so that a late report about an earlier one is ignored.
    pub connection: u64,
    pub resumed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    pub task: TaskId,
    /// The idempotency key was known: this is the earlier task.
    pub existing: bool,
    /// The present state of the earlier task, and how it differs from this submission; also if the
    /// `request_id` was used before for another submission. Not remembered: computed for each answer, like
    /// `stuck`.
    #[serde(skip)]
    pub found: Option<Box<KnownTask>>,
    /// Why the task cannot run now.
    #[serde(skip)]
    pub stuck: Vec<Stuck>,
}

/// A task that was submitted before under the same idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownTask {
    pub state: TaskState,
    pub last_error: Option<Note>,
    /// The fields in which this submission differs from the task.
    pub differs: Vec<&'static str>,
}

/// A claimed attempt, with all that is needed to do the work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    pub task: TaskId,
    pub attempt: u32,
    pub fence: FencingToken,
    pub title: Title,
    #[serde(default)]
    pub payload: Option<Payload>,
    #[serde(default)]
    pub labels: Labels,
    pub submitted_by: AgentName,
    #[serde(default)]
    pub handoff: Option<Handoff>,
    #[serde(default)]
    pub last_error: Option<Note>,
    /// When a claim that no session holds expires unless it is renewed.
    #[serde(default)]
    pub expires_at: Option<JournalTime>,
    /// When the attempt ends in any case.
    #[serde(default)]
    pub timeout_at: Option<JournalTime>,
}

/// The new state of a task whose attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailOutcome {
    /// It will be retried, not before this time.
    Retry { not_before: JournalTime },
    /// No further attempt: the task is dead.
    Dead,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseGrant {
    pub lease: LeaseId,
    pub fence: FencingToken,
    pub resources: Vec<Resource>,
    #[serde(default)]
    pub expires_at: Option<JournalTime>,
}

/// All that was asked for is held by the agent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EnsureOutcome {
    pub leases: Vec<EnsuredLease>,
    /// Overlaps in other trees. Never kept: made anew for each answer.
    #[serde(skip)]
    pub elsewhere: LeaseConflicts,
}

/// A lease that holds some of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnsuredLease {
    pub lease: LeaseId,
    pub fence: FencingToken,
    pub how: Ensured,
    /// Which of the resources that were asked for it holds.
    pub asked: Vec<u32>,
    /// Those resources. Never kept: they follow from the request.
    #[serde(skip)]
    pub resources: Vec<Resource>,
    #[serde(default)]
    pub expires_at: Option<JournalTime>,
}

/// What `lease.ensure` did about a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ensured {
    /// Nothing: it is held, and for long enough.
    Held,
    Renewed,
    Taken,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendOutcome {
    /// `None`: no recipient got it, so it is not stored.
    pub message: Option<MessageId>,
    pub thread: Option<MessageId>,
    pub recipients: Vec<(AgentName, Delivery)>,
}

/// The delivery of a message to one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// In the mailbox of an agent that is connected now.
    Live,
    /// In the mailbox of an agent that is not connected now.
    Queued,
    /// No agent has this name.
    Unknown,
    /// Not delivered: the mailbox is full. Only for commands from before shares existed.
    Full,
    /// Not delivered, because of this limit.
    Over(MailboxLimit),
}

macro_rules! mailbox_limits {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// Why a mailbox does not accept a message.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum MailboxLimit {
            $($(#[doc = $doc])* #[serde(rename = $name)] $variant,)*
        }

        impl MailboxLimit {
            /// The name of the limit.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

mailbox_limits! {
    /// The sender has the maximum number of messages there.
    MailboxMessagesPerSenderMax = "mailbox_messages_per_sender_max",
    /// The sender has the maximum number of bytes there.
    MailboxBytesPerSenderMax = "mailbox_bytes_per_sender_max",
    /// The rest is reserved for direct messages of senders with few messages there.
    MailboxMessagesReserved = "mailbox_messages_reserved",
    /// The rest is reserved for direct messages of senders with few bytes there.
    MailboxBytesReserved = "mailbox_bytes_reserved",
    /// The mailbox is full.
    MailboxMessagesMax = "mailbox_messages_max",
    /// The mailbox has the maximum number of bytes.
    MailboxBytesMax = "mailbox_bytes_max",
    /// The agent is known from a token, but the project has the maximum number of agents.
    AgentsMax = "agents_max",
}

/// Why a command was refused. It changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    NotFound(String),
    /// The current state does not allow it.
    Conflict(String),
    /// Other leases conflict.
    LeaseConflict(LeaseConflicts),
    StaleFence {
        what: String,
        given: FencingToken,
        current: Option<FencingToken>,
    },
    Limit(LimitExceeded),
    /// So many later requests have overtaken it that it is unknown whether it is a repeated one.
    Overtaken,
    Forbidden(String),
    /// A value that is invalid only in the current state.
    Invalid {
        path: String,
        problem: String,
    },
}

/// The leases that conflict with a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeaseConflicts {
    /// The first ones, up to `conflicts_told_max`.
    pub told: Vec<LeaseConflict>,
    /// The number of further ones.
    pub more: u64,
    /// Journal time of the check.
    pub now: JournalTime,
}

impl LeaseConflicts {
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }
}

/// One lease that conflicts with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseConflict {
    pub lease: LeaseId,
    pub holder: AgentName,
    /// The resource that is held.
    pub held: Resource,
    /// The requested resource.
    pub wanted: String,
    /// An example path that both match, if one of them is a glob.
    pub example: Option<String>,
    /// When the holder got it.
    pub since: JournalTime,
    /// How the holder keeps it.
    pub hold: Hold,
    /// The holder's note.
    pub note: Option<Note>,
    /// The holder is lost; the resource becomes free at this time.
    pub opens_at: Option<JournalTime>,
    /// The tree that its paths are in.
    pub tree: Option<TreeName>,
}

impl From<LimitExceeded> for Refusal {
    fn from(limit: LimitExceeded) -> Self {
        Self::Limit(limit)
    }
}

/// The answer to an applied command.
pub type Answer = Result<Outcome, Refusal>;
