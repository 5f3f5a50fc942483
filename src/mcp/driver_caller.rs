//! Calls over the driver: one connection a tool call, which ends with it.
//!
//! So a request whose client has gone away stops waiting in the driver too, and nothing is kept between calls.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::HOLD_MS;
use super::caller::{Caller, Follower, Pending};
use crate::driver::shell::{Driver, DriverLink};
use crate::driver::{Identity, Prospect};
use crate::engine::ids::{AgentKind, AgentName, TreeName};
use crate::protocol::error::{ErrorDetail, ErrorKind, RpcError};
use crate::protocol::events::{
    ChangeView, EventFilter, EventView, EventsSubscribeParams, SessionClosed,
};
use crate::protocol::operations::Operation;
use crate::protocol::request_id::stamped;
use crate::protocol::session::PeerConfig;

/// Frames taken from the driver at once.
const FRAMES_AT_ONCE_MAX: usize = 64;
/// When to come back after a stop.
const RETRY_MS: u64 = 1_000;

/// One agent's connection to the driver, for one tool call.
pub(super) struct DriverCaller {
    driver: Driver,
    identity: Identity,
    project: Option<String>,
    connection: Connection,
    /// What the client calls this call, if it says so.
    call_id: Option<String>,
}

impl DriverCaller {
    pub(super) fn connect(
        driver: &Driver,
        identity: Identity,
        project: Option<String>,
    ) -> Result<Self, RpcError> {
        let connection = Connection::open(driver, &identity, project.as_deref())?;
        Ok(Self {
            driver: driver.clone(),
            identity,
            project,
            connection,
            call_id: None,
        })
    }

    /// Whatever is changed from now on has one effect, however often the client repeats this call.
    pub(super) fn repeatable_as(&mut self, call_id: Option<&str>) {
        self.call_id = call_id.map(str::to_owned);
    }
}

/// The id of one request of a call. It follows from all that the request says, so the same id with other arguments,
/// as of a client that numbers its calls anew, is another request.
fn request_id(call_id: &str, operation: Operation, params: &str) -> String {
    let mut digest = Sha256::new();
    for part in [call_id, operation.name(), params] {
        digest.update(part.as_bytes());
        digest.update([0]);
    }
    let digest = digest.finalize();
    let digits = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
    format!("mcp-{}", digits.collect::<String>())
}

impl Caller for DriverCaller {
    fn call(
        &mut self,
        operation: Operation,
        params: String,
    ) -> Pending<'_, Result<Box<RawValue>, RpcError>> {
        let params = match &self.call_id {
            None => params,
            Some(call_id) => stamped(operation, params, |params| {
                request_id(call_id, operation, params)
            }),
        };
        Box::pin(self.connection.call(operation, params))
    }

    fn follow(
        &mut self,
        filters: Vec<EventFilter>,
    ) -> Pending<'_, Result<Box<dyn Follower>, RpcError>> {
        Box::pin(async move {
            // A connection of its own: its events do not mix with answers.
            let mut connection =
                Connection::open(&self.driver, &self.identity, self.project.as_deref())?;
            let params = EventsSubscribeParams {
                filters,
                from: None,
            };
            let params = serde_json::to_string(&params).expect("wire types always encode as JSON");
            connection.call(Operation::EventsSubscribe, params).await?;
            let follower: Box<dyn Follower> = Box::new(DriverFollower(connection));
            Ok(follower)
        })
    }

    /// The front does it, with the headers of the request: `presence.rs`.
    fn introduce(&mut self, _kind: Option<AgentKind>) -> Pending<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn hold_ms(&self) -> Option<u64> {
        Some(HOLD_MS)
    }

    fn agent(&self) -> Option<AgentName> {
        Some(self.identity.agent.clone())
    }

    fn tree(&self) -> Option<TreeName> {
        None
    }
}

struct DriverFollower(Connection);

impl Follower for DriverFollower {
    fn next(&mut self) -> Pending<'_, Result<Vec<ChangeView>, RpcError>> {
        Box::pin(self.0.changes())
    }
}

/// A link to the driver with the frames that were taken from it and not looked at.
struct Connection {
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
    fn open(driver: &Driver, identity: &Identity, project: Option<&str>) -> Result<Self, RpcError> {
        let link = driver.connect(identity.clone(), project, &PeerConfig::default())?;
        Ok(Self {
            link,
            last_id: 0,
            frames: VecDeque::new(),
        })
    }

    async fn call(
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

    async fn changes(&mut self) -> Result<Vec<ChangeView>, RpcError> {
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
