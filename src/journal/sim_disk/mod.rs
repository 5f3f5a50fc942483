//! A disk in memory that fails as disks do: the test double under the embedded journal.
//!
//! Everything it does follows from its seed, so a failing run replays exactly. Operations are
//! numbered from 1; [`SimDisk::fail_at`] makes one of them fail. [`SimDisk::crash`] gives the disk
//! as a restart would find it: of what was not synced, any part may be there.

mod operations;
mod rng;
mod state;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

pub use rng::Rng;
use state::{Inode, SimDiskState, tear};

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The power goes: a write may have begun, nothing answers any more.
    Crash,
    /// The medium fails this operation. What a failed sync should have made durable never will be.
    Eio,
    /// No room.
    Enospc,
    /// Half of a write is done, then it fails.
    ShortWrite,
    /// One bit of what is read or written is wrong, and nobody says so.
    BitFlip,
}

/// The disk. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk(Arc<Mutex<SimDiskState>>);

impl SimDisk {
    pub fn new(seed: u64) -> Self {
        Self::with(seed, BTreeMap::new(), Vec::new())
    }

    fn with(seed: u64, names: BTreeMap<String, usize>, inodes: Vec<Inode>) -> Self {
        Self(Arc::new(Mutex::new(SimDiskState {
            rng: Rng::new(seed),
            inodes,
            durable_names: names.clone(),
            names,
            pending_names: Vec::new(),
            locked: false,
            crashed: false,
            operations: 0,
            faults: BTreeMap::new(),
            capacity_bytes: usize::MAX,
        })))
    }

    fn state(&self) -> MutexGuard<'_, SimDiskState> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// How many operations there were.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Makes the operation with this number fail.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.state().faults.insert(operation, fault);
    }

    /// Whether the power went.
    pub fn is_off(&self) -> bool {
        self.state().crashed
    }

    /// Lets an operation succeed that was to fail.
    pub fn heal(&self, operation: u64) {
        self.state().faults.remove(&operation);
    }

    /// Sets how many bytes all files together may have.
    pub fn set_capacity(&self, bytes: usize) {
        self.state().capacity_bytes = bytes;
    }

    /// Bytes of all files together.
    pub fn used_bytes(&self) -> usize {
        self.state().used_bytes()
    }

    /// The names of all files, and what a program sees in them.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let state = self.state();
        state
            .names
            .iter()
            .map(|(name, inode)| (name.clone(), state.inodes[*inode].seen.clone()))
            .collect()
    }

    /// Replaces a file, durably and without counting as an operation.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state();
        state.inodes.push(Inode {
            seen: bytes.clone(),
            durable: bytes,
            pending: Vec::new(),
        });
        let inode = state.inodes.len() - 1;
        state.names.insert(name.into(), inode);
        state.durable_names.insert(name.into(), inode);
    }

    /// Removes a file, durably and without counting as an operation.
    pub fn take(&self, name: &str) {
        let mut state = self.state();
        state.names.remove(name);
        state.durable_names.remove(name);
    }

    /// The disk as a restart finds it after the power went now.
    #[must_use]
    pub fn crash(&self) -> Self {
        let mut state = self.state();
        let state = &mut *state;
        let mut names = state.durable_names.clone();
        // A journaled file system keeps the order of such changes; not all file systems are.
        let in_order = !state.rng.one_in(4);
        for change in &state.pending_names {
            if state.rng.one_in(2) {
                for change in change {
                    change.apply(&mut names);
                }
            } else if in_order {
                break;
            }
        }
        let mut inodes = Vec::new();
        for inode in &state.inodes {
            let mut bytes = inode.durable.clone();
            for (offset, data) in &inode.pending {
                tear(&mut state.rng, &mut bytes, *offset, data);
            }
            inodes.push(Inode {
                seen: bytes.clone(),
                durable: bytes,
                pending: Vec::new(),
            });
        }
        Self::with(state.rng.next_u64(), names, inodes)
    }
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Self::Enospc => io::ErrorKind::StorageFull.into(),
            Self::Crash => io::Error::other("the power went"),
            _ => io::Error::other("the medium failed"),
        }
    }
}
