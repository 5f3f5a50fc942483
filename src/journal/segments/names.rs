//! The files of the journal, and the floor: where the journal begins.

use super::format::{BLOCK_BYTES, FLOOR_MAGIC, FORMAT, Flaw, SegmentHeader, seal, unseal};
use super::medium::{JournalMedium, NamedFile};
use super::walk::Damage;
use crate::engine::ids::ProjectName;
use crate::journal::JournalError;

pub(crate) const LOCK_FILE: &str = "journal.lock";
pub(crate) const FLOOR_FILE: &str = "floor";
/// Exists while a restore runs; a journal with it is incomplete.
pub(crate) const RESTORING_FILE: &str = "restoring";
/// The error for a journal with that file.
pub(crate) const RESTORING: &str = "a restore did not finish; empty the folder and restore again";
pub(crate) const TEMP_SNAPSHOT: &str = "tmp-snapshot";
pub(crate) const TEMP_SPARE: &str = "tmp-spare";
pub(crate) const TEMP_REPAIR: &str = "tmp-repair";
const TEMP_FLOOR: &str = "tmp-floor";
const TEMPS: [&str; 4] = [TEMP_SNAPSHOT, TEMP_SPARE, TEMP_REPAIR, TEMP_FLOOR];
const SEGMENT_PREFIX: &str = "segment-";
const SPARE_PREFIX: &str = "spare-";
const SNAPSHOT_PREFIX: &str = "snapshot-";
/// The two slots of the floor file lie this far apart, so that a torn write hits only one.
const SLOT_BYTES: u64 = 4096;

pub(crate) fn segment_name(number: u64) -> String {
    format!("{SEGMENT_PREFIX}{number:010}")
}

pub(crate) fn spare_name(number: u64) -> String {
    format!("{SPARE_PREFIX}{number:010}")
}

pub(crate) fn snapshot_name(project: &ProjectName) -> String {
    format!("{SNAPSHOT_PREFIX}{project}")
}

/// The number in one of our names; a file with any other spelling is not ours.
fn numbered(name: &str, prefix: &str, spell: fn(u64) -> String) -> Option<u64> {
    let number = name.strip_prefix(prefix)?.parse().ok()?;
    (spell(number) == name).then_some(number)
}

/// The first live segment. Written before older ones are deleted, to distinguish a missing file from a
/// trimmed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Floor {
    pub(crate) id: u64,
    /// Counts writes; the newer of the two slots counts.
    pub(crate) generation: u64,
    /// The position of the first record of the first live segment.
    pub(crate) position: u64,
    /// The number of the first live segment.
    pub(crate) number: u64,
}

impl Floor {
    /// The floor of a journal that was never trimmed.
    pub(crate) const START: Self = Self {
        id: 0,
        generation: 0,
        position: 1,
        number: 1,
    };

    /// Creates the file. Its length never changes, so a trim works on a full disk too.
    pub(crate) fn create(&self, medium: &mut JournalMedium) -> Result<(), JournalError> {
        let file = medium.create(TEMP_FLOOR)?;
        let mut bytes = vec![0; usize::try_from(2 * SLOT_BYTES).expect("two slots fit in memory")];
        let at = usize::try_from(self.slot()).expect("two slots fit in memory");
        bytes[at..at + BLOCK_BYTES].copy_from_slice(&self.encode());
        medium.write(&file, &bytes, 0)?;
        medium.sync(&file)?;
        medium.rename(TEMP_FLOOR, FLOOR_FILE)?;
        medium.sync_dir("")
    }

    /// Overwrites the older slot, durably.
    pub(crate) fn write(&self, medium: &mut JournalMedium) -> Result<(), JournalError> {
        let file: NamedFile = medium.open(FLOOR_FILE)?;
        medium.write(&file, &self.encode(), self.slot())?;
        medium.sync(&file)
    }

    fn slot(&self) -> u64 {
        self.generation % 2 * SLOT_BYTES
    }

    fn encode(&self) -> [u8; BLOCK_BYTES] {
        seal(
            FLOOR_MAGIC,
            [self.id, self.generation, self.position, self.number, 0, 0],
        )
    }

