//! What the driver knows of one connection.

use std::collections::VecDeque;

use bytes::Bytes;

use super::subscriptions::Subscription;
use crate::engine::command::{Actor, LostReason, ProjectScope, Role};
use crate::engine::ids::{AgentName, PortFingerprint, ProjectName, SessionId, TokenId};

/// Names one connection; never used twice in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// Who a token says that a connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub token: TokenId,
    pub agent: AgentName,
    pub role: Role,
    pub projects: ProjectScope,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) identity: Box<Identity>,
    pub(super) project: ProjectName,
    pub(super) session: Option<Attached>,
    /// A `session.open` is on its way.
    pub(super) opening: bool,
    pub(super) in_flight: u64,
    /// Those of them that may come to wait.
    pub(super) claiming: u64,
    pub(super) waiting: u64,
    pub(super) subscription: Option<Box<Subscription>>,
    pub(super) outbox: Outbox,
    /// The fingerprint of the peer's port configuration, if it is not ours.
    pub(super) other_ports: Option<PortFingerprint>,
    /// Why the driver ends it, if it does.
    pub(super) lost: Option<LostReason>,
}

/// The session that a connection serves, and which of the session's connections it is.
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
    /// The peer was told that the end is near; what it had sent by then is still answered.
    pub(super) ending: bool,
    /// Nothing more is queued once the connection is to be closed.
    pub(super) closed: bool,
}

/// Whether a connection is to go on once its frames are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prospect {
    Open,
    /// It ends when nothing more comes from the peer.
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
