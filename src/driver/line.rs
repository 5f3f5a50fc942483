//! One project's line of a shared journal, as the core sees it: what it proposes, what arrives, and
//! whether the store is within reach.
//!
//! Records come from two sides, in any order: the answers to what this node appended, and the stream
//! itself. Positions are dense, so the next one to apply is known, and whatever is ahead of it waits.
//! A record of this node that the stream shows before its append was answered waits too: the
//! answer may still say that it is less durable than was asked for.
//!
//! ```text
//!  Down ──line_up──► Up ──line_down──► Down      while Down, a batch waits for `unavailable_after_ms`,
//!   └── rebuild, delivered … ──► line_up         then it is answered, and so is what comes later
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::core::{Core, Moment, Output};
use super::propose::Proposed;
use super::queries::cursor_of;
use super::recover::RecoverError;
use crate::engine::Engine;
use crate::engine::Signals;
use crate::engine::agents::SessionState;
use crate::engine::command::{Action, Actor, Command, EpochStart, SessionLost};
use crate::engine::command::{LostReason, NodeAlive};
use crate::engine::ids::{CommandId, Cursor, Epoch, NodeId, Position, ProjectName};
use crate::engine::nodes::COMMAND_FORMAT;
use crate::engine::state::State;
use crate::journal::Entry;
use crate::journal::shared::{StreamRecord, StreamSnapshot};
#[cfg(feature = "planted-bugs")]
use crate::planted::{Bug, is_on as planted};
use crate::protocol::error::{ErrorKind, RpcError};

/// What tells this coordinator's part in a shared journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharing {
    /// How long this node counts as alive without a sign of life.
    pub node_ttl_ms: u64,
    /// The highest format of commands that it announces.
    pub command_format: u32,
    /// How long requests wait for a store that is out of reach before they are answered.
    pub unavailable_after_ms: u64,
    /// After how long without an answer of the store reads are marked as stale.
    pub stale_after_ms: u64,
    /// How long a full store is left alone before it is asked again.
    pub full_pause_ms: u64,
    /// By how much later than the node before it a node lets a deadline fall due, so that one record does.
    pub tick_rank_ms: u64,
    /// Bytes of records that may gather in a project's stream before a snapshot lets them go.
    pub live_bytes_max: u64,
    /// Records that a snapshot leaves in the stream, for nodes that lag a little.
    pub records_kept: u64,
}

impl Default for Sharing {
    fn default() -> Self {
        Self {
            node_ttl_ms: 10_000,
            command_format: COMMAND_FORMAT,
            unavailable_after_ms: 1_000,
            stale_after_ms: 3_000,
            full_pause_ms: 1_000,
            tick_rank_ms: 100,
            live_bytes_max: 16 << 20,
            records_kept: 1_000,
        }
    }
}

/// One project's line.
#[derive(Debug)]
pub(super) struct Line {
    reach: Reach,
    /// Commands that go out with the next append.
    pub(super) batch: VecDeque<Proposed>,
    /// Commands that are being appended.
    pub(super) appending: Vec<Proposed>,
    /// What is not applied yet, by position.
    arrivals: BTreeMap<Position, Arrival>,
    /// The state that takes the place of the present one once it is complete.
    rebuilding: Option<Box<Engine>>,
    /// Bytes of records that came since the last snapshot.
    live_bytes: u64,
    snapshotting: bool,
    full_until: Option<Moment>,
    /// A sign of life is on its way.
    beating: bool,
    /// Epochs that were met since the start.
    epochs: u64,
}

#[derive(Debug, Clone, Copy)]
enum Reach {
    Down {
        since: Moment,
    },
    /// The store answered last at this moment.
    Up {
        answered: Moment,
    },
}

#[derive(Debug)]
enum Arrival {
    Own(Box<Proposed>),
    Read(StreamRecord),
}

/// Why an append came to nothing, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendFailure {
    /// Nothing was written, and the same may be tried again.
    NotWritten,
    /// The store has no room. Nothing was written.
    Full,
    /// It may have been written.
    Unknown,
}

/// Why records that were read cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Records between were trimmed: the snapshot has them.
    #[error("record {found} of project {project} came after {known}: those between are gone")]
    Hole {
        project: ProjectName,
        known: Position,
        found: Position,
    },
    /// Of no use to this program: another one wrote it.
    #[error(transparent)]
    Unreadable(#[from] RecoverError),
}

