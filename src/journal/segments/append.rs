//! Appending: one write and one sync for each batch, into preallocated blocks.

use super::format::{FRAMES_OFFSET, FrameKind, SegmentFrame, SegmentHeader, frame_bytes};
use super::medium::{JournalMedium, NamedFile};
use super::pool::Spare;
use super::walk::Segment;
use super::{SegmentJournal, names};
use crate::engine::ids::Position;
use crate::journal::{Entry, JournalError, Space};
use crate::planted::{Bug, is_on};

/// After this many appended bytes, or an eighth of a segment, one step of preparing a spare is done.
const PREPARE_EVERY_BYTES: u64 = 64 << 10;
/// The capacity that the encoding buffer keeps after a large batch.
const BUFFER_KEPT_BYTES_MAX: usize = 256 << 10;

/// The part of a batch that goes into one segment.
struct AppendPart {
    entries: usize,
    bytes: u64,
}

impl SegmentJournal {
    pub(super) fn append_batch(
        &mut self,
        entries: &[Entry],
    ) -> Result<Vec<Position>, JournalError> {
        let max = self.options.record_bytes_max;
        if let Some(entry) = entries.iter().find(|entry| entry.body.len() > max) {
            return Err(JournalError::RecordTooLarge {
                bytes: entry.body.len(),
                max,
            });
        }
        let parts = self.plan(entries)?;
        let first = self.next();
        let mut rest = entries;
        for (index, part) in parts.iter().enumerate() {
            // Each part is durable before the next one starts, so a crash leaves a prefix.
            if index > 0 {
                self.roll()?;
            }
            let (now, later) = rest.split_at(part.entries);
            self.write_part(now)?;
            rest = later;
        }
        // An empty batch on a full disk checks whether there is space again.
        let asked = entries.is_empty() && self.space == Space::Reserve;
        if asked || self.unprepared_bytes >= PREPARE_EVERY_BYTES.min(self.options.segment_bytes / 8)
        {
            self.unprepared_bytes = 0;
            // The batch is durable even if this fails; a broken disk fails the next call.
            let mut step = self.prepare_step();
            while asked && matches!(step, Ok(true)) {
                step = self.prepare_step();
            }
            if let Err(JournalError::Io { .. }) = step {
                self.poisoned = true;
            }
        }
        Ok((first..self.next()).map(Position).collect())
    }

    /// Divides a batch over the free space, and makes more space if needed. If the space is not enough,
    /// nothing is written. The first part may be empty.
    fn plan(&mut self, entries: &[Entry]) -> Result<Vec<AppendPart>, JournalError> {
        let active = self
            .segments
            .last()
            .map_or(0, |segment| segment.bytes - segment.end);
        let mut parts = vec![AppendPart {
            entries: 0,
            bytes: 0,
        }];
        let mut room = active;
        for entry in entries {
            let bytes = frame_bytes(entry.project.as_str().len(), entry.body.len()) as u64;
            let mut part = parts.len() - 1;
            if parts[part].bytes + bytes > room {
                let out_of_spares = part == self.pool.ready.len();
                if out_of_spares && !self.pool.make(&mut self.medium, &self.options)? {
                    self.space = Space::Reserve;
                    return Err(JournalError::Full {
                        wanted_bytes: bytes,
                    });
                }
                room = self.pool.ready[part].bytes - FRAMES_OFFSET as u64;
                parts.push(AppendPart {
                    entries: 0,
                    bytes: 0,
                });
                part += 1;
            }
            parts[part].entries += 1;
            parts[part].bytes += bytes;
        }
        Ok(parts)
    }

    fn write_part(&mut self, entries: &[Entry]) -> Result<(), JournalError> {
        let Some(segment) = self.segments.last_mut().filter(|_| !entries.is_empty()) else {
            return Ok(());
        };
        self.buffer.clear();
        let mut sequence = segment.next;
        for (entry, index) in entries.iter().zip(0..) {
            let frame = SegmentFrame {
                kind: FrameKind::Record,
                sequence,
                at_ms: entry.at_ms.0,
                index,
                project: entry.project.as_str().as_bytes(),
                body: &entry.body,
            };
            frame.encode(segment.salt, &mut self.buffer);
            self.ledger
                .note(&entry.project, Position(sequence), frame.bytes() as u64);
            sequence += 1;
        }
        self.medium.write(&self.active, &self.buffer, segment.end)?;
        if !is_on(Bug::SkipSync) {
            self.medium.sync(&self.active)?;
        }
        let bytes = self.buffer.len() as u64;
        (segment.next, segment.end) = (sequence, segment.end + bytes);
        self.unprepared_bytes += bytes;
        self.buffer.shrink_to(BUFFER_KEPT_BYTES_MAX);
        Ok(())
    }

    /// Skips `lost` positions, whose records a repair or a restore does not have.
    pub(crate) fn append_gap(&mut self, lost: u64) -> Result<(), JournalError> {
        let Some(segment) = self.segments.last().filter(|_| lost > 0) else {
            return Ok(());
        };
        let frame = SegmentFrame::gap(segment.next, lost);
        if segment.bytes - segment.end < frame.bytes() as u64 {
            if self.pool.ready.is_empty() && !self.pool.make(&mut self.medium, &self.options)? {
                return Err(JournalError::Full {
                    wanted_bytes: frame.bytes() as u64,
                });
            }
            self.roll()?;
        }
        let Some(segment) = self.segments.last_mut() else {
            return Ok(());
        };
        let mut bytes = Vec::new();
        frame.encode(segment.salt, &mut bytes);
        self.medium.write(&self.active, &bytes, segment.end)?;
        self.medium.sync(&self.active)?;
        segment.next += lost;
        segment.end += bytes.len() as u64;
        Ok(())
    }

    /// Continues in the first spare, whose bytes must all be durable already.
    fn roll(&mut self) -> Result<(), JournalError> {
        let spare = self.pool.ready.remove(0);
        let last = self.segments.last().map_or(0, |segment| segment.number);
        let first = self.next();
        let durable = !is_on(Bug::SkipRenameSync);
        let (active, segment) = activate(
            &mut self.medium,
            &spare,
            self.floor.id,
            last + 1,
            first,
            durable,
        )?;
        self.active = active;
        self.segments.push(segment);
        Ok(())
    }
}

/// Turns a spare into the segment `number`. Its header is durable before it bears the name of a
/// segment, and its name before the first frame: a header is never torn, frames never nameless.
pub(super) fn activate(
    medium: &mut JournalMedium,
    spare: &Spare,
    id: u64,
    number: u64,
    first: u64,
    durable: bool,
) -> Result<(NamedFile, Segment), JournalError> {
    let header = SegmentHeader {
        id,
        number,
        first,
        bytes: spare.bytes,
    };
    let mut active = medium.open(&spare.name)?;
    medium.write(&active, &header.encode(), 0)?;
    medium.sync(&active)?;
    active.name = names::segment_name(number);
    medium.rename(&spare.name, &active.name)?;
    if durable {
        medium.sync_dir("")?;
    }
    let end = FRAMES_OFFSET as u64;
    let (name, salt) = (active.name.clone(), header.salt());
    Ok((
        active,
        Segment {
            name,
            number,
            salt,
            first,
            next: first,
            end,
            bytes: spare.bytes,
        },
    ))
}
