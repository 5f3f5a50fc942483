//! The synchronous heart of the driver. Inputs are method calls, effects are [`Output`]s and the
//! connections' outboxes; time comes in with every call.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::connection::{Attached, Connection, ConnectionId, Identity, Outbox, Prospect};
use super::limits::DriverLimits;
use super::parked::Parked;
use crate::engine::Engine;
use crate::engine::agents::SessionState;
use crate::engine::command::{
    Action, Actor, Command, LostReason, NodeStart, SessionLost, TokenCreate, TokenRevoke,
};
use crate::engine::ids::{
    AgentName, CommandId, JournalTime, NodeId, PortFingerprint, Position, ProjectName, RequestId,
    SessionId, TaskId,
};
use crate::engine::limits::Limits;
use crate::journal::{Entry, JournalStatus, Snapshot, Space};
use crate::metrics::Metrics;
use crate::protocol::error::{ErrorKind, RpcError};
use crate::protocol::operations::Operation;

/// The project that holds tokens and the list of projects. No connection is in it.
pub const SYSTEM_PROJECT: &str = "_system";
/// The project made at first start.
pub const DEFAULT_PROJECT: &str = "default";

/// A reading of the monotonic clock, in microseconds since an arbitrary moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(pub u64);

impl Moment {
    #[must_use]
    pub fn after_ms(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds.saturating_mul(1_000)))
    }

    pub fn since_us(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// What the driver is told about itself.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    pub node: NodeId,
    pub environment: String,
    pub port_fingerprint: PortFingerprint,
    /// `embedded` or `redis`.
    pub journal: &'static str,
    pub version: &'static str,
    pub message_bytes_max: u64,
    /// The largest command that the journal takes.
    pub record_bytes_max: usize,
    pub grace_ms: u64,
    pub engine: Limits,
    pub driver: DriverLimits,
}

/// What the shell is to do. Frames for connections wait in their outboxes.
#[derive(Debug)]
pub enum Output {
    /// Make these durable; answer with [`Core::appended`] or [`Core::append_refused`].
    Append(Vec<Entry>),
    /// The connection has frames to write.
    Wake(ConnectionId),
    /// Write what waits, then close.
    Close(ConnectionId),
    /// Save these, then let go of every record before `floor`; answer with [`Core::snapshots_saved`].
    Snapshots {
        snapshots: Vec<Snapshot>,
        floor: Position,
    },
    /// Write a backup under this name; answer with [`Core::backup_done`].
    Backup { request: u64, name: Option<String> },
}

/// The driver's state machine.
#[derive(Debug)]
pub struct Core {
    pub(super) config: CoreConfig,
    pub(super) entropy: Entropy,
    pub(super) metrics: Metrics,
    pub(super) projects: BTreeMap<ProjectName, Project>,
    pub(super) system: ProjectName,
    pub(super) connections: BTreeMap<ConnectionId, Connection>,
    pub(super) last_connection: u64,
    pub(super) last_command: u64,
    pub(super) last_parked: u64,
    pub(super) pending: BTreeMap<u64, Pending>,
    /// Commands that go out with the next append.
    pub(super) batch: VecDeque<Proposed>,
    /// Commands that are being made durable.
    pub(super) appending: Vec<Proposed>,
    /// Commands that are durable and not applied yet, with their positions.
    pub(super) synced: Vec<(Proposed, Position)>,
    /// The node's own commands that a full disk refused; proposed again at the next tick.
    pub(super) deferred: Vec<(ProjectName, Action)>,
    pub(super) deferred_until: Option<Moment>,
    /// On a full disk: whether it still is, asked ever more seldom.
    pub(super) probe: Probe,
    pub(super) backups: BTreeMap<u64, (ConnectionId, Box<RawValue>, Moment)>,
    pub(super) outputs: VecDeque<Output>,
    pub(super) status: JournalStatus,
    pub(super) snapshotting: bool,
    pub(super) draining: bool,
    pub(super) started: Moment,
    pub(super) waiting: u64,
    /// Claims and acquires on their way to the journal that may come to wait.
    pub(super) claiming: u64,
    /// Requests on their way that may come again under the same id, and how often each is.
    pub(super) repeatable: BTreeMap<(AgentName, RequestId), u64>,
    /// When waiting requests have waited long enough: moment, place in line, project.
    pub(super) expiries: BTreeSet<(Moment, u64, ProjectName)>,
}

