//! One HTTP request and its whole answer.

use axum::http::header::{AUTHORIZATION, CONNECTION, HOST, SERVER};
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::link::{ANSWER_BYTES_MAX, Stream};
use super::{ProbeFailure, ServiceState, said};
use crate::config::Secret;

/// What our own answers begin their `Server` header with.
const PRODUCT: &str = "coord/";

/// Bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

pub(super) struct HttpAnswer {
    pub(super) status: StatusCode,
    /// What the server calls itself.
    pub(super) server: String,
    pub(super) body: Bytes,
}

impl HttpAnswer {
    /// Whether it comes from a coordinator, whatever it says.
    pub(super) fn is_ours(&self) -> bool {
        is_ours(&self.server)
    }

    /// The message of a refusal.
    pub(super) fn why(&self) -> String {
        why(&self.body)
    }

    /// For a detail: the status, and who says so.
    pub(super) fn shown(&self) -> String {
        shown(self.status, &self.server)
    }
}

/// The message in a refusal's body, short and harmless.
pub(super) fn why(body: &[u8]) -> String {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let why = body.pointer("/error/message");
    said(why.and_then(|text| text.as_str()).unwrap_or_default())
}

pub(super) fn is_ours(server: &str) -> bool {
    server.starts_with(PRODUCT)
}

pub(super) fn shown(status: StatusCode, server: &str) -> String {
    let server = said(server);
    if server.is_empty() {
        return format!("HTTP {}", status.as_u16());
    }
    format!("HTTP {} from {server}", status.as_u16())
}

/// Asks for a page, with a token if there is one.
pub(super) async fn get(
    stream: Stream,
    authority: &str,
    path: &str,
    token: Option<&Secret>,
) -> Result<HttpAnswer, ProbeFailure> {
    let stranger = |error: hyper::Error| {
        if wants_certificate(&error) {
            let detail = "it asks for a client certificate";
            return ProbeFailure::new(ServiceState::Unauthorised, detail)
                .next("run it on the coordinator's own machine");
        }
        ProbeFailure::wrong(format!("it does not speak HTTP: {error}"))
    };
    let mut builder = http1::Builder::new();
    let connected = builder.max_buf_size(HEAD_BYTES_MAX);
    let (mut sender, connection) = connected
        .handshake(TokioIo::new(stream))
        .await
        .map_err(stranger)?;
    // Ends by itself when the sender and the answer are dropped, at the latest with the time limit.
    tokio::spawn(connection);
    let mut request = Request::get(path)
        .header(HOST, authority)
        .header(CONNECTION, "close");
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|error| ProbeFailure::wrong(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(stranger)?;
    let status = response.status();
    let server = response.headers().get(SERVER);
    let server = server.and_then(|value| value.to_str().ok());
    let server = server.unwrap_or_default().to_owned();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
    let body = body.collect().await;
    let body =
        body.map_err(|error| ProbeFailure::wrong(format!("its answer was incomplete: {error}")))?;
    Ok(HttpAnswer {
        status,
        server,
        body: body.to_bytes(),
    })
}

/// Whether the server refused us for want of a client certificate: in TLS 1.3 that comes as an answer.
fn wants_certificate(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error);
    let source = source.and_then(|source| source.downcast_ref::<std::io::Error>());
    let source = source.and_then(std::io::Error::get_ref);
    let alert = source.and_then(|source| source.downcast_ref::<rustls::Error>());
    let wanted = rustls::AlertDescription::CertificateRequired;
    matches!(alert, Some(rustls::Error::AlertReceived(alert)) if *alert == wanted)
}
