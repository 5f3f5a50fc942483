//! What every journal promises, checked on each of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;
use std::sync::Arc;

use cli_coordinator::engine::ids::{JournalTime, Position};
use cli_coordinator::journal::disk::RealDisk;
use cli_coordinator::journal::memory::MemoryJournal;
use cli_coordinator::journal::sim_disk::SimDisk;
use cli_coordinator::journal::{
    Entry, Journal, JournalError, Record, SegmentJournal, SegmentOptions, Snapshot, Space,
};

/// Runs one promise on a fresh journal of every kind.
fn check(promise: impl Fn(&mut dyn Journal)) {
    promise(&mut MemoryJournal::new());
    let (mut simulated, _) = SegmentJournal::open(Arc::new(SimDisk::new(1)), small()).unwrap();
    promise(&mut simulated);
    let folder = tempfile::tempdir().unwrap();
    let disk = RealDisk::create(&folder.path().join("state")).unwrap();
    let (mut real, _) = SegmentJournal::open(Arc::new(disk), small()).unwrap();
    promise(&mut real);
}

/// Segments so small that every promise crosses several.
#[allow(clippy::needless_update, reason = "a feature adds a field")]
fn small() -> SegmentOptions {
    SegmentOptions {
        segment_bytes: 8 << 10,
        spare_segments_max: 2,
        reserve_bytes: 8 << 10,
        record_bytes_max: 2000,
        ..SegmentOptions::default()
    }
}

fn entry(project: &str, number: u64) -> Entry {
    let pad = usize::try_from(number % 700).unwrap();
    let body = format!(r#"{{"n":{number},"pad":"{}"}}"#, "x".repeat(pad));
    Entry {
        project: project.parse().unwrap(),
        at_ms: JournalTime(number * 10),
        body: body.into(),
    }
}

fn all(journal: &mut dyn Journal, after: u64) -> Vec<Record> {
    let mut records = Vec::new();
    let mut visit = |record| {
        records.push(record);
        ControlFlow::Continue(())
    };
    journal.read(Position(after), &mut visit).unwrap();
    records
}

fn positions(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.position.0).collect()
}

fn snapshot(project: &str, position: u64, state: &str) -> Snapshot {
    Snapshot {
        project: project.parse().unwrap(),
        position: Position(position),
        state: state.into(),
    }
}

#[test]
fn a_new_journal_is_empty() {
    check(|journal| {
        assert_eq!(all(journal, 0), []);
        assert_eq!(journal.load_snapshots().unwrap(), []);
        assert_eq!(
            (journal.status().space, journal.status().live_bytes),
            (Space::Ample, 0)
        );
    });
}

#[test]
fn records_come_back_as_they_were_appended() {
    check(|journal| {
        let entries: Vec<Entry> = (1..=200)
            .map(|n| entry(if n % 2 == 0 { "a" } else { "b" }, n))
            .collect();
        let mut given = Vec::new();
        for batch in entries.chunks(7) {
            given.extend(journal.append(batch).unwrap());
        }
        assert_eq!(journal.append(&[]).unwrap(), []);
        assert_eq!(given, (1..=200).map(Position).collect::<Vec<_>>());
        let expected: Vec<Record> = entries
            .into_iter()
            .zip(given)
            .map(|(e, position)| Record {
                project: e.project,
                position,
                at_ms: e.at_ms,
                body: e.body,
            })
            .collect();
        assert_eq!(all(journal, 0), expected);
    });
}

#[test]
fn a_batch_larger_than_a_segment_is_one_append() {
    check(|journal| {
        let entries: Vec<Entry> = (1..=100).map(|n| entry("a", 600 + n % 50)).collect();
        assert_eq!(journal.append(&entries).unwrap().len(), 100);
        assert_eq!(positions(&all(journal, 0)), (1..=100).collect::<Vec<_>>());
    });
}

