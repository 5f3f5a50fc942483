//! One connection: requests out, replies and notices in, and heartbeats.

use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use super::error::CallError;
use super::notice::{Incoming, Notice, read};
use super::socket::{Received, Socket, SocketError};
use crate::link::Io;

/// The connection counts as lost after this time without a frame.
pub(super) const SILENCE_MS_MAX: u64 = 25_000;

/// How many pings an idle connection sends within that time.
const PINGS_PER_SILENCE: u32 = 3;

/// How many notifications may queue while waiting for a reply. With more, the client reconnects and continues
/// after the last one it read.
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

    /// Sets how long the connection may be silent.
    pub(super) fn set_silence_max(&mut self, silence_max: Duration) {
        self.silence_max = silence_max;
        self.next_ping = Instant::now() + silence_max / PINGS_PER_SILENCE;
    }

    /// When it last received a frame.
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
                // The late answer to a request that timed out.
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

    /// Sends a close frame, and does not wait for the answer.
    pub(super) async fn close(mut self, limit: Duration) {
        let _ = timeout_at(Instant::now() + limit, self.socket.close()).await;
    }

    /// Sends a close frame, and waits for the coordinator's.
    pub(crate) async fn close_on_both_sides(mut self) -> Result<(), CallError> {
        self.socket.close().await?;
        while let Some(received) = self.socket.receive().await? {
            if let Received::Close(_) = received {
                // After the close frame, it does not matter how the connection ends.
                return Ok(());
            }
        }
        Err(CallError::Lost("it ended without a close frame".to_owned()))
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
            return Err(CallError::Lost("the coordinator is silent".to_owned()));
        }
        self.next_ping = (now + self.silence_max / PINGS_PER_SILENCE).min(deadline);
        sent(deadline, self.socket.ping()).await
    }
}

/// A connection that accepts no data until the deadline counts as lost.
async fn sent(
    deadline: Instant,
    sending: impl Future<Output = Result<(), SocketError>>,
) -> Result<(), CallError> {
    match timeout_at(deadline, sending).await {
        Ok(sent) => Ok(sent?),
        Err(_) => Err(CallError::Lost("the peer stopped reading".to_owned())),
    }
}