/// How much is under way and queued; `most` is that of the connection that has most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    pub commands: u64,
    /// Claims and acquires that wait, or may come back to.
    pub waiting: u64,
    pub requests_in_flight_most: u64,
    pub requests_waiting_most: u64,
    pub frames_queued_most: u64,
    pub bytes_queued_most: u64,
}

/// A source of unguessable bytes, so that tests can bring their own.
pub struct Entropy(pub Box<dyn FnMut() -> [u8; 32] + Send>);

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy")
    }
}

/// When a full disk is asked again whether it has room. Each time up to a segment is written and
/// given back, so the pauses double.
#[derive(Debug, Default)]
pub(super) struct Probe {
    /// An empty append is on its way; nothing else is sent off beside it.
    pub(super) under_way: bool,
    /// `None`: the disk is not known to be full.
    pub(super) next: Option<Moment>,
    pub(super) pause_ms: u64,
}

/// One project and who is connected to it.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) engine: Engine,
    pub(super) clock: ReadingClock,
    pub(super) parked: BTreeMap<u64, Parked>,
    /// Tasks that claims on their way are expected to get.
    pub(super) reserved: BTreeSet<TaskId>,
    pub(super) by_agent: BTreeMap<AgentName, BTreeSet<ConnectionId>>,
    pub(super) by_session: BTreeMap<SessionId, ConnectionId>,
    pub(super) subscribers: BTreeSet<ConnectionId>,
    pub(super) ticking: bool,
    /// The last record that a saved snapshot covers.
    pub(super) snapshot_at: Position,
}

/// A command on its way to the journal.
#[derive(Debug)]
pub(super) struct Proposed {
    pub(super) sequence: u64,
    pub(super) project: ProjectName,
    pub(super) at_ms: JournalTime,
    pub(super) command: Command,
    pub(super) body: Vec<u8>,
}

/// What is to happen when a proposed command has been applied.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) request: Option<RequestOrigin>,
    pub(super) extra: Extra,
    /// A claim or acquire that waits on if it does not get anything.
    pub(super) parked: Option<(u64, Box<Parked>)>,
    pub(super) reserved: Option<TaskId>,
}

/// Where a request came from, to answer it.
#[derive(Debug)]
pub(super) struct RequestOrigin {
    pub(super) connection: ConnectionId,
    pub(super) id: Option<Box<RawValue>>,
    pub(super) operation: Operation,
    pub(super) started: Moment,
}

/// What an answer needs beside the outcome: secrets that never reach the journal.
#[derive(Debug)]
pub(super) enum Extra {
    None,
    Session(Secret),
    Token(Secret),
}

