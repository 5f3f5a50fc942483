//! A receiver of remote write that is away, refuses, answers late, or not at all; and what it must never see.

use std::collections::BTreeMap;

use cli_coordinator::push::encode::Protocol;
use cli_coordinator::push::sender::{Answer, Request};

use super::super::chance::Chance;
use super::super::violation::{Invariant, Violation, ensure};
use crate::remote_write::{Sample, decode};

/// How the receiver is for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Up,
    Away,
    Refusing(u16),
    Unauthorised(u16),
    Late,
    /// It stores what it gets, and its answer is lost.
    AnswersLost,
}

/// How an answer reaches the sender.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply {
    pub(crate) after_ms: u64,
    /// `None`: no answer.
    pub(crate) answer: Option<Answer>,
}

#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) mode: Mode,
    /// Its clock minus the true time.
    pub(crate) skew_ms: i64,
    pub(crate) sends_date: bool,
    pub(crate) knows_2: bool,
    /// Samples older than this get 500, or 400.
    pub(crate) too_old: Option<(u64, u16)>,
    /// When each numbered record was stored as of.
    pub(crate) stored: BTreeMap<u64, i64>,
    /// The newest time in this run of the sender.
    pub(crate) newest_ms: i64,
    /// Before this moment it wants no request.
    pub(crate) quiet_until: u64,
    pub(crate) rejections: u64,
    pub(crate) poisonings: u64,
    /// Requests of which the sender cannot know the outcome.
    pub(crate) unknown: u64,
}

impl Receiver {
    pub(crate) fn new(chance: &mut Chance) -> Self {
        let too_old = chance.one_in(3).then(|| {
            let window_ms = 600_000 + chance.number(3_600_000);
            (window_ms, if chance.one_in(2) { 500 } else { 400 })
        });
        let skewed = chance.one_in(5);
        Self {
            mode: Mode::Up,
            skew_ms: if skewed {
                chance.one_of(&[-200_000, 45_000, 300_000])
            } else {
                0
            },
            sends_date: !chance.one_in(8),
            knows_2: chance.one_in(2),
            too_old,
            stored: BTreeMap::new(),
            newest_ms: 0,
            quiet_until: 0,
            rejections: 0,
            poisonings: 0,
            unknown: 0,
        }
    }

    pub(crate) fn next_mode(&mut self, chance: &mut Chance) {
        self.mode = match chance.below(12) {
            0..=4 => Mode::Up,
            5 | 6 => Mode::Away,
            7 | 8 => Mode::Refusing(chance.one_of(&[429, 503, 503, 500, 502])),
            9 => Mode::Unauthorised(chance.one_of(&[401, 403, 404, 302])),
            10 => Mode::Late,
            _ => Mode::AnswersLost,
        };
    }

    /// Serves a request that arrives at a true time.
    pub(crate) fn serve(
        &mut self,
        request: &Request,
        now_ms: u64,
        chance: &mut Chance,
    ) -> Result<Reply, Violation> {
        ensure(now_ms >= self.quiet_until, Invariant::Patient, || {
            format!(
                "a request {} ms before the end of Retry-After",
                self.quiet_until - now_ms
            )
        })?;
        let version = match request.protocol {
            Protocol::V1 => "0.1.0",
            Protocol::V2 => "2.0.0",
        };
        let samples = decode(version, &request.body);
        let same_time = samples
            .iter()
            .all(|sample| Some(sample.time_ms.cast_unsigned()) == request.time_ms);
        ensure(same_time, Invariant::OneTime, || {
            format!("samples of several times: {samples:?}")
        })?;
        let mut reply = Reply {
            after_ms: 5 + chance.number(200),
            answer: None,
        };
        let date = now_ms.saturating_add_signed(self.skew_ms) / 1_000 * 1_000;
        let sends_date = self.sends_date;
        let answer = |status| Answer {
            status,
            date_ms: sends_date.then_some(date),
            ..Answer::default()
        };
        match self.mode {
            Mode::Away => return Ok(reply),
            Mode::Unauthorised(status) => reply.answer = Some(answer(status)),
            Mode::Refusing(status) => {
                let mut refusal = answer(status);
                if chance.one_in(2) {
                    let wait_ms = chance.one_of(&[1_000, 30_000, 200_000, 2_000_000]);
                    refusal.retry_after_ms = Some(wait_ms);
                    self.quiet_until = now_ms + wait_ms.min(600_000);
                }
                self.poisonings += u64::from(status == 500);
                reply.answer = Some(refusal);
            }
            Mode::Up | Mode::Late | Mode::AnswersLost => {
                let second = request.protocol == Protocol::V2;
                let status = if second && !self.knows_2 {
                    chance.one_of(&[204, 204, 415, 400])
                } else {
                    self.store(&samples, now_ms)?
                };
                let mut taken = answer(status);
                taken.counts_samples = second && self.knows_2;
                reply.answer = Some(taken);
            }
        }
        if self.mode == Mode::Late {
            reply.after_ms = 1_000 + chance.number(45_000);
        }
        // The sender's own patience.
        if reply.after_ms > 30_000 || self.mode == Mode::AnswersLost {
            reply.after_ms = reply.after_ms.min(30_000);
            reply.answer = None;
            self.unknown += 1;
        }
        Ok(reply)
    }

    fn store(&mut self, samples: &[Sample], now_ms: u64) -> Result<u16, Violation> {
        for sample in samples {
            let number = number_of(sample);
            let time_ms = sample.time_ms;
            if let Some(before) = self.stored.get(&number) {
                // An exact duplicate changes nothing.
                ensure(*before == time_ms, Invariant::PushedOnce, || {
                    format!("record {number} is stored as of {before} and {time_ms}")
                })?;
                continue;
            }
            ensure(time_ms > self.newest_ms, Invariant::Ascending, || {
                format!(
                    "record {number} of {time_ms} comes after {}",
                    self.newest_ms
                )
            })?;
            self.newest_ms = time_ms;
            let age = now_ms.cast_signed() + self.skew_ms - time_ms;
            if let Some((window_ms, status)) = self.too_old
                && age > window_ms.cast_signed()
            {
                self.rejections += u64::from(status == 400);
                self.poisonings += u64::from(status == 500);
                // It was not stored, so it may come again.
                self.newest_ms -= 1;
                return Ok(status);
            }
            self.stored.insert(number, time_ms);
        }
        Ok(204)
    }
}

#[allow(clippy::cast_sign_loss, reason = "records are numbered from 0")]
pub(crate) fn number_of(sample: &Sample) -> u64 {
    f64::from_bits(sample.value) as u64
}
