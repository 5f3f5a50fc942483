//! The one file of MQTT: up to where the events of each project were published.
//!
//! Two slots are written in turn, each with a generation and a checksum, so that a torn write leaves the older one.
//! A cursor that is too old costs duplicates and never an event, so that ordinary writes are not synced: that
//! would wear flash once a second. The last write of a run is synced.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

use crate::engine::ids::{Cursor, ProjectName};

const MAGIC: &[u8; 8] = b"coordmq1";
/// Magic, generation, length, checksum.
const HEADER_BYTES: usize = 8 + 8 + 4 + 4;
/// Far more than the cursors of all projects take.
const SLOT_BYTES: usize = 128 * 1024;

/// Up to where each project's events were published.
pub type Cursors = BTreeMap<ProjectName, Cursor>;

/// The open file.
#[derive(Debug)]
pub struct CursorFile {
    file: File,
    generation: u64,
}

impl CursorFile {
    /// Opens the file, or makes it, and reads the newest cursors that are whole.
    pub fn open(folder: &Path) -> io::Result<(Self, Cursors)> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.mode(0o600).open(folder.join("cursors"))?;
        let mut newest = (0, Cursors::new());
        for slot in 0..2 {
            match read_slot(&file, slot)? {
                Some(found) if found.0 > newest.0 => newest = found,
                _ => {}
            }
        }
        let (generation, cursors) = newest;
        Ok((Self { file, generation }, cursors))
    }

    /// Writes the cursors over the older of the two slots.
    pub fn save(&mut self, cursors: &Cursors, sync: bool) -> io::Result<()> {
        let lines = cursors
            .iter()
            .map(|(project, cursor)| format!("{project} {cursor}\n"));
        let body: String = lines.collect();
        if HEADER_BYTES + body.len() > SLOT_BYTES {
            return Err(io::Error::other("the cursors do not fit into a slot"));
        }
        let generation = self.generation + 1;
        let length = u32::try_from(body.len()).map_err(io::Error::other)?;
        let mut slot = Vec::with_capacity(HEADER_BYTES + body.len());
        slot.extend_from_slice(MAGIC);
        slot.extend_from_slice(&generation.to_le_bytes());
        slot.extend_from_slice(&length.to_le_bytes());
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&slot), body.as_bytes());
        slot.extend_from_slice(&checksum.to_le_bytes());
        slot.extend_from_slice(body.as_bytes());
        self.file.write_all_at(&slot, offset(generation))?;
        self.generation = generation;
        if sync {
            self.file.sync_data()?;
        }
        Ok(())
    }
}

fn offset(generation: u64) -> u64 {
    (generation % 2) * SLOT_BYTES as u64
}

/// The generation and the cursors of a slot; `None` if it was never written, or is torn.
fn read_slot(file: &File, slot: u64) -> io::Result<Option<(u64, Cursors)>> {
    let mut bytes = vec![0; SLOT_BYTES];
    let mut filled = 0;
    while filled < bytes.len() {
        let at = offset(slot) + filled as u64;
        match file.read_at(&mut bytes[filled..], at)? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(parse(&bytes[..filled]))
}

fn parse(bytes: &[u8]) -> Option<(u64, Cursors)> {
    let (header, rest) = bytes.split_at_checked(HEADER_BYTES)?;
    let (signed, checksum) = header.split_at_checked(HEADER_BYTES - 4)?;
    let (magic, numbers) = signed.split_at_checked(MAGIC.len())?;
    if magic != MAGIC {
        return None;
    }
    let (generation, length) = numbers.split_at_checked(8)?;
    let generation = u64::from_le_bytes(generation.try_into().ok()?);
    let length = u32::from_le_bytes(length.try_into().ok()?);
    let body = rest.get(..usize::try_from(length).ok()?)?;
    let checksum = u32::from_le_bytes(checksum.try_into().ok()?);
    if crc32c::crc32c_append(crc32c::crc32c(signed), body) != checksum {
        return None;
    }
    let lines = std::str::from_utf8(body).ok()?.lines();
    let cursors = lines.map(|line| {
        let (project, cursor) = line.split_once(' ')?;
        Some((project.parse().ok()?, cursor.parse().ok()?))
    });
    Some((generation, cursors.collect::<Option<Cursors>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursors(position: u64) -> Cursors {
        let cursor = format!("0:{position}").parse().expect("a cursor");
        [("default".parse().expect("a project"), cursor)].into()
    }

    #[test]
    fn the_newest_whole_slot_holds() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut file, found) = CursorFile::open(folder.path()).expect("it opens");
        assert!(found.is_empty());
        for position in 1..=3 {
            file.save(&cursors(position), position == 3)
                .expect("it is written");
        }
        let (_, found) = CursorFile::open(folder.path()).expect("it opens");
        assert_eq!(found, cursors(3));
        // The third one is in the second slot. A torn write of it leaves the second cursors.
        let at = offset(3) + HEADER_BYTES as u64;
        file.file.write_all_at(b"x", at).expect("it is written");
        let (mut file, found) = CursorFile::open(folder.path()).expect("it opens");
        assert_eq!(found, cursors(2));
        file.save(&cursors(4), false).expect("it is written");
        let (_, found) = CursorFile::open(folder.path()).expect("it opens");
        assert_eq!(found, cursors(4));
    }

    #[test]
    fn junk_is_no_cursor() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("cursors"), [7; 1000]).expect("it is written");
        let (_, found) = CursorFile::open(folder.path()).expect("it opens");
        assert!(found.is_empty());
    }
}
