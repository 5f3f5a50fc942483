//! An accepted connection: what is in flight on it, what is due, and when it counts as dead.

use std::collections::VecDeque;

use super::Source;
use super::flow::Step;
use super::wire::Granted;
use crate::driver::core::Moment;

/// From the beginning of a dial to the broker's CONNACK, twice at most.
pub(super) const CONNECT_MS: u64 = 10_000;
/// How often the condition is looked at, for a health at once when it changes.
pub(super) const LOOK_MS: u64 = 2_000;
/// How often health can be asked for.
const ASKED_MS: u64 = 10_000;
/// How often an own status that says `lost` is corrected.
pub(super) const CORRECT_MS: u64 = 1_000;
/// Publishes of the broker within a second. More is a broker that works against us.
pub(super) const PUBLISHES_MAX: u32 = 100;
/// Events published in a second, so that a long backlog leaves the processor to the agents.
const EVENTS_PER_SECOND: u64 = 2_000;
/// Of those, how many at once.
const EVENTS_AT_ONCE: u64 = 64;

/// What waits for an acknowledgement.
#[derive(Debug)]
pub(super) enum Sent {
    Presence,
    Health,
    Announcement,
    Event(Step),
}

#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) id: u16,
    pub(super) at: Moment,
    pub(super) what: Sent,
    /// Acknowledged: refused or not.
    pub(super) done: Option<bool>,
}

/// An accepted connection.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Up {
    pub(super) since: Moment,
    pub(super) granted: Granted,
    pub(super) keep_alive_ms: u64,
    pub(super) subscribed: bool,
    pub(super) last_id: u16,
    pub(super) in_flight: VecDeque<InFlight>,
    /// When a PINGREQ is due, and since when one is unanswered.
    pub(super) ping_at: Moment,
    pub(super) pinged: Option<Moment>,
    pub(super) wants_presence: bool,
    pub(super) presence_at: Option<Moment>,
    pub(super) wants_health: bool,
    /// The condition that the last health said, and when it was.
    pub(super) told: Option<(&'static str, Moment)>,
    pub(super) answered: Option<Moment>,
    pub(super) looked: Moment,
    pub(super) announced: usize,
    pub(super) goodbye: bool,
    pub(super) publishes: (Moment, u32),
    /// Events that may be sent now, and when that was worked out.
    pub(super) allowance: (Moment, u64),
}

impl Up {
    /// The broker has just accepted the connection.
    pub(super) fn new(now: Moment, granted: Granted, own_keep_alive_s: u16) -> Self {
        let seconds = granted.keep_alive_s.unwrap_or(own_keep_alive_s).max(1);
        let keep_alive_ms = u64::from(seconds) * 1_000;
        Self {
            since: now,
            granted,
            keep_alive_ms,
            subscribed: false,
            last_id: 0,
            in_flight: VecDeque::new(),
            ping_at: now.after_ms(keep_alive_ms),
            pinged: None,
            wants_presence: false,
            presence_at: None,
            wants_health: false,
            told: None,
            answered: None,
            looked: now,
            announced: 0,
            goodbye: false,
            publishes: (now, 0),
            allowance: (now, EVENTS_AT_ONCE),
        }
    }

    pub(super) fn next_id(&mut self) -> u16 {
        // The window is far smaller than the ids, so that none is still in flight when it comes again.
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }

    /// Why the connection counts as dead, if it does. A peer that stops reading answers neither.
    pub(super) fn silent(&self, now: Moment) -> Option<&'static str> {
        let pong_at = self.pinged.map(|at| at.after_ms(self.keep_alive_ms / 2));
        if pong_at.is_some_and(|at| at <= now) {
            return Some("the broker does not answer pings");
        }
        let ack_at = self.in_flight.front().map(|sent| self.ack_by(sent));
        if ack_at.is_some_and(|at| at <= now) {
            return Some("the broker does not acknowledge what is published");
        }
        let subscribe_at = self.since.after_ms(CONNECT_MS);
        (!self.subscribed && subscribe_at <= now)
            .then_some("the broker does not acknowledge the subscription")
    }

    pub(super) fn ack_by(&self, sent: &InFlight) -> Moment {
        sent.at.after_ms(self.keep_alive_ms * 2)
    }

    pub(super) fn floods(&mut self, now: Moment) -> bool {
        let (since, count) = self.publishes;
        let is_same_second = now.since_us(since) < 1_000_000;
        self.publishes = if is_same_second {
            (since, count + 1)
        } else {
            (now, 1)
        };
        self.publishes.1 > PUBLISHES_MAX
    }

    /// A change is told at once, and a request at most every ten seconds.
    pub(super) fn health_due(&mut self, now: Moment, source: &dyn Source) -> bool {
        if !self.wants_health {
            return false;
        }
        let condition = source.condition();
        let changed = self.told.is_none_or(|(told, _)| told != condition);
        let rested = self.answered.is_none_or(|at| at.after_ms(ASKED_MS) <= now);
        if !changed && !rested {
            return false;
        }
        self.told = Some((condition, now));
        if !changed {
            self.answered = Some(now);
        }
        true
    }

    pub(super) fn may_send_event(&mut self, now: Moment) -> bool {
        let (since, left) = self.allowance;
        let more = now.since_us(since) * EVENTS_PER_SECOND / 1_000_000;
        if more > 0 {
            self.allowance = (now, (left + more).min(EVENTS_AT_ONCE));
        }
        self.allowance.1 > 0
    }

    pub(super) fn wakeup(&self, now: Moment, stopping: Option<Moment>) -> Moment {
        let mut at = self.ping_at;
        let mut sooner = |time: Option<Moment>| at = time.map_or(at, |time| at.min(time));
        sooner(self.subscribed.then(|| self.looked.after_ms(LOOK_MS)));
        sooner(stopping);
        sooner(self.pinged.map(|at| at.after_ms(self.keep_alive_ms / 2)));
        sooner(self.in_flight.front().map(|sent| self.ack_by(sent)));
        sooner((!self.subscribed).then(|| self.since.after_ms(CONNECT_MS)));
        sooner((self.allowance.1 == 0).then(|| now.after_ms(1)));
        let corrects = self.presence_at.filter(|_| self.wants_presence);
        sooner(corrects.map(|at| at.after_ms(CORRECT_MS)));
        at
    }
}
