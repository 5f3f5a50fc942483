//! Spare segments: prepared in advance and filled with zeros, or left over from a trim.
//!
//! They are also the reserve. A file filled with zeros has all its blocks, so writing records into it needs
//! no space and no metadata.

use std::sync::LazyLock;

use super::SegmentOptions;
use super::medium::{JournalMedium, NamedFile, is_full};
use super::names::{Inventory, TEMP_SPARE, spare_name};
use crate::journal::JournalError;

/// Bytes of zeros written and synced in one step: about the cost of two commits.
const STEP_BYTES: usize = 256 << 10;
/// Made on first use, so that the program does not carry them.
static ZEROS: LazyLock<Vec<u8>> = LazyLock::new(|| vec![0; STEP_BYTES]);

#[derive(Debug, Clone)]
pub(super) struct Spare {
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// The result of a step of preparation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PoolStep {
    /// One step done, more are needed.
    More,
    /// The reserve is complete.
    Complete,
    /// The medium is full.
    NoRoom,
}

#[derive(Debug)]
pub(super) struct SparePool {
    pub(super) ready: Vec<Spare>,
    /// The file that is being filled, and how far.
    building: Option<(NamedFile, u64)>,
    number_next: u64,
    /// The length of the next file made. Starts small, so that a first start is quick, and doubles.
    pub(super) bytes_next: u64,
}

impl SparePool {
    /// Reuses the spares of an earlier run. Those that are too small for a record are deleted.
    pub(super) fn open(
        medium: &JournalMedium,
        inventory: &Inventory,
        options: &SegmentOptions,
    ) -> Result<Self, JournalError> {
        let mut pool = Self {
            ready: Vec::new(),
            building: None,
            number_next: 1,
            bytes_next: options.first_bytes(),
        };
        for (number, name) in &inventory.spares {
            pool.number_next = number.saturating_add(1);
            let bytes = medium.load(name, 0, &mut Vec::new())?;
            if bytes >= options.first_bytes() {
                pool.ready.push(Spare {
                    name: name.clone(),
                    bytes,
                });
            } else {
                medium.remove(name)?;
            }
        }
        Ok(pool)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.ready.iter().map(|spare| spare.bytes).sum()
    }

    /// Bytes used on disk, including the unfinished file.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.bytes() + self.building.as_ref().map_or(0, |(_, filled)| *filled)
    }

    /// Does one step of preparing one more spare.
    pub(super) fn step(
        &mut self,
        medium: &mut JournalMedium,
        options: &SegmentOptions,
    ) -> Result<PoolStep, JournalError> {
        match self.fill(medium, options) {
            Ok(()) => {
                let complete = self.bytes() >= options.reserve_bytes && !self.ready.is_empty();
                Ok(if complete {
                    PoolStep::Complete
                } else {
                    PoolStep::More
                })
            }
            Err(error) if is_full(&error) => {
                // The unfinished file is deleted: a snapshot may need the space, and frees far more.
                if self.building.take().is_some() {
                    medium.remove(TEMP_SPARE)?;
                }
                Ok(PoolStep::NoRoom)
            }
            Err(error) => Err(error),
        }
    }

    fn fill(
        &mut self,
        medium: &mut JournalMedium,
        options: &SegmentOptions,
    ) -> Result<(), JournalError> {
        let (file, filled) = match self.building.take() {
            Some(building) => building,
            None => (medium.create(TEMP_SPARE)?, 0),
        };
        let missing = usize::try_from(self.bytes_next - filled).unwrap_or(usize::MAX);
        let zeros = &ZEROS[..missing.min(STEP_BYTES)];
        let (file, filled) = self.building.insert((file, filled));
        medium.write(file, zeros, *filled)?;
        medium.sync(file)?;
        *filled += zeros.len() as u64;
        if *filled == self.bytes_next {
            self.building = None;
            let spare = Spare {
                name: spare_name(self.number_next),
                bytes: self.bytes_next,
            };
            // Not synced: if the name of a spare is lost, the spare is simply made again.
            medium.rename(TEMP_SPARE, &spare.name)?;
            self.added(spare, options);
        }
        Ok(())
    }

    fn added(&mut self, spare: Spare, options: &SegmentOptions) {
        self.number_next += 1;
        self.bytes_next = (spare.bytes * 2).clamp(options.first_bytes(), options.segment_bytes);
        self.ready.push(spare);
    }

    /// Makes one more spare now. `false` when the disk is full.
    pub(super) fn make(
        &mut self,
        medium: &mut JournalMedium,
        options: &SegmentOptions,
    ) -> Result<bool, JournalError> {
        let before = self.ready.len();
        while self.ready.len() == before {
            if self.step(medium, options)? == PoolStep::NoRoom {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes a file without live records: keeps it as a spare, or deletes it.
    pub(super) fn recycle(
        &mut self,
        medium: &JournalMedium,
        name: &str,
        bytes: u64,
        options: &SegmentOptions,
    ) -> Result<(), JournalError> {
        let reserved = self.bytes() >= options.reserve_bytes && !self.ready.is_empty();
        let plenty =
            self.ready.len() >= options.spare_segments_max || bytes < options.segment_bytes;
        if (reserved && plenty) || bytes < options.first_bytes() {
            return medium.remove(name);
        }
        let spare = spare_name(self.number_next);
        medium.rename(name, &spare)?;
        self.number_next += 1;
        self.ready.push(Spare { name: spare, bytes });
        Ok(())
    }
}
