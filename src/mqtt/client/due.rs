//! What is due: pings, presence, health, events, and the save of cursors.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::super::Source;
use super::super::face::{Duty, Presence};
use super::super::flow::Flows;
use super::super::up::{CONNECT_MS, CORRECT_MS, InFlight, LOOK_MS, Sent};
use super::super::wire::{self, Message};
use super::{ABLE_MS, Client, Effect, End, State};
use crate::driver::core::Moment;
use crate::driver::history::Publisher;
use crate::planted::{Bug, is_on};

/// Publishes that wait for their acknowledgement, at most.
const WINDOW_MAX: u16 = 16;
const SAVE_MS: u64 = 1_000;
/// The shortest sleep.
const WAKE_MS_MIN: u64 = 1;
/// How much longer than two keep-alives a standby stays behind: the time above, a heartbeat's time to live, and a
/// reserve.
const BEHIND_MS: u64 = 60_000;

impl Client {
    /// Time has passed, or something happened: does what is due.
    pub fn poll(&mut self, now: Moment, source: &dyn Source) {
        match &self.state {
            State::Waiting { until } if *until <= now => {
                self.state = State::Dialing { since: now };
                self.effects.push_back(Effect::Dial);
            }
            State::Dialing { since } | State::Greeting { since }
                if since.after_ms(CONNECT_MS) <= now =>
            {
                let what = match self.state {
                    State::Dialing { .. } => "no connection within 10 s",
                    _ => "the broker did not answer CONNECT within 10 s",
                };
                self.lost(now, &End::Failed(what.to_owned()));
            }
            State::Up(_) => self.poll_up(now, source),
            _ => {}
        }
        if self.flows.moved && self.saved.after_ms(SAVE_MS) <= now {
            self.save(now, false);
        }
    }

    pub(super) fn save(&mut self, now: Moment, last: bool) {
        self.saved = now;
        self.flows.moved = false;
        let cursors = self.flows.cursors();
        self.effects.push_back(Effect::Save { cursors, last });
    }

    fn poll_up(&mut self, now: Moment, source: &dyn Source) {
        let State::Up(up) = &mut self.state else {
            return;
        };
        if let Some(silent) = up.silent(now) {
            return self.lost(now, &End::Failed(silent.to_owned()));
        }
        if up.ping_at <= now {
            up.ping_at = now.after_ms(up.keep_alive_ms);
            up.pinged.get_or_insert(now);
            let ping = Bytes::from_static(wire::PINGREQ);
            self.effects.push_back(Effect::Send(ping));
        }
        if self.stopping.is_some_and(|until| until <= now) {
            return self.end_all(true);
        }
        if !up.subscribed {
            return;
        }
        self.look(now, source);
        while self.send_next(now, source) {}
    }

    /// Looks at what may have changed since the last time.
    fn look(&mut self, now: Moment, source: &dyn Source) {
        let State::Up(up) = &mut self.state else {
            return;
        };
        let interval = ms(self.setup.health_interval);
        if up.told.is_some_and(|(_, at)| at.after_ms(interval) <= now) {
            up.wants_health = true;
        }
        if up.looked.after_ms(LOOK_MS) <= now || up.told.is_none() {
            up.looked = now;
            let condition = source.condition();
            up.wants_health |= up.told.is_none_or(|(told, _)| told != condition);
            // A project whose state was read anew from a shared journal wakes nobody.
            self.flows.news(source);
        }
        let duty = match (self.setup.events, source.publisher()) {
            (false, _) => Duty::Off,
            (true, Publisher::This) => Duty::Publisher,
            (true, Publisher::Another) => Duty::Standby,
        };
        if duty != self.duty {
            self.duty = duty;
            up.wants_presence = true;
            self.flows.forget_notes();
            self.flows.rewind();
        }
        if duty == Duty::Standby {
            let behind_ms = up.keep_alive_ms * 2 + BEHIND_MS;
            self.flows.follow(now, source, behind_ms);
        }
    }

