//! The sender: a state machine without IO and clocks. Events go in, effects come out, one request is in flight.
//!
//! ```text
//!             connected anew, after trouble, clock unknown
//!        ┌──────────────────────────────────────────────────┐
//!        ▼                                                  │
//!   ask by an empty request ──taken, clock right──► send the oldest record ──taken──► next, at the rate
//!        │   ▲                                              │
//!        │   └── wait: backoff, Retry-After ◄── 429, 5xx, no answer (the record stays)
//!        └────── wait: suspended ◄── 401, 403, 404, 405, 407, redirects; clock wrong (the record stays)
//!                                   400, 409, 413, 422, 500 again and again ──► the record is dropped and counted
//! ```
//!
//! The answers of the third line say nothing about the record, so it is kept: it is sent again only after an empty
//! request was taken.

mod answer;
mod pace;
mod words;

use std::collections::VecDeque;

use super::backlog::{Backlog, Moment, Ticket};
use super::encode::{self, ExternalLabels, Protocol};
use super::series::{Head, Record};
pub use super::timebase::Now;
use super::timebase::Timebase;
use super::varint::Damaged;
use crate::planted::{Bug, is_on};
use answer::Verdict;
pub use answer::{Answer, Trouble};
use pace::Pace;
pub use words::{Effect, Event, Fate, Request, State, Status};

/// Records in memory; older ones wait in the backlog.
const MEMORY_RECORDS_MAX: usize = 2;
/// How long a record waits in memory before it goes to the backlog: a good link costs no write to flash.
const MEMORY_MS_MAX: u64 = 10_000;
/// How far the time of a record may be ahead, after the clock was corrected.
const FUTURE_MS_MAX: u64 = 60_000;
/// An answer that takes longer halves the rate.
const SLOW_MS: u64 = 5_000;
/// How often a record is sent that brings 500 each time, while empty requests are taken. Prometheus 2.42 answers so
/// to what is too old.
const POISON_TRIES: u32 = 10;
/// The same for the next ones: where one is too old, its neighbours are.
const POISON_TRIES_NEXT: u32 = 2;
/// The wall clock was set if it moved by this against the monotonic one.
const CLOCK_SET_MS: u64 = 1_000;

/// What the sender is told to do.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub interval_ms: u64,
    pub max_age_ms: u64,
    pub catch_up_per_second: u64,
    pub protocol: Protocol,
}

pub struct Sender {
    rules: Rules,
    pub labels: ExternalLabels,
    backlog: Box<dyn Backlog + Send>,
    /// The newest records, oldest first.
    memory: VecDeque<(Head, Vec<u8>)>,
    time: Timebase,
    pace: Pace,
    flight: Option<Flight>,
    state: State,
    /// Whether an empty request was taken since the last trouble.
    checked: bool,
    protocol: Protocol,
    /// Whether the receiver has taken something in this version.
    proven: bool,
    /// The newest time that went out.
    sent_ms: u64,
    /// The record that was sent last, and its time then: sent again it must be the same.
    tried: Option<(Head, u64)>,
    /// How old that was, and when.
    lag: (u64, Moment),
    poison: Poison,
    /// The wall clock minus the monotonic one when the clock was last found wrong.
    wrong_ms: u64,
    counted: VecDeque<(Fate, u64)>,
}

#[derive(Debug, Clone, Copy)]
struct Flight {
    sent: Now,
    /// `None`: an empty request.
    load: Option<Load>,
}

#[derive(Debug, Clone, Copy)]
struct Load {
    head: Head,
    time_ms: u64,
    ticket: Option<Ticket>,
}

/// A record that may be one that the receiver will never take.
#[derive(Debug, Default)]
struct Poison {
    suspect: Option<Head>,
    tries: u32,
    /// Whether the last one was.
    found: bool,
}

