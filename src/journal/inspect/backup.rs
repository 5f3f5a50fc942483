//! Backups: a journal in one file, with snapshots and records, and an end that proves it is complete.
//!
//! A block (see [`crate::journal::segments`]) with the magic `coordbak`, then frames with the
//! block's CRC32C as their salt: kind 2, a snapshot each (sequence: its position); kind 0, a record
//! each, in order; kind 3, the end: `at_ms` counts the frames before it, the body is the CRC32C of
//! all bytes before it, in 8 bytes. Nothing follows.

use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use crc32c::crc32c_append;

use crate::engine::ids::{JournalTime, Position};
use crate::journal::disk::{Disk, LockGuard};
use crate::journal::segments::NameCache;
use crate::journal::segments::format::{
    BACKUP_MAGIC, BLOCK_BYTES, FORMAT, Flaw, FrameKind, HEAD_BYTES, Head, SegmentFrame, salt_of,
    seal, unseal,
};
use crate::journal::segments::medium::{FILE_BYTES_MAX, JournalMedium};
use crate::journal::segments::names::{Inventory, RESTORING_FILE};
use crate::journal::segments::open::lock;
use crate::journal::{Entry, Journal, JournalError, SegmentJournal, SegmentOptions, Snapshot};

/// The file's name in errors: only the caller knows the real one.
const BACKUP: &str = "the backup";
/// Records restored with one sync.
const RESTORE_BATCH_BYTES: usize = 1 << 20;

/// Writes the whole journal to `out`; returns how many records. The caller makes `out` durable.
///
/// Nothing is appended meanwhile, so the backup is consistent.
pub fn backup(journal: &mut dyn Journal, out: &mut dyn Write) -> Result<u64, JournalError> {
    let block = seal(BACKUP_MAGIC, [0; 6]);
    let mut writer = Writer {
        out,
        salt: salt_of(&block),
        crc: 0,
        frames: 0,
        buffer: block.to_vec(),
    };
    writer.flush().map_err(unwritten)?;
    for snapshot in journal.load_snapshots()? {
        let frame = SegmentFrame {
            kind: FrameKind::Snapshot,
            sequence: snapshot.position.0,
            at_ms: 0,
            index: 0,
            project: snapshot.project.as_str().as_bytes(),
            body: &snapshot.state,
        };
        writer.frame(&frame).map_err(unwritten)?;
    }
    let snapshots = writer.frames;
    let mut failed = None;
    journal.read(Position(0), &mut |record| {
        let frame = SegmentFrame {
            kind: FrameKind::Record,
            sequence: record.position.0,
            at_ms: record.at_ms.0,
            index: 0,
            project: record.project.as_str().as_bytes(),
            body: &record.body,
        };
        failed = writer.frame(&frame).err();
        if failed.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    if let Some(error) = failed {
        return Err(unwritten(error));
    }
    let records = writer.frames - snapshots;
    writer.end().map_err(unwritten)?;
    Ok(records)
}

fn unwritten(source: io::Error) -> JournalError {
    JournalError::Io {
        action: "write",
        path: BACKUP.into(),
        source,
    }
}

fn unread(source: io::Error) -> JournalError {
    JournalError::Io {
        action: "read",
        path: BACKUP.into(),
        source,
    }
}

struct Writer<'a> {
    out: &'a mut dyn Write,
    salt: u32,
    crc: u32,
    frames: u64,
    buffer: Vec<u8>,
}

impl Writer<'_> {
    fn frame(&mut self, frame: &SegmentFrame<'_>) -> io::Result<()> {
        self.buffer.clear();
        frame.encode(self.salt, &mut self.buffer);
        self.frames += 1;
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.crc = crc32c_append(self.crc, &self.buffer);
        self.out.write_all(&self.buffer)
    }

    fn end(mut self) -> io::Result<()> {
        // Eight bytes need no padding, which no checksum would cover.
        let crc = u64::from(self.crc).to_le_bytes();
        let (sequence, at_ms) = (0, self.frames);
        self.frame(&SegmentFrame {
            kind: FrameKind::End,
            sequence,
            at_ms,
            index: 0,
            project: b"",
            body: &crc,
        })?;
        self.out.flush()
    }
}

