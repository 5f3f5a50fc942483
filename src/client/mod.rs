//! The client: typed calls over a WebSocket, and reconnecting after a lost connection.
//!
//! ```text
//!             call ──► connected? ──no──► connect ──► session.open{resume} ──► events.subscribe{from}
//!                          │yes                 ▲                                    │
//!                          ▼                    │ back-off, until patience ends      │
//!                       request ──► reply       └────────── lost ◄───────────────────┘
//! ```
//!
//! A one-shot command retries for a moment. A command that holds something retries as long as its session may
//! be resumed, counted from the last frame it received, so that it never outlives what it holds.

mod error;
mod notice;
mod reconnect;
mod request_id;
mod rpc;
pub mod seat;
pub mod socket;
mod subscription;
mod target;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::Instant;

pub use error::ClientError;
pub use notice::Notice;
pub(crate) use rpc::RpcConnection;
pub use target::Target;

use crate::config::ServerUrl;
use crate::protocol::operations::Operation;
use crate::protocol::session::{Resume, SessionCloseParams, SessionOpenParams, SessionOpenResult};
use error::CallError;
use reconnect::{BACKOFF_MS_MAX, BACKOFF_MS_MIN};
use request_id::{RequestIds, is_repeatable};
use rpc::SILENCE_MS_MAX;
use subscription::Subscription;

/// How long a reply may take, in addition to the time that the request itself waits.
const REPLY_MS_MAX: u64 = 30_000;

/// How long a command that holds nothing tries to reconnect.
const PATIENCE_MS: u64 = 10_000;

/// How long a command waits for the answer to its close frame.
const CLOSE_MS_MAX: u64 = 500;

/// A reply: parsed, and its text as it came.
#[derive(Debug)]
pub struct Reply<R> {
    pub value: R,
    pub raw: Box<RawValue>,
}

impl<R: DeserializeOwned> Reply<R> {
    pub(crate) fn read(operation: Operation, raw: Box<RawValue>) -> Result<Self, ClientError> {
        let value = serde_json::from_str(raw.get()).map_err(|source| ClientError::BadReply {
            operation: operation.name().to_owned(),
            source,
        })?;
        Ok(Self { value, raw })
    }
}

/// Parameters as a request carries them.
pub(crate) fn encode(params: &impl Serialize) -> String {
    serde_json::to_string(params).expect("wire types always encode as JSON")
}

/// A callback that gets an age in milliseconds.
type OnStale = Box<dyn FnOnce(u64) + Send>;

/// Talks to a coordinator.
pub struct Client {
    target: Target,
    link: Option<RpcConnection>,
    notices: VecDeque<Notice>,
    request_ids: RequestIds,
    session: Option<Resume>,
    subscription: Option<Subscription>,
    patience: Duration,
    silence_max: Duration,
    /// When the lost connection last received a frame.
    last_heard: Instant,
    /// Attempts to connect since then.
    attempts: u32,
    next_attempt: Instant,
    /// Called once, with the age, when an answer may be out of date.
    on_stale: Option<OnStale>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Connects once, without retries: the user wants to know at once that no coordinator answers.
    pub async fn connect(target: Target) -> Result<Self, ClientError> {
        let silence_max = Duration::from_millis(SILENCE_MS_MAX);
        let link = RpcConnection::new(target.connect().await?, silence_max);
        let now = Instant::now();
        Ok(Self {
            target,
            link: Some(link),
            notices: VecDeque::new(),
            request_ids: RequestIds::new(),
            session: None,
            subscription: None,
            patience: Duration::from_millis(PATIENCE_MS),
            silence_max,
            last_heard: now,
            attempts: 0,
            next_attempt: now,
            on_stale: None,
        })
    }

    /// Calls `tell` with the age in milliseconds, for the first reply that may be out of date.
    pub fn on_stale(&mut self, tell: impl FnOnce(u64) + Send + 'static) {
        self.on_stale = Some(Box::new(tell));
    }

    /// Whether there is a connection now. Without one, the next call or [`Client::notice`] makes one.
    pub fn is_connected(&self) -> bool {
        self.link.is_some()
    }

    pub fn url(&self) -> &ServerUrl {
        &self.target.url
    }

    /// Calls an operation and awaits its reply.
    pub async fn call<R: DeserializeOwned>(
        &mut self,
        operation: Operation,
        params: &impl Serialize,
    ) -> Result<Reply<R>, ClientError> {
        self.call_waiting(operation, params, 0).await
    }

