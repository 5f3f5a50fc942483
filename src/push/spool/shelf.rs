//! Where the folder of a spool is.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::journal::disk::{Disk, RealDisk};

const FOLDER: &str = "push";
/// The folder that could not be used is kept under this name, for people to look at.
const SET_ASIDE: &str = "push.bad";

/// The place of a folder that is made when it is needed, and put away when it cannot be used.
pub trait Shelf: Send + std::fmt::Debug {
    /// The folder, if it is there.
    fn existing(&self) -> io::Result<Option<Arc<dyn Disk>>>;
    /// The folder, which is created if it is not there.
    fn create(&self) -> io::Result<Arc<dyn Disk>>;
    /// Keeps the folder under another name. One that was kept before is deleted.
    fn set_aside(&self) -> io::Result<()>;
    /// Deletes the folder, and the one that was set aside.
    fn clear(&self) -> io::Result<()>;
}

/// A folder in the state directory.
#[derive(Debug)]
pub struct StateShelf {
    folder: PathBuf,
    aside: PathBuf,
}

impl StateShelf {
    pub fn new(state_dir: &Path) -> Self {
        Self {
            folder: state_dir.join(FOLDER),
            aside: state_dir.join(SET_ASIDE),
        }
    }
}

impl Shelf for StateShelf {
    fn existing(&self) -> io::Result<Option<Arc<dyn Disk>>> {
        match RealDisk::existing(&self.folder) {
            Ok(disk) => Ok(Some(Arc::new(disk))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create(&self) -> io::Result<Arc<dyn Disk>> {
        Ok(Arc::new(RealDisk::create(&self.folder)?))
    }

    fn set_aside(&self) -> io::Result<()> {
        delete(&self.aside)?;
        match fs::rename(&self.folder, &self.aside) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn clear(&self) -> io::Result<()> {
        delete(&self.folder)?;
        delete(&self.aside)
    }
}

/// Deletes a folder, or the file that is in its place.
fn delete(path: &Path) -> io::Result<()> {
    let deleted = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match deleted {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
