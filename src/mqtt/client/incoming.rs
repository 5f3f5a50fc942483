//! What comes from the broker, and what it means.

use std::time::Duration;

use bytes::BytesMut;

use super::super::Source;
use super::super::face::Presence;
use super::super::up::{PUBLISHES_MAX, Sent, Up};
use super::super::wire::{self, Granted, Hello, Incoming};
use super::{Client, Effect, End, State};
use crate::config::Secret;
use crate::driver::core::Moment;
use crate::planted::{Bug, is_on};

impl Client {
    /// The runner has a connection.
    pub fn connected(&mut self, now: Moment, source: &dyn Source) {
        if !matches!(self.state, State::Dialing { .. }) {
            return;
        }
        self.conn += 1;
        self.inbox.clear();
        let (duty, face) = (self.duty, &self.setup.face);
        let will = face.presence(Presence::Lost, self.conn, duty, source.wall_ms());
        let hello = Hello {
            version: self.setup.version,
            client_id: &self.setup.client_id,
            user: self.login.user.as_deref(),
            password: self.login.password.as_ref().map(Secret::expose),
            keep_alive_s: seconds(self.setup.keep_alive),
            will: Some(&will),
        };
        let mut packet = BytesMut::new();
        if wire::connect(&hello, &mut packet).is_err() {
            let what = "the user, the password and the client id do not fit into a packet";
            return self.lost(now, &End::Failed(what.to_owned()));
        }
        self.state = State::Greeting { since: now };
        self.effects.push_back(Effect::Send(packet.freeze()));
    }

    /// Bytes from the broker.
    pub fn received(&mut self, now: Moment, bytes: &[u8], source: &dyn Source) {
        self.inbox.extend_from_slice(bytes);
        loop {
            if matches!(self.state, State::Waiting { .. } | State::Stopped) {
                return self.inbox.clear();
            }
            match wire::decode(self.setup.version, &mut self.inbox) {
                Ok(Some(packet)) => self.packet(now, packet, source),
                Ok(None) => return,
                Err(error) => return self.lost(now, &End::Failed(error.to_string())),
            }
        }
    }

    fn packet(&mut self, now: Moment, packet: Incoming, source: &dyn Source) {
        match (&mut self.state, packet) {
            (State::Greeting { .. }, Incoming::Accepted(granted)) => self.accepted(now, granted),
            (State::Greeting { .. }, Incoming::Refused(why)) => {
                let what = format!("the broker refuses the connection: {why}");
                self.lost(now, &End::Failed(what));
            }
            (_, Incoming::Disconnect(reason)) => self.disconnected(now, reason),
            (State::Up(up), Incoming::Pong) => up.pinged = None,
            (State::Up(_), Incoming::SubAck { refused, .. }) => {
                self.subscribed(now, refused, source);
            }
            (State::Up(up), Incoming::PubAck { id, refused }) => {
                // Of an id that is not in flight, there is nothing to learn.
                let found = up.in_flight.iter_mut().find(|sent| sent.id == id);
                if let Some(sent) = found {
                    sent.done = Some(refused.is_some());
                    if let Some(why) = refused {
                        self.problem = Some(format!("the broker refuses a publish: {why}"));
                    }
                }
                self.settle();
            }
            (
                State::Up(_),
                Incoming::Publish {
                    topic, payload, id, ..
                },
            ) => self.publish(now, &topic, &payload, id),
            _ => {
                let what = "the broker sent a packet out of turn".to_owned();
                self.lost(now, &End::Failed(what));
            }
        }
    }

