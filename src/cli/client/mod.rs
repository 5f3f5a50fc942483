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

mod connect;
mod error;
mod link;
mod request_id;
#[cfg(test)]
mod tests;
pub(super) mod tls;

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep_until, timeout_at};

pub use connect::Target;
pub use error::ClientError;
pub use link::Notice;

use crate::config::ServerUrl;
use crate::engine::ids::Cursor;
use crate::protocol::context::ContextWatchParams;
use crate::protocol::error::ErrorKind;
use crate::protocol::events::{EventsClosed, EventsSubscribeParams, EventsSubscribeResult};
use crate::protocol::operations::Operation;
use crate::protocol::session::{Resume, SessionCloseParams, SessionOpenParams, SessionOpenResult};
use link::{Link, LinkError, SILENCE_MS_MAX};
use request_id::{RequestIds, is_repeatable};

/// How long a reply may take, beyond the time that the request itself waits.
const REPLY_MS_MAX: u64 = 30_000;

/// How long a command that holds nothing tries to reach a coordinator that it lost.
const PATIENCE_MS: u64 = 10_000;

/// The pause before the second attempt to connect; it doubles each time.
const BACKOFF_MS_MIN: u64 = 50;

/// The longest pause between two attempts to connect.
const BACKOFF_MS_MAX: u64 = 2_000;

/// How long a command waits for its goodbye to be heard.
const CLOSE_MS_MAX: u64 = 500;

/// A reply: what it means, and its text as it came.
#[derive(Debug)]
pub struct Reply<R> {
    pub value: R,
    pub raw: Box<RawValue>,
}

/// Talks to a coordinator.
pub struct Client {
    target: Target,
    link: Option<Link>,
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
}

