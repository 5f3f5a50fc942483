//! What goes into the sender and what comes out.

use super::super::backlog::Moment;
use super::super::encode::{self, Protocol};
use super::answer::Answer;

#[derive(Debug)]
pub enum Event {
    /// A record that begins with what [`super::Sender::head`] gave.
    Made(Vec<u8>),
    Answered(Answer),
    /// No connection, or no answer in time.
    Failed,
    /// The process ends: what is in memory goes to the backlog.
    Stop,
}

#[derive(Debug)]
pub enum Effect {
    Request(Request),
    /// Nothing to do until then, unless something happens.
    Wait(Moment),
    Counted(Fate, u64),
}

#[derive(Debug)]
pub struct Request {
    pub protocol: Protocol,
    /// As it is sent.
    pub body: Vec<u8>,
    /// The time of its samples; `None`: it has none.
    pub time_ms: Option<u64>,
}

impl Request {
    /// Asks whether the receiver would take samples.
    pub fn empty(protocol: Protocol) -> Result<Self, snap::Error> {
        Ok(Self {
            protocol,
            body: encode::packed(&encode::empty(protocol))?,
            time_ms: None,
        })
    }
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    Sent,
    Rejected,
    Expired,
    Clock,
    Poison,
    Overflow,
}

/// How it goes, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Starting,
    Sending,
    /// No answer, or one that asks for patience.
    Retrying,
    Suspended,
    ClockWrong,
}

#[derive(Debug, Clone, Copy)]
pub struct Status {
    pub state: State,
    /// How old the newest sample is that the receiver has; at first, how long the sender runs.
    pub lag_ms: u64,
    pub records: u64,
    pub bytes: u64,
    pub offset_ms: Option<i64>,
    pub protocol: Protocol,
}

impl Fate {
    pub const ALL: [Self; 6] = [
        Self::Sent,
        Self::Rejected,
        Self::Expired,
        Self::Clock,
        Self::Poison,
        Self::Overflow,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Clock => "clock",
            Self::Poison => "poison",
            Self::Overflow => "overflow",
        }
    }
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Sending => "sending",
            Self::Retrying => "retrying",
            Self::Suspended => "suspended",
            Self::ClockWrong => "clock_wrong",
        }
    }
}
