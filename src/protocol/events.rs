//! Wire types of events and subscriptions.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ErrorKind;
use crate::engine::event::{Change, Event, Subject};
use crate::engine::ids::{
    AgentName, ContextKey, Cursor, Epoch, FencingToken, JournalTime, LeaseId, MessageId,
    ProjectName, Revision, SessionId, TaskId, TokenId, Topic, TreeName,
};

/// Filters of one subscription.
pub const FILTERS_MAX: usize = 16;

/// Subscribes to events. A connection has one subscription: subscribing again replaces its filters.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EventsSubscribeParams {
    /// An event is sent when any filter matches any of its changes; all events when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<EventFilter>,
    /// Start after this cursor; now when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Cursor>,
}

/// All given fields must match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EventFilter {
    /// Kinds of change, such as `task.done`, or a whole area, such as `task.*`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub kinds: BTreeSet<String>,
    /// Changes that concern this agent: it acted, lost something, or got a message or task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// Changes of this task, and of tasks that became stuck because of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// Changes of context keys that begin with this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_prefix: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EventsSubscribeResult {
    /// The subscription begins after this cursor.
    pub cursor: Cursor,
}

/// One applied record and all its changes. Keep the cursor of the last event that you handled.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EventView {
    pub cursor: Cursor,
    pub at_ms: JournalTime,
    pub changes: Vec<ChangeView>,
}

/// One change; only the fields of its kind are present.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ChangeView {
    /// The kind, such as `task.claimed`; the reference lists all kinds.
    pub kind: String,
    /// The agent that acted, or lost something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// For a stuck task: the task that needs attention, which may be the stuck task itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<TaskId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<FencingToken>,
    /// The worktree that the paths of the lease are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<TreeName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<Topic>,
    /// The agent that got the message or the task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<AgentName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<ContextKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The subscription ended; no event after `cursor` was sent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EventsClosed {
    /// `cursor_expired`: the subscriber was too slow, and events that it has not got are no longer available.
    /// `epoch_changed`: the shared journal lost some events that were sent before.
    pub kind: ErrorKind,
    /// The cursor of the last event that was sent.
    pub cursor: Cursor,
    /// List the state again, then subscribe from this cursor.
    pub next: Cursor,
}

/// Sent to the holder: the attempt is lost. Stop working on it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TaskLost {
    pub task: TaskId,
    pub attempt: u32,
    pub fence: FencingToken,
    pub reason: String,
}

/// The shared journal lost acknowledged records: changes answered after `cursor` in epoch `before` may be
/// lost. List the state again.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EpochChanged {
    pub project: ProjectName,
    /// The last position that this coordinator had applied before.
    pub before: Cursor,
    /// The project's cursor now.
    pub cursor: Cursor,
}

/// Another connection resumed the session, or the coordinator closes the connection.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SessionClosed {
    pub reason: String,
}

impl EventView {
    pub fn of(epoch: Epoch, event: &Event) -> Self {
        Self {
            cursor: Cursor {
                epoch,
                position: event.position,
            },
            at_ms: event.at_ms,
            changes: event.changes.iter().map(ChangeView::from).collect(),
        }
    }
}

impl From<&Change> for ChangeView {
    fn from(change: &Change) -> Self {
        let mut view = Self {
            kind: change.kind.as_str().to_owned(),
            agent: change.agent.clone(),
            session: None,
            task: None,
            attempt: None,
            root: change.root,
            lease: None,
            fence: change.fence,
            tree: change.tree.clone(),
            message: None,
            topic: None,
            to: change.to.clone(),
            key: None,
            revision: None,
            token: None,
            project: None,
            reason: change.reason.as_deref().map(str::to_owned),
        };
        match &change.subject {
            // The cursor says the epoch.
            None | Some(Subject::Epoch(_)) => {}
            Some(Subject::Session(session)) => view.session = Some(*session),
            Some(Subject::Task { task, attempt }) => {
                view.task = Some(*task);
                view.attempt = (*attempt > 0).then_some(*attempt);
            }
            Some(Subject::Lease(lease)) => view.lease = Some(*lease),
            Some(Subject::Message { message, topic }) => {
                view.message = Some(*message);
                view.topic = topic.as_deref().cloned();
            }
            Some(Subject::Context { key, revision }) => {
                view.key = Some((**key).clone());
                view.revision = Some(*revision);
            }
            Some(Subject::Token(token)) => view.token = Some(token.clone()),
            Some(Subject::Project(project)) => view.project = Some(project.clone()),
        }
        view
    }
}

/// What is sent to a principal concerns its seats, which share its mailbox.
pub(crate) fn concerns(change: &Change, agent: &AgentName) -> bool {
    let acted = change.agent.as_ref().is_some_and(|who| agent.covers(who));
    acted
        || change
            .to
            .iter()
            .any(|to| agent.covers(to) || to.covers(agent))
}

impl EventFilter {
    pub fn matches(&self, change: &Change) -> bool {
        self.matches_kind(change.kind.as_str())
            && self.agent.as_ref().is_none_or(|agent| concerns(change, agent))
            && self.task.is_none_or(|wanted| {
                let is_about = matches!(change.subject, Some(Subject::Task { task, .. }) if task == wanted);
                is_about || change.root == Some(wanted)
            })
            && self.key_prefix.as_ref().is_none_or(|prefix| {
                matches!(&change.subject, Some(Subject::Context { key, .. }) if key.as_str().starts_with(prefix))
            })
    }

    fn matches_kind(&self, kind: &str) -> bool {
        let area = kind.split('.').next().unwrap_or_default();
        let wanted = |pattern: &String| match pattern.strip_suffix(".*") {
            Some(wanted_area) => wanted_area == area,
            None => pattern == kind,
        };
        self.kinds.is_empty() || self.kinds.iter().any(wanted)
    }
}
