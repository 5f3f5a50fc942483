//! Wire types of events and subscriptions.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ErrorKind;
use crate::engine::event::{Change, Event, Subject};
use crate::engine::ids::{
    AgentName, ContextKey, Cursor, Epoch, FencingToken, JournalTime, LeaseId, MessageId,
    ProjectName, Revision, SessionId, TaskId, TokenId, Topic,
};

/// Filters of one subscription.
pub const FILTERS_MAX: usize = 16;

/// Asks to be told of events. A connection has one subscription: asking again replaces its filters.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EventsSubscribeParams {
    /// An event is told when any of these matches any of its changes; all events when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<EventFilter>,
    /// Every event after this cursor; from now when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Cursor>,
}

/// All that is given must match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EventFilter {
    /// Kinds of change, such as `task.done`, or a whole area: `task.*`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub kinds: BTreeSet<String>,
    /// Changes that concern this agent: it acted, lost something, or is addressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// Changes of this task, and what became stuck because of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// Context keys that begin with this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_prefix: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EventsSubscribeResult {
    /// The subscription begins after this cursor.
    pub cursor: Cursor,
}

/// One applied record and all it changed. Keep the cursor of the last one you dealt with.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EventView {
    pub cursor: Cursor,
    pub at_ms: JournalTime,
    pub changes: Vec<ChangeView>,
}

/// One change; only the fields that belong to its kind are there.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ChangeView {
    /// Such as `task.claimed`; the reference lists all.
    pub kind: String,
    /// Who acted, or lost something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Of a stuck task: the task about which something must be done, or itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<TaskId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<FencingToken>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<Topic>,
    /// Who got the message, or was handed the task.
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

/// The subscription ended, and why; nothing after `cursor` was told.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EventsClosed {
    /// `cursor_expired`: the subscriber was too slow and events it had not been told are forgotten.
    /// `epoch_changed`: the shared journal lost some of the events that were told.
    pub kind: ErrorKind,
    /// The last event that was told.
    pub cursor: Cursor,
    /// Subscribe from here after listing the state anew.
    pub next: Cursor,
}

/// Told to the holder: the attempt is gone. Stop working on it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TaskLost {
    pub task: TaskId,
    pub attempt: u32,
    pub fence: FencingToken,
    pub reason: String,
}

/// The shared journal lost records that were acknowledged: what was answered after `cursor` in epoch
/// `before` may not have happened. List the state anew.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct EpochChanged {
    pub project: ProjectName,
    /// How far this coordinator had come before.
    pub before: Cursor,
    /// Where the project stands now.
    pub cursor: Cursor,
}

/// The connection's session was taken up elsewhere, or the coordinator ends the connection.
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

impl EventFilter {
    pub fn matches(&self, change: &Change) -> bool {
        self.matches_kind(change.kind.as_str())
            && self.agent.as_ref().is_none_or(|agent| {
                change.agent.as_ref() == Some(agent) || change.to.contains(agent)
            })
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
