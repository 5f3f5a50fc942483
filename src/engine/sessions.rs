//! Sessions: opened, resumed within their grace, closed, lost.

use std::collections::BTreeSet;

use super::Engine;
use super::agents::{Session, SessionState, check_description, replace_some};
use super::command::{
    Actor, LostReason, NodeStart, SessionClose, SessionLost, SessionOpen, SessionResume,
};
use super::event::{Change, ChangeKind, Subject};
use super::ids::{NodeId, SessionId};
use super::limits::check_limit;
use super::outcome::{Outcome, Refusal, SessionOutcome};
use crate::planted::{Bug, is_on, visit};

/// How many lost sessions are looked at for one that holds nothing.
const LOST_LOOKS: usize = 64;

impl Engine {
    pub(super) fn check_session_open(&self, by: &Actor, open: &SessionOpen) -> Result<(), Refusal> {
        let limits = &self.limits;
        self.check_new_agent(by.agent())?;
        check_description(limits, open.capabilities.as_ref(), open.labels.as_ref())?;
        check_limit!(limits, session_grace_ms_max, open.grace_ms)?;
        if let Some(agent) = by.agent() {
            let sessions = self.sessions_of(agent).count();
            check_limit!(limits, sessions_per_agent_max, sessions + 1)?;
            self.check_sessions_of_principal(agent)?;
        }
        // Last: a lost session gives way only to one that nothing else refuses.
        check_limit!(limits, sessions_max, self.state.sessions.len() + 1)?;
        Ok(())
    }

    pub(super) fn session_open(&mut self, by: &Actor, open: &SessionOpen) -> Outcome {
        let id = self.state.last.session();
        let Some(agent) = by.agent().and_then(|name| self.state.agents.get_mut(name)) else {
            return Outcome::Done;
        };
        let name = agent.name.clone();
        replace_some(&mut agent.kind, open.kind.clone());
        if let Some(labels) = &open.labels {
            agent.labels.clone_from(labels);
        }
        let session = Session {
            id,
            agent: name.clone(),
            node: open.node.clone(),
            state: SessionState::Live,
            resume_hash: open.resume_hash.as_str().into(),
            grace_ms: open.grace_ms,
            connection: 1,
            opened_at: self.state.now,
        };
        self.able_to(&name, open.capabilities.as_ref());
        self.index.insert(&session);
        self.state.sessions.insert(id, session);
        self.change(about(ChangeKind::SessionOpened, id).agent(&name));
        self.refresh_presence(&name, "session opened");
        Outcome::Session(SessionOutcome {
            session: id,
            connection: 1,
            resumed: false,
        })
    }

    pub(super) fn check_session_resume(
        &self,
        by: &Actor,
        resume: &SessionResume,
    ) -> Result<(), Refusal> {
        let session = self.state.sessions.get(&resume.session);
        let known = session.filter(|s| {
            // One answer for "no such session", "another agent's" and "wrong secret": a guesser learns nothing.
            Some(&s.agent) == by.agent() && *s.resume_hash == *resume.resume_hash
        });
        match known {
            Some(_) => Ok(()),
            None => Err(Refusal::NotFound(format!(
                "session {} (it ended, or the secret is wrong: open a new one)",
                resume.session
            ))),
        }
    }

    pub(super) fn session_resume(&mut self, resume: &SessionResume) -> Outcome {
        let node = resume.node.clone();
        let outcome = self.with_session(resume.session, |session| {
            session.state = SessionState::Live;
            session.node = node;
            session.connection += 1;
            session.connection
        });
        let Some((agent, connection)) = outcome else {
            return Outcome::Done;
        };
        self.change(about(ChangeKind::SessionResumed, resume.session).agent(&agent));
        self.refresh_presence(&agent, "session resumed");
        Outcome::Session(SessionOutcome {
            session: resume.session,
            connection,
            resumed: true,
        })
    }

    pub(super) fn check_session_close(
        &self,
        by: &Actor,
        close: &SessionClose,
    ) -> Result<(), Refusal> {
        let session = self.state.sessions.get(&close.session);
        match session {
            Some(session) if by.is_operator() || Some(&session.agent) == by.agent() => Ok(()),
            // A coordinator makes room: see `gives_way`. Meanwhile the session may have been resumed.
            Some(session) if by.agent().is_none() && session.state != SessionState::Live => Ok(()),
            _ => Err(Refusal::NotFound(format!("session {}", close.session))),
        }
    }

