//! The embedded journal on this medium: records with a sync each, then what recovery finds of them.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::{CheckFound, CheckResult};
use crate::clock::Clock;
use crate::engine::ids::{JournalTime, Position, ProjectName};
use crate::journal::disk::RealDisk;
use crate::journal::{Entry, Journal, JournalError, SegmentJournal, SegmentOptions};

/// Each is an append with a sync of its own.
const RECORDS_MAX: usize = 64;
/// On a medium that is so slow, fewer are enough.
const APPENDING_MS_MAX: u64 = 4_000;
const BODY_BYTES: usize = 300;
/// Small files: what is tested is the way to the medium, not its size.
const FILE_BYTES: u64 = 1 << 20;
/// Above it, agents notice: it is the least time between a request and its answer.
const SYNC_US_SLOW: u64 = 50_000;

/// How long one durable record takes on this medium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SyncLatency {
    pub syncs: usize,
    pub median_us: u64,
    pub max_us: u64,
}

/// What a check leaves for the description of the box.
#[derive(Debug, Clone, Default)]
pub(super) struct Measured(Arc<Mutex<Option<SyncLatency>>>);

impl Measured {
    pub(super) fn taken(&self) -> Option<SyncLatency> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.take()
    }

    fn keep(&self, latency: SyncLatency) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(latency);
    }
}

pub(super) fn check(folder: &Path, measured: &Measured) -> CheckResult {
    match try_out(folder, measured) {
        Err(error) if is_full(&*error) => {
            let next = "free space there, or give a folder on another disk with --dir";
            Ok(CheckFound::failed(error.to_string(), next))
        }
        found => found,
    }
}

fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(JournalError::Full { .. }))
}

fn try_out(folder: &Path, measured: &Measured) -> CheckResult {
    let mut written = Vec::new();
    let mut times_us = Vec::new();
    {
        let mut journal = open(folder)?;
        let clock = Clock::start();
        while written.len() < RECORDS_MAX && clock.now().0 < APPENDING_MS_MAX * 1_000 {
            let entry = entry(written.len());
            let begun = clock.now().0;
            journal.append(std::slice::from_ref(&entry))?;
            times_us.push(clock.now().0 - begun);
            written.push(entry);
        }
    }
    times_us.sort_unstable();
    let latency = SyncLatency {
        syncs: times_us.len(),
        median_us: times_us.get(times_us.len() / 2).copied().unwrap_or(0),
        max_us: times_us.last().copied().unwrap_or(0),
    };
    measured.keep(latency.clone());
    let found = read(folder)?;
    if found != written {
        let detail = format!(
            "{} records were written and synced, but {} were read back",
            written.len(),
            found.len()
        );
        let next = "do not use this disk for state; see the kernel's log for its errors";
        return Ok(CheckFound::failed(detail, next));
    }
    let detail = format!(
        "{} records written, synced and read back; a sync takes {} µs, at most {} µs",
        latency.syncs, latency.median_us, latency.max_us
    );
    if latency.median_us > SYNC_US_SLOW {
        let next = "agents wait for each sync: use a faster disk, and check what else writes to it";
        return Ok(CheckFound::warning(detail, next));
    }
    Ok(CheckFound::ok(detail))
}

fn open(folder: &Path) -> Result<SegmentJournal, Box<dyn std::error::Error + Send + Sync>> {
    let disk = RealDisk::create(folder)?;
    let options = SegmentOptions {
        segment_bytes: FILE_BYTES,
        reserve_bytes: FILE_BYTES,
        record_bytes_max: 4 * BODY_BYTES,
        ..SegmentOptions::default()
    };
    Ok(SegmentJournal::open(Arc::new(disk), options)?.0)
}

fn entry(number: usize) -> Entry {
    let project: ProjectName = "self-test".parse().expect("it is a name");
    let mut body = format!(r#"{{"number":{number},"fill":""#).into_bytes();
    body.resize(BODY_BYTES, b'x');
    body.extend_from_slice(b"\"}");
    Entry {
        project,
        at_ms: JournalTime(number as u64),
        body,
    }
}

/// What an opened journal holds, the way recovery reads it.
fn read(folder: &Path) -> Result<Vec<Entry>, Box<dyn std::error::Error + Send + Sync>> {
    let mut journal = open(folder)?;
    let mut found = Vec::new();
    let read: Result<(), JournalError> = journal.read(Position(0), &mut |record| {
        found.push(Entry {
            project: record.project,
            at_ms: record.at_ms,
            body: record.body,
        });
        ControlFlow::Continue(())
    });
    read?;
    Ok(found)
}
