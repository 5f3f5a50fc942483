//! How fast records go out, and how long to wait after trouble.

use super::super::backlog::Moment;

const BACKOFF_MIN_MS: u64 = 1_000;
const BACKOFF_MAX_MS: u64 = 60_000;
const SUSPENDED_MIN_MS: u64 = 30_000;
const SUSPENDED_MAX_MS: u64 = 300_000;
/// A receiver that asks for more patience is asked again all the same.
const RETRY_AFTER_MAX_MS: u64 = 600_000;
/// Answers in a row until the rate grows by one a second.
const GOOD_PER_STEP: u32 = 10;

#[derive(Debug)]
pub(super) struct Pace {
    interval_ms: u64,
    rate_max: u64,
    /// Records a second.
    rate: u64,
    good: u32,
    /// Troubles in a row.
    failures: u32,
    random: u64,
    pub(super) wait_until: Moment,
}

impl Pace {
    /// The first request waits for a random part of the interval: boxes of a site start at once.
    pub(super) fn new(interval_ms: u64, rate_max: u64, seed: u64, now: Moment) -> Self {
        let mut pace = Self {
            interval_ms,
            rate_max,
            rate: rate_max,
            good: 0,
            failures: 0,
            random: seed,
            wait_until: now,
        };
        pace.spread(now);
        pace
    }

    /// A record was taken, or given up.
    pub(super) fn next(&mut self, now: Moment) {
        self.failures = 0;
        self.good += 1;
        if self.good >= GOOD_PER_STEP {
            self.good = 0;
            self.rate = (self.rate + 1).min(self.rate_max);
        }
        // A poisonous record may have come with a wish for patience.
        self.wait_until = self.wait_until.max(now + 1_000 / self.rate);
    }

    /// The receiver cannot keep up.
    pub(super) fn slower(&mut self) {
        self.good = 0;
        self.rate = (self.rate / 2).max(1);
    }

    /// Waits longer after each trouble in a row, by chance, and at least as long as was asked for.
    pub(super) fn back_off(&mut self, now: Moment, retry_after_ms: Option<u64>) {
        let most = self.interval_ms.clamp(BACKOFF_MIN_MS, BACKOFF_MAX_MS);
        let pause = (BACKOFF_MIN_MS << self.failures.min(6)).min(most);
        self.failures = self.failures.saturating_add(1);
        let asked = retry_after_ms.unwrap_or(0).min(RETRY_AFTER_MAX_MS);
        self.wait_until = now + asked + self.below(pause + 1);
    }

    /// Waits for somebody to change something.
    pub(super) fn suspend(&mut self, now: Moment) {
        let first = (self.interval_ms / 2).min(SUSPENDED_MIN_MS);
        let pause = first << self.failures.min(4);
        self.failures = self.failures.saturating_add(1);
        let most = (self.interval_ms * 5).min(SUSPENDED_MAX_MS);
        self.wait_until = now + pause.min(most);
    }

    /// Waits for a random part of the interval, so that a thousand boxes do not come back at once.
    pub(super) fn spread(&mut self, now: Moment) {
        let most = self.interval_ms.min(BACKOFF_MAX_MS);
        self.wait_until = now + self.below(most);
    }

    pub(super) fn forget_failures(&mut self) {
        self.failures = 0;
    }

    /// `SplitMix64`.
    fn below(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }
}
