//! What time it is for the receiver. A box without a clock battery starts in 1970, and samples of the future make a
//! Prometheus refuse all other boxes, so nothing is sent before a receiver's `Date` confirmed the clock.

use super::backlog::Moment;
use super::series::Head;
use crate::planted::{Bug, is_on};

/// The beginning of 2026: the program is younger, so an earlier time is wrong.
const WRITTEN_AFTER_MS: u64 = 1_767_225_600_000;
/// Up to here the box's own clock counts as right.
const OFFSET_RIGHT_MS: u64 = 60_000;
/// Up to here the receiver's clock is used instead; beyond, somebody has to correct one of them.
const OFFSET_USED_MS: u64 = 600_000;
/// `Date` has whole seconds, so a difference within this is none.
const OFFSET_GRAIN_MS: u64 = 2_000;

/// A reading of both clocks, and whether the connection to the receiver is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Counts sleep too.
    pub mono_ms: Moment,
    pub wall_ms: u64,
    pub connected: bool,
}

/// A moment and its right time.
#[derive(Debug, Clone, Copy)]
struct Pair {
    moment: Moment,
    time_ms: u64,
    /// The box's wall clock minus its monotonic one.
    difference_ms: i64,
}

#[derive(Debug)]
pub(super) struct Timebase {
    run: u64,
    /// `None`: the time is not known.
    pair: Option<Pair>,
    /// The receiver's clock minus ours, at the last answer that had one.
    offset_ms: Option<i64>,
    /// What is added to our clock.
    correction_ms: i64,
    /// The time of the last record that was made.
    made_ms: u64,
}

impl Timebase {
    pub(super) fn new(run: u64) -> Self {
        Self {
            run,
            pair: None,
            offset_ms: None,
            correction_ms: 0,
            made_ms: 0,
        }
    }

    pub(super) fn is_known(&self) -> bool {
        self.pair.is_some()
    }

    pub(super) fn offset_ms(&self) -> Option<i64> {
        self.offset_ms
    }

    /// Takes up the receiver's time in an answer to what was sent at `sent`.
    pub(super) fn confirm(&mut self, date_ms: Option<u64>, sent: Now, now: Now) {
        let date_ms = date_ms.filter(|date| *date >= WRITTEN_AFTER_MS);
        let travel_ms = now.mono_ms.saturating_sub(sent.mono_ms) / 2;
        // In the middle of the second that `Date` names, and of the travel.
        self.offset_ms = date_ms.map(|date| minus(date + 500 + travel_ms, now.wall_ms));
        let off_by = self.offset_ms.map(i64::unsigned_abs);
        let known = match off_by {
            None => now.wall_ms >= WRITTEN_AFTER_MS,
            Some(off_by) => off_by <= OFFSET_USED_MS,
        };
        self.correction_ms = match self.offset_ms {
            Some(offset) if off_by > Some(OFFSET_RIGHT_MS) => {
                let differs = offset.abs_diff(self.correction_ms) > OFFSET_GRAIN_MS;
                if differs { offset } else { self.correction_ms }
            }
            _ => 0,
        };
        if is_on(Bug::PushWrongClock) {
            self.correction_ms = 0;
        }
        self.pair = (known || is_on(Bug::PushWrongClock)).then(|| Pair {
            moment: now.mono_ms,
            time_ms: now.wall_ms.saturating_add_signed(self.correction_ms),
            difference_ms: minus(now.wall_ms, now.mono_ms),
        });
    }

    /// The right time at a moment of this boot.
    fn at(&self, mono_ms: Moment) -> Option<u64> {
        let pair = self.pair?;
        pair.time_ms.checked_add_signed(minus(mono_ms, pair.moment))
    }

    pub(super) fn now_ms(&self, now: Now) -> Option<u64> {
        self.at(now.mono_ms)
    }

    /// What a record that is made now begins with. `None` while time went back and has not passed the last record
    /// yet: the times of a series must grow.
    pub(super) fn head(&mut self, now: Now) -> Option<Head> {
        let time_ms = self.at(now.mono_ms);
        if let Some(time_ms) = time_ms {
            if time_ms <= self.made_ms {
                return None;
            }
            self.made_ms = time_ms;
        }
        Some(Head {
            run: self.run,
            mono_ms: now.mono_ms,
            wall_ms: time_ms.unwrap_or(now.wall_ms),
            clock_right: time_ms.is_some(),
        })
    }

    /// The time of a record's samples, if it can be known.
    pub(super) fn of(&self, head: &Head) -> Option<u64> {
        if head.clock_right {
            return Some(head.wall_ms);
        }
        let pair = self.pair?;
        // Of an earlier run that is certain only if nobody has set the clock since: a clock that started at a
        // fixed date would by now differ from the right one.
        let since = minus(head.wall_ms, head.mono_ms).abs_diff(pair.difference_ms);
        let same_clock = head.run == self.run || since <= OFFSET_GRAIN_MS;
        self.at(head.mono_ms).filter(|_| same_clock)
    }
}

fn minus(later: u64, earlier: u64) -> i64 {
    if later >= earlier {
        i64::try_from(later - earlier).unwrap_or(i64::MAX)
    } else {
        i64::try_from(earlier - later).map_or(i64::MIN, |ms| -ms)
    }
}