    /// The same for an operation that itself waits up to `wait_ms`.
    pub async fn call_waiting<R: DeserializeOwned>(
        &mut self,
        operation: Operation,
        params: &impl Serialize,
        wait_ms: u64,
    ) -> Result<Reply<R>, ClientError> {
        let raw = self.call_text(operation, encode(params), wait_ms).await?;
        Reply::read(operation, raw)
    }

    /// The same for parameters that are encoded already, whatever the type of the reply.
    pub(crate) async fn call_text(
        &mut self,
        operation: Operation,
        params: String,
        wait_ms: u64,
    ) -> Result<Box<RawValue>, ClientError> {
        let raw = self.call_raw(operation, params, wait_ms).await?;
        self.tell_stale(&raw);
        Ok(raw)
    }

    /// The raw reply itself says that it may be out of date.
    fn tell_stale(&mut self, raw: &RawValue) {
        #[derive(serde::Deserialize)]
        struct StaleReply {
            stale_ms: Option<u64>,
        }
        let found = serde_json::from_str::<StaleReply>(raw.get());
        let Some(stale_ms) = found.ok().and_then(|stale| stale.stale_ms) else {
            return;
        };
        if let Some(tell) = self.on_stale.take() {
            tell(stale_ms);
        }
    }

    /// The same with parameters and result as JSON texts. Retried after a lost connection, with the same
    /// request id, where that is safe.
    pub async fn call_raw(
        &mut self,
        operation: Operation,
        params: String,
        wait_ms: u64,
    ) -> Result<Box<RawValue>, ClientError> {
        let params = self.request_ids.stamp(operation, params);
        let limit = Duration::from_millis(REPLY_MS_MAX.saturating_add(wait_ms));
        let started = Instant::now();
        loop {
            self.connected().await?;
            let Some(link) = &mut self.link else { continue };
            let notices = &mut self.notices;
            let answer = link.call(operation.name(), &params, limit, notices).await;
            match answer {
                Ok(raw) => return Ok(raw),
                Err(CallError::Lost(why)) if !is_repeatable(operation) => {
                    self.lost();
                    let operation = operation.name();
                    return Err(ClientError::OutcomeUnknown { operation, why });
                }
                Err(CallError::Lost(why)) => {
                    self.lost();
                    if started.elapsed() > limit + self.patience {
                        return Err(self.gave_up(why));
                    }
                }
                Err(CallError::Slow) => {
                    self.lost();
                    return Err(ClientError::Slow {
                        url: self.target.url.clone(),
                        waited_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
                    });
                }
                Err(CallError::Refused(error))
                    if error::is_transient(error.kind) && started.elapsed() < self.patience =>
                {
                    let pause_ms = error.detail.retry_after_ms.unwrap_or(BACKOFF_MS_MIN);
                    let pause_ms = pause_ms.clamp(BACKOFF_MS_MIN, BACKOFF_MS_MAX);
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                }
                Err(CallError::Refused(error)) => return Err(ClientError::Refused(error)),
            }
        }
    }

    /// Sends one request exactly as given, with any method: for `coord call`.
    pub async fn call_verbatim(
        &mut self,
        method: &str,
        params: &str,
        wait_ms: u64,
    ) -> Result<Box<RawValue>, ClientError> {
        let limit = Duration::from_millis(REPLY_MS_MAX.saturating_add(wait_ms));
        self.connected().await?;
        let Some(link) = &mut self.link else {
            return Err(self.gave_up("it is closed".to_owned()));
        };
        let answer = link.call(method, params, limit, &mut self.notices).await;
        answer.map_err(|error| self.on_link(error))
    }

    /// Opens a session that survives lost connections.
    pub async fn open_session(
        &mut self,
        params: &SessionOpenParams,
    ) -> Result<SessionOpenResult, ClientError> {
        let opened: Reply<SessionOpenResult> = self.call(Operation::SessionOpen, params).await?;
        let opened = opened.value;
        self.session = Some(Resume {
            session: opened.session,
            secret: opened.resume_secret.clone(),
        });
        self.patience = Duration::from_millis(opened.grace_ms);
        // A lost connection must be noticed while the session can still be resumed.
        self.silence_max = self.silence_max.min(self.patience / 2);
        if let Some(link) = &mut self.link {
            link.set_silence_max(self.silence_max);
        }
        Ok(opened)
    }

    /// Ends the session and the connection. A failure is ignored: both end anyway.
    pub async fn close(mut self) {
        let limit = Duration::from_millis(CLOSE_MS_MAX);
        let Some(mut link) = self.link.take() else {
            return;
        };
        if self.session.is_some() {
            let params = encode(&SessionCloseParams::default());
            let method = Operation::SessionClose.name();
            let _ = link.call(method, &params, limit, &mut self.notices).await;
        }
        link.close(limit).await;
    }
}
