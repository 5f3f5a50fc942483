//! What becomes of one file: worked out first, shown, and then done.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::place::{self, FilePlace};
use super::store::{Record, Store, digest};
use super::target::Target;
use super::text::Fault;
use crate::cli::error::CliError;
use crate::cli::write_file;

/// A file as it is and as it will be.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Change {
    pub(in crate::cli) target: Target,
    pub(in crate::cli) real: PathBuf,
    pub(in crate::cli) before: Option<Vec<u8>>,
    pub(in crate::cli) after: Option<Vec<u8>>,
    /// The file without anything of ours, to be kept for removal; `None` once nothing of ours is left.
    keep: Option<Kept>,
    /// Folders that setup made for the file before.
    folders: Vec<PathBuf>,
}

#[derive(Debug, Clone)]
struct Kept {
    original: Option<Vec<u8>>,
}

impl Change {
    /// Puts everything of a target into its file.
    pub(in crate::cli) fn putting(target: &Target, store: &Store) -> Result<Self, CliError> {
        let FilePlace { real, bytes } = place::find(target)?;
        let faulty = |fault: Fault| faulty(&target.path, &fault);
        let record = store.load(&real);
        let ours = ours(target, bytes.as_deref(), record.as_ref(), store).map_err(faulty)?;
        let missing = target.sparing(bytes.as_deref()).map_err(faulty)?;
        let after = missing.put_in(bytes.as_deref()).map_err(faulty)?;
        let original = match &record {
            Some(record) if record.is_untouched(bytes.as_deref()) => store.original(record)?,
            Some(record) => without(&ours, bytes.as_deref(), record.existed).map_err(faulty)?,
            None => without(&ours, bytes.as_deref(), bytes.is_some()).map_err(faulty)?,
        };
        Ok(Self {
            target: target.clone(),
            real,
            before: bytes,
            after: Some(after),
            keep: Some(Kept { original }),
            folders: record.map(|record| record.folders).unwrap_or_default(),
        })
    }

    /// Takes everything of a target out of its file: byte for byte what it was if nobody changed it since.
    pub(in crate::cli) fn removing(target: &Target, store: &Store) -> Result<Self, CliError> {
        let FilePlace { real, bytes } = place::find(target)?;
        let faulty = |fault: Fault| faulty(&target.path, &fault);
        let record = store.load(&real);
        let existed = record.as_ref().is_none_or(|record| record.existed);
        let untouched = record
            .as_ref()
            .filter(|it| it.is_untouched(bytes.as_deref()));
        let original = match untouched {
            Some(record) => Some(store.original(record)?),
            None => None,
        };
        let ours = ours(target, bytes.as_deref(), record.as_ref(), store).map_err(faulty)?;
        let stripped = bytes.as_deref().map(|bytes| ours.take_out(bytes));
        let stripped = stripped.transpose().map_err(faulty)?;
        let is_free = stripped
            .as_deref()
            .is_none_or(|bytes| target.is_free(bytes));
        let after = match (&original, is_free) {
            (Some(original), true) => original.clone(),
            (_, true) => without(&ours, bytes.as_deref(), existed).map_err(faulty)?,
            (_, false) => stripped,
        };
        let keep = (!is_free).then(|| Kept {
            original: original.unwrap_or_else(|| after.clone()),
        });
        Ok(Self {
            target: target.clone(),
            real,
            before: bytes,
            after,
            keep,
            folders: record.map(|record| record.folders).unwrap_or_default(),
        })
    }

    pub(in crate::cli) fn changes(&self) -> bool {
        self.before != self.after
    }

    pub(in crate::cli) fn word(&self) -> &'static str {
        match (&self.before, &self.after) {
            (None, None) => "absent",
            (None, Some(_)) => "create",
            (Some(_), None) => "remove",
            (before, after) if before == after => "unchanged",
            _ => "change",
        }
    }

    /// Writes the file. The backup is written first, so that a crash in between loses nothing.
    pub(in crate::cli) fn carry_out(
        &self,
        root: Option<&Path>,
        store: &Store,
    ) -> Result<(), CliError> {
        if let (true, Some(kept), Some(after)) = (self.changes(), &self.keep, &self.after) {
            let made = missing_folders(&self.real);
            let record = Record {
                path: self.real.clone(),
                front: self.target.front.map(|front| front.name().to_owned()),
                root: root.map(Path::to_owned),
                existed: kept.original.is_some(),
                written: digest(after),
                folders: self.folders.iter().cloned().chain(made).collect(),
            };
            store.save(&record, kept.original.as_deref())?;
        }
        if self.changes() {
            let done = match &self.after {
                Some(after) => write(&self.real, after),
                None => remove(&self.real, &self.folders),
            };
            done.map_err(|error| CliError::input(format!("write {}", self.real.display()), error))?;
        }
        match self.keep {
            Some(_) => Ok(()),
            None => store.forget(&self.real),
        }
    }
}

/// Records a change that another program made to a file because setup asked it to.
pub(in crate::cli) fn wrote_for_us(
    file: &Path,
    before: Option<&[u8]>,
    after: Option<&[u8]>,
    root: Option<&Path>,
    store: &Store,
) -> Result<(), CliError> {
    let real = file.canonicalize();
    let real = real.map_err(|error| CliError::input(format!("find {}", file.display()), error))?;
    let known = store.load(&real);
    let original = match &known {
        Some(record) if record.is_untouched(before) => store.original(record)?,
        _ => before.map(<[u8]>::to_owned),
    };
    let record = Record {
        path: real,
        front: Some(super::front::Front::Codex.name().to_owned()),
        root: match &known {
            Some(record) => record.root.clone(),
            None => root.map(Path::to_owned),
        },
        existed: original.is_some(),
        written: digest(after.unwrap_or_default()),
        folders: known.map(|record| record.folders).unwrap_or_default(),
    };
    store.save(&record, original.as_deref())
}

/// What of a target is ours to take out. A permission has no mark of ours, so it stays where the file had it before
/// setup; without a record, or without its backup, where the file has it now.
fn ours(
    target: &Target,
    bytes: Option<&[u8]>,
    record: Option<&Record>,
    store: &Store,
) -> Result<Target, Fault> {
    match record.map(|record| store.original(record)) {
        Some(Ok(original)) => target.sparing(original.as_deref()),
        Some(Err(_)) | None => target.sparing(bytes),
    }
}

/// The file without ours; one that we made and that says nothing else is none.
fn without(target: &Target, bytes: Option<&[u8]>, existed: bool) -> Result<Option<Vec<u8>>, Fault> {
    let Some(bytes) = bytes else {
        return Ok(None);
    };
    let rest = target.take_out(bytes)?;
    let ours_alone = !existed && target.is_blank(&rest);
    Ok((!ours_alone).then_some(rest))
}

fn faulty(path: &Path, fault: &Fault) -> CliError {
    let what = format!("cannot change {}: {fault}", path.display());
    CliError::usage(what, "mend the file first; nothing was written")
}

/// Folders that must be made for a file, the lowest first.
fn missing_folders(file: &Path) -> Vec<PathBuf> {
    let folders = file.ancestors().skip(1);
    let missing = folders.take_while(|it| it.symlink_metadata().is_err());
    missing.map(Path::to_owned).collect()
}

fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    write_file::replace(file, bytes)
}

fn remove(file: &Path, folders: &[PathBuf]) -> io::Result<()> {
    fs::remove_file(file)?;
    for folder in folders {
        // One that others use by now stays.
        if fs::remove_dir(folder).is_err() {
            break;
        }
    }
    Ok(())
}
