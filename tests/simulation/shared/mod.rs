//! Deterministic simulation of several coordinators that share a journal: the real cores and the real
//! tasks of their lines, over a simulated store that fails over, forgets, fills up and is cut off.
//!
//! A failing seed prints how to replay it:
//! `SIM_SEED=n cargo test --features test-doubles --test simulation shared::replay -- --nocapture`. `SIM_SHARED_SEEDS=n` runs that many.
//! The invariants are listed in `violation.rs`.

mod client;
mod contract;
mod fold;
mod given_again;
mod hearing;
mod host;
mod judge;
mod node;
mod own_batch;
mod planted;
mod repeated;
mod run;
mod script;
mod settings;
mod snapshots;
mod world;

use crate::simulation::seeds::Simulation;

const SIMULATION: Simulation = Simulation {
    name: "shared",
    seeds_variable: "SIM_SHARED_SEEDS",
    seeds: 300,
    reached: REACHED,
    run: run::run,
};

#[test]
fn every_seed_keeps_every_promise() {
    SIMULATION.every_seed_keeps_every_promise();
}

#[test]
fn replay() {
    SIMULATION.replay();
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