    /// Reads the newer of the valid slots; `None` when neither is.
    fn read(medium: &JournalMedium) -> Result<Option<Self>, JournalError> {
        let mut bytes = Vec::new();
        medium.load(FLOOR_FILE, 2 * SLOT_BYTES, &mut bytes)?;
        let mut best: Option<Self> = None;
        for slot in bytes.chunks(usize::try_from(SLOT_BYTES).expect("a slot fits in memory")) {
            match unseal(FLOOR_MAGIC, slot) {
                Ok([id, generation, position, number, ..]) => {
                    let floor = Self {
                        id,
                        generation,
                        position,
                        number,
                    };
                    best = best.filter(|b| b.generation > generation).or(Some(floor));
                }
                Err(Flaw::Newer(found)) => {
                    let path = medium.disk.path(FLOOR_FILE);
                    return Err(JournalError::NewerFormat {
                        path,
                        found,
                        known: FORMAT,
                    });
                }
                Err(Flaw::Damaged) => {}
            }
        }
        Ok(best)
    }
}

/// The files of the journal, by purpose. Others are not touched.
#[derive(Debug)]
pub(crate) struct Inventory {
    /// In the order of their numbers, including those before the floor.
    segments: Vec<(u64, String)>,
    pub(crate) spares: Vec<(u64, String)>,
    pub(crate) snapshots: Vec<String>,
    pub(crate) temps: Vec<String>,
    pub(crate) floor: Floor,
    pub(crate) floor_exists: bool,
    pub(crate) restoring: bool,
    /// Set when the floor is unknown; `floor` is then the first segment's position.
    pub(crate) damage: Option<Damage>,
}

impl Inventory {
    pub(crate) fn take(medium: &JournalMedium) -> Result<Self, JournalError> {
        let mut names = medium.list()?;
        names.sort_unstable();
        let mut inventory = Self {
            segments: Vec::new(),
            spares: Vec::new(),
            snapshots: Vec::new(),
            temps: Vec::new(),
            floor: Floor::START,
            floor_exists: false,
            restoring: false,
            damage: None,
        };
        for name in names {
            if let Some(number) = numbered(&name, SEGMENT_PREFIX, segment_name) {
                inventory.segments.push((number, name));
            } else if let Some(number) = numbered(&name, SPARE_PREFIX, spare_name) {
                inventory.spares.push((number, name));
            } else if TEMPS.contains(&name.as_str()) {
                inventory.temps.push(name);
            } else if name
                .strip_prefix(SNAPSHOT_PREFIX)
                .is_some_and(|p| p.parse::<ProjectName>().is_ok())
            {
                inventory.snapshots.push(name);
            } else {
                inventory.floor_exists |= name == FLOOR_FILE;
                inventory.restoring |= name == RESTORING_FILE;
            }
        }
        inventory.segments.sort_unstable();
        inventory.find_floor(medium)?;
        Ok(inventory)
    }

    /// There is no journal here: a first start, or an interrupted one.
    pub(crate) fn is_new(&self) -> bool {
        self.segments.is_empty()
            && self.snapshots.is_empty()
            && !self.floor_exists
            && !self.restoring
    }

    /// The segments whose records count.
    pub(crate) fn live(&self) -> &[(u64, String)] {
        let first = self
            .segments
            .partition_point(|(number, _)| *number < self.floor.number);
        &self.segments[first..]
    }

    /// The segments that an interrupted trim was deleting.
    pub(crate) fn dead(&self) -> &[(u64, String)] {
        let first = self
            .segments
            .partition_point(|(number, _)| *number < self.floor.number);
        &self.segments[..first]
    }

    fn find_floor(&mut self, medium: &JournalMedium) -> Result<(), JournalError> {
        let found = if self.floor_exists {
            Floor::read(medium)?
        } else {
            Some(Floor::START)
        };
        let first = self.segments.first().map(|(number, _)| *number);
        let what = match (found, first) {
            (None, _) => "neither of the two slots is valid".to_owned(),
            (Some(_), None) if !self.is_new() => {
                "all segments of this journal are missing".to_owned()
            }
            (Some(floor), Some(first)) if first > floor.number && !self.floor_exists => {
                format!("it is missing, and so is every segment before {first}")
            }
            (Some(floor), _) => {
                self.floor = floor;
                if self.is_new() || !self.live().is_empty() {
                    return Ok(());
                }
                format!("segment {}, the first one, is missing", floor.number)
            }
        };
        // The first segment's position is the best guess; only a repair uses it.
        if let Some((number, name)) = self
            .segments
            .first()
            .filter(|_| self.live().is_empty() || !self.floor_exists || found.is_none())
        {
            let mut block = Vec::new();
            medium.load(name, BLOCK_BYTES as u64, &mut block)?;
            let header = SegmentHeader::decode(&block).ok();
            self.floor.number = *number;
            self.floor.position = header.map_or(1, |header| header.first);
        }
        self.damage = Some(Damage {
            file: FLOOR_FILE.into(),
            offset: 0,
            what,
            lost_from: self.floor.position,
            lost_to: self.floor.position,
        });
        Ok(())
    }
}
