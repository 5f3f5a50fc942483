//! The records on disk: a journal of segments, which of its records wait, and how far they were sent.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::SpoolOptions;
use super::acked::Acked;
use super::memory::Waiting;
use crate::engine::ids::{JournalTime, Position, ProjectName};
use crate::journal::disk::Disk;
use crate::journal::segments::medium::is_full;
use crate::journal::{Entry, Journal, JournalError, Record, SegmentJournal};
use crate::planted::{Bug, is_on};
use crate::push::backlog::Ticket;

/// The name that the frames of the journal bear; nothing reads it.
const PROJECT: &str = "push";
/// At most so many bytes of records are read ahead, or one record. Each reading checks a whole segment.
const READ_AHEAD_BYTES_MAX: usize = 64 << 10;

/// A spool's folder, open.
#[derive(Debug)]
pub(super) struct Stored {
    journal: SegmentJournal,
    acked: Acked,
    /// The ticket and the bytes of each record that waits. Their positions have no gap.
    waiting: VecDeque<(Ticket, u32)>,
    /// The position of the first of them.
    first: u64,
    pub(super) bytes: u64,
    /// The records of the first of them, already read.
    read_ahead: VecDeque<Vec<u8>>,
    acked_bytes: u64,
    /// The highest ticket that was sent.
    sent: Ticket,
}

