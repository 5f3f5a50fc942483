//! Opening: the lock, recovery, the first start.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::format::{FrameKind, SegmentFrame};
use super::ledger::{Ledger, NameCache};
use super::medium::{JournalMedium, NamedFile};
use super::names::{self, Floor, Inventory};
use super::pool::SparePool;
use super::walk::Segment;
use super::{Recovery, SegmentJournal, SegmentOptions};
use super::{append, scan, snapshots};
use crate::engine::ids::{Position, ProjectName};
use crate::journal::disk::{Disk, Lock, LockGuard};
use crate::journal::{JournalError, Space};
use crate::planted::{Bug, is_on};

impl SegmentJournal {
    /// Locks the disk for this process and recovers the journal, or creates one on an empty disk.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: SegmentOptions,
    ) -> Result<(Self, Recovery), JournalError> {
        let medium = JournalMedium::new(disk);
        let lock = lock(&medium)?;
        options
            .check()
            .map_err(|e| medium.failed("configure", "", e))?;
        let inventory = Inventory::take(&medium)?;
        if inventory.restoring {
            return Err(medium.corrupt(names::RESTORING_FILE, 0, names::RESTORING));
        }
        for name in &inventory.temps {
            medium.remove(name)?;
        }
        if inventory.is_new() {
            return Self::begin(medium, options, lock, 1);
        }
        let mut books = Books::load(&medium, &inventory)?;
        let found = scan::scan(&medium, &inventory, false, &mut |frame, offset| {
            books.note(frame, offset);
            ControlFlow::Continue(())
        })?;
        books.check(&medium, &found)?;
        Self::resume(medium, options, lock, &inventory, books, found)
    }

    /// Continues after the last record on disk.
    fn resume(
        mut medium: JournalMedium,
        options: SegmentOptions,
        lock: Box<dyn LockGuard>,
        inventory: &Inventory,
        books: Books,
        mut found: scan::Scan,
    ) -> Result<(Self, Recovery), JournalError> {
        let mut pool = SparePool::open(&medium, inventory, &options)?;
        for (_, name) in inventory.dead() {
            let bytes = medium.load(name, 0, &mut Vec::new())?;
            pool.recycle(&medium, name, bytes, &options)?;
        }
        let longest = found
            .segments
            .iter()
            .map(|segment| segment.bytes)
            .chain(pool.ready.iter().map(|s| s.bytes))
            .max();
        pool.bytes_next = longest
            .unwrap_or(0)
            .saturating_mul(2)
            .clamp(options.first_bytes(), options.segment_bytes);
        let Some(last) = found.segments.last_mut() else {
            return Err(medium.corrupt(names::FLOOR_FILE, 0, "the first segment is missing"));
        };
        let active = medium.open(&last.name)?;
        if found.torn_bytes > 0 && !is_on(Bug::KeepTornBytes) {
            // Overwritten with zeros, durably, before anything is appended: see the docs of the module.
            let zeros = vec![0; usize::try_from(found.torn_bytes).expect("it is within the file")];
            medium.write(&active, &zeros, last.end)?;
        }
        confirm_last_write(&mut medium, &active, last, books.last_write_at)?;
        if is_on(Bug::ReuseSequence) {
            last.next = last.next.saturating_sub(1).max(last.first);
        }
        let torn_at = (found.torn_bytes > 0).then(|| (medium.disk.path(&last.name), last.end));
        let mut floor = inventory.floor;
        floor.id = found.id;
        if inventory.floor_exists {
            floor.write(&mut medium)?;
        } else {
            floor.create(&mut medium)?;
        }
        let recovery = Recovery {
            segments: found.segments.len(),
            records: found.records,
            last: Position(found.next.saturating_sub(1)),
            torn_bytes: found.torn_bytes,
            torn_at,
        };
        let journal = Self {
            medium,
            options,
            floor,
            segments: found.segments,
            active,
            pool,
            space: Space::Ample,
            ledger: books.ledger,
            snapshots: books
                .snapshots
                .into_iter()
                .map(|(project, (_, bytes))| (project, bytes))
                .collect(),
            buffer: Vec::new(),
            unprepared_bytes: 0,
            poisoned: false,
            _lock: lock,
        };
        Ok((journal, recovery))
    }

    /// Begins a journal whose first record gets the position `first`.
    pub(crate) fn begin(
        mut medium: JournalMedium,
        options: SegmentOptions,
        lock: Box<dyn LockGuard>,
        first: u64,
    ) -> Result<(Self, Recovery), JournalError> {
        let spares = Inventory::take(&medium)?;
        let mut pool = SparePool::open(&medium, &spares, &options)?;
        let wanted_bytes = options.first_bytes();
        if pool.ready.is_empty() && !pool.make(&mut medium, &options)? {
            return Err(JournalError::Full { wanted_bytes });
        }
        let spare = pool.ready.remove(0);
        let id = medium.disk.fresh_id().max(1);
        let (active, segment) = append::activate(&mut medium, &spare, id, 1, first, true)?;
        // The floor is written last: a floor without a segment means that the journal has lost files.
        let floor = Floor {
            id,
            position: first,
            ..Floor::START
        };
        floor.create(&mut medium)?;
        let recovery = Recovery {
            segments: 1,
            records: 0,
            last: Position(first - 1),
            torn_bytes: 0,
            torn_at: None,
        };
        let journal = Self {
            medium,
            options,
            floor,
            segments: vec![segment],
            active,
            pool,
            space: Space::Ample,
            ledger: Ledger::default(),
            snapshots: BTreeMap::new(),
            buffer: Vec::new(),
            unprepared_bytes: 0,
            poisoned: false,
            _lock: lock,
        };
        Ok((journal, recovery))
    }
}

