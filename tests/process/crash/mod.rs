//! The real binary, killed under load: nothing that was acknowledged may be lost, nothing may have
//! happened twice. `COORD_CRASH_ROUNDS` says how often, `COORD_CRASH_SEED` repeats a run.

mod graceful;

use std::time::Duration;

use crate::support::Coordinator;
use crate::support::load::{self, check, record};
use crate::support::random::Random;

/// Rounds of a usual run; the long mode sets more.
const ROUNDS_DEFAULT: u64 = 5;
/// Connections at once, each an agent of its own.
const WORKERS: u64 = 16;

#[expect(
    clippy::disallowed_methods,
    reason = "how a person steers a test, not a setting of the product"
)]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn seed() -> u64 {
    let picked = number("COORD_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("COORD_CRASH_SEED={picked}");
    picked
}

#[tokio::test]
async fn nothing_acknowledged_is_lost() {
    let mut random = Random::new(seed());
    let rounds = number("COORD_CRASH_ROUNDS").unwrap_or(ROUNDS_DEFAULT);
    // Segments and snapshots so small that kills hit their turnover too.
    let mut coordinator = crate::support::coordinator::Start::new()
        .variable("COORD_JOURNAL_SEGMENT_BYTES", 262_144)
        .variable("COORD_JOURNAL_LIVE_BYTES_MAX", 524_288)
        .variable("COORD_MESSAGE_BYTES_MAX", 65_536)
        .variable("COORD_SESSION_GRACE_MS", 60_000)
        .run()
        .await;
    let mut record = record::Record::default();
    let tokens = load::tokens(&coordinator, WORKERS).await;
    for round in 0..rounds {
        let pause = Duration::from_millis(30 + random.below(400));
        let begun = record.acknowledged();
        load::until_killed(&mut coordinator, &tokens, &mut record, &mut random, pause).await;
        coordinator.restart().await;
        load::settle(&coordinator, &tokens, &mut record).await;
        check::everything(&coordinator, &record).await;
        let done = record.acknowledged() - begun;
        println!("round {round}: {done} acknowledged before the kill");
        assert!(done > 0, "a round without load shows nothing");
    }
    check::journal_is_sound(&mut coordinator).await;
}

/// A checker that has caught nothing proves nothing: a record with something that never was.
async fn check_forged(forge: impl FnOnce(&mut record::Record)) {
    let coordinator = Coordinator::start().await;
    let mut record = record::Record::default();
    let mut operator = coordinator.operator().await;
    let params = serde_json::json!({"title": "worker-0-1"});
    let made = operator.call("task.submit", params.clone()).await.unwrap();
    record.tried.insert("worker-0-1".to_owned());
    record.note("task.submit", &params, &made);
    check::everything(&coordinator, &record).await;
    forge(&mut record);
    check::everything(&coordinator, &record).await;
}

#[tokio::test]
#[should_panic(expected = "is lost")]
async fn the_checker_misses_a_lost_task() {
    check_forged(|record| drop(record.submitted.insert(99, "gone".to_owned()))).await;
}

#[tokio::test]
#[should_panic(expected = "was completed, and is")]
async fn the_checker_misses_a_lost_completion() {
    check_forged(|record| drop(record.completed.insert(1, "result".to_owned()))).await;
}

#[tokio::test]
#[should_panic(expected = "was never submitted")]
async fn the_checker_finds_what_nobody_asked_for() {
    check_forged(|record| record.tried.clear()).await;
}

#[tokio::test]
#[should_panic(expected = "after 4096")]
async fn the_checker_finds_a_fence_that_fell_back() {
    check_forged(|record| drop(record.fences.insert(4096, "task 1".to_owned()))).await;
}

#[tokio::test]
async fn every_request_is_answered_when_it_is_told_to_stop() {
    graceful::under_load(&mut Random::new(seed())).await;
}

#[tokio::test]
async fn waiting_requests_are_answered_when_it_is_told_to_stop() {
    graceful::waiting(&mut Coordinator::start().await).await;
}
