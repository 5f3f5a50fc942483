//! The backlog of push on a disk that fails, against a naive queue.
//!
//! A record begins with its number, so whatever comes back tells which one it is.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use cli_coordinator::journal::SegmentOptions;
use cli_coordinator::journal::disk::Disk;
use cli_coordinator::journal::sim_disk::{Fault, Rng, SimDisk};
use cli_coordinator::planted::{Bug, Planted};
use cli_coordinator::push::backlog::Backlog;
use cli_coordinator::push::spool::{Shelf, Spool, SpoolOptions, SpoolState};

use super::faults::{named, silence_panics_of_this_thread, speak_again};

const RANDOM_SEEDS: u64 = 80;
const STEPS: usize = 70;
/// Sent records that a crash may bring back are at most so old.
const RESENT_MS: u64 = 10_000;
/// The same where the note of what was sent failed once: it is written with the next one.
const RESENT_LATER_MS: u64 = 45_000;
const RECORD_BYTES_MAX: usize = 1500;

/// Segments so small that every run crosses several.
fn options(bytes_max: u64) -> SpoolOptions {
    SpoolOptions {
        bytes_max,
        memory_bytes_max: 6000,
        memory_records_max: 2,
        patience_ms: 10_000,
        segments: SegmentOptions {
            segment_bytes: 8 << 10,
            spare_segments_max: 1,
            reserve_bytes: 0,
            record_bytes_max: RECORD_BYTES_MAX,
        },
    }
}

const BOUNDED: u64 = 40 << 10;
const AMPLE: u64 = 1 << 30;

/// A folder on a simulated disk.
#[derive(Debug, Clone)]
pub(super) struct SimShelf {
    disk: SimDisk,
    set_aside: Arc<AtomicU32>,
}

impl SimShelf {
    pub(super) fn new(disk: &SimDisk) -> Self {
        Self {
            disk: disk.clone(),
            set_aside: Arc::default(),
        }
    }

    fn is_on(&self) -> io::Result<()> {
        let off = || io::Error::other("the power is off");
        (!self.disk.is_off()).then_some(()).ok_or_else(off)
    }
}

impl Shelf for SimShelf {
    fn existing(&self) -> io::Result<Option<Arc<dyn Disk>>> {
        self.is_on()?;
        let some = !self.disk.files().is_empty();
        Ok(some.then(|| Arc::new(self.disk.clone()) as Arc<dyn Disk>))
    }

    fn create(&self) -> io::Result<Arc<dyn Disk>> {
        self.is_on()?;
        Ok(Arc::new(self.disk.clone()))
    }

    fn set_aside(&self) -> io::Result<()> {
        self.clear()?;
        self.set_aside.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn clear(&self) -> io::Result<()> {
        self.is_on()?;
        for (name, _) in self.disk.files() {
            self.disk.take(&name);
        }
        Ok(())
    }
}

/// A spool, what must be in it, and where the choices come from.
struct Run {
    rng: Rng,
    shelf: SimShelf,
    options: SpoolOptions,
    spool: Spool,
    now: u64,
    /// When it last did all that was due.
    settled_at: u64,
    resent_ms: u64,
    number: u64,
    /// Number and content of all that wait, and how many of them are on disk.
    queue: VecDeque<Vec<u8>>,
    on_disk: usize,
    /// When each record was sent that a crash may bring back.
    sent: Vec<(u64, u64)>,
    dropped: u64,
    /// Of the step under way: how many of the oldest it may take away.
    may_vanish: usize,
}

fn number(record: &[u8]) -> u64 {
    u64::from_be_bytes(record[..8].try_into().unwrap())
}

fn open(disk: &SimDisk, options: &SpoolOptions) -> (Spool, SimShelf) {
    let shelf = SimShelf::new(disk);
    let spool = Spool::open(Box::new(shelf.clone()), options.clone());
    (spool, shelf)
}

fn drain(spool: &mut Spool) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while let Some((ticket, record)) = spool.oldest() {
        spool.done(ticket);
        found.push(record);
    }
    found
}

impl Run {
    fn new(seed: u64, bytes_max: u64) -> Self {
        let options = options(bytes_max);
        let (spool, shelf) = open(&SimDisk::new(seed), &options);
        Self {
            rng: Rng::new(seed),
            shelf,
            options,
            spool,
            now: 0,
            settled_at: 0,
            resent_ms: RESENT_MS,
            number: 0,
            queue: VecDeque::new(),
            on_disk: 0,
            sent: Vec::new(),
            dropped: 0,
            may_vanish: 0,
        }
    }

