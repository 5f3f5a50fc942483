//! Deterministic simulation of the MQTT client that ships, against a broker that drops connections, loses
//! acknowledgements, restarts without its memory, refuses, stalls, and tells old wills late; and a box that is killed.
//!
//! A failing seed prints how to replay it:
//! `SIM_SEED=n cargo test --features test-doubles --test simulation mqtt::replay -- --nocapture`.

mod broker;
mod packets;
mod planted;
mod world;

use crate::simulation::seeds::Simulation;

const SIMULATION: Simulation = Simulation {
    name: "mqtt",
    seeds_variable: "SIM_MQTT_SEEDS",
    seeds: 200,
    reached: REACHED,
    run: world::run,
};

#[test]
fn every_seed_keeps_every_promise() {
    SIMULATION.every_seed_keeps_every_promise();
}

#[test]
fn replay() {
    SIMULATION.replay();
}

/// What an ordinary set of runs must come across.
const REACHED: &[&str] = &[
    "acknowledgement lost",
    "broker restarted with its memory",
    "broker restarted without its memory",
    "clone",
    "connected",
    "connection cut",
    "duplicate",
    "event",
    "gap: cursor_expired",
    "gap: refused",
    "health on request",
    "killed",
    "old will told late",
    "refused",
    "stalled",
    "stopped",
    "will",
];
