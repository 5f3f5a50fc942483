//! Why a request gets a JSON-RPC error: it is no request for a tool that there is.
//!
//! What a tool refuses is no fault: it is a result that the model reads (`tools/error.rs`).

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::protocol::error::{ErrorKind, RpcError};

pub(super) const INVALID_REQUEST: i32 = -32600;
pub(super) const METHOD_NOT_FOUND: i32 = -32601;
pub(super) const INVALID_PARAMS: i32 = -32602;
/// The headers of a request do not say what its body says.
pub(super) const HEADER_MISMATCH: i32 = -32020;
pub(super) const UNSUPPORTED_VERSION: i32 = -32022;
/// A resource does not exist; 2026-07-28 uses [`INVALID_PARAMS`].
pub(super) const RESOURCE_NOT_FOUND: i32 = -32002;

/// A JSON-RPC error, and the status of the HTTP answer that carries it.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) status: StatusCode,
    code: i32,
    message: String,
    data: Option<Value>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
}

impl Fault {
    pub(super) fn new(code: i32, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::OK,
            code,
            message: message.into(),
            data: None,
        }
    }

    pub(super) fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(INVALID_REQUEST, message).status(StatusCode::BAD_REQUEST)
    }

    pub(super) fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(INVALID_PARAMS, message)
    }

    pub(super) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(super) fn data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    /// The JSON text of the answer.
    pub(super) fn encode(&self, id: Option<&RawValue>) -> String {
        let frame = ErrorFrame {
            jsonrpc: "2.0",
            id,
            error: ErrorObject {
                code: self.code,
                message: &self.message,
                data: self.data.as_ref(),
            },
        };
        serde_json::to_string(&frame).expect("wire types always encode as JSON")
    }
}

impl From<RpcError> for Fault {
    fn from(error: RpcError) -> Self {
        let status = match error.kind {
            ErrorKind::ParseError | ErrorKind::InvalidRequest | ErrorKind::InvalidParams => {
                StatusCode::BAD_REQUEST
            }
            ErrorKind::Forbidden => StatusCode::FORBIDDEN,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut data = serde_json::json!({ "kind": error.kind.as_str() });
        if let Some(path) = error.detail.path {
            data["path"] = path.into();
        }
        Self::new(error.kind.code(), error.message)
            .status(status)
            .data(data)
    }
}
