//! What happens to checks that take too long or cannot be made.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_has_failed_and_the_next_one_runs() {
    let mut series = Series::begin();
    series.run("stuck", std::future::pending()).await;
    series.run("broken", async { Err("it broke".into()) }).await;
    series
        .run("fine", async { Ok(CheckFound::ok("well")) })
        .await;
    let states: Vec<CheckState> = series.checks.iter().map(|check| check.state).collect();
    assert_eq!(
        states,
        [CheckState::Failed, CheckState::Failed, CheckState::Ok]
    );
    assert_eq!(series.checks[0].detail, "it did not finish within 10000 ms");
    assert!(series.checks[0].next.is_some() && series.checks[1].next.is_some());
    assert_eq!(series.checks[1].detail, "it broke");
}

#[test]
fn without_a_place_to_test_in_it_says_where_it_looked() {
    let folders = ["/proc/nowhere".into(), "/proc/neither".into()];
    let error = make_folder(&folders).expect_err("nothing can be made there");
    assert!(
        error
            .to_string()
            .ends_with("in /proc/nowhere, /proc/neither")
    );
}

#[test]
fn the_first_place_that_can_be_had_is_taken_and_left_clean() {
    let place = tempfile::tempdir().expect("there is room");
    let folders = ["/proc/nowhere".into(), place.path().into()];
    let made = make_folder(&folders).expect("the second can be had");
    assert_eq!(made.path().parent(), Some(place.path()));
    drop(made);
    let left = std::fs::read_dir(place.path()).expect("it is there");
    assert_eq!(left.count(), 0);
}