impl Sender {
    pub fn new(
        rules: Rules,
        labels: ExternalLabels,
        backlog: Box<dyn Backlog + Send>,
        (run, seed): (u64, u64),
        now: Now,
    ) -> Self {
        let rate_max = rules.catch_up_per_second.max(1);
        Self {
            rules,
            labels,
            backlog,
            memory: VecDeque::new(),
            time: Timebase::new(run),
            pace: Pace::new(rules.interval_ms, rate_max, seed, now.mono_ms),
            flight: None,
            state: State::Starting,
            checked: false,
            protocol: rules.protocol,
            proven: false,
            sent_ms: 0,
            tried: None,
            lag: (0, now.mono_ms),
            poison: Poison::default(),
            wrong_ms: 0,
            counted: VecDeque::new(),
        }
    }

    /// What a record that is made now begins with; `None`: no record can be made now.
    pub fn head(&mut self, now: Now) -> Option<Head> {
        self.time.head(now)
    }

    pub fn handle(&mut self, event: Event, now: Now) {
        match event {
            Event::Made(record) => match Head::read(&record) {
                Ok(head) => {
                    self.memory.push_back((head, record));
                    self.spill(now, MEMORY_RECORDS_MAX, MEMORY_MS_MAX);
                }
                Err(_) => self.count(Fate::Overflow, 1),
            },
            Event::Answered(answer) => {
                if let Some(flight) = self.flight.take() {
                    self.answered(answer, flight, now);
                }
            }
            Event::Failed => {
                if let Some(flight) = self.flight.take() {
                    self.slow_down(flight, now);
                    self.later(now, None);
                }
            }
            Event::Stop => self.spill(now, 0, 0),
        }
    }

    /// What to do now. Called again and again until it says to wait.
    pub fn next(&mut self, now: Now) -> Effect {
        if let Some((fate, count)) = self.counted.pop_front() {
            return Effect::Counted(fate, count);
        }
        self.spill(now, MEMORY_RECORDS_MAX, MEMORY_MS_MAX);
        let wake = self.memory.front();
        let wake = wake.map_or(Moment::MAX, |(head, _)| head.mono_ms + MEMORY_MS_MAX + 1);
        if self.flight.is_some() {
            return Effect::Wait(wake);
        }
        let oldest = self.oldest(now);
        if !self.counted.is_empty() {
            return self.next(now);
        }
        let waits = now.mono_ms < self.pace.wait_until && !self.clock_was_set(now);
        if waits {
            return Effect::Wait(wake.min(self.pace.wait_until));
        }
        let unchecked = !self.checked || !now.connected;
        let asks = self.time.now_ms(now).is_none() || self.state == State::Suspended;
        if asks || (oldest.is_some() && unchecked) {
            return self.send(&encode::empty(self.protocol), None, now);
        }
        let Some((load, record)) = oldest else {
            return Effect::Wait(wake);
        };
        let Ok(message) = self.message(&record, load.time_ms) else {
            // One that is damaged is lost like one that had no room.
            self.forget(Some(load.head), load.ticket);
            self.count(Fate::Overflow, 1);
            return self.next(now);
        };
        self.send(&message, Some(load), now)
    }

    pub fn status(&self, now: Now) -> Status {
        let (lag_ms, at) = self.lag;
        let memory = self.memory.iter().map(|(_, record)| record.len() as u64);
        Status {
            state: self.state,
            lag_ms: lag_ms + now.mono_ms.saturating_sub(at),
            records: self.backlog.len() + self.memory.len() as u64,
            bytes: self.backlog.bytes() + memory.sum::<u64>(),
            offset_ms: self.time.offset_ms(),
            protocol: self.protocol,
        }
    }

    fn count(&mut self, fate: Fate, count: u64) {
        self.counted.push_back((fate, count));
    }

    /// Moves what is too much for the memory, or too long in it, to the backlog.
    fn spill(&mut self, now: Now, records_max: usize, ms_max: u64) {
        while let Some((head, _)) = self.memory.front() {
            let late = now.mono_ms.saturating_sub(head.mono_ms) > ms_max;
            if self.memory.len() <= records_max && !late {
                return;
            }
            if let Some((_, record)) = self.memory.pop_front() {
                let dropped = self.backlog.push(&record, now.mono_ms).dropped;
                if dropped > 0 {
                    self.count(Fate::Overflow, dropped);
                }
            }
        }
    }

