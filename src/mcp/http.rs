//! `/mcp`: one POST, one JSON-RPC message, one answer. No sessions, so nothing that a restart could lose.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request as HttpRequest, State};
use axum::http::header::{ACCEPT, ALLOW, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::dispatch::{Request, kind_in, timed};
use super::driver_caller::DriverCaller;
use super::era::Era;
use super::fault::{Fault, INVALID_REQUEST};
use super::incoming::Incoming;
use super::presence::Presences;
use super::results::MethodResult;
use super::tools::ToolSet;
use super::{CODEX, kind_of, renewal, sse};
use crate::driver::Identity;
use crate::driver::shell::Driver;
use crate::metrics::ToolMetrics;
use crate::protocol::error::RpcError;
use crate::protocol::seat::{self, SEAT_HEADER, SeatRequest};

/// Who sends a request, by its headers. The same check as that of a WebSocket upgrade.
pub type Admit = Arc<dyn Fn(&HeaderMap) -> Result<Identity, Box<Response>> + Send + Sync>;

/// How long a request's body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone)]
struct Front {
    driver: Driver,
    admit: Admit,
    message_bytes_max: usize,
    presences: Presences,
    metrics: ToolMetrics,
}

#[derive(Debug, Deserialize)]
struct McpQuery {
    project: Option<String>,
    seat: Option<String>,
    tools: Option<String>,
}

/// `/mcp`, and an answer in JSON to clients that look for OAuth.
pub fn routes(
    driver: Driver,
    presences: Presences,
    admit: Admit,
    message_bytes_max: usize,
) -> Router {
    let front = Front {
        presences,
        metrics: driver.metrics().tools.clone(),
        driver,
        admit,
        message_bytes_max,
    };
    Router::new()
        .route("/mcp", post(serve).fallback(|| async { only_post() }))
        .route("/.well-known/{*path}", any(|| async { no_such_page() }))
        .route("/mcp/.well-known/{*path}", any(|| async { no_such_page() }))
        .with_state(front)
}

fn only_post() -> Response {
    let body = json!({ "error": {
        "kind": "method_not_allowed",
        "message": "POST a JSON-RPC message: there are no streams and no sessions here",
    } });
    let mut response = (StatusCode::METHOD_NOT_ALLOWED, axum::Json(body)).into_response();
    let allowed = HeaderValue::from_static("POST");
    response.headers_mut().insert(ALLOW, allowed);
    response
}

fn no_such_page() -> Response {
    let body = json!({ "error": {
        "kind": "not_found",
        "message": "there is no OAuth here: send Authorization: Bearer TOKEN",
    } });
    (StatusCode::NOT_FOUND, axum::Json(body)).into_response()
}

async fn serve(
    State(front): State<Front>,
    query: Result<Query<McpQuery>, QueryRejection>,
    request: HttpRequest,
) -> Response {
    let (parts, body) = request.into_parts();
    let identity = match (front.admit)(&parts.headers) {
        Ok(identity) => identity,
        Err(response) => return *response,
    };
    let query = match query {
        Ok(Query(query)) => query,
        Err(error) => {
            let what = format!("the query: {}", error.body_text());
            return refuse(None, &Fault::invalid_request(what));
        }
    };
    let text = match read_body(&parts.headers, body, front.message_bytes_max).await {
        Ok(text) => text,
        Err(fault) => return refuse(None, &fault),
    };
    let incoming = match Incoming::read(&text) {
        Ok(incoming) => incoming,
        Err((id, fault)) => return refuse(id, &fault),
    };
    let id = incoming.id;
    match front
        .answer(&parts.headers, query, identity, (&text, &incoming))
        .await
    {
        Ok(response) => response,
        Err(fault) => refuse(id, &fault),
    }
}

impl Front {
    async fn answer(
        &self,
        headers: &HeaderMap,
        query: McpQuery,
        identity: Identity,
        (text, incoming): (&str, &Incoming<'_>),
    ) -> Result<Response, Fault> {
        let era = Era::of_http(headers, incoming)?;
        let identity = identity.at_seat(&seat_of(&query, headers, incoming)?)?;
        let Some(id) = incoming.id else {
            // A client's notifications need nothing to be done: a request ends with its connection.
            return Ok(StatusCode::ACCEPTED.into_response());
        };
        let tools = match query.tools.as_deref() {
            None => ToolSet::Chosen,
            Some("all") => ToolSet::Operations(identity.role),
            Some(_) => return Err(Fault::invalid_request("the query: tools may be all")),
        };
        let request = Request {
            incoming,
            era,
            tools,
        };
        let project = query.project;
        let mut caller = DriverCaller::connect(&self.driver, identity.clone(), project.clone())?;
        let kind = kind_in(incoming).or_else(|| incoming.codex_session().and(kind_of(CODEX)));
        // Codex names its session with calls only. What it asks before would show one more agent, without a seat.
        let comes_before_seat = request.is_fixed()
            && identity.seats
            && !identity.agent.is_seat()
            && kind.as_ref().is_none_or(|kind| kind.as_str() == CODEX);
        let due = !comes_before_seat && self.presences.heard(&identity, project.as_deref(), kind);
        if request.is_fixed() {
            return Ok(json_answer(&request.fixed()?, id, era));
        }
        if due && let Err(error) = renewal::renew(&mut caller).await {
            tracing::debug!(%error, agent = %identity.agent, "failed to renew what an agent holds");
        }
        caller.repeatable_as(incoming.call_id());
        let token = incoming.progress_token().filter(|_| request.may_wait());
        if let Some(token) = token.filter(|_| accepts_stream(headers)) {
            let (metrics, text) = (self.metrics.clone(), text.to_owned());
            return Ok(sse::stream(metrics, caller, text, (era, tools), token));
        }
        let result = timed(&self.metrics, &request, &mut caller).await?;
        Ok(json_answer(&result, id, era))
    }
}

/// The seat that a request asks for. Without a named one, a Codex session is a seat of its own.
fn seat_of(
    query: &McpQuery,
    headers: &HeaderMap,
    incoming: &Incoming<'_>,
) -> Result<SeatRequest, RpcError> {
    let named = headers.get_all(SEAT_HEADER).into_iter();
    let named = named.map(HeaderValue::as_bytes);
    let mut asked = SeatRequest::read(query.seat.as_deref(), named, None)?;
    let session = incoming.codex_session();
    asked.hint = session.map(|session| seat::of_session(CODEX, &session));
    Ok(asked)
}

async fn read_body(headers: &HeaderMap, body: Body, bytes_max: usize) -> Result<String, Fault> {
    if !is_json(headers) {
        let what = "Content-Type must be application/json";
        let fault = Fault::new(INVALID_REQUEST, what);
        return Err(fault.status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let read = timeout(BODY_TIMEOUT, to_bytes(body, bytes_max)).await;
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            let what = format!("the message is larger than message_bytes_max ({bytes_max})");
            let fault = Fault::new(INVALID_REQUEST, what);
            return Err(fault.status(StatusCode::PAYLOAD_TOO_LARGE));
        }
        Err(_) => {
            let what = "the message did not arrive in time";
            let fault = Fault::new(INVALID_REQUEST, what);
            return Err(fault.status(StatusCode::REQUEST_TIMEOUT));
        }
    };
    String::from_utf8(bytes.into()).map_err(|_| Fault::invalid_request("the message is not UTF-8"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let kind = value.and_then(|text| text.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn accepts_stream(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter();
    let mut texts = values.filter_map(|value| value.to_str().ok());
    texts.any(|text| text.contains("text/event-stream"))
}

fn json_answer(result: &MethodResult, id: &RawValue, era: Era) -> Response {
    with_type(StatusCode::OK, result.encode(id, era))
}

fn refuse(id: Option<&RawValue>, fault: &Fault) -> Response {
    let mut response = with_type(fault.status, fault.encode(id));
    if fault.status == StatusCode::SERVICE_UNAVAILABLE {
        let headers = response.headers_mut();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn with_type(status: StatusCode, json: String) -> Response {
    let kind = HeaderValue::from_static("application/json");
    (status, [(CONTENT_TYPE, kind)], json).into_response()
}
