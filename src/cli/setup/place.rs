//! Which file a path really is, and whether it may be written.

use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use super::target::Target;
use super::text::FILE_BYTES_MAX;
use crate::cli::error::CliError;

/// A file that may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct FilePlace {
    /// With links followed; the file may not be there yet.
    pub(in crate::cli) real: PathBuf,
    pub(in crate::cli) bytes: Option<Vec<u8>>,
}

/// Finds and reads the file of a target. What is committed in a repository may be a link to anywhere, so it must
/// not lead out of the repository, nor into git's own folder.
pub(in crate::cli) fn find(target: &Target) -> Result<FilePlace, CliError> {
    let path = &target.path;
    let shown = path.display();
    let there = path.ancestors().find(|it| it.symlink_metadata().is_ok());
    let there = there.unwrap_or(Path::new("/"));
    let real = there
        .canonicalize()
        .map_err(|error| CliError::input(format!("follow the link {}", there.display()), error))?;
    if let Some(root) = &target.within {
        let inside = real.strip_prefix(root).ok();
        let is_gits = |inside: &Path| inside.iter().any(|part| part == ".git");
        if inside.is_none_or(is_gits) {
            let what = format!(
                "a link leads from {shown} to {}, out of the repository's own files",
                real.display()
            );
            return Err(CliError::usage(what, "remove the link, or use --user"));
        }
    }
    let rest = path.strip_prefix(there).unwrap_or(Path::new(""));
    if rest.as_os_str().is_empty() {
        let metadata = fs::metadata(&real);
        let metadata = metadata.map_err(|error| CliError::input(format!("read {shown}"), error))?;
        check(path, &metadata)?;
        let bytes = read(&real).map_err(|error| CliError::input(format!("read {shown}"), error))?;
        return Ok(FilePlace {
            real,
            bytes: Some(bytes),
        });
    }
    if !real.is_dir() {
        let what = format!(
            "{} is not a folder, and {shown} belongs below it",
            there.display()
        );
        return Err(CliError::usage(what, "move it away"));
    }
    Ok(FilePlace {
        real: real.join(rest),
        bytes: None,
    })
}

fn check(path: &Path, metadata: &Metadata) -> Result<(), CliError> {
    let shown = path.display();
    if !metadata.is_file() {
        let what = format!("{shown} is not a plain file");
        return Err(CliError::usage(what, "move it away"));
    }
    if metadata.uid() != geteuid().as_raw() {
        let what = format!("{shown} belongs to another user");
        return Err(CliError::usage(
            what,
            "run setup as the user whose CLI reads the file",
        ));
    }
    Ok(())
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let what = format!("it is longer than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::other(what));
    }
    Ok(bytes)
}
