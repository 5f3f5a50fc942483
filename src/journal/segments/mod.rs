//! The embedded journal: append-only segment files on the machine's own disk.
//!
//! # Files
//!
//! All in one folder, the state directory. Files with other names are not touched.
//!
//! | name | holds |
//! |---|---|
//! | `segment-0000000001` | records, in order; numbers have no gaps |
//! | `spare-0000000001` | preallocated space, or a trimmed segment; its bytes have no meaning |
//! | `floor` | which segment is the first that counts |
//! | `snapshot-<project>` | the state of one project |
//! | `journal.lock` | the process id of the coordinator that holds the lock (`flock`) on it |
//! | `restoring` | exists while a restore runs; the journal is incomplete |
//! | `tmp-…` | being written; removed at the next start |
//!
//! # Format 1
//!
//! All numbers are little-endian. Every file begins with a block of 64 bytes. All later formats keep the
//! layout and checksum of this block, so that an older program recognises a newer format:
//!
//! | byte | size | field |
//! |---|---|---|
//! | 0 | 8 | magic: `coordseg`, `coordflr`, `coordsnp` (a backup: `coordbak`) |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | CRC32C of bytes 0..12 and 16..64 |
//! | 16 | 48 | six numbers of 8 bytes; those not named below are 0 |
//!
//! The numbers of a **segment**: journal id (random, the same in all files of a journal), segment number,
//! position of its first record, length of the file. Frames begin at byte 4096; the header has its own disk
//! block and is never rewritten while the segment is live.
//!
//! The numbers of a **floor** slot: journal id, generation, position, segment number. There are two
//! slots, at bytes 0 and 4096, written in turn; the valid one with the higher generation counts.
//!
//! The numbers of a **snapshot**: position, bytes of the project's name, bytes of the state, CRC32C
//! of name and state. Then follow name and state.
//!
//! A **frame** begins at a multiple of 8 bytes:
//!
//! | byte | size | field |
//! |---|---|---|
//! | 0 | 4 | salt: the CRC32C of the segment's header |
//! | 4 | 4 | CRC32C of bytes 8..40, begun with the salt |
//! | 8 | 4 | bytes of the body |
//! | 12 | 4 | CRC32C of project and body |
//! | 16 | 8 | sequence: the record's position; one more than the one before |
//! | 24 | 8 | journal time in milliseconds; of a gap: how many positions it stands for |
//! | 32 | 4 | how many frames of the same write came before this one |
//! | 36 | 1 | bytes of the project's name |
//! | 37 | 1 | kind: 0 a record, 1 a gap left by a repair |
//! | 38 | 2 | 0 |
//! | 40 | … | project, body, zeros up to a multiple of 8 |
//!
//! # What makes it safe
//!
//! **One write at a time.** A write begins only when the one before is synced. So everything that is
//! incomplete after a crash belongs to one write.
//!
//! **Recycled segments.** A spare gets its new header while it still has the name of a spare. It is synced
//! and renamed, the folder is synced, and only then are frames written. So a segment's header is never torn.
//! Stale frames differ from live ones in two ways: in the salt, and in a sequence that is lower than any that
//! the new header allows.
//!
//! **Torn tail or damage.** If the last segment has no valid next frame, recovery searches for frames behind
//! that place. Frames of a *later* write prove that this one was durable: damage. Frames of the same write
//! prove nothing, because its sectors reach the disk in any order: torn tail. A torn tail is removed, and
//! overwritten with zeros as far as bytes have the segment's salt, so that no later append can complete a
//! frame with old bytes. In other segments the next header gives the last position, so any loss there is
//! damage. A later header with a gap before it is damage too.
//!
//! **After a failed sync** the process ends. The next one reads the kernel's cache, which may differ from the
//! disk. So opening writes the last write and the floor again, and syncs them and the folder, before it uses
//! anything that it read.
//!
//! **What cannot be detected.** A damaged last write looks like an incomplete one: if a disk loses or flips
//! bits in the last acknowledged write, its records are lost without notice. The same holds for a disk that
//! acknowledges a sync that it did not do. No data on the same disk could show it.
//!
//! **Full disk.** Records are written only to files with allocated blocks. On a copy-on-write file system
//! (btrfs, or a compressed one) even that may fail, so the reserve is not guaranteed there.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;

