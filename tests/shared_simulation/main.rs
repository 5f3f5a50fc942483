//! Deterministic simulation of several coordinators that share a journal: the real cores and the real
//! tasks of their lines, over a simulated store that fails over, forgets, fills up and is cut off.
//!
//! A failing seed prints how to replay it:
//! `SIM_SEED=n cargo test --test shared_simulation replay -- --nocapture`. `SIM_SEEDS=n` runs that many.
//! The invariants are listed in `violation.rs`.

#![allow(
    clippy::cast_possible_truncation,
    reason = "counts and numbers of nodes are small"
)]

#[allow(dead_code, reason = "shared with the other simulation")]
#[path = "../simulation/chance.rs"]
mod chance;
mod client;
mod contract;
mod judge;
mod node;
#[path = "../simulation/paths.rs"]
mod paths;
#[cfg(feature = "planted-bugs")]
mod planted;
#[path = "../simulation/rules.rs"]
mod rules;
mod run;
mod settings;
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#[path = "../support/store_contract.rs"]
mod store_contract;
mod violation;
mod world;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cli_coordinator::metrics::Metrics;

use run::Report;
use settings::{Plan, SEEDS, plan};

/// Planted bugs are switched on for a whole process: tests that must not see each other's take turns.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    // A test that failed leaves nothing behind that another could not start from.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn metrics() -> Metrics {
    Metrics::new(&[("version", "0")])
}

/// Failing seeds after which a run gives up: enough to see whether they have one cause.
const FAILURES_SHOWN: usize = 12;

/// Runs one seed. A panic is a violation too: no input may cause one.
fn outcome(seed: u64, metrics: &Metrics) -> Result<Report, String> {
    let run = || run::run(seed, metrics, false);
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(violation)) => Err(format!("{:?}: {}", violation.invariant, violation.what)),
        Err(_) => Err("Panic: see above".to_owned()),
    }
}

/// What some of the seeds came to.
#[derive(Default)]
struct Results {
    failing: Vec<(u64, String)>,
    seen: BTreeMap<String, u64>,
}

/// Runs every `stride`th seed from `first` on.
fn some_seeds(first: u64, stride: usize, count: u64) -> Results {
    let metrics = metrics();
    let mut results = Results::default();
    for seed in (first..count).step_by(stride) {
        match outcome(seed, &metrics) {
            Ok(report) => add(&mut results.seen, report.seen),
            Err(what) => results.failing.push((seed, what)),
        }
        if results.failing.len() == FAILURES_SHOWN {
            break;
        }
    }
    results
}

/// Each run is single-threaded; the runs are shared out over the processors.
fn all_seeds(count: u64) -> Results {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut all = Results::default();
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads as u64)
            .map(|first| scope.spawn(move || some_seeds(first, threads, count)))
            .collect();
        for thread in running {
            let results = thread.join().expect("panics of runs are caught");
            all.failing.extend(results.failing);
            add(&mut all.seen, results.seen);
        }
    });
    all.failing.sort();
    all
}

#[test]
fn every_seed_keeps_every_promise() {
    let Plan::Many(count) = plan() else { return };
    let _turn = turn();
    let Results { failing, seen } = all_seeds(count);
    let shown: Vec<String> = failing
        .iter()
        .map(|(seed, what)| format!("seed {seed} breaks {what}"))
        .collect();
    assert!(
        failing.is_empty(),
        "{}\nreplay: SIM_SEED={} cargo test --test shared_simulation replay -- --nocapture",
        shown.join("\n"),
        failing[0].0
    );
    // Runs that never reach something prove nothing of it.
    let missing: Vec<&&str> = REACHED
        .iter()
        .filter(|what| !seen.contains_key(**what))
        .collect();
    assert!(
        count < SEEDS || missing.is_empty(),
        "never reached: {missing:?}; reached: {seen:#?}"
    );
}

fn add(all: &mut BTreeMap<String, u64>, more: BTreeMap<String, u64>) {
    for (what, count) in more {
        *all.entry(what).or_default() += count;
    }
}

/// What an ordinary set of runs must come across: operations carried out, every call of the store, every
/// fault, and everything that clients are told of them.
const REACHED: &[&str] = &[
    "append",
    "broken connection",
    "clock jump",
    "closed by the coordinator",
    "conflict",
    "connect",
    "context.put",
    "crash",
    "cursor_expired",
    "cut",
    "epoch.changed",
    "epoch_changed",
    "event",
    "events.closed: epoch_changed",
    "events.subscribe",
    "failover",
    "filled again",
    "follow",
    "freeze",
    "full",
    "lease.acquire",
    "lease.lost",
    "lease.release",
    "lease.renew",
    "look",
    "message.ack",
    "message.inbox",
    "message.send",
    "moved on",
    "nothing to claim",
    "old masters end",
    "open epoch",
    "outage",
    "read",
    "records lost",
    "restart with everything",
    "restart with nothing",
    "restart without the tail",
    "resumed",
    "save snapshot",
    "seed",
    "session.close",
    "session.closed",
    "session.open",
    "session taken over",
    "snapshot",
    "stale",
    "stale_fence",
    "stand",
    "storage_full",
    "store killed",
    "subscribed from a cursor",
    "task.claim",
    "task.complete",
    "task.fail",
    "task.lost",
    "task.progress",
    "task.release",
    "task.submit",
    "took effect late",
    "unavailable",
];

/// Replays the seed in `SIM_SEED` with a trace; without one, proves on some that replays are exact.
#[test]
fn replay() {
    let _turn = turn();
    let metrics = metrics();
    if let Plan::One(seed) = plan() {
        let result = run::run(seed, &metrics, true);
        return assert!(result.is_ok(), "seed {seed}: {result:?}");
    }
    for seed in [0, 1, 2, 3] {
        let (first, second) = (
            run::run(seed, &metrics, false),
            run::run(seed, &metrics, false),
        );
        assert_eq!(first, second, "seed {seed} does not replay");
    }
}
