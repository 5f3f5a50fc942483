//! The disk, with errors that name the file, and with counters.

use std::io;
use std::sync::Arc;

use crate::journal::JournalError;
use crate::journal::disk::{Disk, DiskFile};

/// The largest file of a journal. A longer one is not ours, and must not be read into memory to find that
/// out.
pub(crate) const FILE_BYTES_MAX: u64 = 256 << 20;

#[derive(Debug)]
pub(crate) struct JournalMedium {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) syncs: u64,
    pub(crate) written_bytes: u64,
}

/// An open file and its name.
#[derive(Debug)]
pub(crate) struct NamedFile {
    pub(crate) name: String,
    pub(crate) file: Box<dyn DiskFile>,
}

impl JournalMedium {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self {
            disk,
            syncs: 0,
            written_bytes: 0,
        }
    }

    pub(crate) fn failed(
        &self,
        action: &'static str,
        name: &str,
        source: io::Error,
    ) -> JournalError {
        JournalError::Io {
            action,
            path: self.disk.path(name),
            source,
        }
    }

    pub(crate) fn corrupt(&self, name: &str, offset: u64, what: impl Into<String>) -> JournalError {
        JournalError::Corrupt {
            path: self.disk.path(name),
            offset,
            what: what.into(),
        }
    }

    pub(crate) fn list(&self) -> Result<Vec<String>, JournalError> {
        self.disk.list().map_err(|e| self.failed("list", "", e))
    }

    pub(crate) fn open(&self, name: &str) -> Result<NamedFile, JournalError> {
        let file = self
            .disk
            .open(name)
            .map_err(|e| self.failed("open", name, e))?;
        Ok(NamedFile {
            name: name.into(),
            file,
        })
    }

    pub(crate) fn create(&self, name: &str) -> Result<NamedFile, JournalError> {
        let file = self
            .disk
            .create(name)
            .map_err(|e| self.failed("create", name, e))?;
        Ok(NamedFile {
            name: name.into(),
            file,
        })
    }

    pub(crate) fn write(
        &mut self,
        to: &NamedFile,
        data: &[u8],
        offset: u64,
    ) -> Result<(), JournalError> {
        to.file
            .write_at(data, offset)
            .map_err(|e| self.failed("write", &to.name, e))?;
        self.written_bytes += data.len() as u64;
        Ok(())
    }

    pub(crate) fn sync(&mut self, file: &NamedFile) -> Result<(), JournalError> {
        self.syncs += 1;
        file.file
            .sync_data()
            .map_err(|e| self.failed("sync", &file.name, e))
    }

    /// Syncs a file without new data. It checks the disk without wearing it, so it is not counted.
    pub(crate) fn check_sync(&self, file: &NamedFile) -> Result<(), JournalError> {
        file.file
            .sync_data()
            .map_err(|e| self.failed("sync", &file.name, e))
    }

    pub(crate) fn sync_dir(&mut self, folder: &str) -> Result<(), JournalError> {
        self.syncs += 1;
        self.disk
            .sync_dir(folder)
            .map_err(|e| self.failed("sync the folder", folder, e))
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), JournalError> {
        self.disk
            .rename(from, to)
            .map_err(|e| self.failed("rename", from, e))
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), JournalError> {
        self.disk
            .remove(name)
            .map_err(|e| self.failed("remove", name, e))
    }

    /// Reads the file, or its first `most` bytes, into `buffer`, which it replaces. Returns the
    /// length of the whole file.
    pub(crate) fn load(
        &self,
        name: &str,
        most: u64,
        buffer: &mut Vec<u8>,
    ) -> Result<u64, JournalError> {
        let file = self
            .disk
            .open_read(name)
            .map_err(|e| self.failed("open", name, e))?;
        let length = file
            .bytes()
            .map_err(|e| self.failed("read the length of", name, e))?;
        if length > FILE_BYTES_MAX {
            return Err(self.corrupt(name, 0, format!("{length} bytes exceed {FILE_BYTES_MAX}")));
        }
        let wanted = usize::try_from(length.min(most)).expect("file_bytes_max fits in memory");
        buffer.resize(wanted, 0);
        file.read_at(buffer, 0)
            .map_err(|e| self.failed("read", name, e))?;
        Ok(length)
    }
}

/// Whether the error means that the disk is full, not broken.
pub(crate) fn is_full(error: &JournalError) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error, JournalError::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
}
