//! One connection: requests out, replies and notices in, and pings that show whether it lives.

use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use super::error::CallError;
use super::notice::{Incoming, Notice, read};
use super::socket::{Received, Socket, SocketError};
use crate::link::Io;

/// Without a sign of life for so long, the connection counts as lost.
pub(super) const SILENCE_MS_MAX: u64 = 25_000;

/// An idle connection is tried so often within that time.
const PINGS_PER_SILENCE: u32 = 3;

/// Notifications that wait while a reply is awaited; a connection that brings more is given up, and
/// a new one takes up where this one stood.
const NOTICES_MAX: usize = 4_096;

/// An open connection on which operations are called.
pub(crate) struct RpcConnection {
    socket: Socket<Box<dyn Io>>,
    last_id: u64,
    opened: Instant,
    pub(super) last_heard: Instant,
    silence_max: Duration,
    next_ping: Instant,
}

impl RpcConnection {
    /// It counts as lost when nothing is heard for `silence_max`.
    pub(crate) fn new(socket: Socket<Box<dyn Io>>, silence_max: Duration) -> Self {
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
    pub(crate) async fn call(
        &mut self,
        method: &str,
        params: &str,
        limit: Duration,
        notices: &mut VecDeque<Notice>,
    ) -> Result<Box<RawValue>, CallError> {
        self.last_id += 1;
        let wanted = self.last_id;
        let method = serde_json::Value::from(method);
        let frame =
            format!(r#"{{"jsonrpc":"2.0","id":{wanted},"method":{method},"params":{params}}}"#);
        let deadline = Instant::now() + limit;
        sent(deadline, self.socket.send_text(frame)).await?;
        loop {
            match self.incoming(Some(deadline)).await? {
                Incoming::Reply { id, answer } if id == wanted => {
                    return answer.map_err(CallError::Refused);
                }
                // The answer to a request that was given up.
                Incoming::Reply { .. } => {}
                Incoming::Notice(_) if notices.len() >= NOTICES_MAX => {
                    return Err(CallError::Lost(format!("{NOTICES_MAX} events wait unread")));
                }
                Incoming::Notice(notice) => notices.push_back(*notice),
            }
        }
    }

    /// The next notification. Nothing is lost when the future is dropped.
    pub(super) async fn notice(&mut self) -> Result<Notice, CallError> {
        loop {
            if let Incoming::Notice(notice) = self.incoming(None).await? {
                return Ok(*notice);
            }
        }
    }

    /// Says goodbye; a coordinator that does not answer is not waited for.
    pub(super) async fn close(mut self, limit: Duration) {
        let _ = timeout_at(Instant::now() + limit, self.socket.close()).await;
    }

    /// The same, and waits for the goodbye of the coordinator.
    pub(crate) async fn close_on_both_sides(mut self) -> Result<(), CallError> {
        self.socket.close().await?;
        while let Some(received) = self.socket.receive().await? {
            if let Received::Close(_) = received {
                // How the connection itself ends after that does not matter.
                return Ok(());
            }
        }
        Err(CallError::Lost("it ended without a goodbye".to_owned()))
    }

    async fn incoming(&mut self, deadline: Option<Instant>) -> Result<Incoming, CallError> {
        loop {
            let wake = deadline.map_or(self.next_ping, |at| at.min(self.next_ping));
            let Ok(received) = timeout_at(wake, self.socket.receive()).await else {
                let now = Instant::now();
                if deadline.is_some_and(|at| now >= at) {
                    return Err(CallError::Slow);
                }
                self.prove_alive(now).await?;
                continue;
            };
            let Some(received) = received? else {
                return Err(CallError::Lost("the coordinator closed it".to_owned()));
            };
            self.last_heard = Instant::now();
            match received {
                Received::Text(text) => {
                    if let Some(incoming) = read(&text)? {
                        return Ok(incoming);
                    }
                }
                Received::Close(reason) if !reason.is_empty() => {
                    return Err(CallError::Lost(reason));
                }
                Received::Close(_) | Received::Other => {}
            }
        }
    }

    async fn prove_alive(&mut self, now: Instant) -> Result<(), CallError> {
        let deadline = self.last_heard + self.silence_max;
        if now >= deadline {
            return Err(CallError::Lost("no sign of life".to_owned()));
        }
        self.next_ping = (now + self.silence_max / PINGS_PER_SILENCE).min(deadline);
        sent(deadline, self.socket.ping()).await
    }
}

/// A connection that takes nothing until the deadline is of no use.
async fn sent(
    deadline: Instant,
    sending: impl Future<Output = Result<(), SocketError>>,
) -> Result<(), CallError> {
    match timeout_at(deadline, sending).await {
        Ok(sent) => Ok(sent?),
        Err(_) => Err(CallError::Lost("it takes nothing any more".to_owned())),
    }
}
