//! One WebSocket connection: requests out, replies and notifications in, and signs of life.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::Message;

use super::connect::Socket;
use crate::protocol::error::{ErrorDetail, ErrorKind, RpcError};
use crate::protocol::events::{EventView, EventsClosed, SessionClosed, TaskLost};
use crate::protocol::lease::LeaseLost;

/// Without a sign of life for so long, the connection counts as lost.
pub(super) const SILENCE_MS_MAX: u64 = 25_000;

/// An idle connection is tried so often within that time.
const PINGS_PER_SILENCE: u32 = 3;

/// Notifications that wait while a reply is awaited; a connection that brings more is given up, and
/// a new one takes up where this one stood.
const NOTICES_MAX: usize = 4_096;

/// An open connection.
pub(super) struct Link {
    socket: Socket,
    last_id: u64,
    opened: Instant,
    pub(super) last_heard: Instant,
    silence_max: Duration,
    next_ping: Instant,
}

/// What a coordinator tells without being asked.
#[derive(Debug)]
pub enum Notice {
    /// An event, and its text as it came.
    Event(EventView, Box<RawValue>),
    EventsClosed(EventsClosed, Box<RawValue>),
    LeaseLost(LeaseLost),
    TaskLost(TaskLost),
    SessionClosed(SessionClosed),
    /// Not from the coordinator: the session was taken up again by a new connection. What was lost
    /// in between may not have been told.
    Resumed,
}

/// Why a request on this connection got no result.
#[derive(Debug)]
pub(super) enum LinkError {
    /// The connection is of no use any more.
    Lost(String),
    /// It lives, but nobody answers.
    Slow,
    Refused(RpcError),
}

enum Incoming {
    Reply {
        id: u64,
        answer: Result<Box<RawValue>, RpcError>,
    },
    Notice(Box<Notice>),
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(default)]
    id: Option<u64>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<WireError>,
}

#[derive(Deserialize)]
struct WireError {
    code: i32,
    message: String,
    #[serde(default)]
    data: serde_json::Value,
}

impl Link {
    pub(super) fn new(socket: Socket, silence_max: Duration) -> Self {
        let now = Instant::now();
        Self {
            socket,
            last_id: 0,
            opened: now,
            last_heard: now,
            silence_max,
            next_ping: now + silence_max / PINGS_PER_SILENCE,
        }
    }

    /// From now on this is how long it may be silent.
    pub(super) fn set_silence_max(&mut self, silence_max: Duration) {
        self.silence_max = silence_max;
        self.next_ping = Instant::now() + silence_max / PINGS_PER_SILENCE;
    }

    /// How long it was good for something.
    pub(super) fn lived(&self) -> Duration {
        self.last_heard - self.opened
    }