    /// Sends the most important message that is due, if the window has space.
    fn send_next(&mut self, now: Moment, source: &dyn Source) -> bool {
        let State::Up(up) = &mut self.state else {
            return false;
        };
        let window = WINDOW_MAX.min(up.granted.receive_max);
        let window = if is_on(Bug::MqttWindowIgnored) {
            64
        } else {
            window
        };
        if up.in_flight.len() >= usize::from(window) {
            return false;
        }
        let Some((what, message)) = self.choose(now, source) else {
            return false;
        };
        self.transmit(now, what, message)
    }

    fn choose(&mut self, now: Moment, source: &dyn Source) -> Option<(Sent, Message)> {
        let State::Up(up) = &mut self.state else {
            return None;
        };
        let face = &self.setup.face;
        if self.stopping.is_some() {
            if up.goodbye {
                return None;
            }
            up.goodbye = true;
            let stopped = Presence::Stopped;
            let message = face.presence(stopped, self.conn, self.duty, source.wall_ms());
            return Some((Sent::Presence, message));
        }
        if up.wants_presence
            && up
                .presence_at
                .is_none_or(|at| at.after_ms(CORRECT_MS) <= now)
        {
            (up.wants_presence, up.presence_at) = (false, Some(now));
            let online = Presence::Online;
            let message = face.presence(online, self.conn, self.duty, source.wall_ms());
            return Some((Sent::Presence, message));
        }
        if let Some(message) = self.setup.announcements.get(up.announced) {
            up.announced += 1;
            return Some((Sent::Announcement, message.clone()));
        }
        if up.health_due(now, source) {
            let message = face.health(source.health());
            up.wants_health = false;
            if let Some(message) = message {
                return Some((Sent::Health, message));
            }
        }
        if self.duty != Duty::Publisher || !up.may_send_event(now) {
            return None;
        }
        let (step, message) = self.flows.next(source, face)?;
        up.allowance.1 -= 1;
        Some((Sent::Event(step), message))
    }

    fn transmit(&mut self, now: Moment, what: Sent, message: Message) -> bool {
        let State::Up(up) = &mut self.state else {
            return false;
        };
        let mut message = message;
        message.retain &= up.granted.retains;
        let (id, bytes_max) = (up.next_id(), up.granted.packet_bytes_max);
        let mut packet = BytesMut::new();
        let version = self.setup.version;
        if wire::publish(version, &message, id, bytes_max, &mut packet).is_err() {
            // Nothing but an event can be too large, and its gap is small.
            return match what {
                Sent::Event(step) if !step.is_gap => {
                    match Flows::too_large(step, &self.setup.face) {
                        Some((step, gap)) => self.transmit(now, Sent::Event(step), gap),
                        None => false,
                    }
                }
                _ => {
                    self.problem = Some("a message is too large for the broker".to_owned());
                    true
                }
            };
        }
        up.in_flight.push_back(InFlight {
            id,
            at: now,
            what,
            done: None,
        });
        self.effects.push_back(Effect::Send(packet.freeze()));
        true
    }

    /// When [`Client::poll`] has something to do next, if nothing happens before.
    pub fn wakeup(&self, now: Moment) -> Moment {
        let at = match &self.state {
            State::Waiting { until } => *until,
            State::Dialing { since } | State::Greeting { since } => since.after_ms(CONNECT_MS),
            State::Up(up) => up.wakeup(now, self.stopping),
            State::Stopped => Moment(u64::MAX),
        };
        let saves = self.saved.after_ms(SAVE_MS);
        let steps_down = self.down_since.map(|since| since.after_ms(ABLE_MS));
        let others = [
            self.flows.moved.then_some(saves),
            steps_down.filter(|at| *at > now),
        ];
        let at = others.into_iter().flatten().fold(at, Moment::min);
        // What is due and could not be done waits for the broker: looking again at once would change nothing.
        at.max(now.after_ms(WAKE_MS_MIN))
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