/// Writes the last write, the names of files and the floor's folder again, and syncs them.
///
/// If the earlier run ended with a failed sync, the data that was just read may be only in the kernel's
/// cache, which regards it as written. It is used from now on, so it must be durable. Everything before the
/// last write was synced before it.
fn confirm_last_write(
    medium: &mut JournalMedium,
    active: &NamedFile,
    last: &Segment,
    last_write_at: u64,
) -> Result<(), JournalError> {
    if last.next > last.first {
        let mut bytes = Vec::new();
        medium.load(&last.name, last.end, &mut bytes)?;
        let from = usize::try_from(last_write_at).expect("it is within the file");
        medium.write(active, &bytes[from..], last_write_at)?;
    }
    medium.sync(active)?;
    medium.sync_dir("")
}

/// What recovery learns besides the frames: which snapshot covers what.
struct Books {
    ledger: Ledger,
    /// The position and the file's bytes of each snapshot.
    snapshots: BTreeMap<ProjectName, (Position, u64)>,
    names: NameCache,
    bad_name_at: Option<u64>,
    /// Where, in its segment, the last write begins.
    last_write_at: u64,
}

impl Books {
    fn load(medium: &JournalMedium, inventory: &Inventory) -> Result<Self, JournalError> {
        let mut snapshots = BTreeMap::new();
        for name in &inventory.snapshots {
            let (snapshot, bytes) = snapshots::load(medium, name)?;
            snapshots.insert(snapshot.project, (snapshot.position, bytes));
        }
        Ok(Self {
            ledger: Ledger::default(),
            snapshots,
            names: NameCache::default(),
            bad_name_at: None,
            last_write_at: 0,
        })
    }

    fn note(&mut self, frame: &SegmentFrame<'_>, offset: u64) {
        if frame.index == 0 {
            self.last_write_at = offset;
        }
        if frame.kind != FrameKind::Record {
            return;
        }
        let Some(project) = self.names.parse(frame.project) else {
            self.bad_name_at = self.bad_name_at.or(Some(frame.sequence));
            return;
        };
        let covered = self
            .snapshots
            .get(project)
            .is_some_and(|(position, _)| position.0 >= frame.sequence);
        let bytes = if covered { 0 } else { frame.bytes() as u64 };
        self.ledger.note(project, Position(frame.sequence), bytes);
    }

    /// Refuses damage, and records that are missing according to the snapshots.
    fn check(&self, medium: &JournalMedium, found: &scan::Scan) -> Result<(), JournalError> {
        if let Some(damage) = found.damage.first() {
            return Err(medium.corrupt(&damage.file, damage.offset, damage.what.clone()));
        }
        let (name, end) = found
            .segments
            .last()
            .map_or(("", 0), |last| (&last.name, last.end));
        if let Some(sequence) = self.bad_name_at {
            return Err(medium.corrupt(
                name,
                end,
                format!("record {sequence} has an invalid project name"),
            ));
        }
        let ahead = self
            .snapshots
            .iter()
            .find(|(_, (position, _))| position.0 >= found.next);
        if let Some((project, (position, _))) = ahead {
            let what = format!(
                "the records end before {}, yet the snapshot of {project} covers {position}",
                found.next
            );
            return Err(medium.corrupt(name, end, what));
        }
        Ok(())
    }
}

/// Locks the folder for this process.
pub(crate) fn lock(medium: &JournalMedium) -> Result<Box<dyn LockGuard>, JournalError> {
    match medium.disk.lock(names::LOCK_FILE) {
        Ok(Lock::Taken(guard)) => Ok(guard),
        Ok(Lock::Busy { holder }) => {
            let holder = if holder.is_empty() {
                holder
            } else {
                format!(" (process {holder})")
            };
            Err(JournalError::InUse {
                path: medium.disk.path(""),
                holder,
            })
        }
        Err(error) => Err(medium.failed("lock", names::LOCK_FILE, error)),
    }
}
