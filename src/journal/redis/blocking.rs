//! The journal of a whole deployment in Redis as a blocking [`Journal`], for tools that inspect or move it.
//!
//! Each project has its own positions, with gaps between records. Positions of different projects cannot be
//! compared. Records are visited project by project.
//!
//! It appends to epochs of its own, which belong to no incarnation, so that the first coordinator that connects
//! opens its own epoch. It must not append while coordinators run, because it would end their epoch.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;

use tokio::runtime::{Builder, Runtime};

use super::scripts::{EMPTY, EpochBeginning};
use super::{READ_RECORDS_MAX, RedisConnector, RedisStore};
use crate::engine::ids::{Cursor, Epoch, Position, ProjectName};
use crate::journal::shared::{
    Batch, Connector, Incarnation, RECORD_COMMANDS_MAX, Store, StoreError, StreamRecord,
    StreamSnapshot, end_of, next_end, number_of, positions,
};
use crate::journal::{Entry, Journal, JournalError, JournalStatus, Record, Snapshot, Space};

/// The incarnation of an epoch that no coordinator opened.
pub(super) const OFFLINE: &str = "offline";

/// A [`Journal`] in Redis. It blocks, so an asynchronous task must not use it.
#[derive(Debug)]
pub struct RedisJournal {
    runtime: Runtime,
    connector: RedisConnector,
    projects: BTreeMap<ProjectName, Opened>,
}

#[derive(Debug)]
struct Opened {
    store: RedisStore,
    /// The epoch that this journal opened.
    own: Option<Epoch>,
}

