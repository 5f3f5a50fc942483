//! What every journal promises, checked on each of them: in memory, in segments, in Redis.
//!
//! Positions grow from record to record of a project; those appended at once, by one. Only the journals of
//! one machine promise more, which is checked apart: one order over all projects, and no gap.

use std::ops::ControlFlow;
use std::sync::Arc;

use cli_coordinator::config::{Config, Flags, Invoker, MapEnvironment};
use cli_coordinator::engine::ids::{JournalTime, Position};
use cli_coordinator::journal::disk::RealDisk;
use cli_coordinator::journal::memory::MemoryJournal;
use cli_coordinator::journal::redis::{RedisConnector, RedisJournal};
use cli_coordinator::journal::sim_disk::SimDisk;
use cli_coordinator::journal::{
    Entry, Journal, JournalError, Record, SegmentJournal, SegmentOptions, Snapshot, Space,
};

use crate::support::redis::Redis;

/// Runs one promise on a fresh journal of every kind.
fn check(promise: impl Fn(&mut dyn Journal)) {
    check_on_one_machine(&promise);
    let redis = started();
    promise(&mut in_redis(&redis));
}

fn started() -> Redis {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    runtime.block_on(Redis::start(&[]))
}

fn in_redis(redis: &Redis) -> RedisJournal {
    let port = redis.port().to_string();
    let environment = MapEnvironment::from([("HOME", "/nonexistent"), ("REDIS_PORT", &*port)]);
    let config = Config::load(&Flags::default(), &environment, Invoker::from(0)).unwrap();
    let connector = RedisConnector::new(&config.redis.unwrap(), config.profile).unwrap();
    RedisJournal::open(connector).unwrap()
}

/// Runs one promise on the journals that have one order over all projects.
fn check_on_one_machine(promise: impl Fn(&mut dyn Journal)) {
    promise(&mut MemoryJournal::new());
    let (mut simulated, _) = SegmentJournal::open(Arc::new(SimDisk::new(1)), small()).unwrap();
    promise(&mut simulated);
    let folder = tempfile::tempdir().unwrap();
    let disk = RealDisk::create(&folder.path().join("state")).unwrap();
    let (mut real, _) = SegmentJournal::open(Arc::new(disk), small()).unwrap();
    promise(&mut real);
}

