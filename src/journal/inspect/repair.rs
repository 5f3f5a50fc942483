//! Repairs a journal that a start refuses: it removes what cannot be read, and reports all of it.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::{beyond, read_snapshots};
use crate::journal::JournalError;
use crate::journal::disk::Disk;
use crate::journal::segments::format::{
    FRAMES_OFFSET, FrameKind, SegmentFrame, SegmentHeader, frame_at,
};
use crate::journal::segments::medium::JournalMedium;
use crate::journal::segments::names::{
    FLOOR_FILE, Floor, Inventory, RESTORING, RESTORING_FILE, TEMP_REPAIR, segment_name,
};
use crate::journal::segments::open::lock;
use crate::journal::segments::scan::{self, Scan};
use crate::journal::segments::walk::{self, Damage, Segment};

/// The most folders of damaged files beside one journal.
const DAMAGED_FOLDERS_MAX: u32 = 1000;

/// What to do with the records after the first bad one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairMode {
    /// Remove them too: the remaining state existed at some time.
    Cut,
    /// Keep them: the remaining state never existed.
    Skip,
}

/// The result of a repair.
#[derive(Debug, Clone)]
pub struct Repaired {
    /// The folder with copies of the damaged files; `None` when there was nothing to repair.
    pub kept_in: Option<String>,
    /// What was wrong.
    pub damage: Vec<Damage>,
    /// The removed positions, as ranges from first to last. If a file could not be read at all, they may
    /// include positions that never existed. None of them is assigned again.
    pub lost: Vec<(u64, u64)>,
    /// Readable records that [`RepairMode::Cut`] removed.
    pub cut_records: u64,
    /// Unreadable snapshots that were moved to the folder of copies.
    pub snapshots_lost: Vec<String>,
}

/// Repairs the journal so that it can start. First copies every file that it changes into a folder
/// `damaged-<n>`.
///
/// An interrupted repair can be run again.
pub fn repair(disk: &Arc<dyn Disk>, mode: RepairMode) -> Result<Repaired, JournalError> {
    let mut medium = JournalMedium::new(Arc::clone(disk));
    let _lock = lock(&medium)?;
    let inventory = Inventory::take(&medium)?;
    if inventory.restoring {
        // It is unknown what is missing, and the backup still has everything.
        return Err(medium.corrupt(RESTORING_FILE, 0, RESTORING));
    }
    let mut scan = scan::scan(&medium, &inventory, true, &mut |_, _| {
        ControlFlow::Continue(())
    })?;
    let (snapshots, bad_snapshots) = read_snapshots(&medium, &inventory)?;
    scan.damage.extend(beyond(&scan, &snapshots));
    let mut done = Repaired {
        kept_in: None,
        damage: scan.damage.iter().chain(&bad_snapshots).cloned().collect(),
        lost: Vec::new(),
        cut_records: 0,
        snapshots_lost: bad_snapshots
            .into_iter()
            .map(|damage| damage.file)
            .collect(),
    };
    if done.damage.is_empty() {
        return Ok(done);
    }
    // A position that a record or a snapshot had is never assigned again.
    let lost_to = scan.damage.iter().map(|damage| damage.lost_to);
    let covered = snapshots
        .iter()
        .map(|snapshot| snapshot.position.0.saturating_add(1));
    let next = lost_to.chain(covered).chain([scan.next]).max().unwrap_or(1);
    done.kept_in = Some(keep(&mut medium, &inventory, &done.snapshots_lost)?);
    for name in inventory.temps.iter().chain(&done.snapshots_lost) {
        medium.remove(name)?;
    }
    if scan.id == 0 {
        scan.id = medium.disk.fresh_id().max(1);
    }
    let mut rebuild = Rebuild {
        medium: &mut medium,
        inventory: &inventory,
        scan: &scan,
        next,
        done: &mut done,
    };
    rebuild.all(mode)?;
    if inventory.damage.is_some() {
        // The beginning of the journal is unknown now; the snapshots show what was safe to trim.
        let unread = (!done.snapshots_lost.is_empty()).then_some(0);
        let covered = snapshots.iter().map(|snapshot| snapshot.position.0);
        let from = covered.chain(unread).min().unwrap_or(0) + 1;
        let to = inventory.floor.position;
        done.lost.extend((from < to).then(|| (from, to - 1)));
    }
    if inventory.damage.is_some() || !inventory.floor_exists {
        let floor = Floor {
            id: scan.id,
            generation: inventory.floor.generation + 1,
            ..inventory.floor
        };
        floor.create(&mut medium)?;
    }
    medium.sync_dir("")?;
    prove(&medium)?;
    Ok(done)
}

