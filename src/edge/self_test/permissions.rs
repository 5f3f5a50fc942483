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
            let detail =
                format!("requested mode {expected:03o}, but the file system set {mode:03o}");
            let next = "keep the state on a file system with permissions, such as ext4";
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
            return Ok(CheckFound::ok(format!("kept; {shown} does not exist yet")));
        }
        other => other?,
    };
    if !metadata.is_dir() {
        let next = "set a folder with --state-dir or COORD_STATE_DIR";
        return Ok(CheckFound::failed(format!("{shown} is not a folder"), next));
    }
    let (mode, owner) = (mode(&metadata), metadata.uid());
    let user = geteuid();
    let wanted = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
    if let Err(error) = access(path, wanted) {
        let detail = format!("user {user} cannot access {shown} of user {owner}: {error}");
        let next = "run it as that user; under systemd that is the user of the unit";
        // Support may well run it as somebody else than the coordinator.
        return Ok(CheckFound::warning(detail, next));
    }
    if mode & FOREIGN_BITS != 0 {
        let detail =
            format!("{shown} has mode {mode:03o}: other users can read the agents' messages");
        return Ok(CheckFound::warning(detail, format!("chmod 700 {shown}")));
    }
    Ok(CheckFound::ok(format!(
        "kept; {shown} has mode {mode:03o}, user {owner}"
    )))
}

fn mode(metadata: &Metadata) -> u32 {
    metadata.permissions().mode() & PERMISSION_BITS
}
