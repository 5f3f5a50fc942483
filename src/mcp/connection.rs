//! One connection to the driver as calls and events use it: frames out, frames in.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::driver::shell::{Driver, DriverLink};
use crate::driver::{Identity, Prospect};
use crate::protocol::error::{ErrorDetail, ErrorKind, RpcError};
use crate::protocol::events::{ChangeView, EventView, SessionClosed};
use crate::protocol::operations::Operation;
use crate::protocol::session::PeerConfig;

/// Frames taken from the driver at once.
const FRAMES_AT_ONCE_MAX: usize = 64;
/// When to come back after a stop.
const RETRY_MS: u64 = 1_000;

/// A link to the driver with the frames that were taken from it and not looked at.
pub(super) struct Connection {
    link: DriverLink,
    last_id: u64,
    frames: VecDeque<Bytes>,
}

#[derive(Deserialize)]
struct Frame<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    method: Option<&'a str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<WireError>,
}

#[derive(Deserialize)]
struct WireError {
    message: String,
    data: WireDetail,
}

#[derive(Deserialize)]
struct WireDetail {
    kind: ErrorKind,
    #[serde(flatten)]
    detail: ErrorDetail,
}

impl From<WireError> for RpcError {
    fn from(error: WireError) -> Self {
        Self {
            kind: error.data.kind,
            message: error.message,
            detail: Box::new(error.data.detail),
        }
    }
}

impl Connection {
    pub(super) fn open(
        driver: &Driver,
        identity: &Identity,
        project: Option<&str>,
    ) -> Result<Self, RpcError> {
        let link = driver.connect(identity.clone(), project, &PeerConfig::default())?;
        Ok(Self {
            link,
            last_id: 0,
            frames: VecDeque::new(),
        })
    }

    pub(super) async fn call(
        &mut self,
        operation: Operation,
        params: String,
    ) -> Result<Box<RawValue>, RpcError> {
        self.last_id += 1;
        let (id, name) = (self.last_id, operation.name());
        let request =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{name}","params":{params}}}"#);
        self.link.frame(&request);
        let mut told = None;
        loop {
            while let Some(frame) = self.frames.pop_front() {
                let frame = read(&frame)?;
                match (frame.id, frame.result, frame.error) {
                    (Some(answered), Some(result), _) if answered == id => {
                        return Ok(result.to_owned());
                    }
                    (Some(answered), None, Some(error)) if answered == id => {
                        return Err(error.into());
                    }
                    // What was asked before the end was told is still answered.
                    _ => told = told.or_else(|| end_of(frame.method, frame.params)),
                }
            }
            if self.fill().await.is_break() {
                let told = told.unwrap_or_else(|| "the connection ended".to_owned());
                return Err(RpcError::new(ErrorKind::Unauthenticated, told));
            }
        }
    }

    pub(super) async fn changes(&mut self) -> Result<Vec<ChangeView>, RpcError> {
        loop {
            while let Some(frame) = self.frames.pop_front() {
                let frame = read(&frame)?;
                let params = frame.params.map_or("null", RawValue::get);
                match frame.method {
                    Some("event") => {
                        let event: EventView = serde_json::from_str(params).map_err(garbled)?;
                        return Ok(event.changes);
                    }
                    Some("events.closed" | "epoch.changed") => return Ok(Vec::new()),
                    method => {
                        if let Some(told) = end_of(method, frame.params) {
                            return Err(self.ended(told));
                        }
                    }
                }
            }
            if self.fill().await.is_break() {
                let told = "the connection ended";
                return Err(RpcError::new(ErrorKind::Unauthenticated, told));
            }
        }
    }

    /// Why there are no more events: the token was revoked, or the coordinator stops.
    fn ended(&self, told: String) -> RpcError {
        match self.link.take_frames(FRAMES_AT_ONCE_MAX, &mut Vec::new()) {
            Some(Prospect::EndsNow) => RpcError::new(ErrorKind::Unauthenticated, told),
            _ => RpcError::retry(ErrorKind::Unavailable, told, RETRY_MS),
        }
    }

    /// Takes frames, or waits until there may be some. Breaks when the driver has closed the connection. A
    /// connection without a session is closed only when its token is revoked.
    async fn fill(&mut self) -> ControlFlow<()> {
        let mut taken = Vec::new();
        let prospect = self.link.take_frames(FRAMES_AT_ONCE_MAX, &mut taken);
        let none = taken.is_empty();
        self.frames.extend(taken);
        match prospect {
            _ if !none => {}
            Some(Prospect::EndsNow) => return ControlFlow::Break(()),
            _ => self.link.ready().await,
        }
        ControlFlow::Continue(())
    }
}

fn read(frame: &Bytes) -> Result<Frame<'_>, RpcError> {
    serde_json::from_slice(frame).map_err(garbled)
}

#[expect(clippy::needless_pass_by_value, reason = "it fits `map_err`")]
fn garbled(error: serde_json::Error) -> RpcError {
    RpcError::new(ErrorKind::Internal, format!("a garbled frame: {error}"))
}

/// Why the driver ends the connection, if the notification says that it does.
fn end_of(method: Option<&str>, params: Option<&RawValue>) -> Option<String> {
    let params = params.filter(|_| method == Some("session.closed"))?;
    let closed: Option<SessionClosed> = serde_json::from_str(params.get()).ok();
    closed.map(|closed| closed.reason)
}