/// Copies all live segments, the floor and the bad snapshots to a new folder, durably.
fn keep(
    medium: &mut JournalMedium,
    inventory: &Inventory,
    snapshots: &[String],
) -> Result<String, JournalError> {
    let mut folder = String::new();
    for n in 1..=DAMAGED_FOLDERS_MAX {
        folder = format!("damaged-{n}");
        match medium.disk.create_dir(&folder) {
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists && n < DAMAGED_FOLDERS_MAX => {}
            other => {
                other.map_err(|e| medium.failed("create", &folder, e))?;
                break;
            }
        }
    }
    let floor = inventory.floor_exists.then(|| FLOOR_FILE.to_owned());
    let segments = inventory.live().iter().map(|(_, name)| name.clone());
    let mut bytes = Vec::new();
    for name in segments.chain(floor).chain(snapshots.iter().cloned()) {
        medium.load(&name, u64::MAX, &mut bytes)?;
        let copy = medium.create(&format!("{folder}/{name}"))?;
        medium.write(&copy, &bytes, 0)?;
        medium.sync(&copy)?;
    }
    medium.sync_dir(&folder)?;
    medium.sync_dir("")?;
    Ok(medium.disk.path(&folder))
}

struct Rebuild<'a> {
    medium: &'a mut JournalMedium,
    inventory: &'a Inventory,
    scan: &'a Scan,
    /// The position the next record will get.
    next: u64,
    done: &'a mut Repaired,
}