    /// The oldest record that can be sent; those before it that cannot are dropped.
    fn oldest(&mut self, now: Now) -> Option<(Load, Vec<u8>)> {
        loop {
            let newest_first = is_on(Bug::PushNewestFirst) && !self.memory.is_empty();
            let waiting = if newest_first {
                None
            } else {
                self.backlog.oldest()
            };
            let (ticket, record) = match waiting {
                Some((ticket, record)) => (Some(ticket), record),
                None if newest_first => (None, self.memory.back()?.1.clone()),
                None => (None, self.memory.front()?.1.clone()),
            };
            let Ok(head) = Head::read(&record) else {
                self.forget(None, ticket);
                self.count(Fate::Overflow, 1);
                continue;
            };
            let load = |time_ms| Load {
                head,
                time_ms,
                ticket,
            };
            // Without the time only those can be judged that have one.
            let Some(now_ms) = self.time.now_ms(now) else {
                return Some((load(0), record));
            };
            let tried = self.tried.filter(|(of, _)| *of == head);
            let time_ms = tried.map_or_else(|| self.time.of(&head), |(_, time_ms)| Some(time_ms));
            let fate = match time_ms {
                Some(time_ms) if time_ms.saturating_add(self.rules.max_age_ms) < now_ms => {
                    Fate::Expired
                }
                // Samples of the future would make some receivers refuse those of all other boxes.
                Some(time_ms) if time_ms > now_ms + FUTURE_MS_MAX => Fate::Clock,
                Some(time_ms) if time_ms > self.sent_ms || tried.is_some() || newest_first => {
                    return Some((load(time_ms), record));
                }
                _ => Fate::Clock,
            };
            self.forget(Some(head), ticket);
            self.count(fate, 1);
        }
    }

    /// A record was sent or is given up.
    fn forget(&mut self, head: Option<Head>, ticket: Option<Ticket>) {
        if self.poison.suspect == head {
            self.poison.suspect = None;
        }
        if let Some(ticket) = ticket {
            return self.backlog.done(ticket);
        }
        let mut memory = self.memory.iter();
        if let Some(at) = memory.position(|(of, _)| head.is_none_or(|head| head == *of)) {
            self.memory.remove(at);
            return;
        }
        // It went to the backlog while it was on its way.
        if let Some((ticket, record)) = self.backlog.oldest()
            && Head::read(&record).ok() == head
        {
            self.backlog.done(ticket);
        }
    }

    fn message(&self, record: &[u8], time_ms: u64) -> Result<Vec<u8>, Damaged> {
        let of = |record: &[u8], time_ms| {
            let record = Record::decode(record)?;
            Ok(encode::samples(
                self.protocol,
                &record,
                time_ms,
                &self.labels,
            ))
        };
        let mut message = of(record, time_ms)?;
        if is_on(Bug::PushMixesTimes)
            && let Some((head, newest)) = self.memory.back()
            && let Some(newest_ms) = self.time.of(head)
        {
            message.extend(of(newest, newest_ms)?);
        }
        Ok(message)
    }

    fn send(&mut self, message: &[u8], load: Option<Load>, now: Now) -> Effect {
        let Ok(body) = encode::packed(message) else {
            // More than snappy can hold, which no record is.
            if let Some(load) = load {
                self.forget(Some(load.head), load.ticket);
                self.count(Fate::Rejected, 1);
            }
            return self.next(now);
        };
        if let Some(load) = load {
            self.tried = Some((load.head, load.time_ms));
            // It may be there even if no answer says so.
            self.sent_ms = self.sent_ms.max(load.time_ms);
        }
        self.flight = Some(Flight { sent: now, load });
        Effect::Request(Request {
            protocol: self.protocol,
            body,
            time_ms: load.map(|load| load.time_ms),
        })
    }

