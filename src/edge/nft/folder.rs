//! The folder with the applied and the pending change. A reboot deletes it, and the rules too.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::NftError;
use super::kept::Rules;

/// The default folder.
pub const RUNTIME_DIR: &str = "/run/coord-firewall";

/// The version of the files' format; a file of another version counts as missing.
const FORMAT: u32 = 1;
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;
const FOLDER_MODE: u32 = 0o700;
pub(super) const FILE_MODE: u32 = 0o600;
/// The permission bits that let anybody but the owner in.
const MODE_OTHERS: u32 = 0o077;
/// Those that let anybody but the owner write.
pub(super) const MODE_OTHERS_WRITE: u32 = 0o022;

const APPLIED: &str = "applied.json";
const PENDING: &str = "pending.json";
/// Exists while the last change is one that was undone because it was not confirmed.
const REVERTED: &str = "reverted";
const LOCK: &str = "lock";

/// The folder, locked.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

/// The last loaded rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AppliedRules {
    format: u32,
    pub(super) rules: Rules,
    /// The table as `nft` listed it right after.
    pub(super) listing: String,
}

/// How to undo the pending change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PendingChange {
    format: u32,
    /// The id of this change.
    pub(super) id: String,
    /// The input for `nft` that undoes it.
    pub(super) restoration: String,
    pub(super) applied: Option<AppliedRules>,
    /// The pending rules.
    pub(super) rules: Rules,
}

/// The lock: while it is held, no other command changes anything.
#[derive(Debug)]
pub(super) struct FolderLock(#[expect(dead_code, reason = "it unlocks when dropped")] Flock<File>);

impl Folder {
    /// Creates it, or checks that only this user can enter it.
    pub fn open(path: &Path) -> Result<Self, NftError> {
        make_private(path)?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits while another command changes something: as long as one run of `nft` may take.
    pub(super) fn lock(&self) -> Result<FolderLock, NftError> {
        let path = self.path.join(LOCK);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(NftError::file("open", &path))?;
        let locked = Flock::lock(file, FlockArg::LockExclusive);
        let lock = locked.map_err(|(_, errno)| NftError::file("lock", &path)(errno.into()))?;
        Ok(FolderLock(lock))
    }

    pub(super) fn applied(&self) -> Result<Option<AppliedRules>, NftError> {
        let read: Option<AppliedRules> = self.read(APPLIED)?;
        Ok(read.filter(|applied| applied.format == FORMAT))
    }

    pub(super) fn pending(&self) -> Result<Option<PendingChange>, NftError> {
        let read: Option<PendingChange> = self.read(PENDING)?;
        Ok(read.filter(|pending| pending.format == FORMAT))
    }

    pub(super) fn is_reverted(&self) -> bool {
        self.path.join(REVERTED).exists()
    }

    pub(super) fn set_applied(&self, applied: Option<&AppliedRules>) -> Result<(), NftError> {
        self.write_or_remove(APPLIED, applied)
    }

    pub(super) fn set_pending(&self, pending: Option<&PendingChange>) -> Result<(), NftError> {
        self.write_or_remove(PENDING, pending)
    }

    pub(super) fn set_reverted(&self, reverted: bool) -> Result<(), NftError> {
        self.write_or_remove(REVERTED, reverted.then_some(&true))
    }

    fn write_or_remove(&self, name: &str, value: Option<&impl Serialize>) -> Result<(), NftError> {
        let path = self.path.join(name);
        let Some(value) = value else {
            return match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(NftError::file("remove", path)(error))
                }
                _ => Ok(()),
            };
        };
        let bytes = serde_json::to_vec(value).map_err(|error| {
            let source = io::Error::from(error);
            NftError::file("write", &path)(source)
        })?;
        replace(&path, &bytes, FILE_MODE).map_err(NftError::file("write", path))
    }

    /// An unreadable file counts as missing: then the whole table is replaced.
    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, NftError> {
        let path = self.path.join(name);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(NftError::file("read", path)(error)),
        };
        let mut bytes = Vec::new();
        let mut bounded = file.take(FILE_BYTES_MAX);
        let read = bounded.read_to_end(&mut bytes);
        read.map_err(NftError::file("read", path))?;
        Ok(serde_json::from_slice(&bytes).ok())
    }
}

impl AppliedRules {
    pub(super) fn new(rules: Rules, listing: String) -> Self {
        Self {
            format: FORMAT,
            rules,
            listing,
        }
    }
}

impl PendingChange {
    pub(super) fn new(
        id: String,
        restoration: String,
        applied: Option<AppliedRules>,
        rules: Rules,
    ) -> Self {
        Self {
            format: FORMAT,
            id,
            restoration,
            applied,
            rules,
        }
    }
}

/// Creates a folder that only this user can enter, or checks that it is one.
pub(super) fn make_private(path: &Path) -> Result<(), NftError> {
    match DirBuilder::new().mode(FOLDER_MODE).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(NftError::file("make the folder", path)(error))
        }
        _ => is_private(path),
    }
}

/// Whether only this user enters the folder.
pub(super) fn is_private(path: &Path) -> Result<(), NftError> {
    let metadata = path
        .symlink_metadata()
        .map_err(NftError::file("look at", path))?;
    let why = if !metadata.is_dir() {
        "it is not a folder".to_owned()
    } else if metadata.uid() != nix::unistd::geteuid().as_raw() {
        format!("it belongs to user {}", metadata.uid())
    } else if metadata.mode() & MODE_OTHERS != 0 {
        format!("its mode is {:o}", metadata.mode() & 0o777)
    } else {
        return Ok(());
    };
    Err(NftError::OpenFolder {
        path: path.to_owned(),
        why,
    })
}

/// Writes beside and renames: a reader sees the old file or the new one, complete.
pub(super) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    // Removes the leftover of a killed writer.
    let _ = fs::remove_file(&beside);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&beside)?;
    file.write_all(bytes)?;
    // A service's mask may have taken something off.
    file.set_permissions(Permissions::from_mode(mode))?;
    fs::rename(&beside, path)
}