/// What the connection is subscribed to, and from where on.
#[derive(Debug, Clone)]
enum Subscription {
    Events(EventsSubscribeParams),
    Watch(ContextWatchParams),
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
        let link = Link::new(target.connect().await?, silence_max);
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
        })
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
        let value = serde_json::from_str(raw.get()).map_err(|source| ClientError::BadReply {
            operation: operation.name().to_owned(),
            source,
        })?;
        Ok(Reply { value, raw })
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
                Err(LinkError::Lost(why)) if !is_repeatable(operation) => {
                    self.lost();
                    let operation = operation.name();
                    return Err(ClientError::OutcomeUnknown { operation, why });
                }
                Err(LinkError::Lost(why)) => {
                    self.lost();
                    if started.elapsed() > limit + self.patience {
                        return Err(self.gave_up(why));
                    }
                }
                Err(LinkError::Slow) => {
                    self.lost();
                    return Err(ClientError::Slow {
                        url: self.target.url.clone(),
                        waited_ms: u64::try_from(limit.as_millis()).unwrap_or(u64::MAX),
                    });
                }
                Err(LinkError::Refused(error))
                    if error::is_transient(error.kind) && started.elapsed() < self.patience =>
                {
                    let pause_ms = error.detail.retry_after_ms.unwrap_or(BACKOFF_MS_MIN);
                    let pause_ms = pause_ms.clamp(BACKOFF_MS_MIN, BACKOFF_MS_MAX);
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                }
                Err(LinkError::Refused(error)) => return Err(ClientError::Refused(error)),
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

    /// Subscribes; after a lost connection the subscription goes on where it stood.
    pub async fn subscribe(
        &mut self,
        params: EventsSubscribeParams,
    ) -> Result<Reply<EventsSubscribeResult>, ClientError> {
        let reply = self.call(Operation::EventsSubscribe, &params).await?;
        self.subscribed(Subscription::Events(params), &reply);
        Ok(reply)
    }

    /// Watches keys of the shared context; goes on like a subscription.
    pub async fn watch(
        &mut self,
        params: ContextWatchParams,
    ) -> Result<Reply<EventsSubscribeResult>, ClientError> {
        let reply = self.call(Operation::ContextWatch, &params).await?;
        self.subscribed(Subscription::Watch(params), &reply);
        Ok(reply)
    }

    fn subscribed(&mut self, mut to: Subscription, reply: &Reply<EventsSubscribeResult>) {
        to.go_on_from(reply.value.cursor);
        self.subscription = Some(to);
    }

    /// The next notification, over however many connections. Nothing is lost when the future is
    /// dropped.
    pub async fn notice(&mut self) -> Result<Notice, ClientError> {
        loop {
            if let Some(notice) = self.notices.pop_front() {
                self.took(&notice);
                return Ok(notice);
            }
            self.connected().await?;
            // Resuming may have left something to tell.
            if !self.notices.is_empty() {
                continue;
            }
            let Some(link) = &mut self.link else { continue };
            match link.notice().await {
                Ok(notice) => self.notices.push_back(notice),
                Err(LinkError::Lost(_) | LinkError::Slow) => self.lost(),
                Err(LinkError::Refused(error)) => return Err(ClientError::Refused(error)),
            }
        }
    }

    /// Remembers where a new connection has to go on.
    fn took(&mut self, notice: &Notice) {
        let Some(subscription) = &mut self.subscription else {
            return;
        };
        match notice {
            Notice::Event(event, _) => subscription.go_on_from(event.cursor),
            Notice::EventsClosed(closed, _) => subscription.go_on_from(closed.next),
            _ => {}
        }
    }

    /// Subscribes again after the coordinator ended the subscription.
    pub async fn resubscribe(&mut self) -> Result<(), ClientError> {
        let (operation, params) = match &self.subscription {
            None => return Ok(()),
            Some(subscription) => subscription.request(),
        };
        self.call_raw(operation, params, 0).await.map(drop)
    }

    /// The connection is of no use: what it was told and not read comes again on the next one.
    fn lost(&mut self) {
        if let Some(link) = self.link.take() {
            self.last_heard = link.last_heard;
            if link.lived() > Duration::from_millis(BACKOFF_MS_MAX) {
                self.attempts = 0;
            }
            self.back_off();
        }
        self.notices
            .retain(|notice| !matches!(notice, Notice::Event(..)));
    }

    /// The first attempt follows at once, later ones after a pause.
    fn back_off(&mut self) {
        let doubled = BACKOFF_MS_MIN.saturating_mul(1 << self.attempts.min(16));
        let pause_ms = match self.attempts {
            0 => 0,
            _ => doubled.min(BACKOFF_MS_MAX),
        };
        self.attempts += 1;
        let next = Instant::now() + Duration::from_millis(pause_ms);
        self.next_attempt = next.min(self.deadline());
    }

    /// Connects again until it works, makes no sense, or patience ends.
    async fn connected(&mut self) -> Result<(), ClientError> {
        while self.link.is_none() {
            sleep_until(self.next_attempt).await;
            let limit = self.deadline().max(Instant::now() + self.attempt_min());
            let error = match timeout_at(limit, self.reconnect()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => self.gave_up("it cannot be reached any more".to_owned()),
            };
            if !error.is_transient() || Instant::now() >= self.deadline() {
                return Err(error);
            }
            self.back_off();
        }
        Ok(())
    }

    /// What holds something must not be late; for the rest one more proper attempt does no harm.
    fn attempt_min(&self) -> Duration {
        match self.session {
            Some(_) => Duration::from_millis(BACKOFF_MS_MIN),
            None => Duration::from_millis(connect::CONNECT_MS_MAX),
        }
    }

    fn gave_up(&self, why: String) -> ClientError {
        let url = self.target.url.clone();
        ClientError::Lost { url, why }
    }

    fn on_link(&self, error: LinkError) -> ClientError {
        match error {
            LinkError::Refused(error) => ClientError::Refused(error),
            LinkError::Lost(why) => self.gave_up(why),
            LinkError::Slow => self.gave_up("no answer in time".to_owned()),
        }
    }

    /// When a session that nobody resumes ends; never later than the coordinator thinks.
    fn deadline(&self) -> Instant {
        self.last_heard + self.patience
    }

    async fn reconnect(&mut self) -> Result<(), ClientError> {
        let mut link = Link::new(self.target.connect().await?, self.silence_max);
        let mut notices = VecDeque::new();
        if let Some(resume) = self.session.clone() {
            self.resume(&mut link, resume, &mut notices).await?;
            notices.push_back(Notice::Resumed);
        }
        if let Some(subscription) = &self.subscription {
            let (operation, params) = subscription.request();
            match self
                .early(&mut link, operation, &params, &mut notices)
                .await
            {
                Ok(_) => {}
                Err(ClientError::Refused(error)) if error.detail.cursor.is_some() => {
                    let next = error.detail.cursor.unwrap_or_default();
                    let closed = closed(error.kind, subscription.from(), next);
                    notices.push_back(closed);
                }
                Err(error) => return Err(error),
            }
        }
        self.notices.append(&mut notices);
        self.link = Some(link);
        Ok(())
    }

    async fn resume(
        &mut self,
        link: &mut Link,
        resume: Resume,
        notices: &mut VecDeque<Notice>,
    ) -> Result<(), ClientError> {
        let session = resume.session;
        let params = SessionOpenParams {
            resume: Some(resume),
            ..SessionOpenParams::default()
        };
        let params = serde_json::to_string(&params).expect("wire types always encode as JSON");
        match self
            .early(link, Operation::SessionOpen, &params, notices)
            .await
        {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == Some(ErrorKind::NotFound) => {
                self.session = None;
                Err(ClientError::SessionGone { session })
            }
            Err(error) => Err(error),
        }
    }

    /// A request on a connection that is not in use yet.
    async fn early(
        &self,
        link: &mut Link,
        operation: Operation,
        params: &str,
        notices: &mut VecDeque<Notice>,
    ) -> Result<Box<RawValue>, ClientError> {
        let limit = Duration::from_millis(connect::CONNECT_MS_MAX);
        let answer = link.call(operation.name(), params, limit, notices).await;
        answer.map_err(|error| self.on_link(error))
    }
}

impl Subscription {
    fn request(&self) -> (Operation, String) {
        let (operation, params) = match self {
            Self::Events(params) => (Operation::EventsSubscribe, serde_json::to_string(params)),
            Self::Watch(params) => (Operation::ContextWatch, serde_json::to_string(params)),
        };
        (operation, params.expect("wire types always encode as JSON"))
    }

    fn from(&self) -> Option<Cursor> {
        match self {
            Self::Events(params) => params.from,
            Self::Watch(params) => params.from,
        }
    }

    fn go_on_from(&mut self, cursor: Cursor) {
        match self {
            Self::Events(params) => params.from = Some(cursor),
            Self::Watch(params) => params.from = Some(cursor),
        }
    }
}

/// A refused resumption of a subscription reads like one that the coordinator ended.
fn closed(kind: ErrorKind, from: Option<Cursor>, next: Cursor) -> Notice {
    let closed = EventsClosed {
        kind,
        cursor: from.unwrap_or_default(),
        next,
    };
    let raw = serde_json::value::to_raw_value(&closed).expect("wire types always encode as JSON");
    Notice::EventsClosed(closed, raw)
}
