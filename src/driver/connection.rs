//! What the driver knows of one connection.

use std::collections::VecDeque;

use bytes::Bytes;

use super::core::{Core, DEFAULT_PROJECT, Moment};
use super::secret::secret_hash;
use super::subscriptions::EventSubscription;
use crate::engine::command::{Action, Actor, LostReason, ProjectScope, Role, SessionLost};
use crate::engine::ids::{AgentName, PortFingerprint, ProjectName, SessionId, TokenId};
use crate::protocol::error::{ErrorKind, RpcError};
use crate::protocol::seat::SeatRequest;

/// The number of a connection; never reused in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// The identity of a connection, from its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub token: TokenId,
    pub agent: AgentName,
    pub role: Role,
    pub projects: ProjectScope,
    /// Whether it may take a seat.
    pub seats: bool,
}

impl Identity {
    /// The identity at the seat that a connection asks for. A hint is left out where the token allows no
    /// seats: the program that gives it cannot know what its token allows.
    pub fn at_seat(mut self, request: &SeatRequest) -> Result<Self, RpcError> {
        let seat = match &request.named {
            Some(_) if !self.seats => {
                let agent = &self.agent;
                let message = format!(
                    "the token of {agent} allows no seats: connect without one, or use a token that was \
                     made with `coord token create {agent} --seats`"
                );
                let error = RpcError::new(ErrorKind::Forbidden, message);
                return Err(error.with(|detail| detail.path = Some("seat".to_owned())));
            }
            Some(seat) => Some(seat),
            None => request.hint.as_ref().filter(|_| self.seats),
        };
        if let Some(seat) = seat {
            self.agent = AgentName::at_seat(&self.agent.principal(), seat);
        }
        Ok(self)
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) identity: Box<Identity>,
    pub(super) project: ProjectName,
    pub(super) session: Option<Attached>,
    /// A `session.open` is in progress.
    pub(super) opening: bool,
    pub(super) in_flight: u64,
    /// Those that may be parked.
    pub(super) claiming: u64,
    pub(super) waiting: u64,
    pub(super) subscription: Option<Box<EventSubscription>>,
    pub(super) outbox: Outbox,
    /// The fingerprint of the peer's port configuration, if it differs from ours.
    pub(super) other_ports: Option<PortFingerprint>,
    /// Why the driver closes it, if it does.
    pub(super) lost: Option<LostReason>,
}

/// The session of a connection, and the number of this connection in the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attached {
    pub(super) session: SessionId,
    pub(super) connection: u64,
}

/// Frames that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) frames: VecDeque<Bytes>,
    pub(super) bytes: usize,
    /// The peer was told that the connection will close; requests that it sent before are still answered.
    pub(super) ending: bool,
    /// No more frames are queued once the connection is to be closed.
    pub(super) closed: bool,
}

/// Whether a connection stays open after its frames are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prospect {
    Open,
    /// It is closed when the peer sends nothing more.
    EndsWhenQuiet,
    EndsNow,
}

impl Connection {
    pub(super) fn actor(&self) -> Actor {
        Actor::Agent {
            name: self.identity.agent.clone(),
            session: self.session.map(|attached| attached.session),
            role: self.identity.role,
        }
    }
}

impl Core {
    /// The identity of a secret; `None` if it is unknown, revoked or expired.
    pub fn authenticate(&self, secret: &str) -> Option<Identity> {
        let token = self.system_engine().token_by_hash(&secret_hash(secret))?;
        Some(Identity {
            token: token.id.clone(),
            agent: AgentName::from(&token.agent),
            role: token.role,
            projects: token.projects.clone(),
            seats: token.seats,
        })
    }

    /// Whether the token of an identity is still valid.
    pub fn is_valid(&self, identity: &Identity) -> bool {
        let tokens = &self.system_engine().state().tokens;
        tokens.contains_key(&identity.token)
    }

    /// The project of an identity that names none: the default project, or its only one.
    pub fn project_of(
        &self,
        identity: &Identity,
        named: Option<&str>,
    ) -> Result<ProjectName, RpcError> {
        let project = match (named, &identity.projects) {
            (Some(name), _) => name
                .parse()
                .map_err(|error: crate::engine::ids::NameError| {
                    RpcError::new(ErrorKind::InvalidParams, format!("project: {error}"))
                })?,
            (None, ProjectScope::Only(only)) if only.len() == 1 => match only.first() {
                Some(project) => project.clone(),
                None => DEFAULT_PROJECT.parse().expect("the name is valid"),
            },
            (None, _) => DEFAULT_PROJECT.parse().expect("the name is valid"),
        };
        // One answer for "not allowed" and "does not exist", so that names cannot be probed.
        let exists = self.system_engine().state().projects.contains_key(&project);
        if exists && identity.projects.allows(&project) {
            return Ok(project);
        }
        Err(RpcError::new(
            ErrorKind::Forbidden,
            format!("the token does not allow project {project}"),
        ))
    }