impl RedisJournal {
    /// Connects to every project that has a journal in Redis.
    pub fn open(connector: RedisConnector) -> Result<Self, JournalError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed("reach", error))?;
        let mut journal = Self {
            runtime,
            connector,
            projects: BTreeMap::new(),
        };
        let projects = journal.runtime.block_on(journal.connector.projects());
        for project in projects.map_err(|error| unread(&error))? {
            journal.opened(&project)?;
        }
        Ok(journal)
    }

    /// How many projects have a journal in Redis.
    pub fn project_count(&self) -> usize {
        self.projects.len()
    }

    /// Writes a new project into the store: its snapshot, and behind it the marker of an epoch that belongs to no
    /// incarnation.
    pub fn seed(
        &mut self,
        at: Cursor,
        snapshot: &StreamSnapshot,
        marker: &Entry,
    ) -> Result<(), JournalError> {
        self.opened(&marker.project)?;
        let store = &self.projects[&marker.project].store;
        let seeded = store.seed_offline(snapshot, at, marker);
        match self.runtime.block_on(seeded) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let text = format!("project {} was added there meanwhile", marker.project);
                Err(failed("fill", io::Error::other(text)))
            }
            Err(error) => Err(stored(&error, "fill")),
        }
    }

    fn opened(&mut self, project: &ProjectName) -> Result<(), JournalError> {
        if !self.projects.contains_key(project) {
            let store = self.runtime.block_on(self.connector.connect(project));
            let store = store.map_err(|error| unread(&error))?;
            self.projects
                .insert(project.clone(), Opened { store, own: None });
        }
        Ok(())
    }

    /// Appends consecutive entries of one project.
    fn append_run(&mut self, run: &[Entry]) -> Result<Vec<Position>, JournalError> {
        let project = &run[0].project;
        self.opened(project)?;
        let Self {
            runtime, projects, ..
        } = self;
        let opened = projects.get_mut(project).expect("it was opened just now");
        let commands = run.iter().map(|entry| (entry.at_ms, &*entry.body));
        let batch = Batch::of_all(commands).ok_or_else(|| {
            let text = format!("a record has at most {RECORD_COMMANDS_MAX} commands");
            failed("append to", io::Error::other(text))
        })?;
        let end = runtime.block_on(opened.append(&batch));
        let end = end.map_err(|error| unwritten(&error, run))?;
        Ok(positions(end, run.len()).collect())
    }

    /// Visits the records of one project after a position. Returns whether the visitor stopped early.
    fn visit(
        &self,
        project: &ProjectName,
        opened: &Opened,
        after: Position,
        visit: &mut dyn FnMut(Record) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, JournalError> {
        let mut at = Cursor::default();
        loop {
            let found = opened.store.read(at, READ_RECORDS_MAX);
            let found = self
                .runtime
                .block_on(found)
                .map_err(|error| unread(&error))?;
            let Some(last) = found.last() else {
                return Ok(ControlFlow::Continue(()));
            };
            at = last.at;
            let commands = found.iter().flat_map(StreamRecord::commands);
            for command in commands.filter(|command| command.at.position > after) {
                let record = Record {
                    project: project.clone(),
                    position: command.at.position,
                    at_ms: command.at_ms,
                    body: command.body.to_vec(),
                };
                if visit(record).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }

    /// The bytes of one project's records that its snapshot does not cover.
    fn live_bytes(&self, project: &ProjectName, opened: &Opened) -> Result<u64, JournalError> {
        let look = self.runtime.block_on(opened.store.look());
        let covered = look.map_err(|error| unread(&error))?.snapshot;
        let mut bytes = 0;
        let after = covered.map_or(Position(0), |at| at.position);
        let broken = self.visit(project, opened, after, &mut |record| {
            bytes += record.body.len() as u64;
            ControlFlow::Continue(())
        });
        broken.map(|_| bytes)
    }
}

impl Opened {
    /// Appends a record; returns its last position.
    async fn append(&mut self, batch: &Batch) -> Result<Position, StoreError> {
        if let Some(epoch) = self.own {
            return self.store.append(epoch, batch).await;
        }
        let look = self.store.look().await?;
        let opened = look.epoch.map_or(Epoch(0), |(epoch, _)| epoch);
        let last = look.last.unwrap_or_default();
        let at = Cursor {
            epoch: Epoch(opened.max(last.epoch).0 + 1),
            position: next_end(last.position),
        };
        // The first record has the place of a coordinator's marker.
        if !self.store.open_offline(look.last, at, batch).await? {
            return Err(StoreError::EpochEnded);
        }
        self.own = Some(at.epoch);
        Ok(at.position)
    }

    /// The cursor of a position. The epoch of a trimmed record is unknown.
    async fn cursor_of(&self, position: Position) -> Result<Cursor, StoreError> {
        let mut before = Cursor::default();
        loop {
            let found = self.store.read(before, READ_RECORDS_MAX).await?;
            if let Some(found) = found.iter().find(|record| record.at.position >= position) {
                let holds = number_of(found.at.position) == number_of(position);
                let epoch = if holds { found.at.epoch } else { before.epoch };
                return Ok(Cursor { epoch, position });
            }
            let Some(last) = found.last() else {
                return Ok(Cursor { position, ..before });
            };
            before = last.at;
        }
    }

    async fn save(&self, snapshot: &Snapshot) -> Result<(), StoreError> {
        let look = self.store.look().await?;
        let last = look.last.unwrap_or_default();
        if snapshot.position > last.position {
            return Err(StoreError::Corrupt(format!(
                "refused a snapshot of position {}, it does not exist yet",
                snapshot.position
            )));
        }
        if end_of(number_of(snapshot.position)) != snapshot.position {
            let text = format!("position {} is within a record", snapshot.position);
            return Err(StoreError::Refused(text));
        }
        let epoch = look.epoch.map_or(last.epoch, |(epoch, _)| epoch);
        let snapshot = StreamSnapshot {
            at: self.cursor_of(snapshot.position).await?,
            state: snapshot.state.clone(),
        };
        // Saves only; `trim` trims.
        let keep_from = Cursor::default();
        self.store
            .save_snapshot(epoch, &snapshot, keep_from)
            .await?;
        Ok(())
    }

    async fn trim(&self, floor: Position) -> Result<(), StoreError> {
        let look = self.store.look().await?;
        let (Some(covered), Some((epoch, _))) = (look.snapshot, look.epoch) else {
            return Ok(());
        };
        let keep_from = self.cursor_of(floor).await?;
        self.store.trim(epoch, covered, keep_from).await?;
        Ok(())
    }
}

impl Journal for RedisJournal {
    fn append(&mut self, entries: &[Entry]) -> Result<Vec<Position>, JournalError> {
        let mut positions = Vec::with_capacity(entries.len());
        for run in entries.chunk_by(|one, other| one.project == other.project) {
            positions.extend(self.append_run(run)?);
        }
        Ok(positions)
    }

    fn read(
        &mut self,
        after: Position,
        visit: &mut dyn FnMut(Record) -> ControlFlow<()>,
    ) -> Result<(), JournalError> {
        for (project, opened) in &self.projects {
            if self.visit(project, opened, after, visit)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn save_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), JournalError> {
        self.opened(&snapshot.project)?;
        let opened = &self.projects[&snapshot.project];
        let saved = self.runtime.block_on(opened.save(snapshot));
        saved.map_err(|error| stored(&error, "save a snapshot in"))
    }

    fn load_snapshots(&mut self) -> Result<Vec<Snapshot>, JournalError> {
        let mut snapshots = Vec::new();
        for (project, opened) in &self.projects {
            let found = self.runtime.block_on(opened.store.snapshot());
            snapshots.extend(
                found
                    .map_err(|error| unread(&error))?
                    .map(|found| Snapshot {
                        project: project.clone(),
                        position: found.at.position,
                        state: found.state,
                    }),
            );
        }
        Ok(snapshots)
    }

    /// Trims only records that a snapshot covers, whatever the floor.
    fn trim(&mut self, floor: Position) -> Result<(), JournalError> {
        for opened in self.projects.values() {
            let trimmed = self.runtime.block_on(opened.trim(floor));
            trimmed.map_err(|error| stored(&error, "trim"))?;
        }
        Ok(())
    }

    /// Counts the live bytes by reading. What cannot be read counts as 0; reading it reports why.
    fn status(&self) -> JournalStatus {
        let live = self.projects.iter();
        let live = live.map(|(project, opened)| self.live_bytes(project, opened).unwrap_or(0));
        JournalStatus {
            space: Space::Ample,
            live_bytes: live.sum(),
            disk_bytes: 0,
            syncs: 0,
            written_bytes: 0,
        }
    }
}

impl RedisStore {
    /// Opens an epoch while no coordinator runs.
    async fn open_offline(
        &self,
        expected: Option<Cursor>,
        at: Cursor,
        first: &Batch,
    ) -> Result<bool, StoreError> {
        let nobody = Incarnation(OFFLINE.to_owned());
        self.open(&nobody, true, expected, at, first).await
    }

    /// Fills an empty store while no coordinator runs.
    async fn seed_offline(
        &self,
        snapshot: &StreamSnapshot,
        at: Cursor,
        marker: &Entry,
    ) -> Result<bool, StoreError> {
        self.begin(EpochBeginning {
            incarnation: &Incarnation(OFFLINE.to_owned()),
            meant: true,
            expected: EMPTY.to_owned(),
            at,
            marker: &Batch::of(marker),
            snapshot: Some(snapshot),
        })
        .await
    }
}

fn unread(error: &StoreError) -> JournalError {
    stored(error, "read")
}

fn unwritten(error: &StoreError, run: &[Entry]) -> JournalError {
    match error {
        StoreError::Full(_) => JournalError::Full {
            wanted_bytes: run.iter().map(|entry| entry.body.len() as u64).sum(),
        },
        other => stored(other, "append to"),
    }
}

fn stored(error: &StoreError, action: &'static str) -> JournalError {
    match error {
        StoreError::Corrupt(what) => JournalError::Corrupt {
            path: PLACE.to_owned(),
            offset: 0,
            what: what.clone(),
        },
        other => failed(action, io::Error::other(other.to_string())),
    }
}

/// The path in errors.
const PLACE: &str = "the journal in Redis";

fn failed(action: &'static str, source: io::Error) -> JournalError {
    JournalError::Io {
        action,
        path: PLACE.to_owned(),
        source,
    }
}