/// The result of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    pub snapshots: u64,
    pub records: u64,
    /// The position of the newest record; the next one gets a higher one.
    pub last: Position,
}

/// Fills an empty folder from a backup; all of it is durable when this returns. A backup that is
/// damaged or cut short is refused, and the folder is empty again.
pub fn restore(
    disk: &Arc<dyn Disk>,
    options: SegmentOptions,
    input: &mut dyn Read,
) -> Result<Restored, JournalError> {
    let mut medium = JournalMedium::new(Arc::clone(disk));
    let guard = lock(&medium)?;
    if !Inventory::take(&medium)?.is_new() {
        let why = io::Error::new(
            io::ErrorKind::DirectoryNotEmpty,
            "it already contains a journal",
        );
        return Err(medium.failed("restore into", "", why));
    }
    let marker = medium.create(RESTORING_FILE)?;
    medium.sync(&marker)?;
    medium.sync_dir("")?;
    let result = fill(disk, options, guard, input);
    if result.is_err() {
        sweep(&medium)?;
    }
    // A start accepts the journal only without the marker.
    medium.remove(RESTORING_FILE)?;
    medium.sync_dir("")?;
    result
}

/// Removes what a failed restore left, so that it can be repeated.
fn sweep(medium: &JournalMedium) -> Result<(), JournalError> {
    for name in medium.list()? {
        if ["segment-", "spare-", "snapshot-", "tmp-", "floor"]
            .iter()
            .any(|part| name.starts_with(part))
        {
            medium.remove(&name)?;
        }
    }
    Ok(())
}

fn fill(
    disk: &Arc<dyn Disk>,
    options: SegmentOptions,
    guard: Box<dyn LockGuard>,
    input: &mut dyn Read,
) -> Result<Restored, JournalError> {
    let mut reader = BackupReader::begin(input)?;
    let mut snapshots = Vec::new();
    let mut target = RestoreTarget {
        disk,
        unused: Some((options, guard)),
        journal: None,
        batch: Vec::new(),
        batch_bytes: 0,
        records: 0,
    };
    let mut names = NameCache::default();
    let mut buffer = Vec::new();
    loop {
        let offset = reader.offset;
        let frame = reader.frame(&mut buffer)?;
        if frame.kind == FrameKind::End {
            break;
        }
        let project = names
            .parse(frame.project)
            .ok_or_else(|| damaged(offset, "a frame has an invalid project name"))?;
        let project = project.clone();
        match frame.kind {
            FrameKind::Snapshot if target.journal.is_none() => {
                let (position, state) = (Position(frame.sequence), frame.body.to_vec());
                snapshots.push(Snapshot {
                    project,
                    position,
                    state,
                });
            }
            FrameKind::Record => {
                let entry = Entry {
                    project,
                    at_ms: JournalTime(frame.at_ms),
                    body: frame.body.to_vec(),
                };
                target.record(frame.sequence, entry, offset)?;
            }
            _ => {
                return Err(damaged(
                    offset,
                    "a frame of a kind that is not allowed here",
                ));
            }
        }
    }
    target.finish(&snapshots)
}

fn damaged(offset: u64, what: &str) -> JournalError {
    JournalError::Corrupt {
        path: BACKUP.into(),
        offset,
        what: what.into(),
    }
}

/// The journal that is being filled.
struct RestoreTarget<'a> {
    disk: &'a Arc<dyn Disk>,
    /// What is needed to create the journal when its first position is known.
    unused: Option<(SegmentOptions, Box<dyn LockGuard>)>,
    journal: Option<SegmentJournal>,
    batch: Vec<Entry>,
    batch_bytes: usize,
    records: u64,
}

