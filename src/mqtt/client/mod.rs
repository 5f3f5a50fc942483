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

mod due;
mod incoming;
mod pauses;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::Source;
use super::cursors::Cursors;
use super::face::{Duty, Face};
use super::flow::Flows;
use super::up::Up;
use super::wire::{self, Message};
use crate::config::{MqttVersion, Secret};
use crate::driver::core::Moment;

/// How long a stop waits for the broker.
const STOP_MS: u64 = 1_000;
/// How long a coordinator without a connection still counts as able to publish.
const ABLE_MS: u64 = 15_000;

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
        if self.setup.events {
            self.flows.lag(source)
        } else {
            0
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
}