    fn answered(&mut self, answer: Answer, flight: Flight, now: Now) {
        self.time.confirm(answer.date_ms, flight.sent, now);
        let second = self.protocol == Protocol::V2;
        match (answer.verdict(), flight.load) {
            // A receiver of 1.0 stored nothing of it, whatever it says.
            (Verdict::Taken, _) if second && !answer.counts_samples => self.fall_back(now),
            (Verdict::Unknown, _) if second => self.fall_back(now),
            (Verdict::Rejected, _) if second && !self.proven => self.fall_back(now),
            (Verdict::Taken, Some(load)) => {
                self.proven = true;
                let right_ms = self.time.now_ms(now).unwrap_or(load.time_ms);
                self.lag = (right_ms.saturating_sub(load.time_ms), now.mono_ms);
                self.poison = Poison::default();
                self.settle(load, Fate::Sent, now);
                self.slow_down(flight, now);
            }
            (Verdict::Rejected | Verdict::Unknown, Some(load)) => {
                self.settle(load, Fate::Rejected, now);
            }
            (Verdict::Taken | Verdict::Rejected, None) => {
                self.proven |= answer.verdict() == Verdict::Taken;
                self.let_in(now);
            }
            (Verdict::Suspended | Verdict::Unknown, _) => {
                self.state = State::Suspended;
                self.checked = false;
                self.pace.suspend(now.mono_ms);
            }
            (Verdict::Later, load) => {
                self.pace.slower();
                let retry_after_ms = answer
                    .retry_after_ms
                    .filter(|_| !is_on(Bug::PushRetryAfterForgotten));
                self.later(now, retry_after_ms);
                if let Some(load) = load {
                    self.refused_for_now(answer.status, load, now);
                }
            }
        }
        if !self.time.is_known() {
            self.hold(now);
        }
    }

    /// An empty request was taken.
    fn let_in(&mut self, now: Now) {
        let was_away = self.state == State::Retrying && self.poison.suspect.is_none();
        self.checked = true;
        self.state = State::Sending;
        if was_away {
            self.pace.forget_failures();
            self.pace.spread(now.mono_ms);
        } else if self.poison.suspect.is_none() {
            self.pace.forget_failures();
            self.pace.wait_until = now.mono_ms;
        }
    }

    fn settle(&mut self, load: Load, fate: Fate, now: Now) {
        self.state = State::Sending;
        self.forget(Some(load.head), load.ticket);
        self.count(fate, 1);
        self.pace.next(now.mono_ms);
    }

    fn slow_down(&mut self, flight: Flight, now: Now) {
        if now.mono_ms.saturating_sub(flight.sent.mono_ms) > SLOW_MS {
            self.pace.slower();
        }
    }

    fn later(&mut self, now: Now, retry_after_ms: Option<u64>) {
        self.state = State::Retrying;
        self.checked = false;
        self.pace.back_off(now.mono_ms, retry_after_ms);
    }

    /// 500 may mean that this very record will never be taken.
    fn refused_for_now(&mut self, status: u16, load: Load, now: Now) {
        if status == 503 && is_on(Bug::PushDropsOn503) {
            return self.settle(load, Fate::Rejected, now);
        }
        if status != 500 {
            return;
        }
        let poison = &mut self.poison;
        if poison.suspect != Some(load.head) {
            poison.suspect = Some(load.head);
            poison.tries = 0;
        }
        poison.tries += 1;
        let tries_max = if poison.found {
            POISON_TRIES_NEXT
        } else {
            POISON_TRIES
        };
        if poison.tries <= tries_max || is_on(Bug::PushPoisonForever) {
            return;
        }
        poison.found = true;
        self.settle(load, Fate::Poison, now);
    }

    /// From now on in 1.0; nothing was stored.
    fn fall_back(&mut self, now: Now) {
        self.protocol = Protocol::V1;
        self.proven = false;
        self.checked = false;
        self.pace.wait_until = now.mono_ms;
    }

    /// Nothing is sent until the clock is right.
    fn hold(&mut self, now: Now) {
        self.wrong_ms = now.wall_ms.wrapping_sub(now.mono_ms);
        if self.state == State::Sending {
            self.state = State::ClockWrong;
            self.checked = false;
            self.pace.suspend(now.mono_ms);
        }
    }

    /// Whether somebody set the clock that was wrong: then it is worth asking at once.
    fn clock_was_set(&self, now: Now) -> bool {
        let difference = now.wall_ms.wrapping_sub(now.mono_ms);
        self.state == State::ClockWrong && difference.abs_diff(self.wrong_ms) > CLOCK_SET_MS
    }
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender")
            .field("state", &self.state)
            .field("flight", &self.flight)
            .finish_non_exhaustive()
    }
}