impl Rebuild<'_> {
    /// Rewrites each damaged or missing segment, with gaps for lost records. One segment at a time; each is
    /// complete before it replaces the old one.
    fn all(&mut self, mode: RepairMode) -> Result<(), JournalError> {
        let readable: BTreeMap<u64, &Segment> = self
            .scan
            .segments
            .iter()
            .map(|segment| (segment.number, segment))
            .collect();
        let lost = self
            .scan
            .damage
            .iter()
            .filter(|damage| damage.lost_to > damage.lost_from);
        let cut = lost
            .map(|damage| damage.lost_from)
            .min()
            .filter(|_| mode == RepairMode::Cut);
        let cut = cut.unwrap_or(u64::MAX);
        let begin = self.inventory.floor.number;
        let live: BTreeMap<u64, &String> = self
            .inventory
            .live()
            .iter()
            .map(|(n, name)| (*n, name))
            .collect();
        let end = live.keys().next_back().copied().unwrap_or(begin);
        let (mut position, mut is_cut) = (self.inventory.floor.position, false);
        for number in begin..=end {
            let old = readable.get(&number).copied();
            if is_cut {
                self.done.cut_records += old.map_or(Ok(0), |segment| self.count(segment))?;
                live.get(&number)
                    .map_or(Ok(()), |name| self.medium.remove(name))?;
                continue;
            }
            let later = readable
                .range(number + 1..)
                .next()
                .map(|(_, segment)| segment.first);
            let mut until = later.unwrap_or(self.next);
            if until > cut {
                // One gap replaces everything from here on.
                (until, is_cut) = (self.next, true);
            }
            if !old.is_some_and(|segment| self.intact(segment, position, until)) {
                self.segment(number, old, position, until, cut)?;
            }
            position = until;
        }
        Ok(())
    }

    fn intact(&self, segment: &Segment, first: u64, until: u64) -> bool {
        let damaged = self
            .scan
            .damage
            .iter()
            .any(|damage| damage.file == segment.name);
        !damaged && segment.first == first && segment.next == until
    }

    fn count(&self, segment: &Segment) -> Result<u64, JournalError> {
        let mut bytes = Vec::new();
        self.medium.load(&segment.name, u64::MAX, &mut bytes)?;
        let mut records = 0;
        walk::walk(segment, &bytes, Some(segment.next), &mut |_, _| {
            records += 1;
            ControlFlow::Continue(())
        });
        Ok(records)
    }

    /// Writes the segment `number` so that it covers every position from `first` to before `until`:
    /// with the frames that can be read and are before `cut`, and gaps.
    fn segment(
        &mut self,
        number: u64,
        old: Option<&Segment>,
        first: u64,
        until: u64,
        cut: u64,
    ) -> Result<(), JournalError> {
        let mut bytes = Vec::new();
        let mut offsets = Vec::new();
        if let Some(segment) = old {
            self.medium.load(&segment.name, u64::MAX, &mut bytes)?;
            walk::walk(segment, &bytes, Some(segment.next), &mut |frame, offset| {
                let kept = frame.sequence < cut;
                self.done.cut_records += u64::from(!kept);
                offsets.extend(kept.then_some(offset));
                ControlFlow::Continue(())
            });
        }
        let salt = old.map_or(0, |segment| segment.salt);
        let (mut frames, mut position) = (Vec::new(), first);
        for offset in offsets {
            let at = usize::try_from(offset).expect("it is within the file");
            let frame = frame_at(&bytes, at, salt).expect("the walk read it a moment ago");
            frames.extend(gap(position, frame.sequence));
            position = frame.sequence + frame.span();
            frames.push(SegmentFrame { index: 0, ..frame });
        }
        frames.extend(gap(position, until));
        let gaps = frames.iter().filter(|frame| frame.kind == FrameKind::Gap);
        self.done
            .lost
            .extend(gaps.map(|gap| (gap.sequence, gap.sequence + gap.span() - 1)));
        self.write(number, first, &frames, bytes.len())
    }

    fn write(
        &mut self,
        number: u64,
        first: u64,
        frames: &[SegmentFrame<'_>],
        length: usize,
    ) -> Result<(), JournalError> {
        let needed: usize = FRAMES_OFFSET + frames.iter().map(SegmentFrame::bytes).sum::<usize>();
        let length = length.max(needed);
        let header = SegmentHeader {
            id: self.scan.id,
            number,
            first,
            bytes: length as u64,
        };
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&header.encode());
        bytes.resize(FRAMES_OFFSET, 0);
        for frame in frames {
            frame.encode(header.salt(), &mut bytes);
        }
        bytes.resize(length, 0);
        let file = self.medium.create(TEMP_REPAIR)?;
        self.medium.write(&file, &bytes, 0)?;
        self.medium.sync(&file)?;
        self.medium.rename(TEMP_REPAIR, &segment_name(number))?;
        self.medium.sync_dir("")
    }
}

/// A frame that stands for the positions from `from` to before `to`, if there are any.
fn gap<'a>(from: u64, to: u64) -> Option<SegmentFrame<'a>> {
    (from < to).then(|| SegmentFrame::gap(from, to - from))
}

/// Checks that a start would now accept the journal.
fn prove(medium: &JournalMedium) -> Result<(), JournalError> {
    let inventory = Inventory::take(medium)?;
    let scan = scan::scan(medium, &inventory, false, &mut |_, _| {
        ControlFlow::Continue(())
    })?;
    match scan.damage.first() {
        Some(damage) => Err(medium.corrupt(&damage.file, damage.offset, damage.what.clone())),
        None => Ok(()),
    }
}
