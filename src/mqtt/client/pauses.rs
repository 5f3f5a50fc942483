//! The end of a connection, and how long the client waits for the next one.

use super::{Client, Effect, End, State};
use crate::driver::core::Moment;
use crate::planted::{Bug, is_on};

/// The pause after a failure: random, up to a bound that doubles.
const PAUSE_MS_MIN: u64 = 1_000;
const PAUSE_MS_MAX: u64 = 60_000;
/// A connection that lasted this long was a good one.
const GOOD_MS: u64 = 60_000;
/// So many takeovers in this time are another box with our client id, and not this box's own older connection.
const TAKEOVERS_MIN: usize = 3;
const TAKEOVERS_WITHIN_MS: u64 = 600_000;
const TAKEOVER_PAUSE_MS_MAX: u64 = 600_000;

impl Client {
    /// The dial failed, or the connection ended.
    pub fn lost(&mut self, now: Moment, end: &End) {
        self.break_off(now, end, false);
    }

    pub(super) fn break_off(&mut self, now: Moment, end: &End, told_takeover: bool) {
        let was_up = match &self.state {
            State::Waiting { .. } | State::Stopped => return,
            State::Up(up) => Some(up.since),
            State::Dialing { .. } | State::Greeting { .. } => None,
        };
        let lasted_ms = was_up.map(|since| now.since_us(since) / 1_000);
        // Mosquitto 2.0.11 tells the old client nothing: it closes the connection.
        let early = lasted_ms.is_some_and(|ms| ms < GOOD_MS) && *end == End::Closed;
        let takeover = told_takeover || early;
        if was_up.is_some() {
            self.down_since = Some(now);
            self.flows.forget_notes();
        }
        if lasted_ms.is_some_and(|ms| ms >= GOOD_MS) {
            self.failures = 0;
        }
        if lasted_ms.is_some_and(|ms| ms >= TAKEOVERS_WITHIN_MS) {
            self.slowed = 0;
        }
        if takeover {
            self.taken_over(now);
        }
        self.problem = Some(match end {
            End::Failed(why) => why.clone(),
            End::Closed if self.slowed > 0 => self.clone_text(),
            End::Closed => "the broker closed the connection".to_owned(),
        });
        let pause_ms = self.pause_ms();
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waiting {
            until: now.after_ms(pause_ms),
        };
        self.inbox.clear();
        self.effects
            .retain(|effect| !matches!(effect, Effect::Send(_) | Effect::Dial));
        self.effects.push_back(Effect::Close { flush: false });
        if self.stopping.is_some() {
            self.end_all(false);
        }
    }

    fn taken_over(&mut self, now: Moment) {
        self.counts.takeovers += 1;
        self.takeovers.push_back(now);
        while let Some(first) = self.takeovers.front()
            && first.after_ms(TAKEOVERS_WITHIN_MS) < now
        {
            self.takeovers.pop_front();
        }
        if self.takeovers.len() >= TAKEOVERS_MIN || self.slowed > 0 {
            self.slowed = (self.slowed + 1).min(5);
        }
    }

    fn clone_text(&self) -> String {
        let own = self.setup.face.run().unwrap_or("this one");
        let other = self.other_run.as_deref().unwrap_or("not known");
        let id = &self.setup.client_id;
        format!(
            "another client with the client id {id} takes the connection over again and again (our run {own}, the \
             other run: {other}): give each box a node.name of its own"
        )
    }

    fn pause_ms(&mut self) -> u64 {
        if self.slowed > 0 && !is_on(Bug::MqttTakeoverHasty) {
            let most = (PAUSE_MS_MAX << (self.slowed - 1)).min(TAKEOVER_PAUSE_MS_MAX);
            return most / 2 + self.dice(most / 2);
        }
        let most = PAUSE_MS_MIN << self.failures.min(6);
        self.dice(most.min(PAUSE_MS_MAX))
    }

    /// A random number up to `most` (xorshift64).
    fn dice(&mut self, most: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % (most + 1)
    }
}
