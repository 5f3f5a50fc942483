//! Deliberate bugs, each of which the simulation must catch, by the invariant that it breaks.

use cli_coordinator::planted::Bug;

use super::SIMULATION;
use crate::simulation::violation::Invariant;

/// Seeds within which each bug must be found.
const SEEDS: u64 = 100;

fn check(bug: Bug, expected: Invariant, others: &[Invariant]) {
    SIMULATION.finds(bug, SEEDS, expected, others);
}

#[test]
fn a_cursor_that_moves_before_the_acknowledgement_is_found() {
    check(Bug::MqttCursorEarly, Invariant::Gapless, &[]);
}

#[test]
fn a_gap_that_is_not_told_is_found() {
    check(Bug::MqttGapSilent, Invariant::Gapless, &[]);
}

#[test]
fn a_status_that_is_not_published_again_is_found() {
    check(Bug::MqttStatusOnce, Invariant::Told, &[]);
}

#[test]
fn a_missing_subscription_is_found() {
    // Without it, an old will goes unnoticed too.
    check(
        Bug::MqttNoResubscribe,
        Invariant::Answered,
        &[Invariant::Told],
    );
}

#[test]
fn an_ignored_window_is_found() {
    check(Bug::MqttWindowIgnored, Invariant::Bounded, &[]);
}

#[test]
fn a_clone_that_is_not_slowed_is_found() {
    check(Bug::MqttTakeoverHasty, Invariant::Bounded, &[]);
}
