//! The embedded journal on a disk that fails: seeded runs, a crash at every operation.
//!
//! A failing run prints its seed and what was done to it; the same numbers replay it exactly.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use cli_coordinator::engine::ids::{JournalTime, Position, ProjectName};
use cli_coordinator::journal::sim_disk::{Fault, Rng, SimDisk};
use cli_coordinator::journal::{
    Entry, Journal, JournalError, Record, Recovery, SegmentJournal, SegmentOptions, Snapshot, Space,
};
use cli_coordinator::planted::{Bug, Planted};

/// Seeds for which every single operation is made to fail in turn.
const EXHAUSTIVE_SEEDS: u64 = 24;
/// Seeds with faults at random places, several lives each.
const RANDOM_SEEDS: u64 = 2000;
/// What one run does.
const STEPS: usize = 40;

fn options() -> SegmentOptions {
    SegmentOptions {
        segment_bytes: 8 << 10,
        spare_segments_max: 2,
        reserve_bytes: 8 << 10,
        record_bytes_max: 1500,
    }
}

/// What must be on the disk, as far as the journal said so.
#[derive(Debug, Default)]
struct Model {
    /// Acknowledged, or found by a recovery: from then on they count.
    records: Vec<Record>,
    /// Of the append that was under way when the fault came.
    unanswered: Vec<Entry>,
    snapshots: BTreeMap<ProjectName, Snapshot>,
    snapshot_unanswered: Option<Snapshot>,
    /// The highest floor ever asked for: what is before may be gone.
    floor: u64,
}

/// A run: the journal, what it must hold, and where the choices come from.
struct Run {
    rng: Rng,
    disk: SimDisk,
    options: SegmentOptions,
    model: Model,
}

fn body(rng: &mut Rng) -> Vec<u8> {
    let length = if rng.one_in(8) {
        rng.below(1500)
    } else {
        rng.below(300)
    };
    // Runs of few values: stale bytes then often look like live ones.
    (0..length).map(|_| b"ab"[rng.below(2)]).collect()
}

fn collect(journal: &mut SegmentJournal) -> Result<Vec<Record>, JournalError> {
    let mut records = Vec::new();
    journal.read(Position(0), &mut |record| {
        records.push(record);
        ControlFlow::Continue(())
    })?;
    Ok(records)
}

impl Run {
    fn new(seed: u64, options: SegmentOptions) -> Self {
        Self {
            rng: Rng::new(seed),
            disk: SimDisk::new(seed),
            options,
            model: Model::default(),
        }
    }

    fn open(&self) -> Result<(SegmentJournal, Recovery), JournalError> {
        SegmentJournal::open(Arc::new(self.disk.clone()), self.options.clone())
    }

    /// Opens the journal and does up to `steps` things; the first failure ends it.
    fn live(&mut self, steps: usize) -> Result<(), JournalError> {
        let (mut journal, _) = self.open()?;
        for _ in 0..steps {
            self.step(&mut journal)?;
        }
        Ok(())
    }

    fn step(&mut self, journal: &mut SegmentJournal) -> Result<(), JournalError> {
        match self.rng.below(10) {
            0 => self.snapshot(journal),
            1 => self.trim(journal),
            2 => journal.prepare().map(drop),
            _ => self.append(journal),
        }
    }

    fn append(&mut self, journal: &mut SegmentJournal) -> Result<(), JournalError> {
        let most = if self.rng.one_in(10) { 40 } else { 5 };
        for _ in 0..=self.rng.below(most) {
            let project = ["alpha", "beta", "b"][self.rng.below(3)].parse().unwrap();
            let at_ms = JournalTime(self.rng.next_u64());
            self.model.unanswered.push(Entry {
                project,
                at_ms,
                body: body(&mut self.rng),
            });
        }
        let positions = journal.append(&self.model.unanswered)?;
        let entries = std::mem::take(&mut self.model.unanswered);
        assert_eq!(positions.len(), entries.len());
        for (entry, position) in entries.into_iter().zip(positions) {
            let Entry {
                project,
                at_ms,
                body,
            } = entry;
            self.model.records.push(Record {
                project,
                position,
                at_ms,
                body,
            });
        }
        Ok(())
    }

    fn last(&self) -> u64 {
        self.model
            .records
            .last()
            .map_or(0, |record| record.position.0)
    }