impl RestoreTarget<'_> {
    fn journal(&mut self, first: u64) -> Result<&mut SegmentJournal, JournalError> {
        if let Some((options, guard)) = self.unused.take() {
            let medium = JournalMedium::new(Arc::clone(self.disk));
            self.journal = Some(SegmentJournal::begin(medium, options, guard, first)?.0);
        }
        Ok(self
            .journal
            .as_mut()
            .expect("it was made when the options were taken"))
    }

    fn record(&mut self, position: u64, entry: Entry, offset: u64) -> Result<(), JournalError> {
        let batched = self.batch.len() as u64;
        let next = self.journal(position.max(1))?.next() + batched;
        if position < next {
            return Err(damaged(offset, "its records are out of order"));
        }
        if position > next {
            self.flush()?;
            self.journal(position)?.append_gap(position - next)?;
        }
        self.batch_bytes += entry.body.len();
        self.batch.push(entry);
        self.records += 1;
        if self.batch_bytes >= RESTORE_BATCH_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), JournalError> {
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        self.journal(1)?.append(&batch).map(drop)
    }

    fn finish(mut self, snapshots: &[Snapshot]) -> Result<Restored, JournalError> {
        let covered = snapshots
            .iter()
            .map(|snapshot| snapshot.position.0)
            .max()
            .unwrap_or(0);
        self.journal(covered + 1)?;
        self.flush()?;
        let records = self.records;
        let journal = self.journal(1)?;
        journal.append_gap((covered + 1).saturating_sub(journal.next()))?;
        for snapshot in snapshots {
            journal.save_snapshot(snapshot)?;
        }
        Ok(Restored {
            snapshots: snapshots.len() as u64,
            records,
            last: Position(journal.next() - 1),
        })
    }
}

struct BackupReader<'a> {
    input: &'a mut dyn Read,
    salt: u32,
    crc: u32,
    frames: u64,
    offset: u64,
}

impl<'a> BackupReader<'a> {
    fn begin(input: &'a mut dyn Read) -> Result<Self, JournalError> {
        let mut reader = Self {
            input,
            salt: 0,
            crc: 0,
            frames: 0,
            offset: 0,
        };
        let mut block = Vec::new();
        reader.take(BLOCK_BYTES, &mut block)?;
        match unseal(BACKUP_MAGIC, &block) {
            Ok(_) => {}
            Err(Flaw::Newer(found)) => {
                return Err(JournalError::NewerFormat {
                    path: BACKUP.into(),
                    found,
                    known: FORMAT,
                });
            }
            Err(Flaw::Damaged) => return Err(damaged(0, "it is not a backup")),
        }
        reader.salt = salt_of(&block);
        reader.crc = crc32c_append(0, &block);
        Ok(reader)
    }

    /// Reads `wanted` bytes behind what `buffer` holds.
    fn take(&mut self, wanted: usize, buffer: &mut Vec<u8>) -> Result<(), JournalError> {
        // The buffer grows with the data that is really there, so a wrong length cannot cause a large
        // allocation.
        let read = self.input.take(wanted as u64).read_to_end(buffer);
        let read = read.map_err(unread)?;
        self.offset += read as u64;
        if read < wanted {
            Err(damaged(self.offset, "it ends too early"))
        } else {
            Ok(())
        }
    }

    /// Reads the next frame; the last one is checked against all that came before.
    fn frame<'b>(&mut self, buffer: &'b mut Vec<u8>) -> Result<SegmentFrame<'b>, JournalError> {
        let offset = self.offset;
        buffer.clear();
        self.take(HEAD_BYTES, buffer)?;
        let head = Head::at(buffer, 0, self.salt);
        let head = head.filter(|head| head.body_bytes as u64 <= FILE_BYTES_MAX);
        let head = head.ok_or_else(|| damaged(offset, "no valid frame head"))?;
        self.take(head.frame_bytes() - HEAD_BYTES, buffer)?;
        let frame = head.frame(&buffer[HEAD_BYTES..]);
        let frame = frame.ok_or_else(|| damaged(offset, "a frame does not match its checksum"))?;
        let whole = frame.at_ms == self.frames && frame.body == u64::from(self.crc).to_le_bytes();
        if frame.kind == FrameKind::End && !whole {
            return Err(damaged(offset, "frames are missing before the end"));
        }
        if frame.kind == FrameKind::End && self.input.read(&mut [0]).map_err(unread)? > 0 {
            return Err(damaged(self.offset, "there is data after its end"));
        }
        self.crc = crc32c_append(self.crc, buffer);
        self.frames += 1;
        Ok(frame)
    }
}
