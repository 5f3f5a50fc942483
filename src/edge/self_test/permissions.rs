//! Whether the medium keeps permissions, and whether the state directory has the right ones.

use std::fs::{self, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::unistd::{AccessFlags, access, geteuid};

use super::{CheckFound, CheckResult};

const PERMISSION_BITS: u32 = 0o777;
const SECRET_MODE: u32 = 0o600;
/// What group and others may not have.
const FOREIGN_BITS: u32 = 0o077;

pub(super) fn check(folder: &Path, state_dir: &Path) -> CheckResult {
    let secret = folder.join("permissions");
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create_new(true)
        .mode(SECRET_MODE)
        .open(&secret)?;
    for (path, expected) in [
        (secret.as_path(), SECRET_MODE),
        (folder, super::FOLDER_MODE),
    ] {
        let mode = mode(&fs::metadata(path)?);
        if mode != expected {
            let detail = format!("asked for mode {expected:03o}, the file system made {mode:03o}");
            let next = "keep the state on a file system that has permissions, such as ext4";
            return Ok(CheckFound::failed(detail, next));
        }
    }
    state(state_dir)
}

/// Only looks.
fn state(path: &Path) -> CheckResult {
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(CheckFound::ok(format!("kept; {shown} is not there yet")));
        }
        other => other?,
    };
    if !metadata.is_dir() {
        let next = "name a folder with --state-dir or COORD_STATE_DIR";
        return Ok(CheckFound::failed(format!("{shown} is no folder"), next));
    }
    let (mode, owner) = (mode(&metadata), metadata.uid());
    let user = geteuid();
    let wanted = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
    if let Err(error) = access(path, wanted) {
        let detail = format!("{shown} of user {owner} is closed to user {user}: {error}");
        let next = "run it as that user; under systemd that is the unit's";
        // Support may well run it as somebody else than the coordinator.
        return Ok(CheckFound::warning(detail, next));
    }
    if mode & FOREIGN_BITS != 0 {
        let detail =
            format!("{shown} has mode {mode:03o}: others can get at what agents tell each other");
        return Ok(CheckFound::warning(detail, format!("chmod 700 {shown}")));
    }
    Ok(CheckFound::ok(format!(
        "kept; {shown} has mode {mode:03o}, user {owner}"
    )))
}

fn mode(metadata: &Metadata) -> u32 {
    metadata.permissions().mode() & PERMISSION_BITS
}
