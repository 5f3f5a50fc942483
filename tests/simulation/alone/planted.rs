//! Deliberate bugs, each of which the simulation must catch, by the invariant that it breaks.

use cli_coordinator::planted::Bug;

use super::SIMULATION;
use crate::simulation::violation::Invariant;

/// Seeds within which each bug must be found.
const SEEDS: u64 = 60;

fn check(bug: Bug, expected: Invariant, others: &[Invariant]) {
    SIMULATION.finds(bug, SEEDS, expected, others);
}

#[test]
fn a_reply_before_the_sync_is_found() {
    // A waiting request that was answered ahead is answered again when it is granted.
    check(
        Bug::ReplyBeforeSync,
        Invariant::Durable,
        &[Invariant::Fenced],
    );
}

#[test]
fn an_unchecked_fence_is_found() {
    check(Bug::FenceNotChecked, Invariant::Fenced, &[]);
}

#[test]
fn deadlines_on_the_wall_clock_are_found() {
    check(Bug::DeadlineOnWallClock, Invariant::TimeProof, &[]);
}

#[test]
fn a_lost_wake_up_is_found() {
    check(Bug::LostWakeUp, Invariant::NoLostWakeUp, &[]);
}

#[test]
fn a_claim_that_is_not_found_by_its_label_is_found() {
    check(Bug::LabelWaiterMissed, Invariant::NoLostWakeUp, &[]);
}

#[test]
fn a_request_that_stays_among_those_that_wait_is_found() {
    check(Bug::WaiterStays, Invariant::Consistent, &[]);
}

#[test]
fn a_snapshot_that_forgets_a_record_is_found() {
    check(Bug::SnapshotForgetsRecord, Invariant::Deterministic, &[]);
}

#[test]
fn a_double_grant_is_found() {
    check(Bug::DoubleGrant, Invariant::Exclusive, &[]);
}

#[test]
fn paths_without_a_tree_that_exclude_nothing_are_found() {
    check(Bug::TreelessExcludesNothing, Invariant::Exclusive, &[]);
}

#[test]
fn a_part_that_is_taken_for_all_is_found() {
    check(Bug::EnsureTakesPart, Invariant::Ensured, &[]);
}

#[test]
fn a_lapsed_lease_that_is_taken_for_held_is_found() {
    check(Bug::LapsedIsEnsured, Invariant::Ensured, &[]);
}

#[test]
fn a_record_of_what_is_held_anyway_is_found() {
    check(Bug::EnsureAlwaysWrites, Invariant::Spared, &[]);
}

#[test]
fn a_folder_that_is_not_covered_is_found() {
    check(Bug::FolderNotCovered, Invariant::Exclusive, &[]);
}

#[test]
fn a_file_that_is_read_as_a_glob_is_found() {
    check(Bug::FileReadAsGlob, Invariant::Exclusive, &[]);
}

#[test]
fn holds_that_outlive_their_session_are_found() {
    check(Bug::HoldsOutliveSession, Invariant::Expires, &[]);
}

#[test]
fn a_clock_that_stands_still_is_found() {
    check(Bug::ClockStandsStill, Invariant::Expires, &[]);
}

#[test]
fn jumps_that_count_are_found() {
    check(Bug::JumpsCount, Invariant::TimeProof, &[]);
}

#[test]
fn dependents_that_are_not_told_are_found() {
    check(Bug::DependentsNotTold, Invariant::Told, &[]);
}

#[test]
fn a_seat_that_reads_for_its_namesake_is_found() {
    check(Bug::SeatNamesShared, Invariant::Closed, &[]);
}

#[test]
fn a_message_that_reaches_one_seat_alone_is_found() {
    check(Bug::FirstSeatOnly, Invariant::Reached, &[]);
}

#[test]
fn a_seat_that_is_forgotten_with_what_it_holds_is_found() {
    check(Bug::SeatForgottenEarly, Invariant::Kept, &[]);
}

#[test]
fn a_request_carried_out_twice_is_found() {
    check(Bug::RepeatedTwice, Invariant::Once, &[]);
}
