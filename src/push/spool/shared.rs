//! One spool with two handles: the sender takes records from it, the loop around the sender does what is due.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Spool, SpoolStatus};
use crate::push::backlog::{Backlog, Kept, Moment, Ticket};

/// A handle of a spool. Clones are the same spool; a call waits until another is done.
#[derive(Debug, Clone)]
pub struct SharedSpool(Arc<Mutex<Spool>>);

impl SharedSpool {
    pub fn new(spool: Spool) -> Self {
        Self(Arc::new(Mutex::new(spool)))
    }

    /// Does what is due: see [`Spool::settle`] and [`Spool::give_way`].
    pub fn settle(&self, now: Moment, storage_full: bool) {
        let mut spool = self.lock();
        spool.give_way(storage_full);
        spool.settle(now);
    }

    /// Makes everything durable.
    pub fn close(&self) {
        self.lock().close();
    }

    pub fn status(&self) -> SpoolStatus {
        self.lock().status()
    }

    fn lock(&self) -> MutexGuard<'_, Spool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backlog for SharedSpool {
    fn push(&mut self, record: &[u8], now: Moment) -> Kept {
        self.lock().push(record, now)
    }

    fn oldest(&mut self) -> Option<(Ticket, Vec<u8>)> {
        self.lock().oldest()
    }

    fn done(&mut self, ticket: Ticket) {
        self.lock().done(ticket);
    }

    fn len(&self) -> u64 {
        self.lock().len()
    }

    fn bytes(&self) -> u64 {
        self.lock().bytes()
    }
}
