//! Inspects an embedded journal from outside: its records, whether it is intact, and repairs if it is not.
//! Nothing here prints; the command line does.

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::disk::Disk;
use super::segments::NameCache;
use super::segments::format::{FrameKind, SegmentFrame};
use super::segments::medium::JournalMedium;
use super::segments::names::{self, Inventory};
use super::segments::scan::{self, Scan};
use super::segments::{Damage, snapshots};
use super::{JournalError, Snapshot};
use crate::engine::ids::{JournalTime, Position, ProjectName};

mod backup;
mod repair;

pub use backup::{Restored, backup, restore};
pub use repair::{RepairMode, Repaired, repair};

/// How often a journal in use is read again before what looks like damage is reported: the
/// coordinator may have recycled a file between two reads.
const LIVE_READS_MAX: usize = 3;

/// The condition of a journal.
#[derive(Debug, Clone)]
pub struct Verification {
    /// The process id of the coordinator that has the journal open. Its newest records may look
    /// like torn bytes while they are being written.
    pub in_use_by: Option<String>,
    pub segments: usize,
    pub records: u64,
    /// The positions of the first and the last record, if there is one.
    pub positions: Option<(Position, Position)>,
    pub snapshots: Vec<(ProjectName, Position)>,
    /// Bytes of a write that a crash cut short; the next start removes them.
    pub torn_bytes: u64,
    /// The file and offset where they are.
    pub torn_at: Option<(String, u64)>,
    /// What a start would refuse.
    pub damage: Vec<Damage>,
}

/// Reads everything and checks it as a start would; writes nothing and takes no lock.
pub fn verify(disk: &Arc<dyn Disk>) -> Result<Verification, JournalError> {
    let medium = JournalMedium::new(Arc::clone(disk));
    let mut reads = 0;
    loop {
        reads += 1;
        let in_use_by = holder(&medium)?;
        let again = in_use_by.is_some() && reads < LIVE_READS_MAX;
        match verify_once(&medium, in_use_by) {
            Ok(found) if found.damage.is_empty() || !again => return Ok(found),
            Err(error) if !again => return Err(error),
            _ => {}
        }
    }
}

fn holder(medium: &JournalMedium) -> Result<Option<String>, JournalError> {
    let holder = medium.disk.holder(names::LOCK_FILE);
    holder.map_err(|e| medium.failed("check the lock of", names::LOCK_FILE, e))
}

fn verify_once(
    medium: &JournalMedium,
    in_use_by: Option<String>,
) -> Result<Verification, JournalError> {
    let inventory = Inventory::take(medium)?;
    let mut positions = None;
    let scan = scan::scan(medium, &inventory, true, &mut |frame, _| {
        if frame.kind == FrameKind::Record {
            let (first, _) = positions.unwrap_or((Position(frame.sequence), Position(0)));
            positions = Some((first, Position(frame.sequence)));
        }
        ControlFlow::Continue(())
    })?;
    let (snapshots, bad) = read_snapshots(medium, &inventory)?;
    let mut damage = scan.damage.clone();
    damage.extend(bad);
    damage.extend(beyond(&scan, &snapshots));
    damage.extend(inventory.restoring.then(|| Damage {
        file: names::RESTORING_FILE.into(),
        offset: 0,
        what: names::RESTORING.into(),
        lost_from: 0,
        lost_to: 0,
    }));
    let torn_at = scan.segments.last().filter(|_| scan.torn_bytes > 0);
    Ok(Verification {
        in_use_by,
        segments: scan.segments.len(),
        records: scan.records,
        positions,
        snapshots: snapshots
            .into_iter()
            .map(|s| (s.project, s.position))
            .collect(),
        torn_bytes: scan.torn_bytes,
        torn_at: torn_at.map(|last| (medium.disk.path(&last.name), last.end)),
        damage,
    })
}

/// The readable snapshots, and the problems of the others.
fn read_snapshots(
    medium: &JournalMedium,
    inventory: &Inventory,
) -> Result<(Vec<Snapshot>, Vec<Damage>), JournalError> {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for name in &inventory.snapshots {
        match snapshots::load(medium, name) {
            Ok((snapshot, _)) => good.push(snapshot),
            Err(JournalError::Corrupt { offset, what, .. }) => {
                let file = name.clone();
                bad.push(Damage {
                    file,
                    offset,
                    what,
                    lost_from: 0,
                    lost_to: 0,
                });
            }
            Err(error) => return Err(error),
        }
    }
    Ok((good, bad))
}

/// A snapshot beyond the last record proves that records are missing.
fn beyond(scan: &Scan, snapshots: &[Snapshot]) -> Option<Damage> {
    let newest = snapshots.iter().map(|snapshot| snapshot.position.0).max()?;
    let last = scan.segments.last();
    (newest >= scan.next).then(|| Damage {
        file: last.map_or_else(String::new, |last| last.name.clone()),
        offset: last.map_or(0, |last| last.end),
        what: format!(
            "the records end before {}, yet a snapshot covers {newest}",
            scan.next
        ),
        lost_from: scan.next,
        lost_to: newest.saturating_add(1),
    })
}

/// One record as a line of JSON.
#[derive(Serialize)]
struct RecordLine<'a> {
    position: Position,
    at_ms: JournalTime,
    project: &'a ProjectName,
    /// The command as it was appended, byte for byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'a RawValue>,
    /// Instead of the command where that is not JSON on one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_json: Option<String>,
}

/// Writes every record after `after` as one line of JSON; returns how many. Stops at damage with an error
/// that names it. Takes no lock: of a journal in use it shows the present state.
pub fn dump(
    disk: &Arc<dyn Disk>,
    after: Position,
    out: &mut dyn Write,
) -> Result<u64, JournalError> {
    let medium = JournalMedium::new(Arc::clone(disk));
    let inventory = Inventory::take(&medium)?;
    let mut names = NameCache::default();
    let (mut lines, mut failed) = (0, None);
    let scan = scan::scan(&medium, &inventory, false, &mut |frame, _| {
        if failed.is_none() && frame.kind == FrameKind::Record && frame.sequence > after.0 {
            failed = write_line(&mut names, frame, out).err();
            lines += 1;
        }
        // If the output fails, reading on is useless.
        if failed.is_some() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    if let Some(source) = failed {
        return Err(JournalError::Io {
            action: "write",
            path: "the dump".into(),
            source,
        });
    }
    match scan.damage.first() {
        Some(damage) => Err(medium.corrupt(&damage.file, damage.offset, damage.what.clone())),
        None => Ok(lines),
    }
}

fn write_line(
    names: &mut NameCache,
    frame: &SegmentFrame<'_>,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let Some(project) = names.parse(frame.project) else {
        return Err(std::io::Error::other(format!(
            "record {} has an invalid project name",
            frame.sequence
        )));
    };
    let command: Option<&RawValue> = serde_json::from_slice(frame.body).ok();
    // A line break in the body would end the line early.
    let command = command.filter(|command| !command.get().contains(['\n', '\r']));
    let not_json = command
        .is_none()
        .then(|| String::from_utf8_lossy(frame.body).into_owned());
    let line = RecordLine {
        position: Position(frame.sequence),
        at_ms: JournalTime(frame.at_ms),
        project,
        command,
        not_json,
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}