    fn snapshot(&mut self, journal: &mut SegmentJournal) -> Result<(), JournalError> {
        let project: ProjectName = ["alpha", "beta"][self.rng.below(2)].parse().unwrap();
        let snapshot = Snapshot {
            project,
            position: Position(self.last()),
            state: body(&mut self.rng),
        };
        self.model.snapshot_unanswered = Some(snapshot.clone());
        journal.save_snapshot(&snapshot)?;
        self.model.snapshot_unanswered = None;
        self.model
            .snapshots
            .insert(snapshot.project.clone(), snapshot);
        Ok(())
    }

    fn trim(&mut self, journal: &mut SegmentJournal) -> Result<(), JournalError> {
        let behind = self.rng.below(20) as u64;
        self.model.floor = self
            .model
            .floor
            .max((self.last() + 1).saturating_sub(behind));
        journal.trim(Position(self.model.floor))
    }

    /// Restarts on what a power cut left, and checks that nothing that counts is lost or made up.
    fn crash_and_check(&mut self) {
        self.disk = self.disk.crash();
        let (mut journal, recovery) = self.open().expect("a crash alone is never damage");
        self.check(&mut journal);
        assert_eq!(recovery.last.0, self.last());
        // What follows must not be disturbed by anything that was left behind.
        self.model.unanswered.clear();
        self.append(&mut journal).unwrap();
        drop(journal);
        let (mut journal, _) = self.open().expect("a clean restart is never damage");
        self.check(&mut journal);
    }

    fn check(&mut self, journal: &mut SegmentJournal) {
        let found = collect(journal).unwrap();
        for pair in found.windows(2) {
            assert_eq!(
                pair[0].position.0 + 1,
                pair[1].position.0,
                "a gap or a repetition"
            );
        }
        let first = found
            .first()
            .map_or(self.last() + 1, |record| record.position.0);
        assert!(
            first <= self.model.floor.max(1),
            "records from {} were lost, {first} is first",
            self.model.floor
        );
        let skipped = usize::try_from(first - 1).unwrap();
        let expected = self.model.records.get(skipped..).unwrap_or_default();
        assert!(
            found.len() >= expected.len(),
            "an acknowledged record was lost: {} of {}",
            found.len(),
            expected.len()
        );
        let (known, extra) = found.split_at(expected.len());
        assert!(known == expected, "a record came back different");
        assert!(
            extra.len() <= self.model.unanswered.len(),
            "records nobody appended"
        );
        for (record, entry) in extra.iter().zip(&self.model.unanswered) {
            assert_eq!(
                (&record.project, record.at_ms, &record.body),
                (&entry.project, entry.at_ms, &entry.body)
            );
        }
        self.model.records.extend_from_slice(extra);
        self.model.unanswered.clear();
        self.check_snapshots(journal);
    }

    fn check_snapshots(&mut self, journal: &mut SegmentJournal) {
        let found = journal.load_snapshots().unwrap();
        let mut expected = self.model.snapshots.clone();
        let unanswered = self.model.snapshot_unanswered.take();
        if let Some(snapshot) = unanswered.filter(|snapshot| found.contains(snapshot)) {
            expected.insert(snapshot.project.clone(), snapshot);
        }
        assert_eq!(found, expected.values().cloned().collect::<Vec<_>>());
        self.model.snapshots = expected;
    }
}

/// Names the run when it fails, so that it can be replayed.
pub(super) fn named(what: &str, run: impl FnOnce() + std::panic::UnwindSafe) {
    if let Err(panic) = std::panic::catch_unwind(run) {
        eprintln!("failing run: {what}");
        std::panic::resume_unwind(panic);
    }
}

fn operations(seed: u64, options: &SegmentOptions) -> u64 {
    let mut run = Run::new(seed, options.clone());
    run.live(STEPS).unwrap();
    run.disk.operations()
}

fn fail_everywhere(seeds: std::ops::Range<u64>, fault: Fault, options: &SegmentOptions) {
    for seed in seeds {
        for operation in 1..=operations(seed, options) {
            let options = options.clone();
            named(
                &format!("seed {seed}, {fault:?} at operation {operation}"),
                move || {
                    let mut run = Run::new(seed, options);
                    run.disk.fail_at(operation, fault);
                    let _ = run.live(STEPS);
                    run.crash_and_check();
                },
            );
        }
    }
}

