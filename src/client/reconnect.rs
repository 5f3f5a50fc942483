//! Reconnecting: how long, how often, and with which session.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::error::CallError;
use super::notice::Notice;
use super::rpc::RpcConnection;
use super::subscription::closed;
use super::target::CONNECT_MS_MAX;
use super::{Client, ClientError, encode};
use crate::protocol::error::ErrorKind;
use crate::protocol::operations::Operation;
use crate::protocol::session::{Resume, SessionOpenParams};

/// The pause before the second attempt to connect; it doubles each time.
pub(super) const BACKOFF_MS_MIN: u64 = 50;

/// The longest pause between two attempts to connect.
pub(super) const BACKOFF_MS_MAX: u64 = 2_000;

impl Client {
    /// Drops the connection: unread notices come again on the next one.
    pub(super) fn lost(&mut self) {
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
    pub(super) fn back_off(&mut self) {
        let doubled = BACKOFF_MS_MIN.saturating_mul(1 << self.attempts.min(16));
        let pause_ms = match self.attempts {
            0 => 0,
            _ => doubled.min(BACKOFF_MS_MAX),
        };
        self.attempts += 1;
        let next = Instant::now() + Duration::from_millis(pause_ms);
        self.next_attempt = next.min(self.deadline());
    }

    /// Reconnects until it works, cannot work, or the time is over.
    pub(super) async fn connected(&mut self) -> Result<(), ClientError> {
        while self.link.is_none() {
            sleep_until(self.next_attempt).await;
            let limit = self.deadline().max(Instant::now() + self.attempt_min());
            let error = match timeout_at(limit, self.reconnect()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => self.gave_up("the coordinator cannot be reached any more".to_owned()),
            };
            if !error.is_transient() || Instant::now() >= self.deadline() {
                return Err(error);
            }
            self.back_off();
        }
        Ok(())
    }

    /// A client that holds something must not be late; others may make one more full attempt.
    pub(super) fn attempt_min(&self) -> Duration {
        match self.session {
            Some(_) => Duration::from_millis(BACKOFF_MS_MIN),
            None => Duration::from_millis(CONNECT_MS_MAX),
        }
    }

    pub(super) fn gave_up(&self, why: String) -> ClientError {
        let url = self.target.url.clone();
        ClientError::Lost { url, why }
    }

    pub(super) fn on_link(&self, error: CallError) -> ClientError {
        match error {
            CallError::Refused(error) => ClientError::Refused(error),
            CallError::Lost(why) => self.gave_up(why),
            CallError::Slow => self.gave_up("no answer in time".to_owned()),
        }
    }

    /// When a session ends unless it is resumed; never later than the coordinator's own deadline.
    pub(super) fn deadline(&self) -> Instant {
        self.last_heard + self.patience
    }

    pub(super) async fn reconnect(&mut self) -> Result<(), ClientError> {
        let mut link = RpcConnection::new(self.target.connect().await?, self.silence_max);
        let mut notices = VecDeque::new();
        if let Some(resume) = self.session.clone() {
            self.resume(&mut link, resume, &mut notices).await?;
            notices.push_back(Notice::Resumed);
        }
        if let Some(subscription) = self.subscription.clone() {
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

    pub(super) async fn resume(
        &mut self,
        link: &mut RpcConnection,
        resume: Resume,
        notices: &mut VecDeque<Notice>,
    ) -> Result<(), ClientError> {
        let session = resume.session;
        let params = SessionOpenParams {
            resume: Some(resume),
            ..SessionOpenParams::default()
        };
        let params = encode(&params);
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

    /// A request on a connection that is not in use yet. Exclusive, so that a task may be waiting in it: a client
    /// can be sent to another thread, and not be shared with one.
    pub(super) async fn early(
        &mut self,
        link: &mut RpcConnection,
        operation: Operation,
        params: &str,
        notices: &mut VecDeque<Notice>,
    ) -> Result<Box<RawValue>, ClientError> {
        let limit = Duration::from_millis(CONNECT_MS_MAX);
        let answer = link.call(operation.name(), params, limit, notices).await;
        answer.map_err(|error| self.on_link(error))
    }
}