    /// Adds a new connection.
    pub fn connect(
        &mut self,
        now: Moment,
        identity: Identity,
        project: ProjectName,
    ) -> Result<ConnectionId, RpcError> {
        if self.draining {
            let message = "the coordinator is stopping";
            return Err(self.unavailable(message));
        }
        self.ensure_project(&project, now);
        self.last_connection += 1;
        let id = ConnectionId(self.last_connection);
        if let Some(known) = self.projects.get_mut(&project) {
            let agent = identity.agent.clone();
            known.by_agent.entry(agent).or_default().insert(id);
        }
        let connection = Connection {
            identity: Box::new(identity),
            project,
            session: None,
            opening: false,
            in_flight: 0,
            claiming: 0,
            waiting: 0,
            subscription: None,
            outbox: Outbox::default(),
            other_ports: None,
            lost: None,
        };
        self.connections.insert(id, connection);
        self.metrics.connections.inc();
        self.metrics.connections_total.inc();
        Ok(id)
    }

    /// The connection ended. Its proposed commands are still applied; its parked requests are dropped.
    pub fn disconnect(&mut self, now: Moment, id: ConnectionId, reason: LostReason) {
        let Some(connection) = self.connections.remove(&id) else {
            return;
        };
        self.metrics.connections.dec();
        if connection.other_ports.is_some() {
            self.metrics.connections_port_mismatch.dec();
        }
        let mut freed = Vec::new();
        if let Some(project) = self.projects.get_mut(&connection.project) {
            project.subscribers.remove(id);
            if let Some(ids) = project.by_agent.get_mut(&connection.identity.agent) {
                ids.remove(&id);
                if ids.is_empty() {
                    project.by_agent.remove(&connection.identity.agent);
                }
            }
            let agent = &connection.identity.agent;
            freed = project.waiters.of_connection(agent, id);
        }
        for order in freed {
            self.unpark(&connection.project, order);
        }
        let reason = connection.lost.unwrap_or(reason);
        if let Some(attached) = connection.session {
            self.detach(now, &connection.project, id, attached, reason);
        }
        self.flush();
    }

    /// Reports that a session lost this connection, unless another connection serves it by now.
    pub(super) fn detach(
        &mut self,
        now: Moment,
        project: &ProjectName,
        id: ConnectionId,
        attached: Attached,
        reason: LostReason,
    ) {
        let Some(known) = self.projects.get_mut(project) else {
            return;
        };
        if known.by_session.get(&attached.session) == Some(&id) {
            known.by_session.remove(&attached.session);
            let lost = SessionLost {
                session: attached.session,
                connection: attached.connection,
                reason,
            };
            self.propose_own(now, project, Action::SessionLost(lost));
        }
    }

    /// Tells every connection that it will be closed. Requests that were sent before are still answered.
    pub fn end_all(&mut self, reason: &str) {
        let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for id in ids {
            self.end(id, reason);
        }
    }

    /// The most frames that the connection's writer should take at once.
    pub fn take_frames(&mut self, id: ConnectionId, frames_max: usize, into: &mut Vec<Bytes>) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let outbox = &mut connection.outbox;
        let count = outbox.frames.len().min(frames_max);
        for frame in outbox.frames.drain(..count) {
            outbox.bytes -= frame.len();
            into.push(frame);
        }
        if connection.subscription.as_ref().is_some_and(|s| s.lagging) {
            self.catch_up(id);
        }
    }

    /// Whether the connection stays open after the taken frames are written; `None` while more frames wait.
    pub fn prospect(&self, id: ConnectionId) -> Option<Prospect> {
        match self.connections.get(&id).map(|c| &c.outbox) {
            Some(outbox) if !outbox.frames.is_empty() => None,
            Some(outbox) if !outbox.closed && !outbox.ending => Some(Prospect::Open),
            Some(outbox) if !outbox.closed => Some(Prospect::EndsWhenQuiet),
            _ => Some(Prospect::EndsNow),
        }
    }

    /// Whether the connection is to be closed once its frames are written.
    pub fn is_closing(&self, id: ConnectionId) -> bool {
        let connection = self.connections.get(&id);
        connection.is_none_or(|connection| connection.outbox.closed)
    }

    /// Whether frames wait to be taken by the connection's writer.
    pub fn has_frames(&self, id: ConnectionId) -> bool {
        let connection = self.connections.get(&id);
        connection.is_some_and(|c| !c.outbox.frames.is_empty())
    }

    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }
}
