//! The synchronous core of the driver. Inputs are method calls; outputs are [`CoreOutput`]s and the
//! connections' outboxes; every call brings the time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::value::RawValue;

use super::connection::{Connection, ConnectionId};
use super::limits::DriverLimits;
use super::line::{Line, Sharing};
use super::project::Project;
use super::propose::{Pending, Proposed};
use super::secret::Entropy;
use super::subscribers::Subscribers;
use crate::engine::Engine;
use crate::engine::agents::SessionState;
use crate::engine::command::{Action, NodeStart, TokenCreate, TokenRevoke};
use crate::engine::ids::{
    AgentName, Cursor, NodeId, PortFingerprint, Position, ProjectName, RequestId,
};
use crate::engine::limits::Limits;
use crate::journal::shared::{Batch, StreamSnapshot};
use crate::journal::{Entry, JournalStatus, Snapshot, Space};
use crate::metrics::Metrics;
use crate::protocol::admin::MqttStatus;
use crate::protocol::error::{ErrorKind, RpcError};

/// The project that holds tokens and the list of projects. No connection is in it.
pub const SYSTEM_PROJECT: &str = "_system";
/// The project that the first start creates.
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

/// The configuration of the driver.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    pub node: NodeId,
    pub environment: String,
    pub port_fingerprint: PortFingerprint,
    /// `embedded` or `redis`.
    pub journal: &'static str,
    pub version: &'static str,
    pub message_bytes_max: u64,
    /// The largest command that the journal accepts.
    pub record_bytes_max: usize,
    pub grace_ms: u64,
    pub engine: Limits,
    pub driver: DriverLimits,
    /// Set if the journal is shared with other coordinators.
    pub sharing: Option<Sharing>,
}

/// What the shell must do. Frames for connections wait in their outboxes.
#[derive(Debug)]
pub enum CoreOutput {
    /// Make these durable; answer with [`Core::appended`] or [`Core::append_refused`].
    Append(Vec<Entry>),
    /// Append this to the project's stream; answer with [`Core::stream_appended`], and
    /// [`Core::apply_arrivals`] behind it, or with [`Core::append_failed`].
    StreamAppend { project: ProjectName, batch: Batch },
    /// Save this and trim the project's stream; answer with [`Core::stream_snapshot_saved`]
    /// or [`Core::stream_snapshot_failed`].
    StreamSnapshot {
        project: ProjectName,
        snapshot: StreamSnapshot,
        keep_from: Cursor,
    },
    /// Establish the project's line and follow it.
    Follow(ProjectName),
    /// The connection has frames to write.
    Wake(ConnectionId),
    /// Write the waiting frames, then close.
    Close(ConnectionId),
    /// Save these, then delete every record before `floor`; answer with [`Core::snapshots_saved`].
    Snapshots {
        snapshots: Vec<Snapshot>,
        floor: Position,
    },
    /// Write a backup under this name; answer with [`Core::backup_done`].
    Backup {
        request: u64,
        name: Option<String>,
        /// Of a shared journal: what to write.
        snapshots: Option<Vec<Snapshot>>,
    },
}

/// The driver's state machine.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
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
    /// Commands for the next append.
    pub(super) batch: VecDeque<Proposed>,
    /// Commands that are being made durable.
    pub(super) appending: Vec<Proposed>,
    /// Durable commands that are not applied yet, with their positions.
    pub(super) synced: Vec<(Proposed, Position)>,
    /// The node's own commands that a full disk refused; they are proposed again at the next tick.
    pub(super) deferred: Vec<(ProjectName, Action)>,
    pub(super) deferred_until: Option<Moment>,
    /// Probes a full disk, at growing intervals.
    pub(super) probe: SpaceProbe,
    pub(super) backups: BTreeMap<u64, (ConnectionId, Box<RawValue>, Moment)>,
    pub(super) outputs: VecDeque<CoreOutput>,
    pub(super) status: JournalStatus,
    pub(super) snapshotting: bool,
    pub(super) draining: bool,
    /// A reader inside the coordinator is woken at each event.
    pub(super) read: bool,
    /// This coordinator can publish events for all that share its journal.
    pub(super) publishes: bool,
    pub(super) mqtt: Option<MqttStatus>,
    /// The coordinator has been ready once.
    pub(super) serving: bool,
    pub(super) started: Moment,
    pub(super) waiting: u64,
    /// Claims and acquires in progress that may be parked.
    pub(super) claiming: u64,
    /// Requests in progress with a request id, and how often each is in progress.
    pub(super) repeatable: BTreeMap<(AgentName, RequestId), u64>,
    /// When the time of parked requests is over: moment, place in line, project.
    pub(super) expiries: BTreeSet<(Moment, u64, ProjectName)>,
}

