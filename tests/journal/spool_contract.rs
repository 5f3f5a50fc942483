//! What every backlog promises, checked in memory, on a simulated disk and on a real one.

use cli_coordinator::journal::sim_disk::SimDisk;
use cli_coordinator::push::backlog::{Backlog, Ticket};
use cli_coordinator::push::spool::{
    MemoryBacklog, SharedSpool, Spool, SpoolOptions, SpoolState, StateShelf,
};

use super::spool::SimShelf;

const BYTES_MAX: u64 = 1 << 20;

fn check(promise: impl Fn(&mut dyn Backlog)) {
    promise(&mut MemoryBacklog::new(BYTES_MAX));
    let shelf = Box::new(SimShelf::new(&SimDisk::new(1)));
    promise(&mut Spool::open(shelf, SpoolOptions::new(BYTES_MAX)));
    let folder = tempfile::tempdir().unwrap();
    promise(&mut on_disk(folder.path()));
}

fn on_disk(folder: &std::path::Path) -> Spool {
    let shelf = Box::new(StateShelf::new(folder));
    Spool::open(shelf, SpoolOptions::new(BYTES_MAX))
}

/// Takes all out; every ticket is higher than the one before.
fn drain(backlog: &mut dyn Backlog) -> Vec<Vec<u8>> {
    let (mut last, mut found) = (Ticket(0), Vec::new());
    while let Some((ticket, record)) = backlog.oldest() {
        assert!(ticket > last);
        assert_eq!(
            backlog.oldest(),
            Some((ticket, record.clone())),
            "asking takes nothing out"
        );
        backlog.done(ticket);
        last = ticket;
        found.push(record);
    }
    assert_eq!((backlog.len(), backlog.bytes()), (0, 0));
    found
}

#[test]
fn records_come_back_in_their_order() {
    check(|backlog| {
        assert!(backlog.is_empty() && backlog.oldest().is_none());
        let records: Vec<Vec<u8>> = (0..100_usize)
            .map(|n| vec![u8::try_from(n).unwrap(); n * 7])
            .collect();
        for (record, now) in records.iter().zip(0..) {
            assert_eq!(backlog.push(record, now * 60_000).dropped, 0);
        }
        assert_eq!(backlog.len(), 100);
        let bytes: usize = records.iter().map(Vec::len).sum();
        assert_eq!(backlog.bytes(), bytes as u64);
        assert_eq!(drain(backlog), records);
    });
}

#[test]
fn a_ticket_forgets_itself_and_all_before() {
    check(|backlog| {
        let mut tickets = Vec::new();
        for n in 0..10_u8 {
            backlog.push(&[n], u64::from(n) * 3000);
        }
        for _ in 0..5 {
            let (ticket, _) = backlog.oldest().unwrap();
            tickets.push(ticket);
            backlog.done(ticket);
        }
        backlog.done(tickets[0]);
        assert_eq!(backlog.len(), 5);
        let rest: Vec<Vec<u8>> = (5..10).map(|n| vec![n]).collect();
        backlog.done(Ticket(tickets[4].0 - 1));
        assert_eq!(drain(backlog), rest);
        backlog.push(b"later", 100_000);
        assert!(backlog.oldest().unwrap().0 > tickets[4]);
        backlog.done(Ticket(u64::MAX));
        assert!(backlog.is_empty());
        backlog.push(b"after", 100_001);
        assert!(backlog.oldest().is_some());
    });
}

#[test]
fn the_oldest_make_room_and_are_counted() {
    check(|backlog| {
        let mut dropped = 0;
        for n in 0..200_u32 {
            let mut record = vec![0; 20_000];
            record[..4].copy_from_slice(&n.to_be_bytes());
            dropped += backlog.push(&record, u64::from(n) * 60_000).dropped;
            assert!(backlog.bytes() <= BYTES_MAX);
        }
        let left = drain(backlog);
        assert_eq!(left.len() as u64 + dropped, 200);
        let numbers = left
            .iter()
            .map(|record| u32::from_be_bytes(record[..4].try_into().unwrap()));
        let first = 200 - u32::try_from(left.len()).unwrap();
        assert_eq!(
            numbers.collect::<Vec<_>>(),
            (first..200).collect::<Vec<_>>()
        );
    });
}

#[test]
fn two_handles_are_one_spool_and_the_next_process_finds_what_was_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let spool = SharedSpool::new(on_disk(folder.path()));
    let mut senders = spool.clone();
    for n in 0..5_u8 {
        let kept = senders.push(&[n; 100], u64::from(n) * 60_000);
        assert_eq!(kept.dropped, 0);
    }
    let (ticket, _) = senders.oldest().unwrap();
    senders.done(ticket);
    let status = spool.status();
    assert_eq!(
        (status.state, status.records, status.disk_records),
        (SpoolState::Disk, 4, 3)
    );
    spool.close();
    drop((spool, senders));
    let mut next = on_disk(folder.path());
    assert_eq!(next.len(), 4);
    assert_eq!(drain(&mut next), [[1; 100], [2; 100], [3; 100], [4; 100]]);
}

/// The sender keeps the newest records in memory itself, so what it hands over is safe from then on.
#[test]
fn at_once_is_on_disk_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let shelf = Box::new(StateShelf::new(folder.path()));
        Spool::open(shelf, SpoolOptions::new(BYTES_MAX).at_once())
    };
    let mut spool = open();
    assert!(!folder.path().join("push").exists());
    spool.push(b"one", 0);
    spool.push(b"two", 0);
    assert_eq!(spool.status().disk_records, 2);
    // Nothing is closed in order when the process is killed.
    drop(spool);
    assert_eq!(drain(&mut open()), [b"one", b"two"]);
}

/// A folder that cannot be read is kept for people, and the one before it is not.
#[test]
fn a_damaged_folder_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    for life in 0..2 {
        let mut spool = on_disk(folder.path());
        for n in 0..5 {
            spool.push(b"record", n * 60_000);
        }
        spool.close();
        let segment = folder.path().join("push/segment-0000000001");
        std::fs::write(&segment, format!("no segment {life}")).unwrap();
        let mut spool = on_disk(folder.path());
        let state = spool.status().state;
        assert!(
            matches!(&state, SpoolState::Failed { reason } if reason.contains("segment-0000000001")),
            "{state:?}"
        );
        assert_eq!(spool.push(b"goes on", 0).dropped, 0);
        assert_eq!(spool.oldest().unwrap().1, b"goes on");
        let kept = std::fs::read_to_string(folder.path().join("push.bad/segment-0000000001"));
        assert_eq!(kept.unwrap(), format!("no segment {life}"));
        assert!(!folder.path().join("push").exists());
    }
}