impl Line {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            reach: Reach::Down { since: now },
            batch: VecDeque::new(),
            appending: Vec::new(),
            arrivals: BTreeMap::new(),
            rebuilding: None,
            live_bytes: 0,
            snapshotting: false,
            full_until: None,
            beating: false,
            epochs: 0,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.reach, Reach::Up { .. })
    }

    pub(super) fn is_full(&self) -> bool {
        self.full_until.is_some()
    }

    pub(super) fn wants_flush(&self) -> bool {
        self.is_up() && self.appending.is_empty() && !self.batch.is_empty()
    }

    pub(super) fn is_settled(&self) -> bool {
        self.batch.is_empty() && self.appending.is_empty() && self.arrivals.is_empty()
    }

    /// When requests are no longer kept waiting for the store.
    fn gives_up_at(&self, sharing: &Sharing) -> Option<Moment> {
        match self.reach {
            Reach::Down { since } => Some(since.after_ms(sharing.unavailable_after_ms)),
            Reach::Up { .. } => None,
        }
    }

    /// For how long nothing was heard from the store, if that is too long.
    pub(super) fn stale_ms(&self, now: Moment, sharing: &Sharing) -> Option<u64> {
        let (since, least) = match self.reach {
            Reach::Down { since } => (since, 0),
            Reach::Up { answered } => (answered, sharing.stale_after_ms),
        };
        let silent_ms = now.since_us(since) / 1_000;
        (silent_ms >= least).then_some(silent_ms)
    }
}

/// What the shell and health want to know of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineStatus {
    pub up: bool,
    pub full: bool,
    /// Milliseconds without a word from the store; `None` while all is well.
    pub stale_ms: Option<u64>,
    /// Records that arrived and wait for those before them.
    pub waiting: u64,
    pub live_bytes: u64,
    /// Epochs met since the start.
    pub epochs: u64,
}

impl Core {
    pub(super) fn line(&self, project: &ProjectName) -> Option<&Line> {
        self.projects.get(project)?.line.as_ref()
    }

    pub(super) fn line_mut(&mut self, project: &ProjectName) -> Option<&mut Line> {
        self.projects.get_mut(project)?.line.as_mut()
    }

    /// The lines of a shared journal, by project.
    pub fn lines(&self, now: Moment) -> impl Iterator<Item = (&ProjectName, LineStatus)> {
        let sharing = self.config.sharing.as_ref();
        self.projects.iter().filter_map(move |(name, project)| {
            let line = project.line.as_ref()?;
            let status = LineStatus {
                up: line.is_up(),
                full: line.is_full(),
                stale_ms: line.stale_ms(now, sharing?),
                waiting: line.arrivals.len() as u64,
                live_bytes: line.live_bytes,
                epochs: line.epochs,
            };
            Some((name, status))
        })
    }

    /// The newest record that was applied; `None` when the project holds nothing yet.
    pub fn known(&self, project: &ProjectName) -> Option<Cursor> {
        let engine = &self.projects.get(project)?.engine;
        Some(cursor_of(engine)).filter(|cursor| cursor.position > Position(0))
    }

    /// The whole project as of `known`, to fill an empty store with.
    pub fn stream_snapshot(&self, project: &ProjectName) -> Option<StreamSnapshot> {
        let at = self.known(project)?;
        let engine = &self.projects.get(project)?.engine;
        Some(snapshot_of(engine, at))
    }

    /// The record that opens an epoch.
    pub fn epoch_marker(&mut self, now: Moment, project: &ProjectName, epoch: Epoch) -> Entry {
        self.ensure_project(project, now);
        self.last_command += 1;
        let command = Command {
            id: command_id(&self.config.node, self.last_command),
            by: Actor::Node(self.config.node.clone()),
            request_id: None,
            action: Action::EpochStart(EpochStart { epoch }),
        };
        let known = self.projects.get_mut(project);
        Entry {
            project: project.clone(),
            at_ms: known.map(|p| p.engine.now()).unwrap_or_default(),
            body: serde_json::to_vec(&command).expect("commands always encode as JSON"),
        }
    }

