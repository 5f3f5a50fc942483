//! The client: typed calls over a WebSocket, and connections that are lost and taken up again.
//!
//! ```text
//!             call ──► connected? ──no──► connect ──► session.open{resume} ──► events.subscribe{from}
//!                          │yes                 ▲                                    │
//!                          ▼                    │ back-off, until patience ends      │
//!                       request ──► reply       └────────── lost ◄───────────────────┘
//! ```
//!
//! A one-shot command is patient for a moment; one that holds something is patient for as long as its
//! session may be resumed, counted from the last sign of life, so that it never outlives its hold.

mod error;
mod notice;
mod reconnect;
mod request_id;
mod rpc;
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

/// How long a reply may take, beyond the time that the request itself waits.
const REPLY_MS_MAX: u64 = 30_000;

/// How long a command that holds nothing tries to reach a coordinator that it lost.
const PATIENCE_MS: u64 = 10_000;

/// How long a command waits for its goodbye to be heard.
const CLOSE_MS_MAX: u64 = 500;

/// A reply: what it means, and its text as it came.
#[derive(Debug)]
pub struct Reply<R> {
    pub value: R,
    pub raw: Box<RawValue>,
}

/// Is told an age in milliseconds.
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
    /// The last sign of life of the connection that was lost.
    last_heard: Instant,
    /// Attempts to connect since then.
    attempts: u32,
    next_attempt: Instant,
    /// Is told, once, how old what is read is when it may be out of date.
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
    /// Connects once: whoever starts a command wants to know at once that nobody is there.
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

    /// The first reply that is out of date is told to `tell`, with its age in milliseconds.
    pub fn on_stale(&mut self, tell: impl FnOnce(u64) + Send + 'static) {
        self.on_stale = Some(Box::new(tell));
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
        let params = serde_json::to_string(params).expect("wire types always encode as JSON");
        let raw = self.call_raw(operation, params, wait_ms).await?;
        self.tell_stale(&raw);
        let value = serde_json::from_str(raw.get()).map_err(|source| ClientError::BadReply {
            operation: operation.name().to_owned(),
            source,
        })?;
        Ok(Reply { value, raw })
    }

    /// The raw reply says itself that it may be out of date.
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

    /// The same with parameters and result as JSON texts. Sent again after a lost connection, under
    /// the same request id, where that is safe.
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

    /// One request exactly as given, whatever its method: for `coord call`.
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

    /// Opens a session that outlives lost connections.
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
        // A loss has to be noticed while there is still time to take the session up again.
        self.silence_max = self.silence_max.min(self.patience / 2);
        if let Some(link) = &mut self.link {
            link.set_silence_max(self.silence_max);
        }
        Ok(opened)
    }

    /// Ends the session and the connection. Failing to do so is of no interest: both end anyway.
    pub async fn close(mut self) {
        let limit = Duration::from_millis(CLOSE_MS_MAX);
        let Some(mut link) = self.link.take() else {
            return;
        };
        if self.session.is_some() {
            let params = serde_json::to_string(&SessionCloseParams::default())
                .expect("wire types always encode as JSON");
            let method = Operation::SessionClose.name();
            let _ = link.call(method, &params, limit, &mut self.notices).await;
        }
        link.close(limit).await;
    }
}
