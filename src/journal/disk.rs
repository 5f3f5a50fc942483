//! The medium under the embedded journal: every file access of the journal goes through here, so
//! that a simulated disk can tear a write, lose what was not synced, or fail any operation.
//!
//! A disk is one folder. Names are plain file names; a name may have one folder in front
//! (`damaged-1/segment-0000000001`) where [`Disk::create_dir`] made it.

use std::any::Any;
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, fchown, lchown};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::geteuid;

/// Mode of the state directory: other users must not read the agents' messages.
const DIRECTORY_MODE: u32 = 0o700;
/// Mode of every file in it.
const FILE_MODE: u32 = 0o600;
/// The most bytes that are read of a lock file to find its holder.
const HOLDER_BYTES_MAX: u64 = 32;

/// The result of trying to lock a disk.
#[derive(Debug)]
pub enum Lock {
    /// Locked by this process until the guard is dropped.
    Taken(Box<dyn LockGuard>),
    /// Locked by another process; the process id that it wrote, or an empty text.
    Busy { holder: String },
}

/// Holds a lock until it is dropped.
pub trait LockGuard: Any + Send + fmt::Debug {}

/// A folder of files.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens an existing file to read and write.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file to read only: inspection needs no permission to write.
    fn open_read(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Creates a file that must not exist yet.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Renames a file; it replaces a file with that name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// The names of all files, without folders, in no particular order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes creates, renames and removes durable: of the root (`""`) or of a folder in it.
    fn sync_dir(&self, folder: &str) -> io::Result<()>;
    /// Creates a folder that must not exist yet.
    fn create_dir(&self, folder: &str) -> io::Result<()>;
    /// Takes the lock file `name`, which is created when absent.
    fn lock(&self, name: &str) -> io::Result<Lock>;
    /// The holder of the lock file `name`, if there is one. Writes nothing.
    fn holder(&self, name: &str) -> io::Result<Option<String>>;
    /// A number that is unique over all machines and calls.
    fn fresh_id(&self) -> u64;
    /// The file's name for people.
    fn path(&self, name: &str) -> String;
}

/// One open file.
pub trait DiskFile: Send + fmt::Debug {
    fn bytes(&self) -> io::Result<u64>;
    /// Fills `buffer` from `offset`; a file that ends before is an error.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `data` at `offset`. Durable only after [`DiskFile::sync_data`].
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;
    /// `fdatasync`: the data, and the length where it changed.
    fn sync_data(&self) -> io::Result<()>;
}

/// A folder of the file system.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
}

impl RealDisk {
    /// Opens the folder; creates it, readable by its owner only, when it does not exist.
    pub fn create(root: &Path) -> io::Result<Self> {
        if !root.is_dir() {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(DIRECTORY_MODE).create(root)?;
            // The new folder itself must survive a power cut, not only what is in it.
            if let Some(parent) = root.parent().filter(|p| !p.as_os_str().is_empty()) {
                File::open(parent)?.sync_all()?;
            }
        }
        Ok(Self { root: root.into() })
    }

    /// Opens a folder that exists, creating nothing.
    pub fn existing(root: &Path) -> io::Result<Self> {
        std::fs::read_dir(root)?;
        Ok(Self { root: root.into() })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The folder's owner must be able to open files that root creates in it, for instance by a repair. If
    /// root may not change the owner (in some containers), the files stay root's, because root also serves
    /// there.
    fn hand_over(
        &self,
        change: impl FnOnce(Option<u32>, Option<u32>) -> io::Result<()>,
    ) -> io::Result<()> {
        if !geteuid().is_root() {
            return Ok(());
        }
        let folder = std::fs::metadata(&self.root)?;
        match change(Some(folder.uid()), Some(folder.gid())) {
            Err(error) if !is_refusal(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

/// The system does not let this file be given to that user.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput
    )
}

#[derive(Debug)]
struct RealFile(File);

#[derive(Debug)]
struct RealLock(#[expect(dead_code, reason = "held for its lock only")] File);

impl LockGuard for RealLock {}

impl Disk for RealDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.file(name))?;
        Ok(Box::new(RealFile(file)))
    }

    fn open_read(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile(File::open(self.file(name))?)))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create_new(true)
            .mode(FILE_MODE);
        let file = options.open(self.file(name))?;
        self.hand_over(|user, group| fchown(&file, user, group))?;
        Ok(Box::new(RealFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.file(from), self.file(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.file(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.root)? {
            let entry = entry?;
            // The journal has no names that are not UTF-8.
            if let (true, Ok(name)) = (
                entry.file_type()?.is_file(),
                entry.file_name().into_string(),
            ) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        File::open(self.file(folder))?.sync_all()
    }

    fn create_dir(&self, folder: &str) -> io::Result<()> {
        let path = self.file(folder);
        DirBuilder::new().mode(DIRECTORY_MODE).create(&path)?;
        self.hand_over(|user, group| lchown(&path, user, group))
    }

    fn lock(&self, name: &str) -> io::Result<Lock> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            // The folder's owner must not be able to redirect root with a link.
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .mode(FILE_MODE);
        let mut file = options.open(self.file(name))?;
        match file.try_lock() {
            Ok(()) => {
                self.hand_over(|user, group| fchown(&file, user, group))?;
                file.set_len(0)?;
                write!(file, "{}", std::process::id())?;
                Ok(Lock::Taken(Box::new(RealLock(file))))
            }
            Err(TryLockError::WouldBlock) => Ok(Lock::Busy {
                holder: holder_of(file)?,
            }),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn holder(&self, name: &str) -> io::Result<Option<String>> {
        let file = match File::open(self.file(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => holder_of(file).map(Some),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn fresh_id(&self) -> u64 {
        // If the kernel has no random source, the process id still differs from the last run's. The number
        // only guards against files that were mixed up by mistake.
        getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id()))
    }

    fn path(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }
}

fn holder_of(file: File) -> io::Result<String> {
    let mut text = String::new();
    file.take(HOLDER_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

impl DiskFile for RealFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