    /// The records that are read from now on follow on a snapshot, or on nothing, and not on the
    /// present state, which stands until they are complete.
    pub fn rebuild(
        &mut self,
        project: &ProjectName,
        snapshot: Option<&StreamSnapshot>,
    ) -> Result<(), LineError> {
        let limits = self.config.engine.clone();
        let engine = match snapshot {
            None => Engine::new(limits),
            Some(snapshot) => {
                let state: State = serde_json::from_slice(&snapshot.state).map_err(|source| {
                    RecoverError::Snapshot {
                        project: project.clone(),
                        position: snapshot.at.position,
                        source,
                    }
                })?;
                Engine::from_state(limits, state)
            }
        };
        if let Some(line) = self.line_mut(project) {
            line.arrivals.clear();
            line.rebuilding = Some(Box::new(engine));
            line.live_bytes = 0;
        }
        Ok(())
    }

    /// The newest record that is applied, or will be once the state is rebuilt.
    pub fn read_up_to(&self, project: &ProjectName) -> Cursor {
        let known = self.projects.get(project);
        let rebuilding = known.and_then(|p| p.line.as_ref()?.rebuilding.as_deref());
        let engine = rebuilding.or(known.map(|p| &p.engine));
        engine.map(cursor_of).unwrap_or_default()
    }

    /// Records of the stream, in its order. They may overlap with what is applied.
    pub fn delivered(
        &mut self,
        now: Moment,
        project: &ProjectName,
        records: Vec<StreamRecord>,
    ) -> Result<(), LineError> {
        self.answered(now, project);
        let Some(known) = self.projects.get_mut(project) else {
            return Ok(());
        };
        let Some(line) = known.line.as_mut() else {
            return Ok(());
        };
        if line.rebuilding.is_some() {
            return self.rebuild_on(project, &records);
        }
        let mut reached = known.engine.state().position;
        for record in records {
            let at = record.at.position;
            while line.arrivals.contains_key(&Position(reached.0 + 1)) {
                reached.0 += 1;
            }
            if at <= reached {
                continue;
            }
            // Within one answer there is no hole; before its first, only a trimmed stream has one, and
            // what this node appended behind it does not fill it.
            #[cfg(feature = "planted-bugs")]
            if planted(Bug::HoleSkipped) {
                reached.0 = at.0 - 1;
            }
            if at.0 > reached.0 + 1 {
                return Err(hole(project, reached, at));
            }
            reached = at;
            line.live_bytes += record.body.len() as u64;
            line.arrivals.entry(at).or_insert(Arrival::Read(record));
        }
        self.drain_arrivals(now, project)
    }

    /// The store answered, whatever it said.
    pub fn answered(&mut self, now: Moment, project: &ProjectName) {
        if let Some(line) = self.line_mut(project)
            && let Reach::Up { answered } = &mut line.reach
        {
            *answered = now;
        }
    }

    fn rebuild_on(
        &mut self,
        project: &ProjectName,
        records: &[StreamRecord],
    ) -> Result<(), LineError> {
        let Some(line) = self.line_mut(project) else {
            return Ok(());
        };
        let Some(engine) = line.rebuilding.as_mut() else {
            return Ok(());
        };
        for record in records {
            let reached = engine.state().position;
            let at = record.at.position;
            if at <= reached {
                continue;
            }
            if at.0 > reached.0 + 1 {
                return Err(hole(project, reached, at));
            }
            let command = read_command(project, record)?;
            engine.apply(at, record.at_ms, &command);
            line.live_bytes += record.body.len() as u64;
        }
        Ok(())
    }

    /// The line is established and read up to where it ended then.
    pub fn line_up(&mut self, now: Moment, project: &ProjectName) {
        self.take_rebuilt(now, project);
        let Some(known) = self.projects.get_mut(project) else {
            return;
        };
        // The time without the store does not count: nobody could renew or complete anything.
        #[cfg(feature = "planted-bugs")]
        let stands = !planted(Bug::OutageCounts);
        #[cfg(not(feature = "planted-bugs"))]
        let stands = true;
        if stands {
            known.stand_at(now);
        }
        let reading = known.engine.now();
        if let Some(line) = known.line.as_mut() {
            // Nor does it for what was proposed meanwhile, or before, and goes off only now.
            for proposed in line.batch.iter_mut().filter(|_| stands) {
                proposed.at_ms = reading;
            }
            line.reach = Reach::Up { answered: now };
            line.epochs += 1;
        }
        if *project == self.system {
            self.follow_all_projects(now);
        }
        self.reconcile_sessions(now, project);
        self.wake_parked(now, project, true, true);
        self.tick(now);
    }

