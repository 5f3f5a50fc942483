//! Uses any bytes as the files of a journal. Opening, verifying and repairing never panic, never loop, and
//! never use unbounded memory. A repaired journal always opens.

#![no_main]

use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use cli_coordinator::engine::ids::{JournalTime, Position};
use cli_coordinator::journal::disk::Disk;
use cli_coordinator::journal::inspect::{RepairMode, repair, restore, verify};
use cli_coordinator::journal::sim_disk::SimDisk;
use cli_coordinator::journal::{Entry, Journal, SegmentJournal, SegmentOptions, Snapshot};
use libfuzzer_sys::fuzz_target;

type Files = Vec<(String, Vec<u8>)>;

fn options() -> SegmentOptions {
    SegmentOptions {
        segment_bytes: 8 << 10,
        spare_segments_max: 1,
        reserve_bytes: 8 << 10,
        record_bytes_max: 1000,
    }
}

/// A sound journal, so that changes to it get past the first checksum.
fn sound() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let disk = SimDisk::new(1);
        let (mut journal, _) = SegmentJournal::open(Arc::new(disk.clone()), options()).unwrap();
        for n in 0..90 {
            let project = "a".parse().unwrap();
            let entry = Entry {
                project,
                at_ms: JournalTime(n),
                body: vec![b'x'; n as usize],
            };
            journal.append(&vec![entry; 1 + n as usize % 3]).unwrap();
        }
        let project = "a".parse().unwrap();
        journal
            .save_snapshot(&Snapshot {
                project,
                position: Position(60),
                state: vec![1; 50],
            })
            .unwrap();
        journal.trim(Position(61)).unwrap();
        disk.files()
    })
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else {
        return;
    };
    let disk = SimDisk::new(u64::from(*kind));
    match kind % 3 {
        0 => raw(&disk, rest),
        1 => changed(&disk, rest),
        _ => {
            let _ = restore(&shared(&disk), options(), &mut &rest[..]);
        }
    }
    check(&disk);
});

/// The bytes are the files.
fn raw(disk: &SimDisk, bytes: &[u8]) {
    let names = [
        "segment-0000000001",
        "segment-0000000002",
        "floor",
        "snapshot-a",
    ];
    let part = bytes.len() / names.len() + 1;
    for (name, bytes) in names.iter().zip(bytes.chunks(part)) {
        disk.put(name, bytes.to_vec());
    }
}

/// The bytes change a sound journal, five at a time: which file, where, what.
fn changed(disk: &SimDisk, bytes: &[u8]) {
    let mut files = sound().clone();
    for change in bytes.chunks_exact(5) {
        let count = files.len();
        let (_, bytes) = &mut files[usize::from(change[0] & 0x0f) % count];
        let at = usize::from(change[1]) << 8 | usize::from(change[2]);
        match change[0] >> 6 {
            0 => bytes.truncate(at),
            _ if bytes.is_empty() => {}
            _ => {
                let at = at % bytes.len();
                let end = bytes.len().min(at + usize::from(change[4]) + 1);
                bytes[at..end].fill(change[3]);
            }
        }
    }
    for (name, bytes) in files {
        disk.put(&name, bytes);
    }
}

fn shared(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

fn check(disk: &SimDisk) {
    let verified = verify(&shared(disk));
    match SegmentJournal::open(shared(disk), options()) {
        Ok((mut journal, recovery)) => {
            let mut last = 0;
            let mut visit = |record: cli_coordinator::journal::Record| {
                assert!(record.position.0 > last);
                last = record.position.0;
                ControlFlow::Continue(())
            };
            journal.read(Position(0), &mut visit).unwrap();
            assert!(last <= recovery.last.0);
        }
        Err(_) => {
            if verified.is_ok() && repair(&shared(disk), RepairMode::Skip).is_ok() {
                assert!(verify(&shared(disk)).unwrap().damage.is_empty());
                SegmentJournal::open(shared(disk), options()).unwrap();
            }
        }
    }
}
