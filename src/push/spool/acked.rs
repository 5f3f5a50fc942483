//! Up to which record all were sent: a file of two slots, written in turn, so that a torn write hits one only.

use std::io;
use std::sync::Arc;

use crate::journal::disk::Disk;
use crate::journal::segments::format::{BLOCK_BYTES, seal, unseal};
use crate::push::backlog::Ticket;

const FILE: &str = "acked";
const MAGIC: [u8; 8] = *b"coordack";
/// The slots are this far apart: no block of a medium holds both.
const SLOT_BYTES: usize = 4096;

#[derive(Debug)]
pub(super) struct Acked {
    disk: Arc<dyn Disk>,
    /// Counts writes. The valid slot with the higher one counts.
    generation: u64,
    pub(super) written: Ticket,
}

impl Acked {
    /// Reads the file. Without a valid slot nothing counts as sent: records that come twice are harmless.
    pub(super) fn load(disk: Arc<dyn Disk>) -> io::Result<Self> {
        let mut bytes = Vec::new();
        match disk.open_read(FILE) {
            Ok(file) => {
                let length = usize::try_from(file.bytes()?).unwrap_or(usize::MAX);
                bytes.resize(length.min(2 * SLOT_BYTES), 0);
                file.read_at(&mut bytes, 0)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let slots = bytes.chunks(SLOT_BYTES);
        let valid = slots.filter_map(|slot| unseal(MAGIC, slot).ok());
        let newest = valid.max_by_key(|[generation, ..]| *generation);
        let [generation, ticket, ..] = newest.unwrap_or_default();
        Ok(Self {
            disk,
            generation,
            written: Ticket(ticket),
        })
    }

    /// Makes the ticket durable. Returns the bytes written.
    pub(super) fn write(&mut self, ticket: Ticket) -> io::Result<u64> {
        let generation = self.generation + 1;
        let block = seal(MAGIC, [generation, ticket.0, 0, 0, 0, 0]);
        let at = generation % 2 * SLOT_BYTES as u64;
        match self.disk.open(FILE) {
            Ok(file) => {
                file.write_at(&block, at)?;
                file.sync_data()?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = self.disk.create(FILE)?;
                file.write_at(&block, at)?;
                file.sync_data()?;
                self.disk.sync_dir("")?;
            }
            Err(error) => return Err(error),
        }
        (self.generation, self.written) = (generation, ticket);
        Ok(BLOCK_BYTES as u64)
    }
}
