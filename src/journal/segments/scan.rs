//! Reads everything on disk: the records, and their damage. It writes nothing, so recovery, inspection and
//! repair use the same code.

use super::format::{
    FORMAT, FRAMES_OFFSET, Flaw, FrameKind, HEAD_BYTES, Head, SegmentHeader, u32_at,
};
use super::medium::JournalMedium;
use super::names::Inventory;
use super::walk::{DAMAGE_MAX, Damage, FrameVisitor, Segment, walk};
use crate::journal::JournalError;

/// The readable content of the disk.
#[derive(Debug)]
pub(crate) struct Scan {
    /// The journal's own number; 0 when no segment could be read.
    pub(crate) id: u64,
    pub(crate) segments: Vec<Segment>,
    pub(crate) records: u64,
    /// The position the next record gets.
    pub(crate) next: u64,
    /// Bytes that a torn write left after the end of the last segment.
    pub(crate) torn_bytes: u64,
    /// In the order of positions.
    pub(crate) damage: Vec<Damage>,
}

/// Reads all live segments. Unless `all`, it stops at the first damage.
pub(crate) fn scan(
    medium: &JournalMedium,
    inventory: &Inventory,
    all: bool,
    visit: &mut FrameVisitor<'_>,
) -> Result<Scan, JournalError> {
    let mut scan = Scan {
        id: inventory.floor.id,
        segments: Vec::new(),
        records: 0,
        next: inventory.floor.position,
        torn_bytes: 0,
        damage: inventory.damage.iter().cloned().collect(),
    };
    let mut starts = Vec::new();
    for (number, name) in inventory.live() {
        starts.push(SegmentStart::read(medium, *number, name)?);
    }
    if scan.id == 0 {
        scan.id = starts
            .iter()
            .map(|start| start.id)
            .find(|id| *id != 0)
            .unwrap_or(0);
    }
    let mut number_next = inventory.floor.number;
    let mut buffer = Vec::new();
    for (index, start) in starts.iter().enumerate() {
        if !all && !scan.damage.is_empty() {
            break;
        }
        let missing = (start.number != number_next).then_some(number_next);
        number_next = start.number.saturating_add(1);
        if !scan.enter(start, missing) {
            continue;
        }
        medium.load(&start.name, u64::MAX, &mut buffer)?;
        let mut segment = Segment {
            name: start.name.clone(),
            number: start.number,
            salt: start.salt,
            first: scan.next,
            next: scan.next,
            end: FRAMES_OFFSET as u64,
            bytes: buffer.len() as u64,
        };
        let limit = starts
            .get(index + 1)
            .map(|next| next.first)
            .filter(|first| *first >= segment.first);
        let found = walk(&segment, &buffer, limit, &mut |frame, offset| {
            scan.records += u64::from(frame.kind == FrameKind::Record);
            visit(frame, offset)
        });
        (segment.next, segment.end) = (found.next, found.end as u64);
        scan.next = found.next;
        scan.damage.extend(found.damage);
        scan.torn_bytes = (found.torn_to - found.end) as u64;
        if index + 1 == starts.len() {
            scan.cut_off(start, &segment);
        }
        scan.segments.push(segment);
    }
    Ok(scan)
}

impl Scan {
    /// If the last segment lost its end, it is unknown how many records were in it.
    fn cut_off(&mut self, start: &SegmentStart, last: &Segment) {
        let room = start.bytes_due.saturating_sub(last.end) / HEAD_BYTES as u64;
        if start.bytes_due > start.bytes {
            self.damage.push(Damage {
                file: start.name.clone(),
                offset: last.end,
                what: format!(
                    "the file ends early, so the records from {} on may be lost",
                    last.next
                ),
                lost_from: last.next,
                lost_to: last.next.saturating_add(room),
            });
        }
    }

    /// Checks the beginning of a segment; `false` when nothing in it can be read.
    fn enter(&mut self, start: &SegmentStart, missing: Option<u64>) -> bool {
        let foreign = start.id != 0 && start.id != self.id;
        let mut lost_to = start.first.max(self.next);
        let what = match (&start.flaw, missing) {
            (Some(flaw), _) => flaw.clone(),
            _ if foreign => "the segment belongs to another journal".to_owned(),
            (None, Some(number)) => format!("segment {number} is missing before this one"),
            _ if start.first == self.next => return true,
            _ => format!(
                "the segment begins with record {}, expected {}",
                start.first, self.next
            ),
        };
        let readable = start.first >= self.next && start.salt_known && !foreign;
        if !readable {
            // It is unknown how many records were in it: assume as many as fit.
            lost_to = self.next.saturating_add(start.bytes / HEAD_BYTES as u64);
        }
        if self.damage.len() < DAMAGE_MAX {
            let (file, lost_from) = (start.name.clone(), self.next);
            self.damage.push(Damage {
                file,
                offset: 0,
                what,
                lost_from,
                lost_to,
            });
        }
        if readable {
            self.next = lost_to;
        }
        readable
    }
}

/// The beginning of a segment file.
struct SegmentStart {
    name: String,
    number: u64,
    id: u64,
    first: u64,
    salt: u32,
    salt_known: bool,
    bytes: u64,
    /// How long the header says that the file is.
    bytes_due: u64,
    flaw: Option<String>,
}

impl SegmentStart {
    fn read(medium: &JournalMedium, number: u64, name: &str) -> Result<Self, JournalError> {
        let mut buffer = Vec::new();
        let bytes = medium.load(name, (FRAMES_OFFSET + HEAD_BYTES) as u64, &mut buffer)?;
        let mut start = Self {
            name: name.into(),
            number,
            id: 0,
            first: 0,
            salt: 0,
            salt_known: false,
            bytes,
            bytes_due: 0,
            flaw: None,
        };
        match SegmentHeader::decode(&buffer) {
            Ok(header) => {
                (start.id, start.first, start.bytes_due) = (header.id, header.first, header.bytes);
                (start.salt, start.salt_known) = (header.salt(), true);
                if header.number != number {
                    start.flaw = Some(format!("the header is that of segment {}", header.number));
                    start.salt_known = false;
                } else if header.bytes != bytes {
                    start.flaw = Some(format!(
                        "the file has {bytes} bytes, but its header says {}",
                        header.bytes
                    ));
                }
            }
            Err(Flaw::Newer(found)) => {
                let path = medium.disk.path(name);
                return Err(JournalError::NewerFormat {
                    path,
                    found,
                    known: FORMAT,
                });
            }
            Err(Flaw::Damaged) => start.guess(&buffer),
        }
        Ok(start)
    }

    /// Without a header, the first frame still contains the salt, and its checksum proves it.
    fn guess(&mut self, buffer: &[u8]) {
        self.flaw = Some("the segment header does not match its checksum".into());
        let Some(word) = buffer.get(FRAMES_OFFSET..FRAMES_OFFSET + 4) else {
            return;
        };
        let salt = u32_at(word, 0);
        if let Some(head) = Head::at(buffer, FRAMES_OFFSET, salt) {
            (self.first, self.salt, self.salt_known) = (head.sequence, salt, true);
        }
    }
}
