//! Where records wait: on disk, or in memory where there is no disk for them.

use std::collections::VecDeque;

/// Monotonic milliseconds of this run.
pub type Moment = u64;

/// Which record of a backlog; it grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What became of a record that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// How many older ones made room for it; itself too, if it was too large.
    pub dropped: u64,
}

/// Records that wait until the receiver takes them, oldest first.
pub trait Backlog {
    /// Keeps a record. Makes room by dropping the oldest, and says how many.
    fn push(&mut self, record: &[u8], now: Moment) -> Kept;
    /// The oldest record, if there is one.
    fn oldest(&mut self) -> Option<(Ticket, Vec<u8>)>;
    /// Forgets all records up to this one, which was sent or dropped.
    fn done(&mut self, ticket: Ticket);
    fn len(&self) -> u64;
    fn bytes(&self) -> u64;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A backlog without a disk: what it has ends with the process.
#[derive(Debug)]
pub struct MemoryBacklog {
    records: VecDeque<Vec<u8>>,
    bytes: u64,
    bytes_max: u64,
    /// The ticket of the oldest record.
    first: u64,
}

impl MemoryBacklog {
    pub fn new(bytes_max: u64) -> Self {
        Self {
            records: VecDeque::new(),
            bytes: 0,
            bytes_max,
            first: 0,
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(record) = self.records.pop_front() {
            self.bytes -= record.len() as u64;
            self.first += 1;
        }
    }
}

impl Backlog for MemoryBacklog {
    fn push(&mut self, record: &[u8], _: Moment) -> Kept {
        self.bytes += record.len() as u64;
        self.records.push_back(record.to_vec());
        let mut dropped = 0;
        while self.bytes > self.bytes_max {
            self.drop_oldest();
            dropped += 1;
        }
        Kept { dropped }
    }

    fn oldest(&mut self) -> Option<(Ticket, Vec<u8>)> {
        let record = self.records.front()?;
        Some((Ticket(self.first), record.clone()))
    }

    fn done(&mut self, ticket: Ticket) {
        while self.first <= ticket.0 && !self.records.is_empty() {
            self.drop_oldest();
        }
    }

    fn len(&self) -> u64 {
        self.records.len() as u64
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}
