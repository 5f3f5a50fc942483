//! A disk in memory that fails as disks do: the test double under the embedded journal.
//!
//! Everything it does follows from its seed, so a failing run replays exactly. Operations are
//! numbered from 1; [`SimDisk::fail_at`] makes one of them fail. [`SimDisk::crash`] gives the disk
//! as a restart would find it: of what was not synced, any part may be there.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::disk::{Disk, DiskFile, Lock, LockGuard};

/// What a medium writes whole or not at all, unless it is torn at a byte.
const SECTOR_BYTES: usize = 512;

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

/// The generator `splitmix64`: small, seeded, good enough to choose faults by.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next_u64() % bound).unwrap_or(0)
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

#[derive(Debug, Clone, Default)]
struct Inode {
    /// What a program sees.
    seen: Vec<u8>,
    /// What is on the medium for certain.
    durable: Vec<u8>,
    /// Written since the last sync, in order.
    pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug, Clone)]
enum NameChange {
    Set(String, usize),
    Remove(String),
}

#[derive(Debug)]
struct SimDiskState {
    rng: Rng,
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Changes of names since the last sync of the folder; the changes of a rename stay together.
    pending_names: Vec<Vec<NameChange>>,
    locked: bool,
    crashed: bool,
    operations: u64,
    faults: BTreeMap<u64, Fault>,
    capacity_bytes: usize,
}

/// The disk. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk(Arc<Mutex<SimDiskState>>);

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: usize,
}

#[derive(Debug)]
struct SimLock(SimDisk);

impl LockGuard for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.state().locked = false;
    }
}

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

/// Brings any part of a write to the medium.
fn tear(rng: &mut Rng, bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
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

fn overwrite(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Set(name, inode) => drop(names.insert(name.clone(), *inode)),
            Self::Remove(name) => drop(names.remove(name)),
        }
    }
}

impl SimDiskState {
    /// Counts an operation and tells which fault it meets, if one that does not simply fail it.
    fn begin(&mut self) -> io::Result<Option<Fault>> {
        if self.crashed {
            return Err(io::Error::other("the power is off"));
        }
        self.operations += 1;
        let fault = self.faults.get(&self.operations).copied();
        self.crashed = fault == Some(Fault::Crash);
        Ok(fault)
    }

    /// An operation on names, for which every fault is one of three.
    fn begin_names(&mut self) -> io::Result<()> {
        match self.begin()? {
            None | Some(Fault::BitFlip) => Ok(()),
            Some(fault) => Err(fault.error()),
        }
    }

    fn used_bytes(&self) -> usize {
        self.names
            .values()
            .map(|inode| self.inodes[*inode].seen.len())
            .sum()
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names
            .get(name)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, changes: Vec<NameChange>) {
        for change in &changes {
            change.apply(&mut self.names);
        }
        self.pending_names.push(changes);
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

impl Disk for SimDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.begin_names()?;
        let inode = state.find(name)?;
        Ok(Box::new(SimFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn open_read(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.open(name)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.begin_names()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.inodes.push(Inode::default());
        let inode = state.inodes.len() - 1;
        state.change(vec![NameChange::Set(name.into(), inode)]);
        Ok(Box::new(SimFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.begin_names()?;
        let inode = state.find(from)?;
        state.change(vec![
            NameChange::Remove(from.into()),
            NameChange::Set(to.into(), inode),
        ]);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.begin_names()?;
        state.find(name)?;
        state.change(vec![NameChange::Remove(name.into())]);
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.begin_names()?;
        Ok(state
            .names
            .keys()
            .filter(|name| !name.contains('/'))
            .cloned()
            .collect())
    }

    fn sync_dir(&self, _folder: &str) -> io::Result<()> {
        let mut state = self.state();
        state.begin_names()?;
        state.pending_names.clear();
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn create_dir(&self, folder: &str) -> io::Result<()> {
        let mut state = self.state();
        state.begin_names()?;
        let taken = state
            .names
            .keys()
            .any(|name| name.starts_with(&format!("{folder}/")));
        if taken {
            Err(io::ErrorKind::AlreadyExists.into())
        } else {
            Ok(())
        }
    }

    fn lock(&self, _name: &str) -> io::Result<Lock> {
        let mut state = self.state();
        if std::mem::replace(&mut state.locked, true) {
            return Ok(Lock::Busy { holder: "1".into() });
        }
        Ok(Lock::Taken(Box::new(SimLock(self.clone()))))
    }

    fn holder(&self, _name: &str) -> io::Result<Option<String>> {
        Ok(self.state().locked.then(|| "1".into()))
    }

    fn fresh_id(&self) -> u64 {
        self.state().rng.next_u64()
    }

    fn path(&self, name: &str) -> String {
        format!("sim/{name}")
    }
}

impl DiskFile for SimFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.disk.state().inodes[self.inode].seen.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let fault = state.begin()?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let seen = &state.inodes[self.inode].seen;
        let found = seen.get(offset..offset.saturating_add(buffer.len()));
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        match fault {
            None => Ok(()),
            Some(Fault::BitFlip) => {
                flip(&mut state.rng, buffer);
                Ok(())
            }
            Some(fault) => Err(fault.error()),
        }
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let fault = state.begin()?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let mut data = data.to_vec();
        match fault {
            Some(Fault::Eio | Fault::Enospc) => {
                return Err(fault.map_or_else(|| io::ErrorKind::Other.into(), Fault::error));
            }
            Some(Fault::ShortWrite) => data.truncate(data.len() / 2),
            Some(Fault::BitFlip) => flip(&mut state.rng, &mut data),
            Some(Fault::Crash) | None => {}
        }
        let grown = (offset + data.len()).saturating_sub(state.inodes[self.inode].seen.len());
        if grown > 0 && state.used_bytes() + grown > state.capacity_bytes {
            return Err(Fault::Enospc.error());
        }
        let inode = &mut state.inodes[self.inode];
        overwrite(&mut inode.seen, offset, &data);
        inode.pending.push((offset, data));
        match fault {
            None | Some(Fault::BitFlip) => Ok(()),
            Some(fault) => Err(fault.error()),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let fault = state.begin()?;
        let state = &mut *state;
        let inode = &mut state.inodes[self.inode];
        match fault {
            None | Some(Fault::BitFlip) => {
                for (offset, data) in inode.pending.drain(..) {
                    overwrite(&mut inode.durable, offset, &data);
                }
                Ok(())
            }
            Some(Fault::Crash) => Err(Fault::Crash.error()),
            // After a failed sync the kernel takes the pages for clean: they are seen, yet some
            // never reach the medium, and the next sync says that all is well.
            Some(fault) => {
                for (offset, data) in inode.pending.drain(..) {
                    tear(&mut state.rng, &mut inode.durable, offset, &data);
                }
                Err(fault.error())
            }
        }
    }
}

fn flip(rng: &mut Rng, bytes: &mut [u8]) {
    if !bytes.is_empty() {
        let at = rng.below(bytes.len());
        bytes[at] ^= 1 << rng.below(8);
    }
}