fn several_lives(seeds: std::ops::Range<u64>, options: &SegmentOptions) {
    for seed in seeds {
        let options = options.clone();
        named(&format!("seed {seed}, several lives"), move || {
            let mut run = Run::new(seed, options);
            for _ in 0..5 {
                let fault =
                    [Fault::Crash, Fault::Crash, Fault::Eio, Fault::ShortWrite][run.rng.below(4)];
                run.disk.fail_at(1 + run.rng.below(80) as u64, fault);
                let _ = run.live(STEPS);
                run.crash_and_check();
            }
        });
    }
}

#[test]
fn a_crash_at_every_operation_loses_nothing_acknowledged() {
    fail_everywhere(0..EXHAUSTIVE_SEEDS, Fault::Crash, &options());
}

#[test]
fn an_error_at_every_operation_loses_nothing_acknowledged() {
    for fault in [Fault::Eio, Fault::ShortWrite, Fault::Enospc] {
        fail_everywhere(0..EXHAUSTIVE_SEEDS / 4, fault, &options());
    }
}

#[test]
fn life_after_life_loses_nothing_acknowledged() {
    several_lives(0..RANDOM_SEEDS, &options());
}

#[test]
fn after_a_failed_write_or_sync_nothing_works_any_more() {
    for operation in 1..=operations(1, &options()) {
        let mut run = Run::new(1, options());
        run.disk.fail_at(operation, Fault::Eio);
        let Ok((mut journal, _)) = run.open() else {
            continue;
        };
        // One step more: a spare that could not be made shows only in the next call.
        let failed = (0..=STEPS).any(|_| run.step(&mut journal).is_err());
        assert!(failed, "operation {operation} failed and nobody noticed");
        let done = run.disk.operations();
        journal.append(&[]).unwrap_err();
        journal.trim(Position(1)).unwrap_err();
        journal.prepare().unwrap_err();
        journal.load_snapshots().unwrap_err();
        collect(&mut journal).unwrap_err();
        assert_eq!(
            run.disk.operations(),
            done,
            "the medium was used after it failed"
        );
    }
}

/// Flips every kind of bit there is and opens what is left.
#[test]
fn a_flipped_bit_is_never_believed() {
    let (mut refused, mut intact, mut cut) = (0, 0, 0);
    for seed in 0..RANDOM_SEEDS / 4 {
        named(
            &format!("seed {seed}, a flipped bit"),
            std::panic::AssertUnwindSafe(|| {
                let mut run = Run::new(seed, options());
                run.live(STEPS).unwrap();
                let last_write = last_write(&mut run);
                let (file, offset) = flip(&mut run);
                match run.open() {
                    Err(JournalError::Corrupt { .. }) => refused += 1,
                    Err(error) => panic!("{error} for a bit in {file} at {offset}"),
                    Ok((mut journal, recovery)) => {
                        // A medium that damages the last write cannot be told from a torn write.
                        let lost = run.last() - recovery.last.0;
                        assert!(
                            lost <= last_write,
                            "{lost} records lost for a bit in {file} at {offset}"
                        );
                        let keep = run.model.records.len() - usize::try_from(lost).unwrap();
                        run.model.records.truncate(keep);
                        run.check(&mut journal);
                        if lost > 0 { cut += 1 } else { intact += 1 }
                    }
                }
            }),
        );
    }
    eprintln!("{refused} refused, {intact} hit no live byte, {cut} cut the last write");
    assert!(refused > 50 && intact > 50 && cut > 0);
}

/// Appends once more, and tells how many records that write has.
fn last_write(run: &mut Run) -> u64 {
    let (mut journal, _) = run.open().unwrap();
    run.model.unanswered.clear();
    let before = run.last();
    run.append(&mut journal).unwrap();
    run.last() - before
}

fn flip(run: &mut Run) -> (String, usize) {
    let files = run.disk.files();
    let candidates: Vec<_> = files
        .into_iter()
        .filter(|(_, bytes)| !bytes.is_empty())
        .collect();
    let (name, mut bytes) = candidates[run.rng.below(candidates.len())].clone();
    // Half of the flips go where the structure is thickest.
    let within = if run.rng.one_in(2) {
        bytes.len().min(80)
    } else {
        bytes.len()
    };
    let at = run.rng.below(within);
    bytes[at] ^= 1 << run.rng.below(8);
    run.disk.put(&name, bytes);
    (name, at)
}

