//! Measures appends, and the time until the stream shows what was appended.

use std::sync::{MutexGuard, PoisonError};

use super::LineTask;
use crate::driver::core::Moment;
use crate::driver::shell::LineHost;
use crate::engine::ids::Position;

/// Measures the time from the answer to an append until the stream shows its record.
#[derive(Default)]
pub(super) struct Delay {
    /// The record to wait for, and when its append was answered.
    appended: Option<(Position, Moment)>,
    shown: Position,
}

impl<H: LineHost> LineTask<H> {
    pub(super) fn observe_appended(&self, at: Position, begun: Moment, now: Moment) {
        let shared = &self.host.metrics().shared;
        shared.append_seconds.observe(seconds(now.since_us(begun)));
        let mut delay = self.delay();
        if at > delay.shown {
            delay.appended.get_or_insert((at, now));
        }
    }

    pub(super) fn delay(&self) -> MutexGuard<'_, Delay> {
        self.delay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that are not read back are never shown, so their delay is not measured.
    pub(super) fn pass_over(&self, up_to: Position) {
        let mut delay = self.delay();
        delay.appended.take_if(|(at, _)| *at <= up_to);
    }

    pub(super) fn observe_shown(&self, up_to: Position) {
        let mut delay = self.delay();
        delay.shown = up_to;
        if let Some((_, since)) = delay.appended.take_if(|(at, _)| *at <= up_to) {
            let micros = self.host.now().since_us(since);
            let shared = &self.host.metrics().shared;
            shared.follow_seconds.observe(seconds(micros));
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "latencies are far below 2^52")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}
