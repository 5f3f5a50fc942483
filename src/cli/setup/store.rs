//! What files were like before setup changed them.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::front::Front;
use crate::cli::error::CliError;

const RECORD: &str = "record.json";
/// Whether the name of a folder is such is seen at once, and nobody types it.
const NAME_DIGITS: usize = 16;

/// One file that setup changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cli) struct Record {
    /// Links followed.
    pub(in crate::cli) path: PathBuf,
    /// `None`: a file that all fronts share.
    pub(in crate::cli) front: Option<String>,
    /// The repository it is for; `None` for the user's own.
    pub(in crate::cli) root: Option<PathBuf>,
    /// Whether the file was there before.
    pub(in crate::cli) existed: bool,
    /// The SHA-256 of what setup wrote.
    pub(in crate::cli) written: String,
    /// Folders that setup made for it, the lowest first.
    pub(in crate::cli) folders: Vec<PathBuf>,
}

/// The folder of backups; only the user may read it, because files of CLIs hold secrets.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Store {
    folder: PathBuf,
}

impl Store {
    pub(in crate::cli) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn folder_of(&self, path: &Path) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        let name = digest(path.as_os_str().as_bytes());
        self.folder.join(&name[..NAME_DIGITS])
    }

    /// Where the file as it was before is kept, under its own name.
    pub(in crate::cli) fn backup(&self, path: &Path) -> PathBuf {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".coord-backup");
        self.folder_of(path).join(name)
    }

    /// The record of a file; `None` if setup did not change it. One that cannot be read counts as none: without
    /// it setup finds its entries by their marks.
    pub(in crate::cli) fn load(&self, path: &Path) -> Option<Record> {
        read_record(&self.folder_of(path)).filter(|record| record.path == path)
    }

    /// The file as it was before; `None` if there was none.
    pub(in crate::cli) fn original(&self, record: &Record) -> Result<Option<Vec<u8>>, CliError> {
        if !record.existed {
            return Ok(None);
        }
        let path = self.backup(&record.path);
        let bytes = fs::read(&path);
        let bytes =
            bytes.map_err(|error| CliError::input(format!("read {}", path.display()), error))?;
        Ok(Some(bytes))
    }

    /// Keeps a record and the file as it was, before the file is changed.
    pub(in crate::cli) fn save(
        &self,
        record: &Record,
        original: Option<&[u8]>,
    ) -> Result<(), CliError> {
        let folder = self.folder_of(&record.path);
        let failed =
            |error| CliError::input(format!("write a backup to {}", folder.display()), error);
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&folder);
        made.map_err(failed)?;
        if let Some(bytes) = original {
            write(&self.backup(&record.path), bytes).map_err(failed)?;
        }
        let text = serde_json::to_vec_pretty(record).map_err(|error| failed(error.into()))?;
        write(&folder.join(RECORD), &text).map_err(failed)
    }

    pub(in crate::cli) fn forget(&self, path: &Path) -> Result<(), CliError> {
        let folder = self.folder_of(path);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(CliError::input(
                format!("remove {}", folder.display()),
                error,
            )),
            _ => {
                // The last one leaves nothing of setup behind; a folder with others in it stays.
                let _ = fs::remove_dir(&self.folder);
                Ok(())
            }
        }
    }

    /// Those of all files.
    pub(in crate::cli) fn records(&self) -> Vec<Record> {
        let folders = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        folders
            .filter_map(|folder| read_record(&folder.path()))
            .collect()
    }
}

impl Record {
    pub(in crate::cli) fn is_of(&self, front: Front, root: Option<&Path>) -> bool {
        self.front.as_deref() == Some(front.name()) && self.root.as_deref() == root
    }

    /// Whether the file is as setup left it.
    pub(in crate::cli) fn is_untouched(&self, bytes: Option<&[u8]>) -> bool {
        bytes.is_some_and(|bytes| digest(bytes) == self.written)
    }
}

fn read_record(folder: &Path) -> Option<Record> {
    let bytes = fs::read(folder.join(RECORD)).ok()?;
    serde_json::from_slice(&bytes).ok()
}

pub(in crate::cli) fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let digits = digest.iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// Beside it, then renamed: a record is whole or not there.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}
