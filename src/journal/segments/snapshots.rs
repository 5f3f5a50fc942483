//! Snapshots: one file for each project, written under another name, synced, and renamed.

use crc32c::{crc32c, crc32c_append};

use super::format::{BLOCK_BYTES, FORMAT, Flaw, SNAPSHOT_MAGIC, seal, unseal};
use super::medium::{FILE_BYTES_MAX, JournalMedium, is_full};
use super::names::{TEMP_SNAPSHOT, snapshot_name};
use crate::engine::ids::Position;
use crate::journal::{JournalError, Snapshot};

/// Writes the snapshot durably; the old one stays until the new one is complete.
pub(crate) fn save(medium: &mut JournalMedium, snapshot: &Snapshot) -> Result<u64, JournalError> {
    let project = snapshot.project.as_str().as_bytes();
    let crc = crc32c_append(crc32c(project), &snapshot.state);
    let lengths = [project.len() as u64, snapshot.state.len() as u64];
    let [project_bytes, state_bytes] = lengths;
    let fields = [
        snapshot.position.0,
        project_bytes,
        state_bytes,
        u64::from(crc),
        0,
        0,
    ];
    let mut bytes = Vec::with_capacity(BLOCK_BYTES + project.len() + snapshot.state.len());
    bytes.extend_from_slice(&seal(SNAPSHOT_MAGIC, fields));
    bytes.extend_from_slice(project);
    bytes.extend_from_slice(&snapshot.state);
    let length = bytes.len() as u64;
    if length > FILE_BYTES_MAX {
        return Err(JournalError::Full {
            wanted_bytes: length,
        });
    }
    match write_temp(medium, &bytes) {
        Err(error) if is_full(&error) => {
            medium.remove(TEMP_SNAPSHOT)?;
            return Err(JournalError::Full {
                wanted_bytes: length,
            });
        }
        other => other?,
    }
    medium.rename(TEMP_SNAPSHOT, &snapshot_name(&snapshot.project))?;
    medium.sync_dir("")?;
    Ok(length)
}

fn write_temp(medium: &mut JournalMedium, bytes: &[u8]) -> Result<(), JournalError> {
    let file = medium.create(TEMP_SNAPSHOT)?;
    medium.write(&file, bytes, 0)?;
    medium.sync(&file)
}

/// Reads and checks one snapshot file.
pub(crate) fn load(medium: &JournalMedium, name: &str) -> Result<(Snapshot, u64), JournalError> {
    let mut bytes = Vec::new();
    let length = medium.load(name, u64::MAX, &mut bytes)?;
    let fields = match unseal(SNAPSHOT_MAGIC, &bytes) {
        Ok(fields) => fields,
        Err(Flaw::Newer(found)) => {
            return Err(JournalError::NewerFormat {
                path: medium.disk.path(name),
                found,
                known: FORMAT,
            });
        }
        Err(Flaw::Damaged) => {
            return Err(medium.corrupt(
                name,
                0,
                "the snapshot's header does not match its checksum",
            ));
        }
    };
    let [position, project_bytes, state_bytes, crc, ..] = fields;
    let text = &bytes[BLOCK_BYTES..];
    if project_bytes.saturating_add(state_bytes) != text.len() as u64
        || u64::from(crc32c(text)) != crc
    {
        return Err(medium.corrupt(
            name,
            BLOCK_BYTES as u64,
            "the snapshot does not match its checksum",
        ));
    }
    let (project, state) =
        text.split_at(usize::try_from(project_bytes).expect("it is within the file"));
    let project = std::str::from_utf8(project)
        .ok()
        .and_then(|text| text.parse().ok());
    match project {
        Some(project) if snapshot_name(&project) == name => Ok((
            Snapshot {
                project,
                position: Position(position),
                state: state.to_vec(),
            },
            length,
        )),
        _ => Err(medium.corrupt(
            name,
            BLOCK_BYTES as u64,
            "the snapshot belongs to another project",
        )),
    }
}
