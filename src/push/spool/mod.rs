//! The backlog of push: records that the receiver has not taken yet, in memory first and then on disk.
//!
//! # When something is written
//!
//! A record stays in memory: in that of the sender, or in that of the spool where nobody else keeps it
//! ([`SpoolOptions::at_once`]). It goes to disk when it is 10 s old and not sent, when more than two wait, and at
//! the end of the process. So a box with a good link writes nothing to flash. On disk, the records are in a
//! journal of their own (`state_dir/push`), with one write and one sync for each move to it. Up to which record all
//! were sent is written at most every 10 s, and at the end. So after a crash the records of up to 10 s come twice;
//! the receiver already has them, and ignores or refuses them.
//!
//! # What is lost
//!
//! | what happens | lost |
//! |---|---|
//! | the process is killed, or the power goes | what is in memory: records younger than 10 s |
//! | `bytes_max` is reached | the oldest segment (256 KiB) |
//! | one write or sync fails | nothing: the folder is opened again, which repeats the last write |
//! | it fails again, or the folder is damaged | all on disk: the folder becomes `push.bad`, memory serves alone |
//! | the disk of the main journal is full | all on disk but the newest, which fit into memory ([`Spool::give_way`]) |
//!
//! Nothing of this ends the process. Dropped records are always the oldest ones, and they are counted.
//!
//! # Threads
//!
//! A spool reads and writes files, so no thread that serves agents may open or call it. `app/push` has a thread of its
//! own: the sender has one handle of a [`SharedSpool`], and the loop around it another, for what is due by time.

use crate::journal::JournalError;
use crate::journal::segments::medium::is_full;
use crate::push::backlog::{Backlog, Kept, Moment, Ticket};
use folder::folder_failed;
use stored::Stored;

mod acked;
mod folder;
mod memory;
mod shared;
mod shelf;
mod status;
mod stored;

pub use memory::MemoryBacklog;
pub use shared::SharedSpool;
pub use shelf::{Shelf, StateShelf};
pub use status::{SpoolOptions, SpoolState, SpoolStatus};

/// The pause between two notes of how far the records were sent.
const ACKED_EVERY_MS: u64 = 10_000;
/// The pause after the disk had no space.
const FULL_PAUSE_MS: u64 = 60_000;

/// A backlog in memory and on disk.
#[derive(Debug)]
pub struct Spool {
    options: SpoolOptions,
    shelf: Box<dyn Shelf>,
    /// The newest records.
    memory: MemoryBacklog,
    /// The folder, once it is needed.
    stored: Option<Stored>,
    /// The highest ticket that is done.
    done: Ticket,
    failed: Option<String>,
    gives_way: bool,
    full_until: Moment,
    acked_at: Moment,
    dropped: u64,
    dropped_told: u64,
    failures: u64,
    /// Bytes written to journals that are closed.
    written_before: u64,
}

impl Spool {
    /// Opens what an earlier run left. Where there is nothing, nothing is written.
    pub fn open(shelf: Box<dyn Shelf>, options: SpoolOptions) -> Self {
        let mut spool = Self {
            memory: MemoryBacklog::new(options.memory_bytes_max),
            options,
            shelf,
            stored: None,
            done: Ticket(0),
            failed: None,
            gives_way: false,
            full_until: 0,
            acked_at: 0,
            dropped: 0,
            dropped_told: 0,
            failures: 0,
            written_before: 0,
        };
        if let Err(error) = spool.open_existing() {
            spool.recover(&error, true);
        }
        spool.number_on();
        spool
    }

    /// Does what is due at this time: moves old records to disk, and notes how far records were sent. See
    /// [`Spool::wake_at`].
    pub fn settle(&mut self, now: Moment) {
        let waiting = &self.memory.waiting;
        let surplus = waiting
            .len()
            .saturating_sub(self.options.memory_records_max);
        let patience_ms = self.options.patience_ms;
        let is_due =
            |(at, w): &(usize, &memory::Waiting)| *at < surplus || w.since + patience_ms <= now;
        let due = waiting.iter().enumerate().take_while(is_due).last();
        if let Some(ticket) = due.map(|(_, waiting)| waiting.ticket) {
            self.move_to_disk(ticket, now);
        }
        while self.memory.is_over() {
            self.shed(now);
        }
        if now >= self.acked_at.saturating_add(ACKED_EVERY_MS) {
            self.acked_at = now;
            self.note_acked();
        }
    }

    /// When [`Spool::settle`] has something to do, if nothing else happens before.
    pub fn wake_at(&self) -> Option<Moment> {
        let oldest = self.memory.waiting.front().filter(|_| self.may_write());
        let oldest = oldest.map(|waiting| {
            self.full_until
                .max(waiting.since + self.options.patience_ms)
        });
        let acked = self.stored.as_ref().filter(|stored| stored.acked_is_old());
        let acked = acked.map(|_| self.acked_at + ACKED_EVERY_MS);
        [oldest, acked].into_iter().flatten().min()
    }

    /// Makes everything durable. The records of a process that ends are sent by the next one.
    pub fn close(&mut self) {
        let last = self.memory.waiting.back().map(|waiting| waiting.ticket);
        if let Some(last) = last {
            self.full_until = 0;
            self.move_to_disk(last, 0);
        }
        self.note_acked();
        self.let_go();
    }

    /// While the disk is too full for the main journal, nothing is kept there: the folder is deleted, and the newest
    /// records stay in memory. The app says when that begins and ends; it knows from `Core::storage_full`. Calling it
    /// again with the same answer costs nothing.
    pub fn give_way(&mut self, storage_full: bool) {
        if storage_full && !self.gives_way {
            self.clear(true);
        }
        self.gives_way = storage_full;
    }