    /// One request and its reply. `params` is JSON. What arrives in between goes to `notices`.
    pub(super) async fn call(
        &mut self,
        method: &str,
        params: &str,
        limit: Duration,
        notices: &mut VecDeque<Notice>,
    ) -> Result<Box<RawValue>, LinkError> {
        self.last_id += 1;
        let wanted = self.last_id;
        let method = serde_json::Value::from(method);
        let frame =
            format!(r#"{{"jsonrpc":"2.0","id":{wanted},"method":{method},"params":{params}}}"#);
        let deadline = Instant::now() + limit;
        self.send(Message::text(frame), deadline).await?;
        loop {
            match self.incoming(Some(deadline)).await? {
                Incoming::Reply { id, answer } if id == wanted => {
                    return answer.map_err(LinkError::Refused);
                }
                // The answer to a request that was given up.
                Incoming::Reply { .. } => {}
                Incoming::Notice(_) if notices.len() >= NOTICES_MAX => {
                    return Err(LinkError::Lost(format!("{NOTICES_MAX} events wait unread")));
                }
                Incoming::Notice(notice) => notices.push_back(*notice),
            }
        }
    }

    /// The next notification. Nothing is lost when the future is dropped.
    pub(super) async fn notice(&mut self) -> Result<Notice, LinkError> {
        loop {
            if let Incoming::Notice(notice) = self.incoming(None).await? {
                return Ok(*notice);
            }
        }
    }

    /// Says goodbye; a coordinator that does not answer is not waited for.
    pub(super) async fn close(mut self, limit: Duration) {
        let _ = timeout_at(Instant::now() + limit, self.socket.close(None)).await;
    }

    async fn send(&mut self, message: Message, deadline: Instant) -> Result<(), LinkError> {
        match timeout_at(deadline, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(LinkError::Lost(error.to_string())),
            Err(_) => Err(LinkError::Lost("it takes nothing any more".to_owned())),
        }
    }

    async fn incoming(&mut self, deadline: Option<Instant>) -> Result<Incoming, LinkError> {
        loop {
            let wake = deadline.map_or(self.next_ping, |at| at.min(self.next_ping));
            let Ok(received) = timeout_at(wake, self.socket.next()).await else {
                let now = Instant::now();
                if deadline.is_some_and(|at| now >= at) {
                    return Err(LinkError::Slow);
                }
                self.prove_alive(now).await?;
                continue;
            };
            let message = match received {
                None => return Err(LinkError::Lost("the coordinator closed it".to_owned())),
                Some(Err(error)) => return Err(LinkError::Lost(error.to_string())),
                Some(Ok(message)) => message,
            };
            self.last_heard = Instant::now();
            match message {
                Message::Text(text) => {
                    if let Some(incoming) = read(&text)? {
                        return Ok(incoming);
                    }
                }
                Message::Close(Some(close)) if !close.reason.is_empty() => {
                    return Err(LinkError::Lost(close.reason.to_string()));
                }
                // Pings are answered by the library with the next read.
                _ => {}
            }
        }
    }

    async fn prove_alive(&mut self, now: Instant) -> Result<(), LinkError> {
        let deadline = self.last_heard + self.silence_max;
        if now >= deadline {
            return Err(LinkError::Lost("no sign of life".to_owned()));
        }
        self.next_ping = (now + self.silence_max / PINGS_PER_SILENCE).min(deadline);
        self.send(Message::Ping(Vec::new().into()), deadline).await
    }
}

/// `None`: a notification of a newer coordinator that this client does not know.
fn read(text: &str) -> Result<Option<Incoming>, LinkError> {
    let garbled = |error: serde_json::Error| LinkError::Lost(format!("a garbled frame: {error}"));
    let frame: Frame = serde_json::from_str(text).map_err(garbled)?;
    if let (Some(method), Some(params)) = (&frame.method, frame.params) {
        let notice = notice(method, params).map_err(garbled)?;
        return Ok(notice.map(|notice| Incoming::Notice(Box::new(notice))));
    }
    match (frame.id, frame.result, frame.error) {
        (Some(id), Some(result), None) => Ok(Some(Incoming::Reply {
            id,
            answer: Ok(result.to_owned()),
        })),
        (Some(id), None, Some(error)) => Ok(Some(Incoming::Reply {
            id,
            answer: Err(error.into()),
        })),
        // An error that answers no request says that this client sent nonsense.
        (None, None, Some(error)) => Err(LinkError::Refused(error.into())),
        _ => Err(LinkError::Lost("a frame that is no reply".to_owned())),
    }
}

fn notice(method: &str, params: &RawValue) -> Result<Option<Notice>, serde_json::Error> {
    let text = params.get();
    Ok(Some(match method {
        "event" => Notice::Event(serde_json::from_str(text)?, params.to_owned()),
        "events.closed" => Notice::EventsClosed(serde_json::from_str(text)?, params.to_owned()),
        "lease.lost" => Notice::LeaseLost(serde_json::from_str(text)?),
        "task.lost" => Notice::TaskLost(serde_json::from_str(text)?),
        "session.closed" => Notice::SessionClosed(serde_json::from_str(text)?),
        _ => return Ok(None),
    }))
}

impl From<WireError> for RpcError {
    /// A kind that a newer coordinator knows alone counts as what its code means here.
    fn from(error: WireError) -> Self {
        let kind = error.data.get("kind").cloned().unwrap_or_default();
        let by_code = || {
            let known = ErrorKind::ALL
                .iter()
                .find(|(_, code, _)| *code == error.code);
            known.map_or(ErrorKind::Internal, |(kind, _, _)| *kind)
        };
        let kind = serde_json::from_value(kind).unwrap_or_else(|_| by_code());
        let detail: ErrorDetail = serde_json::from_value(error.data).unwrap_or_default();
        Self {
            kind,
            message: error.message,
            detail: Box::new(detail),
        }
    }
}
