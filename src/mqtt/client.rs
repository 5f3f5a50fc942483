//! One box at one broker, as a state machine.
//!
//! ```text
//!           pause over        connected           CONNACK           SUBACK
//! Waiting ────────────► Dialing ──────► Greeting ───────► Up(not yet ───────► Up(subscribed)
//!    ▲                     │               │              subscribed)             │
//!    └─────────────────────┴───────────────┴──────────────────┴───────────────────┘
//!                 an error, silence, a refusal, the end of the connection
//! ```
//!
//! What is to be published is never stored: presence and health are made when they are sent, and events are read
//! then. So a connection that breaks loses nothing but the knowledge of what was acknowledged last.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::Source;
use super::cursors::Cursors;
use super::face::{Duty, Face, Presence};
use super::flow::Flows;
use super::up::{CONNECT_MS, CORRECT_MS, InFlight, LOOK_MS, PUBLISHES_MAX, Sent, Up};
use super::wire::{self, Granted, Hello, Incoming, Message};
use crate::config::{MqttVersion, Secret};
use crate::driver::core::Moment;
use crate::driver::history::Publisher;
use crate::planted::{Bug, is_on};

/// Publishes that wait for their acknowledgement, at most.
pub const WINDOW_MAX: u16 = 16;
/// The pause after a failure: random, up to a bound that doubles.
const PAUSE_MS_MIN: u64 = 1_000;
const PAUSE_MS_MAX: u64 = 60_000;
/// A connection that lasted this long was a good one.
const GOOD_MS: u64 = 60_000;
/// So many takeovers in this time are another box with our client id, and not this box's own older connection.
const TAKEOVERS_MIN: usize = 3;
const TAKEOVERS_WITHIN_MS: u64 = 600_000;
const TAKEOVER_PAUSE_MS_MAX: u64 = 600_000;
const SAVE_MS: u64 = 1_000;
/// The shortest sleep.
const WAKE_MS_MIN: u64 = 1;
/// How long a stop waits for the broker.
const STOP_MS: u64 = 1_000;
/// How long a coordinator without a connection still counts as able to publish.
const ABLE_MS: u64 = 15_000;
/// How much longer than two keep-alives a standby stays behind: the time above, a heartbeat's time to live, and a
/// reserve.
const BEHIND_MS: u64 = 60_000;

/// What does not change while the coordinator runs.
#[derive(Debug, Clone)]
pub struct Setup {
    pub version: MqttVersion,
    pub client_id: String,
    pub keep_alive: Duration,
    pub health_interval: Duration,
    pub events: bool,
    pub face: Face,
    /// Published once after each connect.
    pub announcements: Vec<Message>,
}

/// The user and password; a reload may change them.
#[derive(Debug, Clone, Default)]
pub struct Login {
    pub user: Option<String>,
    pub password: Option<Secret>,
}

/// What the runner must do.
#[derive(Debug)]
pub enum Effect {
    Dial,
    Send(Bytes),
    /// Drop the connection, or the dial; what was to be sent is written first if `flush`.
    Close {
        flush: bool,
    },
    /// Keep these; durably if `last`.
    Save {
        cursors: Cursors,
        last: bool,
    },
}

/// How the connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// No connection, or an error on it.
    Failed(String),
    /// The broker closed it in order.
    Closed,
}

/// What is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub connects: u64,
    pub takeovers: u64,
    pub events_sent: u64,
    pub events_refused: u64,
    pub gaps: u64,
    /// Status, health and announcements.
    pub refused: u64,
}

#[derive(Debug)]
enum State {
    Waiting { until: Moment },
    Dialing { since: Moment },
    Greeting { since: Moment },
    Up(Box<Up>),
    Stopped,
}

/// The state machine.
#[derive(Debug)]
pub struct Client {
    setup: Setup,
    login: Login,
    state: State,
    inbox: BytesMut,
    effects: VecDeque<Effect>,
    flows: Flows,
    counts: Counts,
    /// The number of the connection in this run.
    conn: u64,
    random: u64,
    failures: u32,
    takeovers: VecDeque<Moment>,
    /// Another box has our client id: how often that slowed us down.
    slowed: u32,
    /// The last accepted connection ended then.
    down_since: Option<Moment>,
    was_up: bool,
    stopping: Option<Moment>,
    saved: Moment,
    duty: Duty,
    problem: Option<String>,
    /// The run of another box that uses our topics.
    other_run: Option<String>,
}

impl Client {
    /// `random` seeds the pauses.
    pub fn new(setup: Setup, login: Login, cursors: Cursors, random: u64, now: Moment) -> Self {
        Self {
            setup,
            login,
            state: State::Waiting { until: now },
            inbox: BytesMut::new(),
            effects: VecDeque::new(),
            flows: Flows::new(cursors),
            counts: Counts::default(),
            conn: 0,
            random: random | 1,
            failures: 0,
            takeovers: VecDeque::new(),
            slowed: 0,
            down_since: None,
            was_up: false,
            stopping: None,
            saved: now,
            duty: Duty::Off,
            problem: None,
            other_run: None,
        }
    }

    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The broker accepted the connection and knows what to send.
    pub fn is_up(&self) -> bool {
        matches!(&self.state, State::Up(up) if up.subscribed)
    }

    pub fn is_stopped(&self) -> bool {
        matches!(self.state, State::Stopped)
    }

    /// Why there is no connection, or what was refused last.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    pub fn duty(&self) -> Duty {
        self.duty
    }

    /// Whether events of this coordinator reach the broker.
    pub fn can_publish(&self, now: Moment) -> bool {
        let lately = self.down_since.is_none_or(|at| at.after_ms(ABLE_MS) > now);
        self.setup.events && self.stopping.is_none() && self.was_up && (self.is_up() || lately)
    }

    pub fn lag(&self, source: &dyn Source) -> u64 {
        match self.setup.events {
            true => self.flows.lag(source),
            false => 0,
        }
    }

    /// There may be new events.
    pub fn news(&mut self, source: &dyn Source) {
        self.flows.news(source);
    }

    /// A reload: the next connection uses these. If there is none, it is tried at once.
    pub fn change_login(&mut self, now: Moment, login: Login) {
        self.login = login;
        if let State::Waiting { until } = &mut self.state
            && self.slowed == 0
        {
            *until = now;
        }
    }

    /// Says goodbye, then stops; [`Client::is_stopped`] tells when.
    pub fn stop(&mut self, now: Moment) {
        if self.stopping.is_none() {
            self.stopping = Some(now.after_ms(STOP_MS));
            // Without a subscription, nothing was said that a goodbye would have to correct.
            match &self.state {
                State::Up(up) if up.subscribed => {}
                State::Up(_) => self.end_all(true),
                _ => self.end_all(false),
            }
        }
    }

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

    /// The dial failed, or the connection ended.
    pub fn lost(&mut self, now: Moment, end: &End) {
        self.break_off(now, end, false);
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

    fn break_off(&mut self, now: Moment, end: &End, told_takeover: bool) {
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

    fn save(&mut self, now: Moment, last: bool) {
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
                    match self.flows.too_large(step, &self.setup.face) {
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

    fn end_all(&mut self, up: bool) {
        if up {
            let goodbye = Bytes::from_static(wire::DISCONNECT);
            self.effects.push_back(Effect::Send(goodbye));
        }
        self.effects.push_back(Effect::Close { flush: up });
        self.state = State::Stopped;
        let saved = self.saved;
        self.save(saved, true);
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

/// Whole seconds, at least one.
fn seconds(time: Duration) -> u16 {
    u16::try_from(time.as_secs().max(1)).unwrap_or(u16::MAX)
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
