//! A backlog that outlives its process, as far as it was synced.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use cli_coordinator::push::backlog::{Backlog, Kept, Moment, Ticket};

#[derive(Debug, Default)]
pub(crate) struct Disk {
    records: VecDeque<(u64, Vec<u8>)>,
    next: u64,
    /// Records up to here are done; forgotten at a power cut.
    done: u64,
    done_synced: u64,
    bytes_max: u64,
    /// How many it dropped for want of room.
    pub(crate) dropped: u64,
}

/// What the sender has of it.
#[derive(Debug, Clone)]
pub(crate) struct SharedDisk(Arc<Mutex<Disk>>);

impl SharedDisk {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let disk = Disk {
            next: 1,
            bytes_max,
            ..Disk::default()
        };
        Self(Arc::new(Mutex::new(disk)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }
}

impl Disk {
    /// The newest records are lost, and so is what was done of late.
    pub(crate) fn cut(&mut self, records: usize) {
        for _ in 0..records {
            self.records.pop_back();
        }
        self.done = self.done_synced;
    }

    pub(crate) fn sync(&mut self) {
        self.done_synced = self.done;
        self.records
            .retain(|(ticket, _)| *ticket > self.done_synced);
    }

    pub(crate) fn waiting(&self) -> impl Iterator<Item = &(u64, Vec<u8>)> {
        self.records
            .iter()
            .filter(|(ticket, _)| *ticket > self.done)
    }
}

impl Backlog for SharedDisk {
    fn push(&mut self, record: &[u8], _: Moment) -> Kept {
        let mut disk = self.lock();
        let ticket = disk.next;
        disk.next += 1;
        disk.records.push_back((ticket, record.to_vec()));
        let mut dropped = 0;
        while disk
            .waiting()
            .map(|(_, record)| record.len() as u64)
            .sum::<u64>()
            > disk.bytes_max
        {
            let Some(oldest) = disk.waiting().next().map(|(ticket, _)| *ticket) else {
                break;
            };
            disk.done = oldest;
            dropped += 1;
        }
        disk.dropped += dropped;
        disk.sync();
        Kept { dropped }
    }

    fn oldest(&mut self) -> Option<(Ticket, Vec<u8>)> {
        let disk = self.lock();
        let oldest = disk.waiting().next();
        oldest.map(|(ticket, record)| (Ticket(*ticket), record.clone()))
    }

    fn done(&mut self, ticket: Ticket) {
        let mut disk = self.lock();
        disk.done = disk.done.max(ticket.0);
        if ticket.0.is_multiple_of(4) {
            disk.sync();
        }
    }

    fn len(&self) -> u64 {
        self.lock().waiting().count() as u64
    }

    fn bytes(&self) -> u64 {
        let disk = self.lock();
        disk.waiting().map(|(_, record)| record.len() as u64).sum()
    }
}
