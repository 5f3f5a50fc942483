//! The operations of a disk, each of which may meet its fault.

use std::io;

use super::state::{Inode, NameChange, overwrite, tear};
use super::{Fault, Rng, SimDisk};
use crate::journal::disk::{Disk, DiskFile, Lock, LockGuard};

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

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: usize,
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

#[derive(Debug)]
struct SimLock(SimDisk);

impl LockGuard for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.state().locked = false;
    }
}
