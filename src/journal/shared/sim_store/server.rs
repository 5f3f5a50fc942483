//! One run of a simulated server: what it holds, and what each call changes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::chronicle::Chronicle;
use crate::engine::ids::{Cursor, Epoch, NodeId, Position, ProjectName};
use crate::journal::Entry;
use crate::journal::redis::{CANDIDATE_MS, READ_RECORDS_MAX};
use crate::journal::shared::{
    Batch, Candidate, Incarnation, Look, Saved, StoreError, StreamRecord, StreamSnapshot, next_end,
    record_end,
};

/// A request to a server.
#[derive(Debug, Clone)]
pub(super) enum SimRequest {
    Connect,
    Look,
    Read {
        after: Cursor,
        count_max: usize,
    },
    Follow {
        after: Cursor,
        count_max: usize,
        wait_ms: u64,
    },
    Append {
        epoch: Epoch,
        batch: Batch,
    },
    Begin(Box<SimBeginning>),
    Stand(Candidate),
    Snapshot,
    SaveSnapshot {
        epoch: Epoch,
        snapshot: Arc<StreamSnapshot>,
        keep_from: Cursor,
    },
}

/// The beginning of an epoch.
#[derive(Debug, Clone)]
pub(super) struct SimBeginning {
    pub(super) incarnation: Incarnation,
    pub(super) expected: ExpectedEnd,
    pub(super) at: Cursor,
    pub(super) marker: Entry,
    pub(super) snapshot: Option<Arc<StreamSnapshot>>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum ExpectedEnd {
    /// The newest record; `None`: no stream.
    Last(Option<Cursor>),
    /// Neither stream nor snapshot.
    Empty,
}

#[derive(Debug, Clone)]
pub(super) enum SimAnswer {
    Connected(u64),
    Look(Look),
    Records(Vec<StreamRecord>),
    Appended(Position),
    Begun(bool),
    Standing(Vec<Candidate>),
    Snapshot(Option<StreamSnapshot>),
    Saved(Saved),
}

/// What a server holds of one project.
#[derive(Debug, Clone, Default)]
pub(super) struct SimProject {
    stream: Option<SimStream>,
    epoch: Option<(Epoch, Incarnation)>,
    pub(super) snapshot: Option<Arc<StreamSnapshot>>,
    /// The candidates for filling an empty store, and until when each is valid.
    standing: BTreeMap<NodeId, (Cursor, u64)>,
}

#[derive(Debug, Clone)]
struct SimStream {
    last: Cursor,
    records: VecDeque<Arc<StreamRecord>>,
}

/// One run of one server.
#[derive(Debug)]
pub(super) struct SimServer {
    pub(super) run: u64,
    pub(super) alive: bool,
    pub(super) full: bool,
    pub(super) projects: BTreeMap<ProjectName, SimProject>,
    /// What the replica has: the state before the writes that were not replicated yet.
    pub(super) replica: BTreeMap<ProjectName, SimProject>,
    untold: VecDeque<(ProjectName, SimProject)>,
    pub(super) written: u64,
}

impl SimRequest {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Look => "look",
            Self::Read { .. } => "read",
            Self::Follow { .. } => "follow",
            Self::Append { .. } => "append",
            Self::Begin(beginning) if matches!(beginning.expected, ExpectedEnd::Empty) => "seed",
            Self::Begin(_) => "open epoch",
            Self::Stand(_) => "stand",
            Self::Snapshot => "snapshot",
            Self::SaveSnapshot { .. } => "save snapshot",
        }
    }

    pub(super) fn wait_ms(&self) -> u64 {
        match self {
            Self::Follow { wait_ms, .. } => *wait_ms,
            _ => 0,
        }
    }
}

impl SimProject {
    /// The newest record, or what the snapshot covers.
    pub(super) fn end(&self) -> Option<Cursor> {
        let last = self.stream.as_ref().map(|stream| stream.last);
        last.max(self.snapshot.as_ref().map(|snapshot| snapshot.at))
    }

    fn last(&self) -> Option<Cursor> {
        self.stream.as_ref().map(|stream| stream.last)
    }

    fn after(&self, after: Cursor, count_max: usize) -> Vec<StreamRecord> {
        let records = self.stream.iter().flat_map(|stream| &stream.records);
        let later = records.filter(|record| record.at > record_end(after));
        let some = later.take(count_max.clamp(1, READ_RECORDS_MAX));
        some.map(|record| StreamRecord::clone(record)).collect()
    }
}