/// How much is in progress and queued; `most` is the largest value of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    pub commands: u64,
    /// Claims and acquires that are parked, or may be parked again.
    pub waiting: u64,
    pub requests_in_flight_most: u64,
    pub requests_waiting_most: u64,
    pub frames_queued_most: u64,
    pub bytes_queued_most: u64,
}

/// When a full disk is probed again. Each probe writes and frees up to a segment, so the pauses double.
#[derive(Debug, Default)]
pub(super) struct SpaceProbe {
    /// An empty append is in progress; no other append is sent meanwhile.
    pub(super) under_way: bool,
    /// `None`: the disk is not known to be full.
    pub(super) next: Option<Moment>,
    pub(super) pause_ms: u64,
}

impl Core {
    /// Starts from the recovered state: `engines` are the projects after all their records, with the position
    /// that the snapshot of each covers.
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
            probe: SpaceProbe::default(),
            backups: BTreeMap::new(),
            outputs: VecDeque::new(),
            status,
            snapshotting: false,
            draining: false,
            read: false,
            publishes: false,
            mqtt: None,
            serving: false,
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

    /// Proposes the commands of a start: sessions of earlier runs lost their connections, and an empty
    /// deployment gets its default project. `operator` is a token to create or replace.
    pub fn start(&mut self, now: Moment, operator: Option<TokenCreate>) {
        let start = NodeStart {
            node: self.config.node.clone(),
            sole: self.config.sharing.is_none(),
        };
        let stranded: Vec<ProjectName> = self
            .projects
            .iter()
            .filter(|(_, p)| p.line.is_none())
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
            self.replace_token(now, token);
        }
        self.flush();
    }

    /// Proposes a token that replaces an earlier one with the same id.
    pub fn replace_token(&mut self, now: Moment, token: TokenCreate) {
        let system = self.system.clone();
        let tokens = &self.system_engine().state().tokens;
        if tokens.contains_key(&token.token) {
            let revoke = TokenRevoke {
                token: token.token.clone(),
            };
            self.propose_own(now, &system, Action::TokenRevoke(revoke));
        }
        self.propose_own(now, &system, Action::TokenCreate(Box::new(token)));
    }

    /// Whether no command is in progress and no backup is being written.
    pub fn is_settled(&self) -> bool {
        self.batch.is_empty()
            && self.appending.is_empty()
            && self.synced.is_empty()
            && self.backups.is_empty()
            && self
                .projects
                .values()
                .all(|p| p.line.as_ref().is_none_or(Line::is_settled))
    }

    pub fn poll_output(&mut self) -> Option<CoreOutput> {
        self.outputs.pop_front()
    }

    /// Stops accepting new work. Requests in progress are answered; parked requests are told to retry later.
    pub fn drain(&mut self, now: Moment) {
        self.draining = true;
        let projects: Vec<ProjectName> = self.projects.keys().cloned().collect();
        for project in projects {
            self.answer_all_parked(now, &project);
        }
    }

    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// How much is in progress and queued; for tests of the limits.
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
        let full = |line: &Line| line.is_full();
        self.status.space == Space::Reserve
            || self
                .projects
                .values()
                .any(|p| p.line.as_ref().is_some_and(full))
    }

    pub fn engines(&self) -> impl Iterator<Item = (&ProjectName, &Engine)> {
        self.projects.iter().map(|(name, p)| (name, &p.engine))
    }

    /// Whether the indexes of what waits and of what is subscribed match both; tests check it after every step.
    pub fn is_consistent(&self) -> bool {
        let mut subscribers: BTreeMap<&ProjectName, Subscribers> = BTreeMap::new();
        for (id, connection) in &self.connections {
            if let Some(subscription) = &connection.subscription {
                let filed = subscribers.entry(&connection.project).or_default();
                filed.set(*id, subscription.filters().cloned().collect());
            }
        }
        self.projects.iter().all(|(name, project)| {
            let subscribers = subscribers.remove(name).unwrap_or_default();
            project.waiters.is_consistent(&project.engine) && subscribers == project.subscribers
        })
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
            let mut project = Project::new(engine, Position::default(), now);
            if self.config.sharing.is_some() {
                project.line = Some(Line::new(now, self.serving));
                self.outputs.push_back(CoreOutput::Follow(name.clone()));
            }
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

    /// A random number.
    pub fn dice(&mut self) -> u64 {
        let bytes = (self.entropy.0)();
        let mut number = [0; 8];
        number.copy_from_slice(&bytes[..8]);
        u64::from_le_bytes(number)
    }
}