/// A secret in clear, on its way to the one who may have it.
pub(super) struct Secret(pub(super) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// The hash under which a secret is known.
pub fn secret_hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

impl Core {
    /// Takes up what the journal held: `engines` are the projects after all their records, with the
    /// position that each one's snapshot covers.
    pub fn new(
        config: CoreConfig,
        entropy: Entropy,
        metrics: Metrics,
        engines: BTreeMap<ProjectName, (Engine, Position)>,
        status: JournalStatus,
        now: Moment,
    ) -> Self {
        let system: ProjectName = SYSTEM_PROJECT.parse().expect("the name is valid");
        let mut core = Self {
            config,
            entropy,
            metrics,
            projects: BTreeMap::new(),
            system: system.clone(),
            connections: BTreeMap::new(),
            last_connection: 0,
            last_command: 0,
            last_parked: 0,
            pending: BTreeMap::new(),
            batch: VecDeque::new(),
            appending: Vec::new(),
            synced: Vec::new(),
            deferred: Vec::new(),
            deferred_until: None,
            probe: Probe::default(),
            backups: BTreeMap::new(),
            outputs: VecDeque::new(),
            status,
            snapshotting: false,
            draining: false,
            started: now,
            waiting: 0,
            claiming: 0,
            repeatable: BTreeMap::new(),
            expiries: BTreeSet::new(),
        };
        for (name, (engine, snapshot_at)) in engines {
            core.projects
                .insert(name, Project::new(engine, snapshot_at, now));
        }
        core.ensure_project(&system, now);
        core
    }

    /// Proposes what a start needs: sessions of earlier runs lost their connections, and an empty
    /// deployment gets its default project. `operator` is a token to make or to replace.
    pub fn start(&mut self, now: Moment, operator: Option<TokenCreate>) {
        let start = NodeStart {
            node: self.config.node.clone(),
            sole: self.config.journal == "embedded",
        };
        let stranded: Vec<ProjectName> = self
            .projects
            .iter()
            .filter(|(_, p)| {
                let mut sessions = p.engine.state().sessions.values();
                sessions.any(|s| s.state == SessionState::Live)
            })
            .map(|(name, _)| name.clone())
            .collect();
        for project in stranded {
            self.propose_own(now, &project, Action::NodeStart(start.clone()));
        }
        let system = self.system.clone();
        if self.system_engine().state().projects.is_empty() {
            let project = DEFAULT_PROJECT.parse().expect("the name is valid");
            let create = crate::engine::command::ProjectCreate { project };
            self.propose_own(now, &system, Action::ProjectCreate(create));
        }
        if let Some(token) = operator {
            if self
                .system_engine()
                .state()
                .tokens
                .contains_key(&token.token)
            {
                let revoke = TokenRevoke {
                    token: token.token.clone(),
                };
                self.propose_own(now, &system, Action::TokenRevoke(revoke));
            }
            self.propose_own(now, &system, Action::TokenCreate(Box::new(token)));
        }
        self.flush();
    }

    /// Whether commands wait to be sent off and nothing keeps them.
    pub fn wants_flush(&self) -> bool {
        self.appending.is_empty() && !self.probe.under_way && !self.batch.is_empty()
    }

    /// Whether nothing is on its way to the journal, and no backup is being written.
    pub fn is_settled(&self) -> bool {
        self.batch.is_empty()
            && self.appending.is_empty()
            && self.synced.is_empty()
            && self.backups.is_empty()
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Who a secret belongs to; `None` when it is unknown, revoked or has run out.
    pub fn authenticate(&self, secret: &str) -> Option<Identity> {
        let token = self.system_engine().token_by_hash(&secret_hash(secret))?;
        Some(Identity {
            token: token.id.clone(),
            agent: token.agent.clone(),
            role: token.role,
            projects: token.projects.clone(),
        })
    }

    /// The project that an identity means when it names none: the default one, or its only one.
    pub fn project_of(
        &self,
        identity: &Identity,
        named: Option<&str>,
    ) -> Result<ProjectName, RpcError> {
        use crate::engine::command::ProjectScope;
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
            format!("the token does not open a project {project}"),
        ))
    }

    /// Takes a new connection in.
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

    /// The connection is gone. What it had proposed still counts; what it waited for does not.
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
            project.subscribers.remove(&id);
            if let Some(ids) = project.by_agent.get_mut(&connection.identity.agent) {
                ids.remove(&id);
                if ids.is_empty() {
                    project.by_agent.remove(&connection.identity.agent);
                }
            }
            freed = project.parked_of(id);
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

    /// Reports that a session lost this connection, unless another one serves it by now.
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

    /// Stops taking new work. What is under way is answered; what waits is told to come back.
    pub fn drain(&mut self, now: Moment) {
        self.draining = true;
        let projects: Vec<ProjectName> = self.projects.keys().cloned().collect();
        for project in projects {
            self.answer_all_parked(now, &project);
        }
    }

    /// Tells every connection that it ends. What its peer had sent before it could know is answered.
    pub fn end_all(&mut self, reason: &str) {
        let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for id in ids {
            self.end(id, reason);
        }
    }

    /// The most frames at once that the connection's writer should take.
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

    /// Whether the connection is to go on once its frames are written.
    pub fn prospect(&self, id: ConnectionId) -> Prospect {
        match self.connections.get(&id).map(|c| &c.outbox) {
            Some(outbox) if !outbox.closed && !outbox.ending => Prospect::Open,
            Some(outbox) if !outbox.closed => Prospect::EndsWhenQuiet,
            _ => Prospect::EndsNow,
        }
    }

    /// Whether the connection is to be closed once its frames are written.
    pub fn is_closing(&self, id: ConnectionId) -> bool {
        self.prospect(id) == Prospect::EndsNow
    }

    /// Whether frames wait to be taken by the connection's writer.
    pub fn has_frames(&self, id: ConnectionId) -> bool {
        let connection = self.connections.get(&id);
        connection.is_some_and(|c| !c.outbox.frames.is_empty())
    }

    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// How much is under way and queued; for tests of the limits.
    pub fn load(&self) -> Load {
        let connections = self.connections.values();
        let most = |of: fn(&Connection) -> u64| connections.clone().map(of).max().unwrap_or(0);
        Load {
            commands: self.pending.len() as u64,
            waiting: self.waiting + self.claiming,
            requests_in_flight_most: most(|c| c.in_flight - c.claiming),
            requests_waiting_most: most(|c| c.waiting + c.claiming),
            frames_queued_most: most(|c| c.outbox.frames.len() as u64),
            bytes_queued_most: most(|c| c.outbox.bytes as u64),
        }
    }

    pub fn uptime_ms(&self, now: Moment) -> u64 {
        now.since_us(self.started) / 1_000
    }

    pub fn journal_status(&self) -> JournalStatus {
        self.status
    }

    pub fn storage_full(&self) -> bool {
        self.status.space == Space::Reserve
    }

    pub fn engines(&self) -> impl Iterator<Item = (&ProjectName, &Engine)> {
        self.projects.iter().map(|(name, p)| (name, &p.engine))
    }

    pub fn config(&self) -> &CoreConfig {
        &self.config
    }

    pub(super) fn system_engine(&self) -> &Engine {
        let project = self.projects.get(&self.system);
        &project
            .expect("the system project is made with the core")
            .engine
    }

    pub(super) fn ensure_project(&mut self, name: &ProjectName, now: Moment) {
        if !self.projects.contains_key(name) {
            let engine = Engine::new(self.config.engine.clone());
            let project = Project::new(engine, Position::default(), now);
            self.projects.insert(name.clone(), project);
        }
    }

    pub(super) fn unavailable(&self, message: &str) -> RpcError {
        RpcError::retry(
            ErrorKind::Unavailable,
            message,
            self.config.driver.retry_after_ms,
        )
    }

    /// A command of the node itself.
    pub(super) fn propose_own(&mut self, now: Moment, project: &ProjectName, action: Action) {
        let by = Actor::Node(self.config.node.clone());
        let pending = Pending {
            request: None,
            extra: Extra::None,
            parked: None,
            reserved: None,
        };
        self.propose(now, project, by, None, action, pending);
    }

    /// Puts a command into the next batch. The caller flushes.
    pub(super) fn propose(
        &mut self,
        now: Moment,
        project: &ProjectName,
        by: Actor,
        request_id: Option<RequestId>,
        action: Action,
        pending: Pending,
    ) {
        self.ensure_project(project, now);
        self.last_command += 1;
        let sequence = self.last_command;
        let id: CommandId = format!("{}-{sequence}", self.config.node)
            .parse()
            .expect("a node id and a number fit a command id");
        let command = Command {
            id,
            by,
            request_id,
            action,
        };
        let body = serde_json::to_vec(&command).expect("commands always encode as JSON");
        let max = self.config.record_bytes_max;
        if body.len() > max
            && let Some(origin) = &pending.request
        {
            if let (Some(task), Some(known)) = (pending.reserved, self.projects.get_mut(project)) {
                // Nobody stands behind this claim yet: commands are only proposed and refused
                // here within one call.
                known.reserved.remove(&task);
            }
            return self.send_error(
                now,
                origin,
                &RpcError::limit("record_bytes_max", max as u64),
            );
        }
        let at_ms = match self.projects.get_mut(project) {
            Some(project) => project.reading(now),
            None => JournalTime::default(),
        };
        if let Some(request) = &pending.request {
            let claims = u64::from(pending.parked.is_some());
            self.claiming += claims;
            if let (Some(agent), Some(id)) = (command.by.agent(), &command.request_id) {
                let key = (agent.clone(), id.clone());
                *self.repeatable.entry(key).or_default() += 1;
            }
            if let Some(connection) = self.connections.get_mut(&request.connection) {
                let opens = matches!(
                    command.action,
                    Action::SessionOpen(_) | Action::SessionResume(_)
                );
                connection.opening |= opens;
                connection.in_flight += 1;
                connection.claiming += claims;
            }
        }
        self.pending.insert(sequence, pending);
        self.batch.push_back(Proposed {
            sequence,
            project: project.clone(),
            at_ms,
            command,
            body,
        });
        self.metrics.in_flight.inc();
    }

    /// Sends the next batch off, unless one is on its way: its completion sends the next, so that
    /// under load one sync serves many, and a lone command never waits.
    pub fn flush(&mut self) {
        if !self.wants_flush() {
            return;
        }
        let limits = &self.config.driver;
        let (mut count, mut bytes) = (0, 0);
        for proposed in &self.batch {
            bytes += proposed.body.len() as u64;
            if count > 0 && (count >= limits.batch_commands_max || bytes > limits.batch_bytes_max) {
                break;
            }
            count += 1;
        }
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.appending = self.batch.drain(..count.min(self.batch.len())).collect();
        let entries = self
            .appending
            .iter_mut()
            .map(|proposed| Entry {
                project: proposed.project.clone(),
                at_ms: proposed.at_ms,
                body: std::mem::take(&mut proposed.body),
            })
            .collect();
        self.outputs.push_back(Output::Append(entries));
        #[cfg(feature = "planted-bugs")]
        self.planted_reply_before_sync();
    }
}