impl SimServer {
    pub(super) fn new(run: u64) -> Self {
        Self::holding(run, BTreeMap::new())
    }

    /// A run that begins with these data, as does its replica.
    pub(super) fn holding(run: u64, projects: BTreeMap<ProjectName, SimProject>) -> Self {
        Self {
            run,
            alive: true,
            full: false,
            replica: projects.clone(),
            projects,
            untold: VecDeque::new(),
            written: 0,
        }
    }

    /// The same run, emptied.
    pub(super) fn emptied(&self) -> Self {
        Self {
            written: self.written,
            ..Self::new(self.run)
        }
    }

    pub(super) fn incarnation(&self) -> Incarnation {
        Incarnation(format!("run-{}", self.run))
    }

    pub(super) fn replicate(&mut self, writes: usize) {
        for (project, kept) in self.untold.drain(..writes.min(self.untold.len())) {
            self.replica.insert(project, kept);
        }
    }

    /// How many writes the replica has.
    pub(super) fn replicated(&self) -> u64 {
        self.written - self.untold.len() as u64
    }

    /// Whether a follower keeps waiting.
    pub(super) fn has_nothing_yet(
        &self,
        project: &ProjectName,
        request: &SimRequest,
        waited_ms: u64,
    ) -> bool {
        let SimRequest::Follow { after, wait_ms, .. } = request else {
            return false;
        };
        let kept = self.projects.get(project);
        waited_ms < *wait_ms && kept.is_none_or(|kept| kept.after(*after, 1).is_empty())
    }

    pub(super) fn carry_out(
        &mut self,
        from: u64,
        project: &ProjectName,
        request: &SimRequest,
        now_ms: u64,
        chronicle: &mut Chronicle,
    ) -> Result<SimAnswer, StoreError> {
        let (run, full, incarnation) = (self.run, self.full, self.incarnation());
        let kept = self.projects.entry(project.clone()).or_default();
        let result = match request {
            SimRequest::Connect => return Ok(SimAnswer::Connected(run)),
            SimRequest::Look => {
                return Ok(SimAnswer::Look(Look {
                    incarnation,
                    epoch: kept.epoch.clone(),
                    last: kept.last(),
                    snapshot: kept.snapshot.as_ref().map(|snapshot| snapshot.at),
                }));
            }
            SimRequest::Follow { .. } if kept.stream.is_none() => {
                return Err(StoreError::StreamGone);
            }
            SimRequest::Read { after, count_max }
            | SimRequest::Follow {
                after, count_max, ..
            } => {
                return Ok(SimAnswer::Records(kept.after(*after, *count_max)));
            }
            SimRequest::Snapshot => {
                return Ok(SimAnswer::Snapshot(kept.snapshot.as_deref().cloned()));
            }
            SimRequest::Append { .. } | SimRequest::Stand(_) if full => return Err(no_room()),
            // A full store still takes the marker of an epoch, but no seeding.
            SimRequest::Begin(beginning)
                if full && matches!(beginning.expected, ExpectedEnd::Empty) =>
            {
                return Err(no_room());
            }
            SimRequest::Append { epoch, batch } => kept
                .append(project, *epoch, batch, chronicle)
                .map(SimAnswer::Appended),
            SimRequest::Begin(beginning) if beginning.incarnation != incarnation => {
                let text = "another incarnation".to_owned();
                return Err(StoreError::Refused(text));
            }
            SimRequest::Begin(beginning) => kept
                .begin(from, project, beginning, chronicle)
                .map(SimAnswer::Begun),
            SimRequest::Stand(candidate) => {
                let standing = kept.stand(candidate, now_ms);
                chronicle
                    .asked
                    .insert((from, project.clone()), standing.clone());
                Ok(SimAnswer::Standing(standing))
            }
            SimRequest::SaveSnapshot {
                epoch,
                snapshot,
                keep_from,
            } => kept
                .save(*epoch, snapshot, *keep_from)
                .map(SimAnswer::Saved),
        };
        if result.is_ok() {
            let after = kept.clone();
            self.written += 1;
            self.untold.push_back((project.clone(), after));
        }
        result
    }
}

