//! What the kernel gives: random bytes, clocks, timers.

use std::time::Duration;

use super::{CheckFound, CheckResult};
use crate::clock::{self, Clock};

const RANDOM_BYTES: usize = 32;
/// 1 January 2025: the program is younger, so a clock that says less is wrong.
const WALL_MS_MIN: u64 = 1_735_689_600_000;
/// How often the clock is read to see that it never goes back.
const CLOCK_READS: usize = 10_000;

const TIMER_ROUNDS: usize = 5;
const TIMER_MS: u64 = 10;
/// A timer that is later than this on an idle box says that the box is not idle.
const TIMER_LATE_MS_MAX: u64 = 100;

/// Tokens, keys and session ids rest on it.
pub(super) fn entropy() -> CheckResult {
    let clock = Clock::start();
    let (mut first, mut second) = ([0; RANDOM_BYTES], [0; RANDOM_BYTES]);
    // Waits where the kernel has not gathered enough since it booted.
    getrandom::fill(&mut first)?;
    getrandom::fill(&mut second)?;
    let took_us = clock.now().0;
    if first == second || first.iter().all(|byte| *byte == first[0]) {
        return Ok(CheckFound::failed(
            "the kernel's random bytes repeat",
            "do not run a coordinator here: its secrets would be predictable",
        ));
    }
    Ok(CheckFound::ok(format!(
        "2 × {RANDOM_BYTES} bytes in {took_us} µs"
    )))
}

/// Leases run on the monotonic clock; certificates and people go by the other one.
pub(super) fn clock() -> CheckFound {
    let clock = Clock::start();
    let mut last = clock.now();
    for _ in 0..CLOCK_READS {
        let now = clock.now();
        if now < last {
            let detail = format!(
                "the monotonic clock went back, from {} µs to {}",
                last.0, now.0
            );
            return CheckFound::failed(detail, "see the kernel's log for its clock source");
        }
        last = now;
    }
    let source = super::told("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let source = source.unwrap_or_else(|| "of an unknown source".to_owned());
    date(&source, clock::wall_ms())
}

/// What the wall clock is worth; the monotonic one, from `source`, is in order.
fn date(source: &str, wall_ms: u64) -> CheckFound {
    if wall_ms < WALL_MS_MIN {
        let days = wall_ms / 86_400_000;
        return CheckFound::warning(
            format!("monotonic ({source}), but the date is day {days} since 1970"),
            "let NTP set the clock: leases still work, but certificates are not valid yet",
        );
    }
    CheckFound::ok(format!("monotonic ({source}), the date is plausible"))
}

/// Deadlines, pings and waiting requests rest on them.
pub(super) async fn timers() -> CheckResult {
    let clock = Clock::start();
    let mut late_us_max = 0;
    for _ in 0..TIMER_ROUNDS {
        let begun = clock.now().0;
        tokio::time::sleep(Duration::from_millis(TIMER_MS)).await;
        let took_us = clock.now().0 - begun;
        let Some(late_us) = took_us.checked_sub(TIMER_MS * 1_000) else {
            let detail = format!("a timer of {TIMER_MS} ms fired after {took_us} µs");
            return Ok(CheckFound::failed(
                detail,
                "see the kernel's log for its clock events",
            ));
        };
        late_us_max = late_us.max(late_us_max);
    }
    let detail = format!("{TIMER_ROUNDS} of {TIMER_MS} ms, at most {late_us_max} µs late");
    if late_us_max > TIMER_LATE_MS_MAX * 1_000 {
        return Ok(CheckFound::warning(
            detail,
            "check what else keeps the machine busy",
        ));
    }
    Ok(CheckFound::ok(detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::self_test::CheckState;

    #[test]
    fn a_box_without_a_date_is_told_and_has_not_failed() {
        let found = date("arch_sys_counter", 86_400_000 * 3);
        assert_eq!(found.state, CheckState::Warning);
        assert!(
            found.detail.ends_with("day 3 since 1970"),
            "{}",
            found.detail
        );
        assert_eq!(date("tsc", WALL_MS_MIN).state, CheckState::Ok);
    }
}
