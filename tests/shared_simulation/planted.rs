//! Deliberate bugs, each of which the simulation must catch, by the invariant that it breaks.

use cli_coordinator::planted::{Bug, plant};

use super::run::run;
use super::settings::SEEDS;
use super::violation::Invariant;
use super::{metrics, turn};

/// Unplants when the test ends, however it does.
struct Planted;

impl Drop for Planted {
    fn drop(&mut self) {
        plant(Bug::None);
    }
}

/// The bug is found by the invariant that is there for it; `others` may see it first.
#[allow(clippy::print_stdout, reason = "says how soon each bug was found")]
fn check(bug: Bug, expected: Invariant, others: &[Invariant]) {
    let _turn = turn();
    let _planted = Planted;
    plant(bug);
    let metrics = metrics();
    for seed in 0..SEEDS {
        let Err(violation) = run(seed, &metrics, false) else {
            continue;
        };
        println!(
            "{bug:?}: seed {seed}, {:?}: {}",
            violation.invariant, violation.what
        );
        if violation.invariant == expected {
            return;
        }
        assert!(
            others.contains(&violation.invariant),
            "{bug:?} broke {:?}, not {expected:?}: {}",
            violation.invariant,
            violation.what
        );
    }
    panic!("{bug:?} did not break {expected:?} within {SEEDS} seeds");
}

#[test]
fn an_epoch_that_was_not_opened_is_found() {
    check(Bug::EpochNotOpened, Invariant::OneLine, &[]);
}

#[test]
fn a_store_filled_by_anybody_is_found() {
    // Where the list of projects was lost, some are not served any more.
    check(Bug::AnySeeds, Invariant::SeededOnce, &[Invariant::Live]);
}

#[test]
fn a_skipped_hole_is_found() {
    check(Bug::HoleSkipped, Invariant::Same, &[]);
}

#[test]
fn own_records_applied_first_are_found() {
    // A state that is wrong answers wrongly, too.
    let others = [Invariant::Durable, Invariant::Honest, Invariant::Exclusive];
    check(Bug::OwnRecordsFirst, Invariant::Same, &others);
}

#[test]
fn an_own_record_taken_for_another_s_is_found() {
    // A request that is never answered keeps the run from its rest.
    check(
        Bug::OwnAnswerForgotten,
        Invariant::Answered,
        &[Invariant::Live],
    );
}

#[test]
fn an_unknown_outcome_tried_again_is_found() {
    check(Bug::UnknownTriedAgain, Invariant::Once, &[]);
}

#[test]
fn an_outage_that_counts_is_found() {
    check(Bug::OutageCounts, Invariant::TimeProof, &[]);
}

#[test]
fn a_loss_that_is_not_told_is_found() {
    check(Bug::LossNotTold, Invariant::Durable, &[]);
}

#[test]
fn a_stale_cursor_that_is_accepted_is_found() {
    check(Bug::StaleCursorAccepted, Invariant::Honest, &[]);
}

#[test]
fn a_session_served_twice_is_found() {
    check(Bug::ResumedTwice, Invariant::Honest, &[]);
}