impl Stored {
    /// Opens what is there, or begins a journal. Records up to `sent` do not wait any more.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        options: &SpoolOptions,
        sent: Ticket,
    ) -> Result<Self, JournalError> {
        let acked = Acked::load(Arc::clone(&disk)).map_err(|source| failed("read", source))?;
        let (journal, _) = SegmentJournal::open(disk, options.segments.clone())?;
        let mut stored = Self {
            journal,
            sent: sent.max(acked.written),
            acked,
            waiting: VecDeque::new(),
            first: 0,
            bytes: 0,
            read_ahead: VecDeque::new(),
            acked_bytes: 0,
        };
        stored.take_stock()?;
        Ok(stored)
    }

    /// Lists the records that wait.
    fn take_stock(&mut self) -> Result<(), JournalError> {
        let (mut last, mut flaw) = (Ticket(0), None);
        let (waiting, first, bytes) = (&mut self.waiting, &mut self.first, &mut self.bytes);
        let sent = self.sent;
        self.journal.read(Position(0), &mut |record: Record| {
            let ticket = Ticket(record.at_ms.0);
            let expected = *first + waiting.len() as u64;
            if ticket <= last || (!waiting.is_empty() && record.position.0 != expected) {
                flaw = Some(record.position.0);
                return ControlFlow::Break(());
            }
            last = ticket;
            if ticket > sent {
                if waiting.is_empty() {
                    *first = record.position.0;
                }
                let length = u32::try_from(record.body.len()).unwrap_or(u32::MAX);
                waiting.push_back((ticket, length));
                *bytes += u64::from(length);
            }
            ControlFlow::Continue(())
        })?;
        match flaw {
            None => Ok(()),
            Some(position) => Err(misplaced(position)),
        }
    }

    /// Makes records durable, behind all others, with one write and one sync for each segment.
    pub(super) fn append<'a>(
        &mut self,
        records: impl Iterator<Item = &'a Waiting>,
    ) -> Result<(), JournalError> {
        let project: ProjectName = PROJECT.parse().expect("it is a slug");
        let entry = |waiting: &Waiting| Entry {
            project: project.clone(),
            at_ms: JournalTime(waiting.ticket.0),
            body: waiting.record.clone(),
        };
        let mut entries: Vec<Entry> = records.map(entry).collect();
        if is_on(Bug::NewestSpooledFirst) {
            entries.reverse();
        }
        let positions = self.journal.append(&entries)?;
        for (entry, position) in entries.iter().zip(positions) {
            if self.waiting.is_empty() {
                self.first = position.0;
            }
            let length = u32::try_from(entry.body.len()).unwrap_or(u32::MAX);
            self.waiting.push_back((Ticket(entry.at_ms.0), length));
            self.bytes += u64::from(length);
        }
        Ok(())
    }

    /// The oldest record.
    pub(super) fn oldest(&mut self) -> Result<Option<(Ticket, Vec<u8>)>, JournalError> {
        let Some((ticket, _)) = self.waiting.front().copied() else {
            return Ok(None);
        };
        if self.read_ahead.is_empty() {
            let (mut bytes, ahead) = (0, &mut self.read_ahead);
            let before = Position(self.first - 1);
            self.journal.read(before, &mut |record| {
                bytes += record.body.len();
                if ahead.is_empty() || bytes <= READ_AHEAD_BYTES_MAX {
                    ahead.push_back(record.body);
                    return ControlFlow::Continue(());
                }
                ControlFlow::Break(())
            })?;
        }
        match self.read_ahead.front() {
            Some(record) => Ok(Some((ticket, record.clone()))),
            None => Err(misplaced(self.first)),
        }
    }

    /// Forgets records up to this one, and gives back the segments that hold no others.
    pub(super) fn done(&mut self, ticket: Ticket) -> Result<(), JournalError> {
        while let Some((front, bytes)) = self.waiting.front().copied() {
            if front > ticket {
                break;
            }
            self.sent = front;
            if is_on(Bug::AckPassesUnsent) {
                self.sent = self.last();
            }
            self.waiting.pop_front();
            self.read_ahead.pop_front();
            self.first += 1;
            self.bytes -= u64::from(bytes);
        }
        let nothing_waits = self.waiting.is_empty();
        let floor = Position(if nothing_waits { u64::MAX } else { self.first });
        match self.journal.second_segment() {
            Some(second) if second <= floor => self.journal.trim(floor),
            _ => Ok(()),
        }
    }

    /// How many records that wait are in the oldest segment, and the last of them; `None`: it is the only one.
    pub(super) fn oldest_segment(&self) -> Option<(u64, Ticket)> {
        let second = self.journal.second_segment()?;
        let count = second.0.saturating_sub(self.first).min(self.len());
        let last = count.checked_sub(1).map(|last| self.ticket(last));
        Some((count, last.unwrap_or(self.sent)))
    }

    /// The ticket of one of the records that wait, by its place among them.
    pub(super) fn ticket(&self, place: u64) -> Ticket {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let found = self.waiting.get(place);
        found.map_or(self.sent, |(ticket, _)| *ticket)
    }

    /// Makes durable how far the records were sent.
    pub(super) fn write_acked(&mut self) -> Result<(), JournalError> {
        match self.acked.write(self.sent) {
            Ok(bytes) => self.acked_bytes += bytes,
            Err(source) => {
                let error = failed("write", source);
                // A full disk: the records come twice after a restart, which is harmless.
                if !is_full(&error) {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    pub(super) fn acked_is_old(&self) -> bool {
        self.sent > self.acked.written
    }

    pub(super) fn sent_to(&self) -> Ticket {
        self.sent
    }

    pub(super) fn len(&self) -> u64 {
        self.waiting.len() as u64
    }

    /// The newest ticket that is known.
    pub(super) fn last(&self) -> Ticket {
        let newest = self.waiting.back().map(|(ticket, _)| *ticket);
        newest.unwrap_or(self.sent)
    }

    pub(super) fn disk_bytes(&self) -> u64 {
        self.journal.status().disk_bytes
    }

    pub(super) fn written_bytes(&self) -> u64 {
        self.journal.status().written_bytes + self.acked_bytes
    }

    /// The newest records that together have at most so many bytes, the newest one first.
    pub(super) fn newest(
        &mut self,
        bytes_max: u64,
    ) -> Result<Vec<(Ticket, Vec<u8>)>, JournalError> {
        let (mut bytes, mut count) = (0, 0);
        for (_, length) in self.waiting.iter().rev() {
            bytes += u64::from(*length);
            if bytes > bytes_max {
                break;
            }
            count += 1;
        }
        let mut found = Vec::with_capacity(count);
        if count > 0 {
            let before = self.first + self.len() - count as u64 - 1;
            self.journal.read(Position(before), &mut |record| {
                found.push((Ticket(record.at_ms.0), record.body));
                ControlFlow::Continue(())
            })?;
            found.reverse();
        }
        Ok(found)
    }
}

fn failed(action: &'static str, source: io::Error) -> JournalError {
    JournalError::Io {
        action,
        path: "the acknowledged position of the backlog".into(),
        source,
    }
}

fn misplaced(position: u64) -> JournalError {
    JournalError::Corrupt {
        path: "the backlog".into(),
        offset: 0,
        what: format!("record {position} is not in its place"),
    }
}