use super::disk::LockGuard;
use super::{Entry, Journal, JournalError, JournalStatus, Record, Snapshot, Space};
use crate::engine::ids::{JournalTime, Position, ProjectName};
use crate::planted::{Bug, is_on};
use format::FrameKind;
use ledger::Ledger;
use medium::{JournalMedium, NamedFile};
use names::Floor;
use pool::{PoolStep, SparePool};
use walk::Segment;

mod append;
pub(crate) mod format;
mod ledger;
pub(crate) mod medium;
pub(crate) mod names;
pub(crate) mod open;
mod options;
mod pool;
pub(crate) mod scan;
pub(crate) mod snapshots;

pub(crate) mod walk;

pub(crate) use ledger::NameCache;
pub use options::SegmentOptions;
pub use walk::Damage;

/// The result of recovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    pub segments: usize,
    pub records: u64,
    /// The position of the newest record; 0 if there never was one.
    pub last: Position,
    /// Bytes of a write that a crash interrupted; none of it was acknowledged.
    pub torn_bytes: u64,
    /// The file and offset where they were cut.
    pub torn_at: Option<(String, u64)>,
}

/// The embedded journal, open.
#[derive(Debug)]
pub struct SegmentJournal {
    medium: JournalMedium,
    options: SegmentOptions,
    floor: Floor,
    /// Live segments, in order. The last one is open for appends.
    segments: Vec<Segment>,
    active: NamedFile,
    pool: SparePool,
    space: Space,
    ledger: Ledger,
    snapshots: BTreeMap<ProjectName, u64>,
    buffer: Vec<u8>,
    /// Bytes appended since the last step of preparing a spare.
    unprepared_bytes: u64,
    poisoned: bool,
    _lock: Box<dyn LockGuard>,
}

impl Journal for SegmentJournal {
    fn append(&mut self, entries: &[Entry]) -> Result<Vec<Position>, JournalError> {
        self.guarded(|journal| journal.append_batch(entries))
    }

    fn read(
        &mut self,
        after: Position,
        visit: &mut dyn FnMut(Record) -> ControlFlow<()>,
    ) -> Result<(), JournalError> {
        self.guarded(|journal| journal.read_records(after, visit))
    }

    fn save_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), JournalError> {
        self.guarded(|journal| journal.replace_snapshot(snapshot))
    }

    fn load_snapshots(&mut self) -> Result<Vec<Snapshot>, JournalError> {
        self.guarded(|journal| {
            let names = journal.snapshots.keys().map(names::snapshot_name);
            names
                .map(|name| Ok(snapshots::load(&journal.medium, &name)?.0))
                .collect()
        })
    }

    fn trim(&mut self, floor: Position) -> Result<(), JournalError> {
        self.guarded(|journal| journal.trim_to(floor))
    }

    fn check_sync(&mut self) -> Result<(), JournalError> {
        self.guarded(|journal| journal.medium.check_sync(&journal.active))
    }

    fn status(&self) -> JournalStatus {
        let segments: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        let snapshots: u64 = self.snapshots.values().sum();
        JournalStatus {
            space: self.space,
            live_bytes: self.ledger.live_bytes(),
            disk_bytes: segments + snapshots + self.pool.disk_bytes(),
            syncs: self.medium.syncs,
            written_bytes: self.medium.written_bytes,
        }
    }
}

impl SegmentJournal {
    /// Runs one operation; after the disk failed, none runs any more. A full disk that is not a failure is
    /// not reported as [`JournalError::Io`].
    fn guarded<T>(
        &mut self,
        operation: impl FnOnce(&mut Self) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        if self.poisoned {
            let why = io::Error::other("the disk failed before; restart to recover");
            return Err(self.medium.failed("use", "", why));
        }
        let result = operation(self);
        self.poisoned |= matches!(result, Err(JournalError::Io { .. }));
        result
    }

    /// Does one step of preparing the reserve; `false` when it is complete. Appends do this now and then;
    /// calling it while idle saves the appends that work.
    pub fn prepare(&mut self) -> Result<bool, JournalError> {
        self.guarded(Self::prepare_step)
    }

    fn prepare_step(&mut self) -> Result<bool, JournalError> {
        if self.reserve_complete() {
            self.space = Space::Ample;
            return Ok(false);
        }
        let step = self.pool.step(&mut self.medium, &self.options)?;
        self.space = match step {
            PoolStep::Complete => Space::Ample,
            PoolStep::NoRoom => Space::Reserve,
            PoolStep::More => self.space,
        };
        Ok(step == PoolStep::More)
    }

