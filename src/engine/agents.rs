//! Agents: their sessions, capabilities and presence.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Engine;
use super::command::{Actor, AgentRemove, AgentUpdate, Capabilities, DeclaredStatus, Labels, Role};
use super::event::{Change, ChangeKind};
use super::ids::{AgentKind, AgentName, JournalTime, MessageId, NodeId, Note, SessionId, Topic};
use super::index::Abilities;
use super::limits::{LimitExceeded, check_limit};
use super::outcome::Refusal;

/// A named worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    pub name: AgentName,
    #[serde(default)]
    pub kind: Option<AgentKind>,
    #[serde(default)]
    pub capabilities: Capabilities,
    #[serde(default)]
    pub labels: Labels,
    #[serde(default)]
    pub topics: BTreeSet<Topic>,
    #[serde(default)]
    pub status: Option<DeclaredStatus>,
    #[serde(default)]
    pub load_percent: Option<u8>,
    #[serde(default)]
    pub note: Option<Note>,
    pub first_seen_at: JournalTime,
    pub presence: Presence,
    pub presence_since: JournalTime,
    pub presence_reason: Box<str>,
    /// Messages that expired in its mailbox since it last looked; reported with its next inbox.
    #[serde(default)]
    pub messages_expired: u64,
    /// Of a seat that holds nothing: when it is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forget_at: Option<JournalTime>,
}

/// The presence of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// Connected, without a status of its own.
    Online,
    /// Connected and free.
    Idle,
    /// Connected and working.
    Busy,
    /// Connected but set itself away, or lost its connection a moment ago.
    Away,
    /// Has no session.
    Gone,
}

impl Presence {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Away => "away",
            Self::Gone => "gone",
        }
    }
}

/// A session: one connection of an agent, kept for a grace period after the connection is lost.
///
/// ```text
///  open ──► Live ──lost──► Grace ──until──► ended
///             ▲   ◄─resume──┘
///             └── close ──► ended
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub id: SessionId,
    pub agent: AgentName,
    pub node: NodeId,
    pub state: SessionState,
    pub resume_hash: Box<str>,
    pub grace_ms: u64,
    /// Counts its connections.
    pub connection: u64,
    pub opened_at: JournalTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    Live,
    Grace { until: JournalTime },
}

impl Engine {
    /// The sessions of an agent, oldest first.
    pub fn sessions_of(&self, agent: &AgentName) -> impl Iterator<Item = &Session> {
        let ids = self.index.agent_sessions.get(agent);
        ids.into_iter()
            .flatten()
            .filter_map(|id| self.state.sessions.get(id))
    }

    pub(super) fn is_live(&self, agent: &AgentName) -> bool {
        self.sessions_of(agent)
            .any(|s| s.state == SessionState::Live)
    }

    pub(super) fn check_agent_update(
        &self,
        by: &Actor,
        update: &AgentUpdate,
    ) -> Result<(), Refusal> {
        self.check_new_agent(by.agent())?;
        let limits = &self.limits;
        check_description(limits, update.capabilities.as_ref(), update.labels.as_ref())?;
        let topics = update.topics.as_ref().map_or(0, BTreeSet::len);
        check_limit!(limits, topics_per_agent_max, topics)?;
        if update.load_percent.is_some_and(|load| load > 100) {
            return Err(Refusal::Invalid {
                path: "load_percent".to_owned(),
                problem: "the load must be between 0 and 100".to_owned(),
            });
        }
        Ok(())
    }

