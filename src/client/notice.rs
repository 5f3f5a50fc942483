//! Frames from the coordinator: replies and notices.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::CallError;
use crate::protocol::error::{ErrorDetail, ErrorKind, RpcError};
use crate::protocol::events::{EventView, EventsClosed, SessionClosed, TaskLost};
use crate::protocol::lease::LeaseLost;

/// A frame that answers no request.
#[derive(Debug)]
pub enum Notice {
    /// An event: parsed, and its text as it came.
    Event(EventView, Box<RawValue>),
    EventsClosed(EventsClosed, Box<RawValue>),
    LeaseLost(LeaseLost),
    TaskLost(TaskLost),
    SessionClosed(SessionClosed),
    /// Made by this client: a new connection resumed the session. Notices sent in between may be missing.
    Resumed,
}

pub(super) enum Incoming {
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

/// `None`: a notification that only a newer client knows.
pub(super) fn read(text: &str) -> Result<Option<Incoming>, CallError> {
    let garbled =
        |error: serde_json::Error| CallError::Lost(format!("cannot parse a frame: {error}"));
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
        // An error without a request id means that this client sent an invalid frame.
        (None, None, Some(error)) => Err(CallError::Refused(error.into())),
        _ => Err(CallError::Lost(
            "got a frame that is not a reply".to_owned(),
        )),
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
    /// A kind that only newer clients know is read as the kind of its JSON-RPC code.
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
