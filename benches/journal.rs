//! What the embedded journal costs next to the bare system calls, in the same run.

#![allow(
    clippy::too_many_lines,
    reason = "a measurement reads from its beginning to its end"
)]

//!
//! `cargo bench --bench journal [-- FOLDER]`: the folder decides which medium is measured. Rounds of
//! both sides alternate, so that a busy machine slows both; medians are printed, and their ratio.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

use std::fs::OpenOptions;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cli_coordinator::engine::ids::{JournalTime, Position};
use cli_coordinator::journal::disk::RealDisk;
use cli_coordinator::journal::{Entry, Journal, SegmentJournal, SegmentOptions};

const BODY_BYTES: usize = 300;
/// Head, project and body of such a record, padded.
const FRAME_BYTES: usize = 352;
const ROUNDS: usize = 40;
const COMMITS_PER_ROUND: usize = 50;
const RECOVERED_RECORDS: u64 = 1_000_000;

fn main() {
    // Cargo passes `--bench`; the first other word is the folder.
    let folder = std::env::args()
        .skip(1)
        .find(|arg| !arg.starts_with('-'))
        .unwrap_or_else(|| "target".into());
    let root = tempfile::tempdir_in(&folder).expect("the folder can be written to");
    println!(
        "folder {folder}, body {BODY_BYTES} bytes, {ROUNDS} rounds of {COMMITS_PER_ROUND} commits, alternating"
    );
    first_start(root.path());
    commits(root.path(), 1);
    commits(root.path(), 64);
    recovery(root.path());
}

fn open(folder: &Path) -> SegmentJournal {
    let disk = RealDisk::create(folder).expect("the folder can be created");
    SegmentJournal::open(Arc::new(disk), SegmentOptions::default())
        .expect("the journal opens")
        .0
}

fn entries(count: usize) -> Vec<Entry> {
    let project = "default".parse().expect("it is a name");
    let entry = Entry {
        project,
        at_ms: JournalTime(1),
        body: vec![b'x'; BODY_BYTES],
    };
    vec![entry; count]
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}

fn timed(times: &mut Vec<Duration>, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    times.push(start.elapsed());
}

fn first_start(root: &Path) {
    let mut times = Vec::new();
    for n in 0..11 {
        timed(&mut times, || drop(open(&root.join(format!("first-{n}")))));
    }
    println!("open on an empty folder: {:.0} us", median(times));
}

/// Commits of `batch` records against one `pwrite` and one `fdatasync` of as many bytes, into a
/// file that has its blocks.
fn commits(root: &Path, batch: usize) {
    let mut journal = open(&root.join(format!("commits-{batch}")));
    while journal.prepare().expect("there is room") {}
    let batch_entries = entries(batch);
    let bytes = vec![b'x'; FRAME_BYTES * batch];
    let file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .open(root.join(format!("bare-{batch}")));
    let file = file.expect("a new file");
    file.write_all_at(&vec![0; bytes.len() * ROUNDS * COMMITS_PER_ROUND], 0)
        .expect("there is room");
    file.sync_all().expect("a sync");
    let (mut ours, mut bare, mut offset) = (Vec::new(), Vec::new(), 0);
    let before = journal.status();
    let disk_before = device_bytes();
    let mut device = 0;
    for _ in 0..ROUNDS {
        let start = device_bytes();
        for _ in 0..COMMITS_PER_ROUND {
            timed(&mut ours, || {
                drop(journal.append(&batch_entries).expect("a commit"));
            });
        }
        device += device_bytes() - start;
        for _ in 0..COMMITS_PER_ROUND {
            timed(&mut bare, || {
                file.write_all_at(&bytes, offset).expect("a write");
                file.sync_data().expect("a sync");
            });
            offset += bytes.len() as u64;
        }
    }
    let (after, count) = (journal.status(), (ROUNDS * COMMITS_PER_ROUND) as u64);
    let (ours, bare) = (median(ours), median(bare));
    println!(
        "commit of {batch}: {ours:.0} us, bare write and fdatasync {bare:.0} us, ratio {:.2}; {:.2} syncs and {} bytes written a commit",
        ours / bare,
        (after.syncs - before.syncs) as f64 / count as f64,
        (after.written_bytes - before.written_bytes) / count,
    );
    if disk_before > 0 {
        println!(
            "  {} bytes a commit reached the device, all processes included",
            device / count
        );
    }
}

/// Bytes written to all block devices so far; 0 where the kernel does not tell.
fn device_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/diskstats").unwrap_or_default();
    // The tenth field counts sectors of 512 bytes; partitions end in a digit and would count twice.
    let sectors = text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let whole = fields.get(2)?.starts_with("vd")
            || fields.get(2)?.starts_with("sd")
            || fields.get(2)?.ends_with("n1");
        let whole = whole
            && !(fields.get(2)?.starts_with(['v', 's'])
                && fields.get(2)?.ends_with(|c: char| c.is_ascii_digit()));
        whole.then(|| fields.get(9)?.parse::<u64>().ok()).flatten()
    });
    sectors.sum::<u64>() * 512
}

fn recovery(root: &Path) {
    let folder = root.join("recovery");
    let mut journal = open(&folder);
    let batch = entries(1000);
    for _ in 0..RECOVERED_RECORDS / 1000 {
        journal.append(&batch).expect("a commit");
    }
    drop(journal);
    let (mut opening, mut reading) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let mut journal = None;
        timed(&mut opening, || journal = Some(open(&folder)));
        let mut journal = journal.expect("it was opened");
        let mut count = 0;
        timed(&mut reading, || {
            let mut visit = |record| {
                drop(record);
                count += 1;
                ControlFlow::Continue(())
            };
            journal.read(Position(0), &mut visit).expect("it reads");
        });
        assert_eq!(count, RECOVERED_RECORDS);
    }
    let (opening, reading) = (median(opening) / 1e3, median(reading) / 1e3);
    println!(
        "recovery of {RECOVERED_RECORDS} records (page cache warm): open {opening:.0} ms, read as records {reading:.0} ms"
    );
}