    /// The first command of an agent that changes anything registers it.
    pub(super) fn check_new_agent(&self, agent: Option<&AgentName>) -> Result<(), LimitExceeded> {
        match agent {
            Some(agent) if !self.state.agents.contains_key(agent) => {
                self.check_new_seat(agent)?;
                check_limit!(self.limits, agents_max, self.state.agents.len() + 1)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn ensure_agent(&mut self, agent: &AgentName) -> Result<(), Refusal> {
        self.check_new_agent(Some(agent))?;
        if !self.state.agents.contains_key(agent) {
            let new = Agent {
                name: agent.clone(),
                kind: None,
                capabilities: Capabilities::new(),
                labels: Labels::new(),
                topics: BTreeSet::new(),
                status: None,
                load_percent: None,
                note: None,
                first_seen_at: self.state.now,
                presence: Presence::Gone,
                presence_since: self.state.now,
                presence_reason: "no session yet".into(),
                messages_expired: 0,
                forget_at: None,
            };
            self.state.agents.insert(agent.clone(), new);
        }
        Ok(())
    }

    /// Whether the project knows an agent, or the command introduces it because a token names it.
    pub(super) fn is_known_or(&self, introduces: &BTreeSet<AgentName>, agent: &AgentName) -> bool {
        self.state.agents.contains_key(agent) || introduces.contains(agent)
    }

    /// Whether there is space for `by` and `agent`; either may be new.
    pub(super) fn check_new_pair(
        &self,
        by: &Actor,
        agent: &AgentName,
    ) -> Result<(), LimitExceeded> {
        self.check_new_agent(by.agent())?;
        let pair = [
            by.agent(),
            Some(agent).filter(|agent| by.agent() != Some(agent)),
        ];
        let is_new = |agent: &&AgentName| !self.state.agents.contains_key(*agent);
        let new = pair.into_iter().flatten().filter(is_new).count();
        if new == 0 {
            return Ok(());
        }
        check_limit!(self.limits, agents_max, self.state.agents.len() + new)
    }

    pub(super) fn agent_update(&mut self, by: &Actor, update: &AgentUpdate) {
        let Some(agent) = by.agent().and_then(|name| self.state.agents.get_mut(name)) else {
            return;
        };
        let name = agent.name.clone();
        replace_some(&mut agent.status, update.status);
        replace_some(&mut agent.kind, update.kind.clone());
        replace_some(&mut agent.load_percent, update.load_percent);
        replace_some(&mut agent.note, update.note.clone());
        if let Some(labels) = &update.labels {
            agent.labels.clone_from(labels);
        }
        if let Some(topics) = &update.topics {
            agent.topics.clone_from(topics);
        }
        self.able_to(&name, update.capabilities.as_ref());
        self.change(Change::new(ChangeKind::AgentUpdated).agent(&name));
        self.refresh_presence(&name, "said so");
    }

    pub(super) fn check_agent_remove(
        &self,
        by: &Actor,
        remove: &AgentRemove,
    ) -> Result<(), Refusal> {
        let own = |by: &AgentName| by.has_same_principal(&remove.agent);
        if !by.is_operator() && !by.agent().is_some_and(own) {
            return Err(Refusal::Forbidden(
                "only an operator may remove other agents".to_owned(),
            ));
        }
        let mut meant = self.meant_by(&remove.agent).peekable();
        if meant.peek().is_none() {
            return Err(Refusal::NotFound(format!("agent {}", remove.agent)));
        }
        match meant.find(|agent| self.is_present(agent)) {
            Some(agent) => Err(Refusal::Conflict(format!(
                "agent {agent} still has sessions"
            ))),
            None => Ok(()),
        }
    }

    /// Forgets an agent; a principal with all its seats.
    pub(super) fn agent_remove(&mut self, remove: &AgentRemove) {
        let meant: Vec<AgentName> = self.meant_by(&remove.agent).cloned().collect();
        for agent in &meant {
            self.agent_leaves(agent, None);
        }
    }

    /// The known agents that a name stands for.
    fn meant_by(&self, named: &AgentName) -> impl Iterator<Item = &AgentName> {
        let all = self.agents_of(named).map(|agent| &agent.name);
        all.filter(|name| named.covers(name))
    }

    /// Releases all it held, empties its mailbox, and removes it.
    pub(super) fn agent_leaves(&mut self, agent: &AgentName, reason: Option<&str>) {
        let tasks = self.index.agent_tasks.get(agent).cloned();
        for task in tasks.into_iter().flatten() {
            self.attempt_lost(task, "agent removed");
        }
        let leases = self.index.agent_leases.get(agent).cloned();
        for lease in leases.into_iter().flatten() {
            self.lease_lapses(lease, "agent removed");
        }
        let offered = self.index.offered.get(agent).cloned();
        for (_, task) in offered.into_iter().flatten() {
            self.task_offer_ends(task);
        }
        let mailbox = self.index.mailboxes.get(agent).map(|m| m.messages.clone());
        let messages: Vec<MessageId> = mailbox.into_iter().flatten().collect();
        for message in messages {
            self.message_leaves(agent, message);
        }
        self.state.answers.remove(agent);
        self.state.forgotten.remove(agent);
        self.able_to(agent, Some(&Capabilities::new()));
        if let Some(gone) = self.state.agents.remove(agent) {
            self.index.remove(&gone);
        }
        let change = Change::new(ChangeKind::AgentRemoved).agent(agent);
        self.change(match reason {
            Some(reason) => change.reason(reason),
            None => change,
        });
    }

    /// Replaces an agent's capabilities, if given. Tasks may become stuck or free by that.
    pub(super) fn able_to(&mut self, name: &AgentName, capabilities: Option<&Capabilities>) {
        let (Some(agent), Some(new)) = (self.state.agents.get_mut(name), capabilities) else {
            return;
        };
        let old = std::mem::replace(&mut agent.capabilities, new.clone());
        let abilities = |capabilities| Abilities {
            agent: name,
            capabilities,
        };
        self.index.remove(&abilities(&old));
        self.index.insert(&abilities(new));
        if old != *new {
            self.signals.agents.push(name.clone());
        }
        self.requirements_change(&old, new);
    }

    /// Recomputes an agent's presence; if it changed, records when and why.
    pub(super) fn refresh_presence(&mut self, name: &AgentName, reason: &str) {
        let Some(agent) = self.state.agents.get(name) else {
            return;
        };
        let (before, after) = (agent.presence, self.presence_now(agent));
        if before == after {
            return;
        }
        let now = self.state.now;
        if let Some(agent) = self.state.agents.get_mut(name) {
            self.index.remove(&*agent);
            agent.presence = after;
            agent.presence_since = now;
            agent.presence_reason = reason.into();
            self.index.insert(&*agent);
        }
        if before == Presence::Gone {
            self.change(
                Change::new(ChangeKind::AgentOnline)
                    .agent(name)
                    .reason(reason),
            );
        } else if after == Presence::Gone {
            self.change(
                Change::new(ChangeKind::AgentGone)
                    .agent(name)
                    .reason(reason),
            );
        }
    }

    fn presence_now(&self, agent: &Agent) -> Presence {
        let mut sessions = self.sessions_of(&agent.name).peekable();
        if sessions.peek().is_none() {
            return Presence::Gone;
        }
        if !sessions.any(|session| session.state == SessionState::Live) {
            return Presence::Away;
        }
        match agent.status {
            Some(DeclaredStatus::Away) => Presence::Away,
            Some(DeclaredStatus::Busy) => Presence::Busy,
            _ if self.index.agent_tasks.contains_key(&agent.name) => Presence::Busy,
            Some(DeclaredStatus::Idle) => Presence::Idle,
            None => Presence::Online,
        }
    }
}

/// Whether `by` may act on an object of `owner`.
pub(super) fn owns_or_operates(by: &Actor, owner: &AgentName) -> bool {
    match by {
        Actor::Agent { name, role, .. } => name == owner || *role == Role::Operator,
        Actor::Node(_) => false,
    }
}

pub(super) fn check_description(
    limits: &super::limits::Limits,
    capabilities: Option<&Capabilities>,
    labels: Option<&Labels>,
) -> Result<(), LimitExceeded> {
    check_limit!(
        limits,
        capabilities_max,
        capabilities.map_or(0, BTreeSet::len)
    )?;
    check_limit!(
        limits,
        labels_max,
        labels.map_or(0, std::collections::BTreeMap::len)
    )
}

pub(super) fn replace_some<T>(field: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *field = value;
    }
}
