//! Deliberate bugs, each of which the simulation must catch, by the invariant that it breaks.

use cli_coordinator::planted::{Bug, Planted};

use super::SIMULATION;
use super::repeated::{
    LATE, answer_of_the_second_sending, first_sending_comes_last, first_sending_waits_for_a_task,
    first_sending_waits_for_the_store,
};
use crate::simulation::violation::Invariant;

/// Seeds within which each bug must be found.
const SEEDS: u64 = 300;

fn check(bug: Bug, expected: Invariant, others: &[Invariant]) {
    SIMULATION.finds(bug, SEEDS, expected, others);
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
    // One that was read before it went off again is answered, though no replica may have it.
    check(
        Bug::UnknownTriedAgain,
        Invariant::Once,
        &[Invariant::Durable],
    );
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

#[test]
fn an_ensure_that_takes_a_part_is_found() {
    check(Bug::EnsureTakesPart, Invariant::Ensured, &[]);
}

#[test]
fn a_lease_without_a_tree_that_excludes_nothing_is_found() {
    check(Bug::TreelessExcludesNothing, Invariant::Exclusive, &[]);
}

#[test]
fn a_claim_granted_elsewhere_and_answered_with_nothing_is_found() {
    let _planted = Planted::new(Bug::VainFromOwnState);
    let found = answer_of_the_second_sending().map_err(|violation| violation.invariant);
    assert_eq!(found, Err(Invariant::Once));
}

#[test]
fn a_late_first_sending_that_is_carried_out_is_found() {
    let _planted = Planted::new(Bug::OvertakenTwice);
    let found = [
        first_sending_comes_last(),
        first_sending_waits_for_the_store(LATE),
        first_sending_waits_for_a_task(),
    ];
    for found in found {
        assert_eq!(
            found.map_err(|violation| violation.invariant),
            Err(Invariant::Once)
        );
    }
}