    pub(super) fn session_close(&mut self, by: &Actor, close: &SessionClose) {
        match by.agent() {
            Some(_) => self.session_ends(close.session, "closed", true),
            None => self.session_ends(close.session, "gave way to a new session", false),
        }
    }

    /// The lost session that ends to make room for a new one, if there is no room for `opening` more: the oldest
    /// of those that hold nothing, or else the oldest. Those in `ending` end anyway.
    pub fn gives_way(&self, opening: u64, ending: &BTreeSet<SessionId>) -> Option<SessionId> {
        let sessions = self.state.sessions.len() as u64 + opening;
        if sessions <= self.limits.sessions_max + ending.len() as u64 {
            return None;
        }
        let lost = self.index.lost_sessions.iter().map(|(_, id)| *id);
        let lost = lost.filter(|id| !ending.contains(id)).inspect(|_| visit());
        let oldest: Vec<SessionId> = lost.take(LOST_LOOKS).collect();
        let holds = |id: &SessionId| {
            let index = &self.index;
            index.session_tasks.contains_key(id) || index.session_leases.contains_key(id)
        };
        let idle = oldest.iter().find(|id| !holds(id));
        idle.or(oldest.first()).copied()
    }

    pub(super) fn session_lost(&mut self, lost: &SessionLost) {
        let current = self.state.sessions.get(&lost.session);
        if current.is_some_and(|s| s.connection == lost.connection) {
            self.session_to_grace(lost.session, lost.reason);
        }
    }

    /// Sessions that an earlier run of a coordinator served have lost their connection. Sessions of this run
    /// have not: if the disk is full, the record of the start may reach the journal after they were opened.
    pub(super) fn node_start(&mut self, start: &NodeStart) {
        if start.sole {
            self.forget_nodes();
        }
        let served = |node: &NodeId| (*node == start.node) != start.sole;
        self.strand(served, LostReason::NodeRestarted);
    }

    pub(super) fn session_to_grace(&mut self, id: SessionId, reason: LostReason) {
        let now = self.state.now;
        let changed = self.with_session(id, |session| {
            let was_live = session.state == SessionState::Live;
            if was_live {
                let until = now.after_ms(session.grace_ms);
                session.state = SessionState::Grace { until };
            }
            was_live
        });
        let Some((agent, true)) = changed else { return };
        let change = about(ChangeKind::SessionLost, id).agent(&agent);
        self.change(change.reason(reason.as_str()));
        self.refresh_presence(&agent, reason.as_str());
    }

    pub(super) fn session_grace_ends(&mut self, id: SessionId) {
        self.session_ends(id, "not resumed in time", false);
    }

    /// Ends a session and releases what it held. An orderly end has no delay. After an abrupt end, leases
    /// have a lock-delay and tasks are offered to the same agent first.
    fn session_ends(&mut self, id: SessionId, reason: &str, orderly: bool) {
        let Some(session) = self.state.sessions.remove(&id) else {
            return;
        };
        self.index.remove(&session);
        let tasks = self.index.session_tasks.get(&id).cloned();
        for task in tasks.into_iter().flatten() {
            if orderly {
                self.attempt_released(task, "session closed");
            } else {
                self.attempt_lost(task, "its session ended");
            }
        }
        if is_on(Bug::HoldsOutliveSession) {
            return;
        }
        let leases = self.index.session_leases.get(&id).cloned();
        for lease in leases.into_iter().flatten() {
            if orderly {
                self.lease_ends(lease, ChangeKind::LeaseReleased, "session closed");
            } else {
                self.lease_lapses(lease, "its session ended");
            }
        }
        let change = about(ChangeKind::SessionEnded, id).agent(&session.agent);
        self.change(change.reason(reason));
        self.refresh_presence(&session.agent, reason);
    }

    fn with_session<T>(
        &mut self,
        id: SessionId,
        change: impl FnOnce(&mut Session) -> T,
    ) -> Option<(super::ids::AgentName, T)> {
        let session = self.state.sessions.get_mut(&id)?;
        self.index.remove(session);
        let result = change(session);
        self.index.insert(session);
        Some((session.agent.clone(), result))
    }
}

fn about(kind: ChangeKind, session: SessionId) -> Change {
    Change::new(kind).about(Subject::Session(session))
}
