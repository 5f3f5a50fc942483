//! Verify, repair, dump, backup and restore of the embedded journal.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use cli_coordinator::engine::ids::{JournalTime, Position};
use cli_coordinator::journal::disk::{Disk, RealDisk};
use cli_coordinator::journal::inspect::{RepairMode, backup, dump, repair, restore, verify};
use cli_coordinator::journal::sim_disk::{Fault, Rng, SimDisk};
use cli_coordinator::journal::{
    Entry, Journal, JournalError, Record, SegmentJournal, SegmentOptions, Snapshot,
};

const SEEDS: u64 = 1500;

fn options() -> SegmentOptions {
    SegmentOptions {
        segment_bytes: 8 << 10,
        spare_segments_max: 2,
        reserve_bytes: 8 << 10,
        record_bytes_max: 1500,
    }
}

fn shared(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

fn open(disk: &SimDisk) -> Result<SegmentJournal, JournalError> {
    Ok(SegmentJournal::open(shared(disk), options())?.0)
}

fn entry(rng: &mut Rng, number: u64) -> Entry {
    let body = format!(r#"{{"n":{number},"pad":"{}"}}"#, "x".repeat(rng.below(400)));
    let project = ["a", "b"][rng.below(2)].parse().unwrap();
    Entry {
        project,
        at_ms: JournalTime(number),
        body: body.into(),
    }
}

/// A journal with snapshots, trimmed or not, and some records.
fn filled(seed: u64) -> (SimDisk, Rng) {
    let (disk, mut rng) = (SimDisk::new(seed), Rng::new(seed));
    let mut journal = open(&disk).unwrap();
    let trim_at = if rng.one_in(2) { 60 } else { 0 };
    let mut last = 0;
    while last < 120 {
        let batch: Vec<Entry> = (0..=rng.below(3)).map(|_| entry(&mut rng, last)).collect();
        last = journal.append(&batch).unwrap().last().unwrap().0;
        if trim_at > 0 && last >= trim_at && last < trim_at + 8 {
            for project in ["a", "b"] {
                let (project, position) = (project.parse().unwrap(), Position(last));
                journal
                    .save_snapshot(&Snapshot {
                        project,
                        position,
                        state: b"{}".to_vec(),
                    })
                    .unwrap();
            }
            journal.trim(Position(last + 1)).unwrap();
        }
    }
    (disk, rng)
}

fn records(journal: &mut dyn Journal) -> BTreeMap<u64, Record> {
    let mut records = BTreeMap::new();
    let mut visit = |record: Record| {
        assert!(
            records.insert(record.position.0, record).is_none(),
            "a position came twice"
        );
        ControlFlow::Continue(())
    };
    journal.read(Position(0), &mut visit).unwrap();
    records
}

/// Breaks something that a start notices.
fn damage(disk: &SimDisk, rng: &mut Rng) {
    let mut files = disk.files();
    files.retain(|(name, bytes)| !name.starts_with("spare-") && !bytes.is_empty());
    let last = files
        .iter()
        .rfind(|(name, _)| name.starts_with("segment-"))
        .cloned();
    let (name, mut bytes) = files[rng.below(files.len())].clone();
    // That the newest records are wiped out nobody can tell; see the docs of the journal.
    let whole = last.is_some_and(|(last, _)| last == name);
    match rng.below(6) {
        0 | 2 if whole => {}
        0 => return disk.take(&name),
        1 => bytes.truncate(rng.below(bytes.len())),
        2 => {
            let (from, length) = (rng.below(bytes.len()), rng.below(2000));
            let to = bytes.len().min(from + length);
            bytes[from..to].fill(0);
        }
        _ => {
            let at = rng.below(bytes.len().min(7000));
            bytes[at] ^= 1 << rng.below(8);
        }
    }
    disk.put(&name, bytes);
}

#[test]
fn a_repaired_journal_starts_and_says_exactly_what_is_lost() {
    let (mut repaired, mut lost_some) = (0, 0);
    for seed in 0..SEEDS {
        let (disk, mut rng) = filled(seed);
        let before = records(&mut open(&disk).unwrap());
        for _ in 0..=rng.below(2) {
            damage(&disk, &mut rng);
        }
        let mode = if rng.one_in(2) {
            RepairMode::Cut
        } else {
            RepairMode::Skip
        };
        let Err(refused) = open(&disk) else { continue };
        assert!(
            matches!(refused, JournalError::Corrupt { .. }),
            "seed {seed}: {refused}"
        );
        let report = verify(&shared(&disk)).unwrap();
        assert!(
            !report.damage.is_empty(),
            "seed {seed}: verify finds no fault, yet {refused}"
        );
        let files: BTreeMap<_, _> = disk.files().into_iter().collect();
        let done = repair(&shared(&disk), mode).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        repaired += 1;

        let folder = done.kept_in.expect("something was repaired");
        for (name, bytes) in disk.files() {
            if let Some((copy, name)) = name.split_once('/') {
                assert_eq!(
                    (&*format!("sim/{copy}"), files.get(name)),
                    (&*folder, Some(&bytes))
                );
            }
        }
        let mut journal =
            open(&disk).unwrap_or_else(|e| panic!("seed {seed}, {mode:?}: {e}, {:?}", done.lost));
        let snapshots = journal.load_snapshots().unwrap();
        let mut after = records(&mut journal);
        let is_lost = |position: &u64| {
            done.lost
                .iter()
                .any(|(from, to)| (from..=to).contains(&position))
        };
        for (position, record) in &before {
            if let Some(found) = after.remove(position) {
                assert_eq!(&found, record, "seed {seed}");
                continue;
            }
            // Damage to the last write is a torn tail, and every repair cuts that too.
            let tail = position + 4 > *before.keys().next_back().unwrap();
            let covered =
                snapshots.len() == 2 && snapshots.iter().all(|s| s.position.0 >= *position);
            let lost = &done.lost;
            assert!(
                is_lost(position) || tail || covered,
                "seed {seed}, {mode:?}: {position} vanished, {lost:?}"
            );
            lost_some += 1;
        }
        assert!(after.is_empty(), "seed {seed}: records nobody appended");
        let next = journal.append(&[entry(&mut rng, 0)]).unwrap()[0].0;
        assert!(
            done.lost.iter().all(|(_, to)| *to < next),
            "seed {seed}: a lost position was given out again"
        );
        drop(journal);
        open(&disk).unwrap_or_else(|e| panic!("seed {seed}: {e} after the first append"));
    }
    eprintln!("{repaired} repaired, {lost_some} records lost in all");
    assert!(repaired > 500 && lost_some > 100);
}

#[test]
fn a_repair_cut_short_can_be_run_again() {
    for seed in 0..20 {
        let mut operation = 0;
        loop {
            let (disk, mut rng) = filled(seed);
            damage(&disk, &mut rng);
            damage(&disk, &mut rng);
            if open(&disk).is_ok() {
                break;
            }
            operation += 1;
            let begin = disk.operations();
            disk.fail_at(begin + operation, Fault::Crash);
            if repair(&shared(&disk), RepairMode::Skip).is_ok() {
                break;
            }
            let disk = disk.crash();
            repair(&shared(&disk), RepairMode::Skip)
                .unwrap_or_else(|e| panic!("seed {seed}, {operation}: {e}"));
            open(&disk).unwrap_or_else(|e| panic!("seed {seed}, operation {operation}: {e}"));
        }
    }
}

#[test]
fn a_whole_journal_is_not_repaired() {
    let (disk, _) = filled(1);
    let files = disk.files();
    let done = repair(&shared(&disk), RepairMode::Cut).unwrap();
    assert!(done.kept_in.is_none() && done.lost.is_empty());
    assert_eq!(disk.files(), files);
    let report = verify(&shared(&disk)).unwrap();
    assert!(report.damage.is_empty() && report.in_use_by.is_none());
    assert_eq!(
        report.records,
        records(&mut open(&disk).unwrap()).len() as u64
    );
}

#[test]
fn verify_and_dump_work_while_a_coordinator_runs() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::create(folder.path()).unwrap());
    let (mut journal, _) = SegmentJournal::open(Arc::clone(&disk), options()).unwrap();
    let mut rng = Rng::new(1);
    let mut bodies = Vec::new();
    for n in 0..50 {
        let entry = entry(&mut rng, n);
        bodies.push(String::from_utf8(entry.body.clone()).unwrap());
        journal.append(&[entry]).unwrap();
    }
    journal
        .append(&[Entry {
            body: b"not\njson".to_vec(),
            ..entry(&mut rng, 50)
        }])
        .unwrap();
    let report = verify(&disk).unwrap();
    assert_eq!(report.in_use_by, Some(std::process::id().to_string()));
    assert_eq!(
        (report.records, report.positions),
        (51, Some((Position(1), Position(51))))
    );
    let mut out = Vec::new();
    assert_eq!(dump(&disk, Position(10), &mut out).unwrap(), 41);
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 41);
    assert!(
        lines[0].starts_with(r#"{"position":11,"at_ms":10,"project":""#),
        "{}",
        lines[0]
    );
    assert!(
        lines[0].ends_with(&format!(r#","command":{}}}"#, bodies[10])),
        "{}",
        lines[0]
    );
    assert!(
        lines[40].ends_with(r#","not_json":"not\njson"}"#),
        "{}",
        lines[40]
    );
}

#[test]
fn a_restored_journal_holds_the_same_and_goes_on() {
    for seed in 0..100 {
        let (disk, mut rng) = filled(seed);
        let mut journal = open(&disk).unwrap();
        let mut file = Vec::new();
        backup(&mut journal, &mut file).unwrap();
        let target = SimDisk::new(seed + 1000);
        restore(&shared(&target), options(), &mut file.as_slice()).unwrap();
        // A crash right after loses nothing.
        let target = target.crash();
        let mut restored = open(&target).unwrap();
        assert_eq!(records(&mut restored), records(&mut journal));
        assert_eq!(
            restored.load_snapshots().unwrap(),
            journal.load_snapshots().unwrap()
        );
        let entry = [entry(&mut rng, 1)];
        assert_eq!(
            restored.append(&entry).unwrap(),
            journal.append(&entry).unwrap()
        );
        drop(restored);
        let refused = restore(&shared(&target), options(), &mut file.as_slice()).unwrap_err();
        assert!(matches!(refused, JournalError::Io { .. }), "{refused}");
    }
}

#[test]
fn a_backup_that_is_not_whole_is_refused_and_leaves_an_empty_folder() {
    let (disk, mut rng) = filled(4);
    let mut file = Vec::new();
    backup(&mut open(&disk).unwrap(), &mut file).unwrap();
    let target = SimDisk::new(5);
    for _ in 0..400 {
        let mut bad = file.clone();
        if rng.one_in(2) {
            bad.truncate(rng.below(bad.len()));
        } else {
            let at = rng.below(bad.len());
            bad[at] ^= 1 << rng.below(8);
            // The padding of a frame means nothing; the checksum at the end covers it all the same.
        }
        let refused = restore(&shared(&target), options(), &mut bad.as_slice()).unwrap_err();
        assert!(matches!(refused, JournalError::Corrupt { .. }), "{refused}");
        assert!(target.files().is_empty(), "{:?}", target.files().len());
    }
    restore(&shared(&target), options(), &mut file.as_slice()).unwrap();
}

#[test]
fn a_restore_cut_short_is_never_taken_for_a_journal() {
    let (disk, _) = filled(6);
    let mut source = open(&disk).unwrap();
    let whole = records(&mut source);
    let mut file = Vec::new();
    backup(&mut source, &mut file).unwrap();
    for operation in 1.. {
        let target = SimDisk::new(operation);
        target.fail_at(operation, Fault::Crash);
        if restore(&shared(&target), options(), &mut file.as_slice()).is_ok() {
            assert!(operation > 20);
            break;
        }
        match open(&target.crash()) {
            Err(JournalError::Corrupt { .. }) => {}
            Err(error) => panic!("operation {operation}: {error}"),
            Ok(mut journal) => {
                let found = records(&mut journal);
                assert!(
                    found.is_empty() || found == whole,
                    "operation {operation}: {} records",
                    found.len()
                );
            }
        }
    }
}
