//! JSON-RPC 2.0: one request per text frame, one reply per frame. Batches are refused.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::error::{ErrorDetail, ErrorKind, RpcError};

/// The most bytes a request's `id` may have.
pub const ID_BYTES_MAX: usize = 64;

/// A request of which only the envelope is parsed.
#[derive(Debug)]
pub struct Envelope<'a> {
    /// `None`: a notification, to which no reply is sent.
    pub id: Option<&'a RawValue>,
    pub method: Cow<'a, str>,
    pub params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawEnvelope<'a> {
    #[serde(borrow)]
    jsonrpc: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

/// Parses the envelope of one frame. The error contains the request id if there is one.
pub fn parse(frame: &str) -> Result<Envelope<'_>, (Option<&RawValue>, RpcError)> {
    let invalid = |id, why: &str| Err((id, RpcError::new(ErrorKind::InvalidRequest, why)));
    let start = frame.trim_start_matches([' ', '\t', '\r', '\n']);
    if start.starts_with('[') {
        return invalid(None, "batches are not accepted: send one request a frame");
    }
    let raw: RawEnvelope = match serde_json::from_str(frame) {
        Ok(raw) => raw,
        Err(error) if error.is_syntax() || error.is_eof() => {
            let message = format!("the frame is not JSON: {error}");
            return Err((None, RpcError::new(ErrorKind::ParseError, message)));
        }
        Err(error) => {
            return invalid(
                None,
                &format!("the frame is not a JSON-RPC request: {error}"),
            );
        }
    };
    let id = raw.id.filter(|id| id.get() != "null");
    if let Some(id) = id {
        let text = id.get();
        if text.len() > ID_BYTES_MAX || text.starts_with(['{', '[', 't', 'f']) {
            return invalid(
                None,
                "the id must be a string or a number of at most 64 bytes",
            );
        }
    }
    if raw.jsonrpc.as_deref() != Some("2.0") {
        return invalid(id, "\"jsonrpc\" must be \"2.0\"");
    }
    match raw.method {
        Some(method) => Ok(Envelope {
            id,
            method,
            params: raw.params,
        }),
        None => invalid(id, "\"method\" is missing"),
    }
}

#[derive(Serialize)]
struct ReplyFrame<'a, T> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    result: &'a T,
}

#[derive(Serialize)]
struct ErrorFrame<'a> {
    jsonrpc: &'static str,
    id: Option<&'a RawValue>,
    error: ErrorObject<'a>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    code: i32,
    message: &'a str,
    data: ErrorData<'a>,
}

#[derive(Serialize)]
struct ErrorData<'a> {
    kind: ErrorKind,
    #[serde(flatten)]
    detail: &'a ErrorDetail,
}

#[derive(Serialize)]
struct NotificationFrame<'a, T> {
    jsonrpc: &'static str,
    method: &'static str,
    params: &'a T,
}

/// The frame that answers request `id` with `result`.
pub fn reply<T: Serialize>(id: &RawValue, result: &T) -> String {
    encode(&ReplyFrame {
        jsonrpc: "2.0",
        id,
        result,
    })
}

/// Like [`reply`], with the field `stale_ms` in the result: the coordinator has heard nothing from the shared
/// journal for this time, so the result may be out of date.
pub fn reply_stale<T: Serialize>(id: &RawValue, result: &T, stale_ms: u64) -> String {
    encode(&ReplyFrame {
        jsonrpc: "2.0",
        id,
        result: &Stale { stale_ms, result },
    })
}

#[derive(Serialize)]
struct Stale<'a, T> {
    stale_ms: u64,
    #[serde(flatten)]
    result: &'a T,
}

/// The frame that answers request `id` with an error; without an id it answers no request.
pub fn error(id: Option<&RawValue>, error: &RpcError) -> String {
    encode(&ErrorFrame {
        jsonrpc: "2.0",
        id,
        error: ErrorObject {
            code: error.kind.code(),
            message: &error.message,
            data: ErrorData {
                kind: error.kind,
                detail: &error.detail,
            },
        },
    })
}

/// A frame that answers no request.
pub fn notification<T: Serialize>(method: &'static str, params: &T) -> String {
    encode(&NotificationFrame {
        jsonrpc: "2.0",
        method,
        params,
    })
}

/// Wire types have string keys and no foreign `Serialize`, so encoding them cannot fail.
fn encode<T: Serialize>(frame: &T) -> String {
    serde_json::to_string(frame).expect("wire types always encode as JSON")
}
