//! Opening the folder of a spool, and what happens when that or anything else fails.

use std::io;

use super::Spool;
use super::acked::Acked;
use super::memory::Waiting;
use super::stored::Stored;
use crate::causes::one_line;
use crate::journal::JournalError;
use crate::planted::{Bug, is_on};
use crate::push::backlog::{Backlog, Ticket};

impl Spool {
    pub(super) fn open_existing(&mut self) -> Result<(), JournalError> {
        let Some(disk) = self.shelf.existing().map_err(folder_failed)? else {
            return Ok(());
        };
        // Read even without a journal: a later one must not begin with tickets that count as sent.
        let acked = Acked::load(disk.clone()).map_err(folder_failed)?;
        self.done = self.done.max(acked.written);
        let names = disk.list().map_err(folder_failed)?;
        if names.iter().any(|name| name.starts_with("segment-")) {
            self.stored = Some(Stored::open(disk, &self.options, self.done)?);
        }
        Ok(())
    }

    /// Tickets go on after those that are known, and what is on disk is not in memory too.
    pub(super) fn number_on(&mut self) {
        if let Some(stored) = &self.stored {
            let last = stored.last();
            self.done = self.done.max(stored.sent_to());
            self.memory.done(last);
            self.number_after(last);
        }
        self.number_after(self.done);
    }

    fn number_after(&mut self, last: Ticket) {
        if !is_on(Bug::TicketsBeginAgain) {
            self.memory.ticket_next = self.memory.ticket_next.max(last.0 + 1);
        }
    }

    /// After a failure the folder is opened again, as a restart would do. If it fails again, or is damaged, it is set
    /// aside.
    pub(super) fn recover(&mut self, error: &JournalError, try_again: bool) {
        self.failures += 1;
        let waiting = self.stored.as_ref().map_or(0, Stored::len);
        self.let_go();
        if try_again {
            match self.open_existing() {
                Ok(()) => {
                    let found = self.stored.as_ref().map_or(0, Stored::len);
                    self.number_on();
                    self.dropped += waiting.saturating_sub(found);
                    return;
                }
                Err(again) => return self.fail(&again, waiting),
            }
        }
        self.fail(error, waiting);
    }

    fn fail(&mut self, error: &JournalError, lost: u64) {
        self.let_go();
        self.dropped += lost;
        let mut reason = one_line(error);
        // The folder of another process is left alone.
        if !matches!(error, JournalError::InUse { .. })
            && let Err(error) = self.shelf.set_aside()
        {
            reason = format!("{reason}; cannot set it aside: {error}");
        }
        tracing::warn!(%reason, "what push keeps is in memory only until the next start");
        self.failed = Some(reason);
    }

    /// Deletes the folder. If told to, it keeps the newest records that fit into memory.
    pub(super) fn clear(&mut self, keeps: bool) {
        if let Some(stored) = &mut self.stored {
            let before = stored.len();
            let mut kept = 0;
            let bytes_max = if keeps {
                self.options.memory_bytes_max
            } else {
                0
            };
            let newest = stored.newest(bytes_max);
            for (ticket, record) in newest.unwrap_or_default() {
                if !self.memory.has_room_for(record.len() as u64) {
                    break;
                }
                kept += 1;
                self.memory.add_oldest(Waiting {
                    ticket,
                    since: 0,
                    record,
                });
            }
            self.dropped += before - kept;
            if let Some(last) = (before - kept).checked_sub(1) {
                self.done = self.done.max(stored.ticket(last));
            }
        }
        self.let_go();
        // What is left is found at the next start, and set aside if it is not whole.
        self.failures += u64::from(self.shelf.clear().is_err());
    }

    pub(super) fn let_go(&mut self) {
        if let Some(stored) = self.stored.take() {
            self.written_before += stored.written_bytes();
        }
    }
}

pub(super) fn folder_failed(source: io::Error) -> JournalError {
    JournalError::Io {
        action: "use",
        path: "the folder of the backlog".into(),
        source,
    }
}