    fn push(&mut self) {
        self.number += 1;
        let length_max = if self.rng.one_in(10) { 1600 } else { 500 };
        let length = 8 + self.rng.below(length_max);
        let mut record = vec![b'a'; length];
        record[..8].copy_from_slice(&self.number.to_be_bytes());
        self.spool.push(&record, self.now);
        if length > RECORD_BYTES_MAX {
            self.dropped += 1;
        } else {
            self.queue.push_back(record);
        }
    }

    fn send(&mut self) {
        self.may_vanish = 1;
        let found = self.spool.oldest();
        if self.shelf.disk.is_off() {
            return;
        }
        self.settled();
        assert_eq!(
            found.as_ref().map(|(_, record)| number(record)),
            self.queue.front().map(|record| number(record)),
            "the oldest is another one"
        );
        if let Some((ticket, record)) = found {
            assert_eq!(self.queue.pop_front(), Some(record));
            self.sent.push((self.number_sent(), self.now));
            self.spool.done(ticket);
        }
    }

    fn number_sent(&self) -> u64 {
        self.queue
            .front()
            .map_or(self.number, |record| number(record) - 1)
    }

    fn step(&mut self) {
        self.may_vanish = 0;
        match self.rng.below(10) {
            0..4 => self.push(),
            4..7 => self.send(),
            7 if self.rng.one_in(4) => {
                // A long outage.
                for _ in 0..self.rng.below(60) {
                    if !self.shelf.disk.is_off() {
                        self.push();
                        self.pass(30_000);
                        self.settled();
                    }
                }
            }
            _ => {
                let ms = self.rng.below(15_000) as u64;
                self.pass(ms);
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now += ms;
        self.spool.settle(self.now);
        if !self.shelf.disk.is_off() {
            self.settled_at = self.now;
        }
    }

    /// Takes what was dropped out of the model, and compares.
    fn settled(&mut self) {
        if self.shelf.disk.is_off() {
            return;
        }
        let status = self.spool.status();
        for _ in self.dropped..status.dropped {
            self.queue
                .pop_front()
                .expect("more was dropped than there was");
        }
        self.dropped = status.dropped;
        let bytes: usize = self.queue.iter().map(Vec::len).sum();
        assert_eq!(
            (status.records, status.bytes),
            (self.queue.len() as u64, bytes as u64)
        );
        assert!(status.disk_bytes <= self.options.bytes_max + self.options.segments.segment_bytes);
        self.on_disk = usize::try_from(status.disk_records).unwrap();
    }

    fn live(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
            self.settled();
            if self.shelf.disk.is_off() {
                break;
            }
        }
    }

    /// Looks into what a power cut left, and goes on with it.
    fn crash(&mut self) {
        let disk = self.shelf.disk.crash();
        let (mut copy, aside) = open(&disk.crash(), &self.options);
        let found = drain(&mut copy);
        assert_eq!(
            aside.set_aside.load(Ordering::Relaxed),
            0,
            "a crash is no damage"
        );
        let numbers: Vec<u64> = found.iter().map(|record| number(record)).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
        let first = self.queue.front().map_or(u64::MAX, |record| number(record));
        let resent = numbers.iter().take_while(|number| **number < first).count();
        let late = self.sent.iter().rev();
        let late = late
            .take_while(|(_, at)| at + self.resent_ms > self.settled_at)
            .count();
        assert!(
            resent <= late || self.options.bytes_max == BOUNDED,
            "{resent} were sent long ago or dropped, at most {late} are to be sent again"
        );
        let left = &found[resent..];
        let gone = match left.first() {
            None => self.queue.len(),
            Some(first) => self
                .queue
                .iter()
                .take_while(|record| *record != first)
                .count(),
        };
        let known = self.queue.iter().skip(gone).take(left.len());
        assert!(
            known.eq(left.iter().take(self.queue.len() - gone)),
            "another content"
        );
        let segment = if self.options.bytes_max == BOUNDED {
            60
        } else {
            0
        };
        let durable = self.on_disk.saturating_sub(self.may_vanish + segment);
        let safe = left.len() >= durable && (gone <= self.may_vanish + segment || durable == 0);
        assert!(
            safe,
            "{durable} were on disk; {gone} are gone, {} left",
            left.len()
        );
        (self.spool, self.shelf) = open(&disk, &self.options);
        self.queue = found.into();
        self.on_disk = self.queue.len();
        self.dropped = self.spool.status().dropped;
        (self.now, self.settled_at) = (0, 0);
        self.sent.clear();
        self.settled();
    }
}

/// Ends in an orderly way and starts again.
fn restart(run: &mut Run) {
    run.spool.close();
    run.settled_after_close();
    (run.spool, _) = open(&run.shelf.disk.clone(), &run.options);
    (run.dropped, run.now, run.settled_at) = (0, 0, 0);
    run.sent.clear();
    run.settled();
}

impl Run {
    /// What closing could not write, for want of space, is lost.
    fn settled_after_close(&mut self) {
        let dropped = self.spool.status().dropped;
        for _ in self.dropped..dropped {
            self.queue.pop_front();
        }
    }
}

fn against_the_model(seeds: std::ops::Range<u64>, bytes_max: u64) {
    for seed in seeds {
        named(&format!("seed {seed}, bound {bytes_max}"), move || {
            let mut run = Run::new(seed, bytes_max);
            for _ in 0..4 {
                run.live(STEPS);
                match run.rng.below(3) {
                    0 => run.crash(),
                    1 => restart(&mut run),
                    _ => {}
                }
            }
            let expected = std::mem::take(&mut run.queue);
            assert_eq!(VecDeque::from(drain(&mut run.spool)), expected);
        });
    }
}

fn operations(seed: u64) -> u64 {
    let mut run = Run::new(seed, AMPLE);
    run.live(STEPS);
    run.shelf.disk.operations()
}

/// Every single operation is the last one, in turn.
fn crash_everywhere(seed: u64, bytes_max: u64) {
    for operation in 1..=operations(seed) {
        named(
            &format!("seed {seed}, power cut at {operation}"),
            move || {
                let mut run = Run::new(seed, bytes_max);
                run.shelf.disk.fail_at(operation, Fault::Crash);
                run.live(STEPS);
                run.crash();
                run.live(STEPS / 4);
                run.crash();
            },
        );
    }
}

#[test]
fn a_spool_is_a_queue() {
    against_the_model(0..RANDOM_SEEDS / 3, AMPLE);
    against_the_model(0..RANDOM_SEEDS / 3, BOUNDED);
}

#[test]
fn a_power_cut_at_every_operation_loses_nothing_that_was_on_disk() {
    crash_everywhere(0, AMPLE);
    crash_everywhere(1, BOUNDED);
}

/// One failure is like a restart: nothing is lost, nothing is set aside.
#[test]
fn one_failed_operation_loses_nothing() {
    for fault in [Fault::Eio, Fault::ShortWrite, Fault::Enospc] {
        for operation in 1..=operations(1) {
            named(&format!("{fault:?} at {operation}"), move || {
                let mut run = Run::new(1, AMPLE);
                run.shelf.disk.fail_at(operation, fault);
                run.resent_ms = RESENT_LATER_MS;
                run.live(STEPS);
                assert_eq!(run.shelf.set_aside.load(Ordering::Relaxed), 0);
                run.crash();
            });
        }
    }
}

/// With a bound, and with failures while it drops the oldest: each record is sent or counted.
#[test]
fn what_is_dropped_is_counted() {
    for seed in 0..RANDOM_SEEDS {
        named(&format!("seed {seed}, counted"), move || {
            let mut run = Run::new(seed, BOUNDED);
            run.live(STEPS);
            for _ in 0..10 {
                let operation = run.shelf.disk.operations() + 1 + run.rng.below(40) as u64;
                run.shelf.disk.fail_at(operation, Fault::Eio);
                run.live(STEPS / 4);
            }
            assert!(run.dropped > 0);
        });
    }
}

#[test]
fn a_disk_that_fails_for_good_is_given_up_and_memory_goes_on() {
    let mut failed = 0;
    for seed in 0..RANDOM_SEEDS {
        named(
            &format!("seed {seed}, fails for good"),
            std::panic::AssertUnwindSafe(|| {
                let mut run = Run::new(seed, AMPLE);
                let from = 1 + run.rng.below(60) as u64;
                for operation in from..from + 5000 {
                    run.shelf.disk.fail_at(operation, Fault::Eio);
                }
                run.live(3 * STEPS);
                let state = run.spool.status().state;
                if let SpoolState::Failed { reason } = state {
                    assert!(reason.contains("the medium failed"), "{reason}");
                    failed += 1;
                    let done = run.shelf.disk.operations();
                    run.live(STEPS);
                    assert_eq!(
                        run.shelf.disk.operations(),
                        done,
                        "it was used after it failed"
                    );
                }
            }),
        );
    }
    assert!(failed > RANDOM_SEEDS / 2, "only {failed} failed");
}

#[test]
fn a_full_disk_costs_the_oldest_only() {
    for seed in 0..RANDOM_SEEDS {
        named(&format!("seed {seed}, a full disk"), move || {
            let mut run = Run::new(seed, AMPLE);
            run.live(run.rng.clone().below(STEPS));
            let used = run.shelf.disk.used_bytes();
            run.shelf.disk.set_capacity(used + run.rng.below(20_000));
            run.live(2 * STEPS);
            run.shelf.disk.set_capacity(usize::MAX);
            run.live(STEPS);
            assert_eq!(run.shelf.set_aside.load(Ordering::Relaxed), 0);
            run.crash();
        });
    }
}

#[test]
fn the_main_journal_gets_the_space() {
    for seed in 0..RANDOM_SEEDS {
        named(&format!("seed {seed}, gives way"), move || {
            let mut run = Run::new(seed, AMPLE);
            run.live(STEPS);
            run.spool.give_way(true);
            run.settled();
            let left = run.shelf.disk.used_bytes();
            assert_eq!(left, 0, "bytes are left");
            run.live(STEPS);
            assert_eq!(run.shelf.disk.used_bytes(), 0, "it writes meanwhile");
            run.spool.give_way(false);
            run.live(STEPS);
            run.crash();
        });
    }
}

/// Whatever a disk does to bits: what comes back was pushed, and in its order.
#[test]
fn a_flipped_bit_is_never_sent() {
    let mut set_aside = 0;
    for seed in 0..RANDOM_SEEDS {
        named(
            &format!("seed {seed}, a flipped bit"),
            std::panic::AssertUnwindSafe(|| {
                let mut run = Run::new(seed, AMPLE);
                for _ in 0..40 {
                    run.push();
                    run.pass(20_000);
                }
                let all = run.queue.clone();
                run.spool.close();
                let files = run.shelf.disk.files();
                let (name, mut bytes) = files[run.rng.below(files.len())].clone();
                let within = if run.rng.one_in(2) { 80 } else { bytes.len() };
                if let at @ 0.. = run.rng.below(within.min(bytes.len()))
                    && !bytes.is_empty()
                {
                    bytes[at] ^= 1 << run.rng.below(8);
                    run.shelf.disk.put(&name, bytes);
                }
                let (mut spool, shelf) = open(&run.shelf.disk, &run.options);
                // Bits may flip on the way, too.
                let at = run.shelf.disk.operations() + 1 + run.rng.below(4) as u64;
                run.shelf.disk.fail_at(at, Fault::BitFlip);
                let found = drain(&mut spool);
                let numbers: Vec<u64> = found.iter().map(|record| number(record)).collect();
                assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
                for record in &found {
                    assert!(all.contains(record), "nobody pushed that");
                }
                set_aside += shelf.set_aside.load(Ordering::Relaxed);
            }),
        );
    }
    assert!(set_aside > 10, "only {set_aside} were damaged");
}

/// The promise to the flash of a box with a good link.
#[test]
fn a_good_link_writes_nothing() {
    let disk = SimDisk::new(1);
    let (mut spool, _) = open(&disk, &SpoolOptions::new(16 << 20));
    for n in 0..10_000_u64 {
        let now = n * 60_000;
        spool.push(&[1; 5000], now);
        spool.settle(now + 9_000);
        let (ticket, _) = spool.oldest().unwrap();
        spool.done(ticket);
        spool.settle(now + 11_000);
    }
    spool.close();
    assert_eq!((disk.operations(), spool.status().written_bytes), (0, 0));
}

/// A day without a link: what is written, and what a restart brings back.
#[test]
fn a_day_without_a_link() {
    let disk = SimDisk::new(1);
    let (mut spool, _) = open(&disk, &SpoolOptions::new(16 << 20));
    let (mut now, records) = (0, 1440);
    for _ in 0..records {
        spool.push(&[1; 2820], now);
        for second in [11, 30] {
            spool.settle(now + second * 1000);
        }
        now += 60_000;
    }
    let outage = spool.status();
    for _ in 0..records {
        let (ticket, _) = spool.oldest().unwrap();
        spool.done(ticket);
        now += 100;
        spool.settle(now);
    }
    spool.close();
    let all = spool.status();
    eprintln!("{outage:?}\n{all:?}");
    assert_eq!((outage.records, outage.dropped), (records, 0));
    // Each byte twice: the segments are filled with zeros first.
    assert!(all.written_bytes < 3 * outage.bytes);
}

#[test]
fn planted_bugs_are_caught() {
    silence_panics_of_this_thread();
    let all = [
        Bug::AckPassesUnsent,
        Bug::NewestSpooledFirst,
        Bug::TicketsBeginAgain,
        Bug::SkipSync,
    ];
    let is_missed = |bug: &Bug| {
        let _planted = Planted::new(*bug);
        std::panic::catch_unwind(|| {
            against_the_model(0..20, AMPLE);
            crash_everywhere(0, AMPLE);
        })
        .is_ok()
    };
    let missed: Vec<Bug> = all.into_iter().filter(is_missed).collect();
    speak_again();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