    fn follow_all_projects(&mut self, now: Moment) {
        let projects = self.system_engine().state().projects.keys();
        let projects: Vec<ProjectName> = projects.cloned().collect();
        for project in projects {
            self.ensure_project(&project, now);
        }
    }

    /// The store is out of reach. What is on its way is answered by [`Core::append_failed`].
    pub fn line_down(&mut self, now: Moment, project: &ProjectName) {
        let Some(line) = self.line_mut(project) else {
            return;
        };
        if line.is_up() {
            line.reach = Reach::Down { since: now };
        }
        line.rebuilding = None;
        // Those that wait for records before them: the stream shows again what it has of them.
        let waiting = std::mem::take(&mut line.arrivals);
        for arrival in waiting.into_values() {
            if let Arrival::Own(proposed) = arrival {
                self.fail_proposed(now, *proposed, &self.outcome_unknown());
            }
        }
        self.flush();
    }

    /// The entries of the last append stand one behind the other, from `first` on.
    pub fn stream_appended(
        &mut self,
        now: Moment,
        project: &ProjectName,
        first: Position,
    ) -> Result<(), LineError> {
        self.answered(now, project);
        let Some(line) = self.line_mut(project) else {
            return Ok(());
        };
        line.full_until = None;
        let appended = std::mem::take(&mut line.appending);
        for (place, proposed) in (first.0..).zip(appended) {
            let own = Arrival::Own(Box::new(proposed));
            line.arrivals.insert(Position(place), own);
        }
        // The next batch goes off before the results of this one are applied.
        self.flush();
        self.drain_arrivals(now, project)
    }

    /// The last append came to nothing, or it is not known what it came to.
    pub fn append_failed(&mut self, now: Moment, project: &ProjectName, how: AppendFailure) {
        let full_pause_ms = self.config.sharing.as_ref().map_or(0, |s| s.full_pause_ms);
        let unknown = self.outcome_unknown();
        let Some(line) = self.line_mut(project) else {
            return;
        };
        let appending = std::mem::take(&mut line.appending);
        #[cfg(feature = "planted-bugs")]
        let how = match how {
            AppendFailure::Unknown if planted(Bug::UnknownTriedAgain) => AppendFailure::NotWritten,
            how => how,
        };
        match how {
            AppendFailure::NotWritten => {
                // They go first when the line is up again, or are answered when that takes too long.
                for proposed in appending.into_iter().rev() {
                    line.batch.push_front(proposed);
                }
            }
            AppendFailure::Full => {
                line.full_until = Some(now.after_ms(full_pause_ms));
                for proposed in appending {
                    self.fail_proposed(now, proposed, &super::admit::storage_full());
                }
            }
            AppendFailure::Unknown => {
                for proposed in appending {
                    self.fail_proposed(now, proposed, &unknown);
                }
            }
        }
        // The stream may have shown some of them already.
        let _ = self.drain_arrivals(now, project);
        self.flush();
    }

    fn outcome_unknown(&self) -> RpcError {
        self.unavailable(
            "the shared journal did not answer: it may have happened or not; the same request with \
             the same request_id has one effect and tells",
        )
    }