    pub fn status(&self) -> SpoolStatus {
        let stored = self.stored.as_ref();
        let disk_records = stored.map_or(0, Stored::len);
        let state = match &self.failed {
            Some(reason) => SpoolState::Failed {
                reason: reason.clone(),
            },
            None if disk_records > 0 => SpoolState::Disk,
            None => SpoolState::Memory,
        };
        SpoolStatus {
            state,
            records: self.len(),
            bytes: self.bytes(),
            disk_records,
            disk_bytes: stored.map_or(0, Stored::disk_bytes),
            written_bytes: self.written_before + stored.map_or(0, Stored::written_bytes),
            dropped: self.dropped,
            failures: self.failures,
        }
    }

    fn may_write(&self) -> bool {
        self.failed.is_none() && !self.gives_way
    }

    /// Moves the records up to this ticket from memory to disk, as far as there is space.
    fn move_to_disk(&mut self, ticket: Ticket, now: Moment) {
        for first_try in [true, false] {
            if !self.may_write() || now < self.full_until {
                return;
            }
            match self.append(ticket) {
                Ok(()) => return self.memory.done(ticket),
                Err(error) if is_no_space(&error) => {
                    self.full_until = now.saturating_add(FULL_PAUSE_MS);
                    return;
                }
                Err(error) => self.recover(&error, first_try),
            }
        }
    }

    fn append(&mut self, ticket: Ticket) -> Result<(), JournalError> {
        if self.stored.is_none() {
            let disk = self.shelf.create().map_err(folder_failed)?;
            self.stored = Some(Stored::open(disk, &self.options, self.done)?);
            self.number_on();
        }
        // Room for a segment more than there is now: the append may begin one.
        let wanted_bytes = self.options.segments.segment_bytes;
        let most = self.options.bytes_max.saturating_sub(wanted_bytes);
        while self
            .stored
            .as_ref()
            .is_some_and(|stored| stored.disk_bytes() > most)
        {
            if !self.drop_segment()? {
                break;
            }
        }
        while let Some(stored) = &mut self.stored {
            let waiting = self.memory.waiting.iter();
            match stored.append(waiting.take_while(|waiting| waiting.ticket <= ticket)) {
                Err(error) if is_no_space(&error) => {
                    if !self.drop_segment()? {
                        return Err(JournalError::Full { wanted_bytes });
                    }
                }
                other => return other,
            }
        }
        Ok(())
    }

    /// Drops the records of the oldest segment. `false`: it is the only one.
    fn drop_segment(&mut self) -> Result<bool, JournalError> {
        let Some(stored) = &mut self.stored else {
            return Ok(false);
        };
        let Some((count, last)) = stored.oldest_segment() else {
            return Ok(false);
        };
        // Counted before anything can fail: from now on they do not come back.
        self.dropped += count;
        self.done = self.done.max(last);
        stored.done(last)?;
        Ok(true)
    }

    /// Drops the oldest records while memory holds too many, because they cannot go to disk.
    fn shed(&mut self, now: Moment) {
        if self.stored.as_ref().is_some_and(|stored| stored.len() > 0) {
            // The oldest are on a full disk. Without them there may be space.
            self.clear(false);
            self.full_until = 0;
            if let Some(last) = self.memory.waiting.back().map(|waiting| waiting.ticket) {
                self.move_to_disk(last, now);
            }
            return;
        }
        self.memory.drop_oldest();
        self.dropped += 1;
    }

    fn note_acked(&mut self) {
        for first_try in [true, false] {
            // After a failed sync the file reads as if it were written, so it is written again.
            let due = |stored: &&mut Stored| stored.acked_is_old() || !first_try;
            let Some(stored) = self.stored.as_mut().filter(due) else {
                return;
            };
            match stored.write_acked() {
                Ok(()) => return,
                Err(error) => self.recover(&error, first_try),
            }
        }
    }
}

impl Backlog for Spool {
    fn push(&mut self, record: &[u8], now: Moment) -> Kept {
        if record.len() > self.options.segments.record_bytes_max {
            self.dropped += 1;
        } else {
            self.memory.add(record, now);
        }
        self.settle(now);
        let dropped = self.dropped - self.dropped_told;
        self.dropped_told = self.dropped;
        Kept { dropped }
    }

    fn oldest(&mut self) -> Option<(Ticket, Vec<u8>)> {
        for first_try in [true, false] {
            match self.stored.as_mut().map(Stored::oldest) {
                Some(Ok(None)) | None => break,
                Some(Ok(found)) => return found,
                Some(Err(error)) => self.recover(&error, first_try),
            }
        }
        self.memory.oldest()
    }

    fn done(&mut self, ticket: Ticket) {
        self.done = self.done.max(ticket);
        for first_try in [true, false] {
            match self.stored.as_mut().map(|stored| stored.done(ticket)) {
                Some(Ok(())) | None => break,
                Some(Err(error)) => self.recover(&error, first_try),
            }
        }
        self.memory.done(ticket);
    }

    fn len(&self) -> u64 {
        self.memory.len() + self.stored.as_ref().map_or(0, Stored::len)
    }

    fn bytes(&self) -> u64 {
        self.memory.bytes() + self.stored.as_ref().map_or(0, |stored| stored.bytes)
    }
}

fn is_no_space(error: &JournalError) -> bool {
    matches!(error, JournalError::Full { .. }) || is_full(error)
}
