//! Deterministic simulation: the real engine, driver core and journal over a simulated disk, clock
//! and network, one seed after another.
//!
//! A failing seed prints how to replay it: `SIM_SEED=n cargo test --test simulation replay -- --nocapture`.
//! `SIM_SEEDS=n` runs that many. The invariants are listed in `violation.rs`.

#![allow(
    clippy::case_sensitive_file_extension_comparisons,
    clippy::cast_possible_truncation,
    clippy::similar_names,
    clippy::unused_self,
    reason = "names of operations end like files do; counts are small; the rest reads better so"
)]

mod chance;
mod client;
mod network;
mod paths;
#[cfg(feature = "planted-bugs")]
mod planted;
mod replies;
mod rules;
mod run;
mod settings;
mod shadow;
mod violation;
mod world;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cli_coordinator::metrics::Metrics;

use run::Report;
use settings::{Plan, plan};

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
        "{}\nreplay: SIM_SEED={} cargo test --test simulation replay -- --nocapture",
        shown.join("\n"),
        failing[0].0
    );
    // Runs that never reach something prove nothing of it.
    let missing: Vec<&&str> = REACHED
        .iter()
        .filter(|what| !seen.contains_key(**what))
        .collect();
    assert!(
        count < 1_000 || missing.is_empty(),
        "never reached: {missing:?}; reached: {seen:#?}"
    );
}

fn add(all: &mut BTreeMap<String, u64>, more: BTreeMap<String, u64>) {
    for (what, count) in more {
        *all.entry(what).or_default() += count;
    }
}

/// What an ordinary set of runs must come across: every operation carried out, every fault, and
/// refusals of every kind and limit that the settings bring near.
const REACHED: &[&str] = &[
    "agent.get",
    "agent.list",
    "agent.remove",
    "agent.update",
    "commands_in_flight_max",
    "concurrency_keys_max",
    "conflict",
    "context.delete",
    "context.get",
    "context.list",
    "context.put",
    "context.watch",
    "context_bytes_max",
    "context_entries_max",
    "cursor_expired",
    "disk full",
    "epoch_changed",
    "event",
    "events.closed",
    "events.subscribe",
    "events.unsubscribe",
    "forbidden",
    "invalid_params",
    "lease.acquire",
    "lease.check",
    "lease.list",
    "lease.lost",
    "lease.release",
    "lease.renew",
    "lease.revoke",
    "leases_max",
    "message.ack",
    "message.inbox",
    "message.send",
    "message.thread",
    "messages_bytes_max",
    "method_not_found",
    "not_found",
    "nothing to claim",
    "payload_bytes_max",
    "ping",
    "power cut",
    "process end",
    "project.create",
    "project.list",
    "record_bytes_max",
    "requests_in_flight_max",
    "requests_waiting_max",
    "server.backup",
    "server.status",
    "session.close",
    "session.closed",
    "session.open",
    "sessions_max",
    "sessions_per_agent_max",
    "snapshots",
    "stale_fence",
    "storage_full",
    "task.cancel",
    "task.claim",
    "task.complete",
    "task.fail",
    "task.get",
    "task.handoff",
    "task.list",
    "task.lost",
    "task.progress",
    "task.release",
    "task.retry",
    "task.submit",
    "task.submit_many",
    "tasks_bytes_max",
    "tasks_open_max",
    "token.create",
    "token.list",
    "token.revoke",
    "unacknowledged but durable",
    "waiting_max",
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
    for seed in [0, 1, 2, 3, 4] {
        let (first, second) = (
            run::run(seed, &metrics, false),
            run::run(seed, &metrics, false),
        );
        assert_eq!(first, second, "seed {seed} does not replay");
    }
}
