//! Deterministic simulation: the real engine, driver core and journal over a simulated disk, clock
//! and network, one seed after another.
//!
//! A failing seed prints how to replay it: `SIM_SEED=n cargo test --features test-doubles --test simulation alone::replay -- --nocapture`.
//! `SIM_SEEDS=n` runs that many. The invariants are listed in `violation.rs`.

mod client;
mod network;
mod planted;
mod replies;
mod run;
mod settings;
mod shadow;
mod world;

use crate::simulation::seeds::Simulation;

const SIMULATION: Simulation = Simulation {
    name: "alone",
    seeds_variable: "SIM_SEEDS",
    seeds: 1_000,
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
    "lease.ensure",
    "lease.ensure without a record",
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
    "task.explain",
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