    fn accepted(&mut self, now: Moment, granted: Granted) {
        if granted.only_qos_0 {
            let what = "the broker takes only QoS 0, which acknowledges nothing".to_owned();
            return self.lost(now, &End::Failed(what));
        }
        self.counts.connects += 1;
        self.flows.rewind();
        let up = Up::new(now, granted, seconds(self.setup.keep_alive));
        self.state = State::Up(Box::new(up));
        if is_on(Bug::MqttNoResubscribe) && self.conn > 1 {
            if let State::Up(up) = &mut self.state {
                (up.subscribed, up.wants_presence, up.wants_health) = (true, true, true);
            }
            return;
        }
        // After every CONNACK, whatever it says of an earlier session: a broker may have lost it.
        let topics = self.setup.face.subscriptions();
        let mut packet = BytesMut::new();
        let State::Up(up) = &mut self.state else {
            return;
        };
        if wire::subscribe(self.setup.version, &topics, up.next_id(), &mut packet).is_ok() {
            self.effects.push_back(Effect::Send(packet.freeze()));
        }
    }

    fn subscribed(&mut self, now: Moment, refused: bool, source: &dyn Source) {
        self.problem = refused.then(|| {
            "the broker refuses a subscription: requests for health, and an old will, go unnoticed".to_owned()
        });
        self.was_up = true;
        self.down_since = None;
        if let State::Up(up) = &mut self.state {
            up.subscribed = true;
            up.looked = now;
            up.wants_health = true;
            // An old will may have overwritten the status at this very moment.
            up.wants_presence = !is_on(Bug::MqttStatusOnce) || self.conn == 1;
        }
        self.flows.news(source);
    }

    fn publish(&mut self, now: Moment, topic: &[u8], payload: &[u8], id: u16) {
        let State::Up(up) = &mut self.state else {
            return;
        };
        if up.floods(now) {
            let what = format!("the broker sent more than {PUBLISHES_MAX} messages in a second");
            return self.lost(now, &End::Failed(what));
        }
        if id > 0 {
            let mut packet = BytesMut::new();
            wire::puback(id, &mut packet);
            self.effects.push_back(Effect::Send(packet.freeze()));
        }
        let face = &self.setup.face;
        if face.asks_for_health(topic) {
            up.wants_health = true;
        } else if let Some(told) = face.told(topic, payload) {
            let ours = face.run() == Some(told.run.as_str());
            if told.state != "online" {
                let is_old = !ours || told.conn != self.conn;
                up.wants_presence |= is_old && !is_on(Bug::MqttStatusOnce);
            } else if !ours && up.presence_at.is_some() {
                // Before our own first status, it would be the retained one of our last run.
                self.other_run = Some(told.run);
            }
        }
    }

    /// Applies acknowledgements in the order of the publishes, so that no cursor passes an event that is not
    /// acknowledged.
    fn settle(&mut self) {
        let State::Up(up) = &mut self.state else {
            return;
        };
        while let Some(refused) = up.in_flight.front().and_then(|sent| sent.done) {
            let Some(sent) = up.in_flight.pop_front() else {
                return;
            };
            match &sent.what {
                Sent::Event(step) => {
                    self.flows.acked(step, refused);
                    match (refused, step.is_gap) {
                        (true, _) => self.counts.events_refused += 1,
                        (false, true) => self.counts.gaps += 1,
                        (false, false) => self.counts.events_sent += 1,
                    }
                }
                Sent::Presence if self.stopping.is_some() && up.goodbye => {
                    self.stopping = Some(Moment::default());
                }
                _ if refused => self.counts.refused += 1,
                Sent::Presence | Sent::Health | Sent::Announcement => {}
            }
        }
    }

    fn disconnected(&mut self, now: Moment, reason: Option<u8>) {
        match reason {
            Some(0x8e) => self.break_off(now, &End::Closed, true),
            Some(reason) => {
                let what = format!("the broker ended the connection (reason {reason:#04x})");
                self.lost(now, &End::Failed(what));
            }
            None => self.lost(now, &End::Closed),
        }
    }
}

/// Whole seconds, at least one.
fn seconds(time: Duration) -> u16 {
    u16::try_from(time.as_secs().max(1)).unwrap_or(u16::MAX)
}