    fn reserve_complete(&self) -> bool {
        !self.pool.ready.is_empty() && self.pool.bytes() >= self.options.reserve_bytes
    }

    fn read_records(
        &mut self,
        after: Position,
        visit: &mut dyn FnMut(Record) -> ControlFlow<()>,
    ) -> Result<(), JournalError> {
        let mut names = NameCache::default();
        let mut bad_name = None;
        self.read_frames(after, &mut |frame, offset| {
            if frame.kind != FrameKind::Record {
                return ControlFlow::Continue(());
            }
            let Some(project) = names.parse(frame.project) else {
                bad_name = Some(offset);
                return ControlFlow::Break(());
            };
            visit(Record {
                project: project.clone(),
                position: Position(frame.sequence),
                at_ms: JournalTime(frame.at_ms),
                body: frame.body.to_vec(),
            })
        })?;
        match bad_name {
            Some(offset) => {
                Err(self
                    .medium
                    .corrupt("", offset, "a frame has an invalid project name"))
            }
            None => Ok(()),
        }
    }

    /// Visits every frame after `after`, a segment at a time.
    fn read_frames(
        &self,
        after: Position,
        visit: &mut walk::FrameVisitor<'_>,
    ) -> Result<(), JournalError> {
        let mut bytes = Vec::new();
        let mut stopped = false;
        for segment in self
            .segments
            .iter()
            .filter(|segment| segment.next > after.0.saturating_add(1))
        {
            self.medium.load(&segment.name, segment.end, &mut bytes)?;
            let walk = walk::walk(segment, &bytes, Some(segment.next), &mut |frame, offset| {
                if frame.sequence <= after.0 {
                    return ControlFlow::Continue(());
                }
                let flow = visit(frame, offset);
                stopped = flow.is_break();
                flow
            });
            if let Some(damage) = walk.damage.into_iter().next() {
                return Err(self
                    .medium
                    .corrupt(&damage.file, damage.offset, damage.what));
            }
            if stopped {
                break;
            }
        }
        Ok(())
    }

    fn replace_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), JournalError> {
        if snapshot.position.0 >= self.next() {
            // If accepted, later records would look as if the snapshot covered them.
            let name = names::snapshot_name(&snapshot.project);
            let what = format!(
                "refused a snapshot of position {}, it does not exist yet",
                snapshot.position
            );
            return Err(self.medium.corrupt(&name, 0, what));
        }
        let bytes = snapshots::save(&mut self.medium, snapshot)?;
        self.snapshots.insert(snapshot.project.clone(), bytes);
        let mut later_bytes = 0;
        if self.ledger.last(&snapshot.project) > snapshot.position {
            let project = snapshot.project.as_str().as_bytes();
            self.read_frames(snapshot.position, &mut |frame, _| {
                later_bytes += if frame.project == project {
                    frame.bytes() as u64
                } else {
                    0
                };
                ControlFlow::Continue(())
            })?;
        }
        self.ledger.covered(&snapshot.project, later_bytes);
        Ok(())
    }

    /// Where the second segment begins: a trim can let go of all before it. `None` while there is only one.
    pub(crate) fn second_segment(&self) -> Option<Position> {
        let second = self.segments.get(1)?;
        Some(Position(second.first))
    }

    /// The position of the next record.
    pub(crate) fn next(&self) -> u64 {
        self.segments.last().map_or(1, |segment| segment.next)
    }

    fn trim_to(&mut self, floor: Position) -> Result<(), JournalError> {
        let keep_from = self
            .segments
            .iter()
            .rposition(|segment| segment.first <= floor.0)
            .unwrap_or(0);
        if keep_from == 0 {
            return Ok(());
        }
        let first = &self.segments[keep_from];
        self.floor.generation += 1;
        (self.floor.position, self.floor.number) = (first.first, first.number);
        if !is_on(Bug::SkipFloor) {
            self.floor.write(&mut self.medium)?;
        }
        for segment in self.segments.drain(..keep_from) {
            self.pool
                .recycle(&self.medium, &segment.name, segment.bytes, &self.options)?;
        }
        self.medium.sync_dir("")?;
        self.prepare_step().map(drop)
    }
}
