//! What the simulated disk holds: what programs see, what is durable, and what was written in between.

use std::collections::BTreeMap;
use std::io;

use super::{Fault, Rng};

/// What a medium writes whole or not at all, unless it is torn at a byte.
const SECTOR_BYTES: usize = 512;

#[derive(Debug)]
pub(super) struct SimDiskState {
    pub(super) rng: Rng,
    pub(super) inodes: Vec<Inode>,
    pub(super) names: BTreeMap<String, usize>,
    pub(super) durable_names: BTreeMap<String, usize>,
    /// Changes of names since the last sync of the folder; the changes of a rename stay together.
    pub(super) pending_names: Vec<Vec<NameChange>>,
    pub(super) locked: bool,
    pub(super) crashed: bool,
    pub(super) operations: u64,
    pub(super) faults: BTreeMap<u64, Fault>,
    pub(super) capacity_bytes: usize,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    /// What a program sees.
    pub(super) seen: Vec<u8>,
    /// What is on the medium for certain.
    pub(super) durable: Vec<u8>,
    /// Written since the last sync, in order.
    pub(super) pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug, Clone)]
pub(super) enum NameChange {
    Set(String, usize),
    Remove(String),
}

impl SimDiskState {
    /// Counts an operation and tells which fault it meets, if one that does not simply fail it.
    pub(super) fn begin(&mut self) -> io::Result<Option<Fault>> {
        if self.crashed {
            return Err(io::Error::other("the power is off"));
        }
        self.operations += 1;
        let fault = self.faults.get(&self.operations).copied();
        self.crashed = fault == Some(Fault::Crash);
        Ok(fault)
    }

    /// An operation on names, for which every fault is one of three.
    pub(super) fn begin_names(&mut self) -> io::Result<()> {
        match self.begin()? {
            None | Some(Fault::BitFlip) => Ok(()),
            Some(fault) => Err(fault.error()),
        }
    }

    pub(super) fn used_bytes(&self) -> usize {
        self.names
            .values()
            .map(|inode| self.inodes[*inode].seen.len())
            .sum()
    }

    pub(super) fn find(&self, name: &str) -> io::Result<usize> {
        self.names
            .get(name)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn change(&mut self, changes: Vec<NameChange>) {
        for change in &changes {
            change.apply(&mut self.names);
        }
        self.pending_names.push(changes);
    }
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Set(name, inode) => drop(names.insert(name.clone(), *inode)),
            Self::Remove(name) => drop(names.remove(name)),
        }
    }
}

/// Brings any part of a write to the medium.
pub(super) fn tear(rng: &mut Rng, bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    match rng.below(4) {
        0 => {}
        1 => overwrite(bytes, offset, data),
        2 => overwrite(bytes, offset, &data[..rng.below(data.len() + 1)]),
        _ => {
            let mut at = 0;
            while at < data.len() {
                // Sectors of the medium, not of the write.
                let end = (at + SECTOR_BYTES - (offset + at) % SECTOR_BYTES).min(data.len());
                if rng.one_in(2) {
                    overwrite(bytes, offset + at, &data[at..end]);
                }
                at = end;
            }
        }
    }
}

pub(super) fn overwrite(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}