impl SimProject {
    fn append(
        &mut self,
        project: &ProjectName,
        epoch: Epoch,
        batch: &Batch,
        chronicle: &mut Chronicle,
    ) -> Result<Position, StoreError> {
        let stream = self.stream.as_mut().ok_or(StoreError::StreamGone)?;
        if epoch < stream.last.epoch {
            return Err(StoreError::EpochEnded);
        }
        if epoch > stream.last.epoch {
            let text = format!("epoch {epoch} has no marker");
            return Err(StoreError::Corrupt(text));
        }
        let at = Cursor {
            epoch,
            position: next_end(stream.last.position),
        };
        let before = Some(stream.last);
        stream.push(project, at, batch.clone(), before, chronicle);
        Ok(at.position)
    }

    fn begin(
        &mut self,
        from: u64,
        project: &ProjectName,
        beginning: &SimBeginning,
        chronicle: &mut Chronicle,
    ) -> Result<bool, StoreError> {
        let at = beginning.at;
        let fits = match beginning.expected {
            ExpectedEnd::Empty => self.end().is_none(),
            ExpectedEnd::Last(expected) => self.last() == expected,
        };
        let newest = self.epoch.as_ref().map(|(epoch, _)| *epoch);
        if !fits || newest >= Some(at.epoch) {
            return Ok(false);
        }
        if self.last().is_some_and(|last| at <= last) {
            return Err(StoreError::EpochEnded);
        }
        if matches!(beginning.expected, ExpectedEnd::Empty) {
            let covers = beginning.snapshot.as_ref().map(|snapshot| snapshot.at);
            chronicle.seeded(from, project, covers);
        }
        if beginning.snapshot.is_some() {
            self.snapshot.clone_from(&beginning.snapshot);
        }
        let before = self.end();
        let stream = self.stream.get_or_insert_with(|| SimStream {
            last: Cursor::default(),
            records: VecDeque::new(),
        });
        let marker = Batch::of(&beginning.marker);
        stream.push(project, at, marker, before, chronicle);
        self.epoch = Some((at.epoch, beginning.incarnation.clone()));
        Ok(true)
    }

    fn stand(&mut self, candidate: &Candidate, now_ms: u64) -> Vec<Candidate> {
        let until = now_ms + CANDIDATE_MS;
        self.standing
            .insert(candidate.node.clone(), (candidate.known, until));
        self.standing.retain(|_, (_, until)| *until >= now_ms);
        let standing = self.standing.iter();
        let mut standing: Vec<Candidate> = standing
            .map(|(node, (known, _))| Candidate {
                known: *known,
                node: node.clone(),
            })
            .collect();
        standing.sort();
        standing
    }

    fn save(
        &mut self,
        epoch: Epoch,
        snapshot: &Arc<StreamSnapshot>,
        keep_from: Cursor,
    ) -> Result<Saved, StoreError> {
        let (Some(stream), Some((newest, _))) = (self.stream.as_mut(), &self.epoch) else {
            return Err(StoreError::StreamGone);
        };
        if *newest > epoch {
            return Err(StoreError::EpochEnded);
        }
        if *newest < epoch || stream.last < snapshot.at {
            let text = "a snapshot may not cover records that are not there".to_owned();
            return Err(StoreError::Refused(text));
        }
        let held = self.snapshot.as_ref().map(|held| held.at);
        let kept = held < Some(snapshot.at);
        if kept {
            self.snapshot = Some(Arc::clone(snapshot));
        }
        let covered = held.max(Some(snapshot.at)).unwrap_or_default();
        let behind = Cursor {
            position: Position(covered.position.0 + 1),
            ..covered
        };
        let from = keep_from.min(behind).min(stream.last);
        let before = stream.records.len();
        stream.records.retain(|record| record.at >= from);
        let trimmed = (before - stream.records.len()) as u64;
        Ok(Saved { kept, trimmed })
    }
}

impl SimStream {
    fn push(
        &mut self,
        project: &ProjectName,
        at: Cursor,
        batch: Batch,
        before: Option<Cursor>,
        chronicle: &mut Chronicle,
    ) {
        let record = StreamRecord { at, batch };
        chronicle.note(project, &record, before);
        self.last = record.at;
        self.records.push_back(Arc::new(record));
    }
}

fn no_room() -> StoreError {
    StoreError::Full("it has no room".to_owned())
}
