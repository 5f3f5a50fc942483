//! What an applied command answers: an outcome, or a refusal.

use serde::{Deserialize, Serialize};

use super::command::Labels;
use super::hold::Hold;
use super::ids::{
    AgentName, FencingToken, JournalTime, LeaseId, MessageId, Note, Revision, SessionId, TaskId,
    Title,
};
use super::limits::LimitExceeded;
use super::payload::Payload;
use super::resource::Resource;
use super::tasks::stuck::Stuck;
use super::tasks::{Handoff, TaskState};

/// What came of a command that was carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Carried out, nothing more to say.
    Done,
    Session(SessionOutcome),
    Submitted(Vec<Submitted>),
    /// A task is queued again; why it is stuck, if it is. Never kept: made anew for each answer.
    #[serde(skip)]
    Queued(Vec<Stuck>),
    /// `None`: nothing to claim.
    Claimed(Option<Box<Grant>>),
    Completed {
        next: Option<Box<Grant>>,
    },
    Failed(FailOutcome),
    Lease(Box<LeaseGrant>),
    Renewed {
        expires_at: Option<JournalTime>,
    },
    Sent(SendOutcome),
    Taken(Vec<MessageId>),
    Acked {
        acked: Vec<MessageId>,
        unknown: Vec<MessageId>,
    },
    /// Everything up to a message, and those named beside it; `unknown` are of those.
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
    /// Counts the connections of the session; a later report about an earlier one is ignored.
    pub connection: u64,
    pub resumed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted {
    pub task: TaskId,
    /// The idempotency key was known: this is the task submitted then.
    pub existing: bool,
    /// That task, as it is now, and what of this submission it has not; also where a `request_id` was used
    /// before for another submission. Never kept: made anew for each answer, like `stuck`.
    #[serde(skip)]
    pub found: Option<Box<KnownTask>>,
    /// Why the task will not run, as things are.
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
    /// When a claim that no session holds lapses unless it is renewed.
    #[serde(default)]
    pub expires_at: Option<JournalTime>,
    /// When the attempt is over whatever happens.
    #[serde(default)]
    pub timeout_at: Option<JournalTime>,
}

/// What becomes of a task whose attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailOutcome {
    /// It will be tried again, not before this time.
    Retry { not_before: JournalTime },
    /// No further attempt: it is in the dead letters.
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendOutcome {
    /// `None`: nobody took it, so it is not kept.
    pub message: Option<MessageId>,
    pub thread: Option<MessageId>,
    pub recipients: Vec<(AgentName, Delivery)>,
}

/// What happened to a message at one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// In the mailbox of an agent that is connected now.
    Live,
    /// In the mailbox of an agent that is not.
    Queued,
    /// No agent of that name has been here.
    Unknown,
    /// The mailbox is full: not delivered. Told by commands without shares.
    Full,
    /// Not delivered, for this limit.
    Over(MailboxLimit),
}

macro_rules! mailbox_limits {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal,)*) => {
        /// Why a mailbox does not take a message.
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
    /// The sender has as many messages there as one may.
    MailboxMessagesPerSenderMax = "mailbox_messages_per_sender_max",
    /// The sender has as many bytes there as one may.
    MailboxBytesPerSenderMax = "mailbox_bytes_per_sender_max",
    /// What is left is kept for direct messages of senders with few messages there.
    MailboxMessagesReserved = "mailbox_messages_reserved",
    /// What is left is kept for direct messages of senders with few bytes there.
    MailboxBytesReserved = "mailbox_bytes_reserved",
    /// The mailbox is full.
    MailboxMessagesMax = "mailbox_messages_max",
    /// The mailbox holds as many bytes as it may.
    MailboxBytesMax = "mailbox_bytes_max",
    /// A token makes the agent known, but the project has as many agents as it may.
    AgentsMax = "agents_max",
}

/// Why a command was not carried out. It changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    NotFound(String),
    /// The state of things forbids it.
    Conflict(String),
    /// Other leases stand in the way.
    LeaseConflict(LeaseConflicts),
    StaleFence {
        what: String,
        given: FencingToken,
        current: Option<FencingToken>,
    },
    Limit(LimitExceeded),
    /// It was overtaken by so many later requests that nobody can tell whether it is a repeated one.
    Overtaken,
    Forbidden(String),
    /// A value that only the state shows to be wrong.
    Invalid {
        path: String,
        problem: String,
    },
}

/// The leases that stand in the way of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeaseConflicts {
    /// The first ones, up to `conflicts_told_max`.
    pub told: Vec<LeaseConflict>,
    /// How many more there are.
    pub more: u64,
    /// Journal time when it was found out.
    pub now: JournalTime,
}

impl LeaseConflicts {
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }
}

/// One lease that stands in the way of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseConflict {
    pub lease: LeaseId,
    pub holder: AgentName,
    /// The resource that is held.
    pub held: Resource,
    /// The resource that was asked for.
    pub wanted: String,
    /// A path that both match, where one of them is a glob.
    pub example: Option<String>,
    /// When the holder got it.
    pub since: JournalTime,
    /// How the holder keeps it.
    pub hold: Hold,
    /// What the holder says it is for.
    pub note: Option<Note>,
    /// The holder is gone; the resource opens at this time.
    pub opens_at: Option<JournalTime>,
}

impl From<LimitExceeded> for Refusal {
    fn from(limit: LimitExceeded) -> Self {
        Self::Limit(limit)
    }
}

/// The answer to an applied command.
pub type Answer = Result<Outcome, Refusal>;
