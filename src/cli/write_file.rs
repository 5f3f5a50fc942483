//! Replaces files as a whole: a reader sees the old text or the new one, never a part.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The mode of a new file, readable by all; an existing file keeps its mode.
const FILE_MODE: u32 = 0o644;

/// Writes beside the file, then renames. Links are followed. Anything but a plain file is refused, because
/// the rename would replace it by a file.
pub(super) fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let (file, mode) = place(file)?;
    let temporary = temporary(&file)?;
    let written = write(&temporary, bytes, mode).and_then(|()| fs::rename(&temporary, &file));
    if let Err(error) = written {
        // The first failure is reported; a leftover has a name like the file's and lies beside it.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    File::open(folder(&file))?.sync_all()
}

fn place(file: &Path) -> io::Result<(PathBuf, Option<u32>)> {
    match fs::canonicalize(file) {
        Ok(found) => {
            let metadata = fs::metadata(&found)?;
            if !metadata.is_file() {
                let what = "it is not a plain file: leave out -o to write to stdout";
                return Err(io::Error::other(what));
            }
            Ok((found, Some(metadata.permissions().mode())))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((file.to_owned(), None)),
        Err(error) => Err(error),
    }
}

fn write(temporary: &Path, bytes: &[u8], mode: Option<u32>) -> io::Result<()> {
    let mut options = OpenOptions::new();
    // It must be a new file, so that it cannot be a link that another user made.
    let options = options.write(true).create_new(true).mode(FILE_MODE);
    let mut file = options.open(temporary)?;
    if let Some(mode) = mode {
        file.set_permissions(Permissions::from_mode(mode & 0o7777))?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

fn temporary(file: &Path) -> io::Result<PathBuf> {
    let name = file
        .file_name()
        .ok_or_else(|| io::Error::other("it names no file"))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.tmp", std::process::id()));
    Ok(folder(file).join(hidden))
}

fn folder(file: &Path) -> &Path {
    file.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: io::Result<()>, part: &str) {
        let error = found.expect_err("it cannot be written").to_string();
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn it_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let file = folder.path().join("a");
        replace(&file, b"one").expect("it can be made");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("it is ours");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).expect("it can be linked");
        replace(&link, b"two").expect("it can be replaced through a link");
        assert_eq!(fs::read(&file).expect("it is there"), b"two");
        let metadata = fs::symlink_metadata(&file).expect("it is there");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert!(link.is_symlink());
        check(replace(folder.path(), b""), "not a plain file");
        check(replace(Path::new("/dev/null"), b""), "not a plain file");
        check(replace(&folder.path().join("none/a"), b""), "No such file");
        let left = fs::read_dir(folder.path()).expect("it is there").count();
        assert_eq!(left, 2, "nothing else is left");
    }
}