#[test]
fn reading_starts_after_a_position_and_stops_when_told() {
    check(|journal| {
        for n in 1..=60 {
            journal.append(&[entry("a", n)]).unwrap();
        }
        assert_eq!(positions(&all(journal, 41)), (42..=60).collect::<Vec<_>>());
        assert_eq!(all(journal, 60), []);
        assert_eq!(all(journal, u64::MAX), []);
        let mut seen = Vec::new();
        let mut visit = |record: Record| {
            seen.push(record.position.0);
            if seen.len() == 3 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        journal.read(Position(10), &mut visit).unwrap();
        assert_eq!(seen, [11, 12, 13]);
    });
}

#[test]
fn bodies_of_any_bytes_are_kept() {
    check(|journal| {
        let bodies: [&[u8]; 4] = [
            b"",
            b"\0\0\0\0\0\0\0\0",
            &[255; 1999],
            "ü\u{2028}".as_bytes(),
        ];
        for body in bodies {
            let entry = Entry {
                body: body.to_vec(),
                ..entry("a", 0)
            };
            journal.append(&[entry]).unwrap();
        }
        let found: Vec<Vec<u8>> = all(journal, 0)
            .into_iter()
            .map(|record| record.body)
            .collect();
        assert_eq!(found, bodies.map(<[u8]>::to_vec));
    });
}

#[test]
fn the_newest_snapshot_of_each_project_is_kept_in_the_order_of_names() {
    check(|journal| {
        for n in 1..=9 {
            journal.append(&[entry("a", n)]).unwrap();
        }
        journal.save_snapshot(&snapshot("b.tmp", 3, "old")).unwrap();
        journal.save_snapshot(&snapshot("a", 9, "{}")).unwrap();
        journal.save_snapshot(&snapshot("b.tmp", 5, "new")).unwrap();
        let expected = [snapshot("a", 9, "{}"), snapshot("b.tmp", 5, "new")];
        assert_eq!(journal.load_snapshots().unwrap(), expected);
    });
}

#[test]
fn a_snapshot_of_records_to_come_is_refused_and_harms_nothing() {
    check(|journal| {
        journal.append(&[entry("a", 1)]).unwrap();
        journal
            .save_snapshot(&snapshot("a", 2, "ahead"))
            .unwrap_err();
        journal.append(&[entry("a", 2)]).unwrap();
        assert_eq!(journal.load_snapshots().unwrap(), []);
    });
}

#[test]
fn live_bytes_fall_when_a_snapshot_covers_them() {
    check(|journal| {
        for n in 1..=20 {
            journal.append(&[entry("a", n), entry("b", n)]).unwrap();
        }
        let full = journal.status().live_bytes;
        journal.save_snapshot(&snapshot("a", 20, "{}")).unwrap();
        let less = journal.status().live_bytes;
        journal.save_snapshot(&snapshot("a", 40, "{}")).unwrap();
        let half = journal.status().live_bytes;
        journal.save_snapshot(&snapshot("b", 40, "{}")).unwrap();
        assert!(
            full > less && less > half && half > 0,
            "{full} {less} {half}"
        );
        assert_eq!(journal.status().live_bytes, 0);
    });
}

#[test]
fn trimming_keeps_everything_from_the_floor_on() {
    check(|journal| {
        for n in 1..=300 {
            journal.append(&[entry("a", n)]).unwrap();
        }
        journal.save_snapshot(&snapshot("a", 250, "{}")).unwrap();
        journal.trim(Position(251)).unwrap();
        // A smaller floor later takes nothing back.
        journal.trim(Position(3)).unwrap();
        let left = positions(&all(journal, 0));
        assert!(left.len() < 100 && left[0] <= 251, "{left:?}");
        assert_eq!(left, (left[0]..=300).collect::<Vec<_>>());
        assert_eq!(
            positions(&all(journal, 250)),
            (251..=300).collect::<Vec<_>>()
        );
        assert_eq!(journal.append(&[entry("a", 1)]).unwrap(), [Position(301)]);
    });
}

#[test]
fn trimming_everything_goes_on_with_the_next_position() {
    check(|journal| {
        for n in 1..=100 {
            journal.append(&[entry("a", n)]).unwrap();
        }
        journal.save_snapshot(&snapshot("a", 100, "{}")).unwrap();
        journal.trim(Position(u64::MAX)).unwrap();
        assert_eq!(journal.append(&[entry("a", 1)]).unwrap(), [Position(101)]);
        assert_eq!(positions(&all(journal, 100)), [101]);
    });
}

#[test]
fn a_reopened_journal_holds_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        SegmentJournal::open(Arc::new(RealDisk::create(folder.path()).unwrap()), small()).unwrap()
    };
    let (mut journal, first) = open();
    assert_eq!((first.records, first.last), (0, Position(0)));
    let entries: Vec<Entry> = (1..=150).map(|n| entry("a", n)).collect();
    journal.append(&entries).unwrap();
    journal.save_snapshot(&snapshot("a", 100, "{}")).unwrap();
    journal.trim(Position(101)).unwrap();
    let (records, status) = (all(&mut journal, 0), journal.status());
    drop(journal);
    let (mut journal, again) = open();
    assert_eq!((again.last, again.torn_bytes), (Position(150), 0));
    assert_eq!(all(&mut journal, 0), records);
    assert_eq!(journal.status().live_bytes, status.live_bytes);
    assert_eq!(journal.append(&entries[..1]).unwrap(), [Position(151)]);
}

#[test]
fn a_record_too_large_is_refused_and_nothing_of_its_batch_is_written() {
    let (mut journal, _) = SegmentJournal::open(Arc::new(SimDisk::new(1)), small()).unwrap();
    let large = Entry {
        body: vec![b'x'; 2001],
        ..entry("a", 1)
    };
    let error = journal.append(&[entry("a", 1), large]).unwrap_err();
    assert!(matches!(
        error,
        JournalError::RecordTooLarge {
            bytes: 2001,
            max: 2000
        }
    ));
    assert_eq!(journal.append(&[entry("a", 1)]).unwrap(), [Position(1)]);
}

#[test]
fn one_process_a_state_directory() {
    let folder = tempfile::tempdir().unwrap();
    let open = || SegmentJournal::open(Arc::new(RealDisk::create(folder.path()).unwrap()), small());
    let (first, _) = open().unwrap();
    let text = open().unwrap_err().to_string();
    assert!(
        text.contains("in use") && text.contains(&std::process::id().to_string()),
        "{text}"
    );
    drop(first);
    open().unwrap();
}

#[test]
fn a_state_directory_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("deep/state");
    let (mut journal, _) =
        SegmentJournal::open(Arc::new(RealDisk::create(&root).unwrap()), small()).unwrap();
    journal.append(&[entry("a", 1)]).unwrap();
    journal.save_snapshot(&snapshot("a", 1, "{}")).unwrap();
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&root), 0o700);
    for file in std::fs::read_dir(&root).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}
