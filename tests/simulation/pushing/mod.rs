//! The sender of metrics, with a receiver, a clock and a disk that fail.

mod disk;
mod fleet;
mod receiver;
mod world;

use cli_coordinator::metrics::Metrics;
use cli_coordinator::planted::Bug;

use super::seeds::{Report, Simulation};
use super::violation::{Invariant, Violation};

const PUSHING: Simulation = Simulation {
    name: "pushing",
    seeds_variable: "SIM_PUSH_SEEDS",
    seeds: 200,
    reached: &[
        "sent",
        "rejected",
        "expired",
        "clock",
        "poison",
        "overflow",
        "held",
        "stop",
        "kill",
        "power cut",
        "clock set",
    ],
    run,
};

fn run(seed: u64, _: &Metrics, printed: bool) -> Result<Report, Violation> {
    world::run(seed, printed)
}

#[test]
fn every_seed_keeps_every_promise() {
    PUSHING.every_seed_keeps_every_promise();
}

#[test]
fn replay() {
    PUSHING.replay();
}

#[test]
fn a_wrong_clock_is_found() {
    PUSHING.finds(Bug::PushWrongClock, 50, Invariant::RightTime, &[]);
}

#[test]
fn records_dropped_at_503_are_found() {
    PUSHING.finds(Bug::PushDropsOn503, 50, Invariant::Delivered, &[]);
}

#[test]
fn a_record_that_is_repeated_for_ever_is_found() {
    PUSHING.finds(Bug::PushPoisonForever, 100, Invariant::Live, &[]);
}

#[test]
fn mixed_times_are_found() {
    PUSHING.finds(Bug::PushMixesTimes, 50, Invariant::OneTime, &[]);
}

#[test]
fn a_forgotten_retry_after_is_found() {
    PUSHING.finds(Bug::PushRetryAfterForgotten, 50, Invariant::Patient, &[]);
}

#[test]
fn the_newest_first_is_found() {
    PUSHING.finds(
        Bug::PushNewestFirst,
        50,
        Invariant::Delivered,
        &[Invariant::Ascending],
    );
}
