//! Records in memory: the newest ones of a spool, or a whole backlog.

use std::collections::VecDeque;

use crate::push::backlog::{Backlog, Kept, Moment, Ticket};

/// A record in memory.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) ticket: Ticket,
    pub(super) since: Moment,
    pub(super) record: Vec<u8>,
}

/// A backlog that a restart loses.
#[derive(Debug)]
pub struct MemoryBacklog {
    pub(super) waiting: VecDeque<Waiting>,
    bytes: u64,
    bytes_max: u64,
    pub(super) ticket_next: u64,
}

impl MemoryBacklog {
    pub fn new(bytes_max: u64) -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes: 0,
            bytes_max,
            ticket_next: 1,
        }
    }

    /// Puts a record behind all others, whatever the bound.
    pub(super) fn add(&mut self, record: &[u8], now: Moment) {
        self.bytes += record.len() as u64;
        self.waiting.push_back(Waiting {
            ticket: Ticket(self.ticket_next),
            since: now,
            record: record.to_vec(),
        });
        self.ticket_next += 1;
    }

    /// Puts a record before all others. Its ticket is lower than theirs.
    pub(super) fn add_oldest(&mut self, waiting: Waiting) {
        self.bytes += waiting.record.len() as u64;
        self.waiting.push_front(waiting);
    }

    pub(super) fn is_over(&self) -> bool {
        self.bytes > self.bytes_max
    }

    pub(super) fn has_room_for(&self, bytes: u64) -> bool {
        self.bytes + bytes <= self.bytes_max
    }

    pub(super) fn drop_oldest(&mut self) {
        if let Some(waiting) = self.waiting.pop_front() {
            self.bytes -= waiting.record.len() as u64;
        }
    }
}

impl Backlog for MemoryBacklog {
    fn push(&mut self, record: &[u8], now: Moment) -> Kept {
        let mut kept = Kept { dropped: 0 };
        self.add(record, now);
        while self.is_over() {
            self.drop_oldest();
            kept.dropped += 1;
        }
        kept
    }

    fn oldest(&mut self) -> Option<(Ticket, Vec<u8>)> {
        let waiting = self.waiting.front()?;
        Some((waiting.ticket, waiting.record.clone()))
    }

    fn done(&mut self, ticket: Ticket) {
        while self.waiting.front().is_some_and(|w| w.ticket <= ticket) {
            self.drop_oldest();
        }
    }

    fn len(&self) -> u64 {
        self.waiting.len() as u64
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}
