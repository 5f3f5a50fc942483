//! The rules last confirmed, saved for boot. A power cut undoes an unconfirmed change: the next boot loads
//! the saved rules, even if the configuration has changed.
//!
//! ```text
//! apply, confirm ──► kept.json.new ── sync, rename, sync ──► kept.json ──► boot
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::NftError;
use super::folder::{self, FILE_MODE, MODE_OTHERS_WRITE};
use crate::edge::firewall::{Outline, Ruleset};

/// The default folder.
pub const STATE_DIR: &str = "/var/lib/coord-firewall";

const FILE: &str = "kept.json";
/// The version of the file's form.
const FORMAT: u32 = 1;
/// Far more than the longest lists of networks take.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Rules as they are loaded, and whose they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// As `nft` reads them.
    pub(super) text: String,
    pub(super) outline: Outline,
    /// The hash of the rules from the configuration alone: what the machine adds, its SSH ports, is not
    /// confirmed.
    pub(super) policy_sha256: String,
}

/// What a boot may load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum KeptRules {
    /// Nothing: the only change so far was not confirmed.
    Nothing,
    Rules(Rules),
}

/// The folder with the file. For reading, it need not exist.
#[derive(Debug, Clone)]
pub struct Keep {
    path: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    format: u32,
    /// The hash of `kept` as JSON: bad flash changes digits, and the result would still be valid rules.
    sha256: String,
    kept: String,
}

impl Rules {
    /// `policy` are the rules that the same configuration makes on any box.
    pub fn of(ruleset: &Ruleset, policy: &Ruleset) -> Self {
        Self {
            text: ruleset.text(),
            outline: ruleset.outline(),
            policy_sha256: digest(policy.text().as_bytes()),
        }
    }
}

impl Keep {
    /// Takes a folder, which may be none yet.
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// The saved rules; `None` if there never were any. A changed file is an error, because anybody could
    /// have written it.
    pub(super) fn read(&self) -> Result<Option<KeptRules>, NftError> {
        match folder::is_private(&self.path) {
            Err(NftError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            checked => checked?,
        }
        let path = self.path.join(FILE);
        let bytes = match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(NftError::file("read", &path))?,
        };
        let damaged = |why: &'static str| NftError::Damaged {
            path: path.clone(),
            why,
        };
        let stored: Stored =
            serde_json::from_slice(&bytes).map_err(|_| damaged("it is incomplete or changed"))?;
        if stored.format != FORMAT {
            return Err(damaged("it is of another version"));
        }
        if stored.sha256 != digest(stored.kept.as_bytes()) {
            return Err(damaged("it has changed since it was written"));
        }
        let kept = serde_json::from_str(&stored.kept);
        kept.map(Some)
            .map_err(|_| damaged("it is of another version"))
    }

    /// Saves these rules; after a power cut at any moment the file has the old or the new rules, complete.
    /// Writes nothing if they are saved already.
    pub(super) fn write(&self, kept: &KeptRules) -> Result<(), NftError> {
        if self.read().is_ok_and(|old| old.as_ref() == Some(kept)) {
            return Ok(());
        }
        folder::make_private(&self.path)?;
        let path = self.path.join(FILE);
        let written = || -> io::Result<()> {
            let kept = serde_json::to_string(kept)?;
            let stored = Stored {
                format: FORMAT,
                sha256: digest(kept.as_bytes()),
                kept,
            };
            replace(&path, &serde_json::to_vec(&stored)?)
        };
        written().map_err(NftError::file("write", &path))
    }

    /// Deletes the saved rules.
    pub(super) fn remove(&self) -> Result<(), NftError> {
        let path = self.path.join(FILE);
        let removed = match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => removed.and_then(|()| File::open(&self.path)?.sync_all()),
        };
        removed.map_err(NftError::file("remove", path))
    }
}

/// Accepts only a plain file that no other user can have written.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe would block, a link could lead anywhere.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW;
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(flags.bits()).open(path)?;
    let metadata = file.metadata()?;
    let own = metadata.uid() == nix::unistd::geteuid().as_raw();
    if !metadata.is_file() || !own || metadata.mode() & MODE_OTHERS_WRITE != 0 {
        let why = "it must be a plain file that only this user can write";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too long"));
    }
    Ok(bytes)
}

/// Beside it and renamed, and durable when it returns.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("json.new");
    // Removes the leftover of a power cut.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let options = options.write(true).create_new(true).mode(FILE_MODE);
    let mut file = options.open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder)?.sync_all()
}

fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").expect("a string takes all that is written to it");
    }
    text
}
