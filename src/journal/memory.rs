//! A journal in memory, for a coordinator whose records are all in a shared journal, for snapshots that are
//! written to a backup, and for tests.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::{Entry, Journal, JournalError, JournalStatus, Record, Snapshot, Space};
use crate::engine::ids::{Position, ProjectName};

/// A journal in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryJournal {
    records: Vec<Record>,
    snapshots: BTreeMap<ProjectName, Snapshot>,
    /// The position of the newest record.
    last: u64,
}

impl MemoryJournal {
    pub fn new() -> Self {
        Self::default()
    }

    /// A journal that holds snapshots and nothing after them.
    pub fn of(snapshots: Vec<Snapshot>) -> Self {
        let last = snapshots.iter().map(|snapshot| snapshot.position.0).max();
        let named = snapshots.into_iter();
        Self {
            records: Vec::new(),
            snapshots: named.map(|s| (s.project.clone(), s)).collect(),
            last: last.unwrap_or(0),
        }
    }
}

impl Journal for MemoryJournal {
    fn append(&mut self, entries: &[Entry]) -> Result<Vec<Position>, JournalError> {
        let first = self.last + 1;
        for entry in entries {
            self.last += 1;
            self.records.push(Record {
                project: entry.project.clone(),
                position: Position(self.last),
                at_ms: entry.at_ms,
                body: entry.body.clone(),
            });
        }
        Ok((first..=self.last).map(Position).collect())
    }

    fn read(
        &mut self,
        after: Position,
        visit: &mut dyn FnMut(Record) -> ControlFlow<()>,
    ) -> Result<(), JournalError> {
        for record in self.records.iter().filter(|record| record.position > after) {
            if visit(record.clone()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn save_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), JournalError> {
        if snapshot.position.0 > self.last {
            let what = format!(
                "refused a snapshot of position {}, it does not exist yet",
                snapshot.position
            );
            return Err(JournalError::Corrupt {
                path: "memory".into(),
                offset: 0,
                what,
            });
        }
        self.snapshots
            .insert(snapshot.project.clone(), snapshot.clone());
        Ok(())
    }

    fn load_snapshots(&mut self) -> Result<Vec<Snapshot>, JournalError> {
        Ok(self.snapshots.values().cloned().collect())
    }

    fn trim(&mut self, floor: Position) -> Result<(), JournalError> {
        self.records.retain(|record| record.position >= floor);
        Ok(())
    }

    fn status(&self) -> JournalStatus {
        let covered = |record: &&Record| {
            self.snapshots
                .get(&record.project)
                .is_none_or(|s| s.position < record.position)
        };
        let live_bytes = self
            .records
            .iter()
            .filter(covered)
            .map(|r| r.body.len() as u64)
            .sum();
        JournalStatus {
            space: Space::Ample,
            live_bytes,
            disk_bytes: 0,
            syncs: 0,
            written_bytes: 0,
        }
    }
}
