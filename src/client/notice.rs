//! What a frame of the coordinator says: a reply, or a notice.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::CallError;
use crate::protocol::error::{ErrorDetail, ErrorKind, RpcError};
use crate::protocol::events::{EventView, EventsClosed, SessionClosed, TaskLost};
use crate::protocol::lease::LeaseLost;

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

/// `None`: a notification of a newer coordinator that this client does not know.
pub(super) fn read(text: &str) -> Result<Option<Incoming>, CallError> {
    let garbled = |error: serde_json::Error| CallError::Lost(format!("a garbled frame: {error}"));
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
        (None, None, Some(error)) => Err(CallError::Refused(error.into())),
        _ => Err(CallError::Lost("a frame that is no reply".to_owned())),
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