    /// Applies what has arrived, as far as it is complete.
    fn drain_arrivals(&mut self, now: Moment, project: &ProjectName) -> Result<(), LineError> {
        let mut signals = Signals::default();
        let result = loop {
            match self.next_arrival(project) {
                Ok(Some((position, proposed))) => {
                    let more = self.apply_arrival(now, &proposed, position);
                    signals.claimable |= more.claimable;
                    signals.leasable |= more.leasable;
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.wake_parked(now, project, signals.claimable, signals.leasable);
        self.maybe_stream_snapshot(project);
        self.beat(now, project);
        self.flush();
        result
    }

    /// The record that is next in the line, if it is there and its append was answered.
    fn next_arrival(
        &mut self,
        project: &ProjectName,
    ) -> Result<Option<(Position, Proposed)>, LineError> {
        let node = self.config.node.clone();
        let Some(known) = self.projects.get_mut(project) else {
            return Ok(None);
        };
        let Some(line) = known.line.as_mut() else {
            return Ok(None);
        };
        let next = Position(known.engine.state().position.0 + 1);
        #[cfg(feature = "planted-bugs")]
        let next = planted_next(line, next);
        while let Some(entry) = line.arrivals.first_entry() {
            if *entry.key() > next {
                return Ok(None);
            }
            if *entry.key() < next {
                entry.remove();
                continue;
            }
            if let Arrival::Read(record) = entry.get()
                && let Some(own) = own_sequence(&node, &record.body)
                && line.appending.iter().any(|p| p.sequence == own)
            {
                #[cfg(feature = "planted-bugs")]
                if planted(Bug::OwnAnswerForgotten) {
                    return planted_stranger(entry.remove(), project, next);
                }
                return Ok(None);
            }
            let proposed = match entry.remove() {
                Arrival::Own(proposed) => *proposed,
                Arrival::Read(record) => Proposed {
                    sequence: own_sequence(&node, &record.body).unwrap_or(0),
                    project: project.clone(),
                    at_ms: record.at_ms,
                    command: read_command(project, &record)?,
                    body: Vec::new(),
                },
            };
            return Ok(Some((next, proposed)));
        }
        Ok(None)
    }

    fn apply_arrival(&mut self, now: Moment, proposed: &Proposed, position: Position) -> Signals {
        let project = &proposed.project;
        let signals = self.apply_one(now, proposed, position);
        let ours = proposed.command.by == Actor::Node(self.config.node.clone());
        match &proposed.command.action {
            Action::NodeAlive(_) if ours => {
                if let Some(line) = self.line_mut(project) {
                    line.beating = false;
                }
            }
            Action::SessionOpen(open) if open.node == self.config.node => {
                self.reconcile_sessions(now, project);
            }
            Action::SessionResume(resume) if resume.node == self.config.node => {
                self.reconcile_sessions(now, project);
            }
            Action::EpochStart(_) => {
                if let Some(line) = self.line_mut(project) {
                    line.epochs += 1;
                }
            }
            _ => {}
        }
        signals
    }

    /// Sessions that the state says this node serves and that have no connection here: their opening
    /// was written although nobody was told, or their connection ended while the store was away.
    fn reconcile_sessions(&mut self, now: Moment, project: &ProjectName) {
        let Some(known) = self.projects.get(project) else {
            return;
        };
        let sessions = known.engine.state().sessions.values();
        let lost: Vec<SessionLost> = sessions
            .filter(|s| s.state == SessionState::Live && s.node == self.config.node)
            .filter(|s| !known.by_session.contains_key(&s.id))
            .map(|s| SessionLost {
                session: s.id,
                connection: s.connection,
                reason: LostReason::ConnectionLost,
            })
            .collect();
        for lost in lost {
            self.propose_own(now, project, Action::SessionLost(lost));
        }
    }

    /// Gives a sign of life where this node serves sessions, in time before the last one runs out.
    pub(super) fn beat(&mut self, now: Moment, project: &ProjectName) {
        if self.beat_due(project).is_none_or(|due| due > now) {
            return;
        }
        self.give_sign(now, project);
    }

    pub(super) fn give_sign(&mut self, now: Moment, project: &ProjectName) {
        let Some(sharing) = &self.config.sharing else {
            return;
        };
        let alive = NodeAlive {
            node: self.config.node.clone(),
            ttl_ms: sharing.node_ttl_ms,
            command_format: sharing.command_format,
        };
        let Some(line) = self.line_mut(project) else {
            return;
        };
        if !line.beating {
            line.beating = true;
            self.propose_own(now, project, Action::NodeAlive(alive));
        }
    }

    pub(super) fn sign_failed(&mut self, project: &ProjectName) {
        if let Some(line) = self.line_mut(project) {
            line.beating = false;
        }
    }

    /// Whether sessions of this node would be held against it as a node that nobody knows.
    pub(super) fn is_unknown_node(&self, project: &ProjectName) -> bool {
        let Some(known) = self.projects.get(project) else {
            return false;
        };
        let nodes = &known.engine.state().nodes;
        known.line.as_ref().is_some_and(|line| !line.beating)
            && !nodes.contains_key(&self.config.node)
    }

    /// When the next sign of life is due; `None` where this node serves nobody.
    pub(super) fn beat_due(&self, project: &ProjectName) -> Option<Moment> {
        let sharing = self.config.sharing.as_ref()?;
        let known = self.projects.get(project)?;
        let line = known.line.as_ref().filter(|line| line.is_up())?;
        if line.beating || known.by_session.is_empty() {
            return None;
        }
        let Some(node) = known.engine.state().nodes.get(&self.config.node) else {
            return Some(Moment::default());
        };
        let ahead_ms = sharing.node_ttl_ms / 3 * 2;
        let due = crate::engine::ids::JournalTime(node.until.0.saturating_sub(ahead_ms));
        Some(known.clock.moment_of(due))
    }

    /// By how much this node is behind others in letting a deadline fall due.
    pub(super) fn tick_delay_ms(&self, project: &ProjectName) -> u64 {
        let Some(sharing) = &self.config.sharing else {
            return 0;
        };
        let Some(known) = self.projects.get(project) else {
            return 0;
        };
        let before = known.engine.state().nodes.keys();
        let rank = before.take_while(|node| **node != self.config.node).count();
        sharing.tick_rank_ms * rank as u64
    }

    /// Lets time pass for the lines: those who wait too long are answered, signs of life are given.
    pub(super) fn tick_lines(&mut self, now: Moment) {
        let Some(sharing) = self.config.sharing.clone() else {
            return;
        };
        let names: Vec<ProjectName> = self.projects.keys().cloned().collect();
        for name in names {
            self.beat(now, &name);
            let gone = self.unavailable("the shared journal is out of reach; nothing was changed");
            let Some(line) = self.line_mut(&name) else {
                continue;
            };
            if line.full_until.is_some_and(|until| until <= now) {
                line.full_until = None;
            }
            if line.gives_up_at(&sharing).is_some_and(|at| at <= now) {
                for proposed in std::mem::take(&mut line.batch) {
                    self.fail_proposed(now, proposed, &gone);
                }
            }
        }
    }

    /// When `tick_lines` has something to do next.
    pub(super) fn next_line_wakeup(&self) -> Option<Moment> {
        let sharing = self.config.sharing.as_ref()?;
        let due = self.projects.iter().filter_map(|(name, project)| {
            let line = project.line.as_ref()?;
            let waits = !line.batch.is_empty();
            let gives_up = line.gives_up_at(sharing).filter(|_| waits);
            let times = [gives_up, line.full_until, self.beat_due(name)];
            times.into_iter().flatten().min()
        });
        due.min()
    }

    /// Refuses what the store could not take now, and what other nodes would not understand.
    pub(super) fn line_takes(
        &self,
        now: Moment,
        project: &ProjectName,
        action: &Action,
    ) -> Result<(), RpcError> {
        let (Some(sharing), Some(known)) = (&self.config.sharing, self.projects.get(project))
        else {
            return Ok(());
        };
        let Some(line) = &known.line else {
            return Ok(());
        };
        if line.gives_up_at(sharing).is_some_and(|at| at <= now) {
            return Err(self.unavailable("the shared journal is out of reach; nothing was changed"));
        }
        if line.is_full() && action.begins_work() {
            return Err(super::admit::storage_full());
        }
        if action.format() > known.engine.command_format(sharing.command_format) {
            let message = format!(
                "{} needs every coordinator of the project to be upgraded first",
                action.name()
            );
            return Err(RpcError::new(ErrorKind::Unavailable, message));
        }
        Ok(())
    }

    /// Takes a snapshot of a project whose stream has grown too long, on the first of the nodes that
    /// are alive: the others would only do the same work again.
    fn maybe_stream_snapshot(&mut self, project: &ProjectName) {
        let Some(sharing) = &self.config.sharing else {
            return;
        };
        let Some(known) = self.projects.get(project) else {
            return;
        };
        let Some(line) = &known.line else { return };
        let first = known.engine.state().nodes.keys().next();
        let turn = first.is_none_or(|first| *first == self.config.node);
        if line.snapshotting || !line.is_up() || !turn || line.live_bytes <= sharing.live_bytes_max
        {
            return;
        }
        let snapshot = snapshot_of(&known.engine, cursor_of(&known.engine));
        let bytes = i64::try_from(snapshot.state.len()).unwrap_or(i64::MAX);
        self.metrics.snapshot_bytes.set(bytes);
        let records_kept = sharing.records_kept;
        if let Some(line) = self.line_mut(project) {
            line.snapshotting = true;
            line.live_bytes = 0;
        }
        self.outputs.push_back(Output::StreamSnapshot {
            project: project.clone(),
            snapshot,
            records_kept,
        });
    }

    /// A snapshot was saved, or could not be; then the next one is tried when as much has gathered again.
    pub fn stream_snapshot_saved(&mut self, project: &ProjectName, kept: bool) {
        if let Some(line) = self.line_mut(project) {
            line.snapshotting = false;
        }
        if kept {
            self.metrics.snapshots.inc();
        }
    }

    /// Snapshots of all projects, as they are now.
    pub(super) fn all_snapshots(&self) -> Vec<crate::journal::Snapshot> {
        let projects = self.projects.iter();
        projects
            .map(|(name, project)| crate::journal::Snapshot {
                project: name.clone(),
                position: project.engine.state().position,
                state: snapshot_of(&project.engine, Cursor::default()).state,
            })
            .collect()
    }

    /// Whether the project's line is within reach and read to its end.
    pub fn is_established(&self, project: &ProjectName) -> bool {
        self.line(project).is_some_and(Line::is_up)
    }

    /// Whether every project's line is within reach; an embedded journal always is.
    pub fn is_reachable(&self) -> bool {
        let mut lines = self.projects.values().filter_map(|p| p.line.as_ref());
        lines.all(Line::is_up)
    }

    /// A number of chance.
    pub fn dice(&mut self) -> u64 {
        let bytes = (self.entropy.0)();
        let mut number = [0; 8];
        number.copy_from_slice(&bytes[..8]);
        u64::from_le_bytes(number)
    }

    /// The names of the projects that have a line, in a shared journal.
    pub fn followed(&self) -> BTreeSet<ProjectName> {
        let with_line = self.projects.iter().filter(|(_, p)| p.line.is_some());
        with_line.map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn take_rebuilding(&mut self, project: &ProjectName) -> Option<Box<Engine>> {
        self.line_mut(project)?.rebuilding.take()
    }
}

fn hole(project: &ProjectName, known: Position, found: Position) -> LineError {
    LineError::Hole {
        project: project.clone(),
        known,
        found,
    }
}

fn snapshot_of(engine: &Engine, at: Cursor) -> StreamSnapshot {
    StreamSnapshot {
        at,
        state: serde_json::to_vec(engine.state()).expect("states always encode as JSON"),
    }
}

fn read_command(project: &ProjectName, record: &StreamRecord) -> Result<Command, RecoverError> {
    serde_json::from_slice(&record.body).map_err(|source| RecoverError::Record {
        project: project.clone(),
        position: record.at.position,
        source,
    })
}

pub(super) fn command_id(node: &NodeId, sequence: u64) -> CommandId {
    format!("{node}-{sequence}")
        .parse()
        .expect("a node id and a number fit a command id")
}

/// Which of this node's commands a record is, told from its first bytes: a command begins with its id.
fn own_sequence(node: &NodeId, body: &[u8]) -> Option<u64> {
    let rest = body.strip_prefix(br#"{"id":""#)?;
    let rest = rest.strip_prefix(node.as_str().as_bytes())?;
    let rest = rest.strip_prefix(b"-")?;
    let digits = rest.split(|byte| *byte == b'"').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The planted bugs that apply what is ahead of its turn: over a hole, or because it is this node's own.
#[cfg(feature = "planted-bugs")]
fn planted_next(line: &Line, next: Position) -> Position {
    let first = line.arrivals.first_key_value();
    match first {
        Some((at, _)) if planted(Bug::HoleSkipped) => next.max(*at),
        Some((at, Arrival::Own(_))) if planted(Bug::OwnRecordsFirst) => next.max(*at),
        _ => next,
    }
}

/// The planted bug that takes a record of this node's own for another's: nobody is answered.
#[cfg(feature = "planted-bugs")]
fn planted_stranger(
    arrival: Arrival,
    project: &ProjectName,
    at: Position,
) -> Result<Option<(Position, Proposed)>, LineError> {
    let Arrival::Read(record) = arrival else {
        return Ok(None);
    };
    let stranger = Proposed {
        sequence: 0,
        project: project.clone(),
        at_ms: record.at_ms,
        command: read_command(project, &record)?,
        body: Vec::new(),
    };
    Ok(Some((at, stranger)))
}