#[test]
fn a_missing_file_is_never_overlooked() {
    for seed in 0..200 {
        let mut run = Run::new(seed, options());
        run.live(STEPS).unwrap();
        let (live, last) = {
            let names: Vec<String> = run.disk.files().into_iter().map(|(name, _)| name).collect();
            let live: Vec<String> = names
                .into_iter()
                .filter(|n| n.starts_with("segment-") || n == "floor")
                .collect();
            (
                live.clone(),
                live.into_iter().rfind(|n| n != "floor").unwrap(),
            )
        };
        let name = &live[run.rng.below(live.len())];
        let never_trimmed = run
            .disk
            .files()
            .iter()
            .any(|(name, _)| name == "segment-0000000001");
        run.disk.take(name);
        match run.open() {
            Err(JournalError::Corrupt { .. }) => {}
            Err(error) => panic!("seed {seed}: {error}"),
            // Without its newest file a journal looks like a shorter one, unless a snapshot knows.
            Ok((_, recovery)) if *name == last => {
                assert!(recovery.last.0 < run.last() || run.last() == 0);
            }
            Ok(_) => assert!(
                name == "floor" && never_trimmed,
                "seed {seed}: {name} was not missed"
            ),
        }
    }
}

#[test]
fn a_full_disk_leaves_the_reserve_and_a_trim_brings_it_back() {
    for seed in 0..200 {
        let options = SegmentOptions {
            reserve_bytes: 64 << 10,
            ..options()
        };
        let mut run = Run::new(seed, options);
        let (mut journal, _) = run.open().unwrap();
        while journal.prepare().unwrap() {}
        run.append(&mut journal).unwrap();
        run.disk
            .set_capacity(run.disk.used_bytes() + run.rng.below(6000));
        let mut in_reserve = 0;
        let full = loop {
            match run.append(&mut journal) {
                Ok(()) => in_reserve += u64::from(journal.status().space == Space::Reserve),
                Err(error) => break error,
            }
        };
        assert!(matches!(full, JournalError::Full { .. }), "{full}");
        assert!(
            in_reserve > 3,
            "seed {seed}: only {in_reserve} appends were left when space ran out"
        );
        assert_eq!(journal.status().space, Space::Reserve);
        run.model.unanswered.clear();
        run.check(&mut journal);

        let large = Snapshot {
            project: "alpha".parse().unwrap(),
            position: Position(run.last()),
            state: vec![b'x'; 9000],
        };
        let error = journal.save_snapshot(&large).unwrap_err();
        assert!(matches!(error, JournalError::Full { .. }), "{error}");
        assert!(
            run.disk
                .files()
                .iter()
                .all(|(name, _)| !name.starts_with("tmp-"))
        );

        run.model.floor = run.last() + 1;
        journal.trim(Position(run.model.floor)).unwrap();
        assert_eq!(journal.status().space, Space::Ample);
        run.append(&mut journal).unwrap();
        run.check(&mut journal);
        drop(journal);
        run.crash_and_check();
    }
}

thread_local! {
    static IS_SILENT: Cell<bool> = const { Cell::new(false) };
}

/// Other tests of this process may fail meanwhile, and tell why.
pub(super) fn silence_panics_of_this_thread() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !IS_SILENT.get() {
            tell(panic);
        }
    }));
    IS_SILENT.set(true);
}

pub(super) fn speak_again() {
    IS_SILENT.set(false);
}

/// The tests above must notice each rule that is broken on purpose.
#[test]
fn planted_bugs_are_caught() {
    silence_panics_of_this_thread();
    let all = [
        Bug::SkipSync,
        Bug::KeepTornBytes,
        Bug::ReuseSequence,
        Bug::SkipRenameSync,
        Bug::SkipFloor,
    ];
    let is_missed = |bug: &Bug| {
        let _planted = Planted::new(*bug);
        std::panic::catch_unwind(|| {
            fail_everywhere(0..10, Fault::Crash, &options());
            several_lives(0..RANDOM_SEEDS, &options());
        })
        .is_ok()
    };
    let missed: Vec<Bug> = all.into_iter().filter(is_missed).collect();
    speak_again();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