impl Project {
    fn new(engine: Engine, snapshot_at: Position, now: Moment) -> Self {
        Self {
            clock: ReadingClock {
                at: now,
                time: engine.now(),
            },
            engine,
            parked: BTreeMap::new(),
            reserved: BTreeSet::new(),
            by_agent: BTreeMap::new(),
            by_session: BTreeMap::new(),
            subscribers: BTreeSet::new(),
            ticking: false,
            snapshot_at,
        }
    }

    /// This node's reading of the journal clock, at most one step ahead of the last record. What
    /// lies beyond (the process stood still) is dropped here, once: were every command of a batch
    /// to carry it, each would move the engine by a step.
    pub(super) fn reading(&mut self, now: Moment) -> JournalTime {
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is_on(crate::planted::Bug::DeadlineOnWallClock) {
            return JournalTime(crate::planted::wall_ms());
        }
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is_on(crate::planted::Bug::JumpsCount) {
            return self.clock.time_at(now);
        }
        let engine = &self.engine;
        let farthest = engine.now().after_ms(engine.limits().clock_step_ms_max);
        if self.clock.time_at(now) > farthest {
            self.clock = ReadingClock {
                at: now,
                time: farthest,
            };
        }
        self.clock.time_at(now)
    }

    /// A record was applied. Time goes on from the reading its proposer took, not from now: else
    /// the time that a sync takes would never count, and a busy journal would stand still.
    pub(super) fn applied(&mut self, now: Moment) {
        #[cfg(feature = "planted-bugs")]
        let ahead = crate::planted::is_on(crate::planted::Bug::ClockStandsStill);
        #[cfg(not(feature = "planted-bugs"))]
        let ahead = false;
        if ahead || self.engine.now() > self.clock.time_at(now) {
            self.clock = ReadingClock {
                at: now,
                time: self.engine.now(),
            };
        }
    }
}

/// Ties journal time to the monotonic clock: it was `time` at the moment `at`, and goes on from there.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadingClock {
    at: Moment,
    time: JournalTime,
}

impl ReadingClock {
    fn time_at(self, now: Moment) -> JournalTime {
        self.time.after_ms(now.since_us(self.at) / 1_000)
    }

    /// When it will read `time`.
    pub(super) fn moment_of(self, time: JournalTime) -> Moment {
        self.at.after_ms(time.since_ms(self.time))
    }
}