/// Segments so small that every promise crosses several.
fn small() -> SegmentOptions {
    SegmentOptions {
        segment_bytes: 8 << 10,
        spare_segments_max: 2,
        reserve_bytes: 8 << 10,
        record_bytes_max: 2000,
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

/// Appends `count` entries of project `a`, each by itself; their positions.
fn singly(journal: &mut dyn Journal, count: u64) -> Vec<u64> {
    let entries = (1..=count).map(|n| entry("a", n));
    let given = entries.map(|entry| journal.append(&[entry]).unwrap()[0].0);
    given.collect()
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

/// Appends in batches of seven; what should come back.
fn appended(journal: &mut dyn Journal, entries: &[Entry]) -> Vec<Record> {
    let mut given = Vec::new();
    for batch in entries.chunks(7) {
        given.extend(journal.append(batch).unwrap());
    }
    assert_eq!(journal.append(&[]).unwrap(), []);
    let record = |(entry, position): (&Entry, Position)| Record {
        project: entry.project.clone(),
        position,
        at_ms: entry.at_ms,
        body: entry.body.clone(),
    };
    entries.iter().zip(given).map(record).collect()
}

#[test]
fn records_come_back_as_they_were_appended() {
    check(|journal| {
        let entries: Vec<Entry> = (1..=200).map(|n| entry("a", n)).collect();
        let expected = appended(journal, &entries);
        for batch in expected.chunks(7) {
            let first = batch[0].position.0;
            let dense: Vec<u64> = (first..).take(batch.len()).collect();
            assert_eq!(positions(batch), dense);
        }
        assert!(positions(&expected).is_sorted_by(|one, next| one < next));
        assert_eq!(all(journal, 0), expected);
    });
}

#[test]
fn on_one_machine_positions_have_no_gap() {
    check_on_one_machine(|journal| {
        assert_eq!(singly(journal, 60), (1..=60).collect::<Vec<_>>());
        let batch: Vec<Entry> = (61..=90).map(|n| entry("a", n)).collect();
        let dense: Vec<Position> = (61..=90).map(Position).collect();
        assert_eq!(journal.append(&batch).unwrap(), dense);
        journal.save_snapshot(&snapshot("a", 90, "{}")).unwrap();
        journal.trim(Position(u64::MAX)).unwrap();
        assert_eq!(journal.append(&[entry("a", 91)]).unwrap(), [Position(91)]);
    });
}

#[test]
fn the_records_of_each_project_come_back_in_their_order() {
    let entries: Vec<Entry> = (1..=200)
        .map(|n| entry(if n % 2 == 0 { "a" } else { "b" }, n))
        .collect();
    check(|journal| {
        let expected = appended(journal, &entries);
        let found = all(journal, 0);
        assert_eq!(found.len(), expected.len());
        for project in ["a", "b"] {
            let of = |records: &[Record]| -> Vec<Record> {
                let own = |record: &&Record| record.project.as_str() == project;
                records.iter().filter(own).cloned().collect()
            };
            let (found, expected) = (of(&found), of(&expected));
            assert_eq!(found, expected);
            assert!(positions(&found).is_sorted_by(|one, next| one < next));
            let middle = found[49].position.0;
            assert_eq!(of(&all(journal, middle)), expected[50..]);
        }
    });
    check_on_one_machine(|journal| {
        let expected = appended(journal, &entries);
        assert_eq!(positions(&expected), (1..=200).collect::<Vec<_>>());
        assert_eq!(all(journal, 0), expected);
    });
}

#[test]
fn a_batch_larger_than_a_segment_is_one_append() {
    check(|journal| {
        let entries: Vec<Entry> = (1..=100).map(|n| entry("a", 600 + n % 50)).collect();
        let given = journal.append(&entries).unwrap();
        let dense: Vec<Position> = (given[0].0..).take(100).map(Position).collect();
        assert_eq!(given, dense);
        let found = all(journal, 0).into_iter().map(|record| record.position);
        assert_eq!(found.collect::<Vec<_>>(), dense);
    });
}

#[test]
fn reading_starts_after_a_position_and_stops_when_told() {
    check(|journal| {
        let at = singly(journal, 60);
        assert_eq!(positions(&all(journal, at[40])), at[41..]);
        assert_eq!(all(journal, at[59]), []);
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
        journal.read(Position(at[9]), &mut visit).unwrap();
        assert_eq!(seen, at[10..13]);
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
        let mut at = Vec::new();
        for n in 1..=9 {
            let both = [entry("b.tmp", n), entry("a", n)];
            let given = journal.append(&both).unwrap();
            at.push((given[0].0, given[1].0));
        }
        let (old, new, last) = (at[2].0, at[4].0, at[8].1);
        let mut save = |project, at, state| {
            let snapshot = snapshot(project, at, state);
            journal.save_snapshot(&snapshot).unwrap();
        };
        save("b.tmp", old, "old");
        save("a", last, "{}");
        save("b.tmp", new, "new");
        let expected = [snapshot("a", last, "{}"), snapshot("b.tmp", new, "new")];
        assert_eq!(journal.load_snapshots().unwrap(), expected);
    });
}

#[test]
fn a_snapshot_of_records_to_come_is_refused_and_harms_nothing() {
    check(|journal| {
        let at = singly(journal, 1)[0];
        journal
            .save_snapshot(&snapshot("a", at + 1, "ahead"))
            .unwrap_err();
        journal.append(&[entry("a", 2)]).unwrap();
        assert_eq!(journal.load_snapshots().unwrap(), []);
    });
}

#[test]
fn live_bytes_fall_when_a_snapshot_covers_them() {
    check(|journal| {
        let mut given = Vec::new();
        for n in 1..=20 {
            given.push(journal.append(&[entry("a", n), entry("b", n)]).unwrap());
        }
        let (middle, end) = (given[9][0].0, &given[19]);
        let full = journal.status().live_bytes;
        journal.save_snapshot(&snapshot("a", middle, "{}")).unwrap();
        let less = journal.status().live_bytes;
        let whole = snapshot("a", end[0].0, "{}");
        journal.save_snapshot(&whole).unwrap();
        let half = journal.status().live_bytes;
        let whole = snapshot("b", end[1].0, "{}");
        journal.save_snapshot(&whole).unwrap();
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
        let at = singly(journal, 300);
        journal
            .save_snapshot(&snapshot("a", at[249], "{}"))
            .unwrap();
        journal.trim(Position(at[249] + 1)).unwrap();
        // A smaller floor later takes nothing back.
        journal.trim(Position(at[2])).unwrap();
        let left = positions(&all(journal, 0));
        assert!(left.len() < 100 && left[0] <= at[250], "{left:?}");
        assert_eq!(left, at[300 - left.len()..]);
        assert_eq!(positions(&all(journal, at[249])), at[250..]);
        let next = journal.append(&[entry("a", 1)]).unwrap()[0].0;
        assert_eq!(next - at[299], at[299] - at[298]);
    });
}

#[test]
fn trimming_everything_goes_on_with_the_next_position() {
    check(|journal| {
        let at = singly(journal, 100);
        journal.save_snapshot(&snapshot("a", at[99], "{}")).unwrap();
        journal.trim(Position(u64::MAX)).unwrap();
        let next = journal.append(&[entry("a", 1)]).unwrap()[0].0;
        assert_eq!(next - at[99], at[99] - at[98]);
        assert_eq!(positions(&all(journal, at[99])), [next]);
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

#[test]
fn a_journal_in_redis_holds_the_same_for_the_next_one() {
    let redis = started();
    let entries: Vec<Entry> = (1..=150).map(|n| entry("a", n)).collect();
    let mut journal = in_redis(&redis);
    // What is appended at once is one record there, which a snapshot covers whole, and which goes whole.
    let runs = entries.chunks(15);
    let given: Vec<Vec<Position>> = runs.map(|run| journal.append(run).unwrap()).collect();
    journal.append(&[entry("b", 1)]).unwrap();
    let (within, end) = (given[6][3], given[6][14]);
    let cut = journal.save_snapshot(&snapshot("a", within.0, "{}"));
    let cut = format!("{:?}", cut.unwrap_err());
    assert!(cut.contains("within a record"), "{cut}");
    journal.save_snapshot(&snapshot("a", end.0, "{}")).unwrap();
    journal.trim(within).unwrap();
    assert_eq!(all(&mut journal, 0).len(), 61);
    journal.trim(Position(end.0 + 1)).unwrap();
    let (records, status) = (all(&mut journal, 0), journal.status());
    assert_eq!(records.len(), 46);
    drop(journal);
    let mut journal = in_redis(&redis);
    assert_eq!(all(&mut journal, 0), records);
    assert_eq!(journal.status(), status);
    // Of another epoch, but behind the same records; a snapshot of either epoch is one.
    let new = journal.append(&entries[..2]).unwrap();
    assert!(new[0] > given[9][14], "{new:?}");
    let save = |journal: &mut RedisJournal, at: Position, state| {
        journal.save_snapshot(&snapshot("a", at.0, state)).unwrap();
    };
    save(&mut journal, given[7][14], "{}");
    save(&mut journal, new[1], "new");
    assert_eq!(
        journal.load_snapshots().unwrap(),
        [snapshot("a", new[1].0, "new")]
    );
}
