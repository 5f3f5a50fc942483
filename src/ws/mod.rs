//! The WebSocket front: upgrade, then text frames to the driver and back.

mod socket;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::header::{
    CONNECTION, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::driver::Identity;
use crate::driver::shell::Driver;
use crate::engine::ids::{AgentKind, NameError};
use crate::protocol::error::{ErrorKind, RpcError};
use crate::protocol::seat::{SEAT_HEADER, SeatRequest};
use crate::protocol::session::PeerConfig;

/// The check before an upgrade: it returns who may connect, or answers with a refusal.
pub type Admit = Arc<dyn Fn(&HeaderMap) -> Result<Admitted, Box<Response>> + Send + Sync>;

/// Who may connect, and the headers of the answer.
#[derive(Debug)]
pub struct Admitted {
    pub identity: Identity,
    pub subprotocol: Option<&'static str>,
    /// `None`: as long as the token is valid.
    pub lifetime: Option<Lifetime>,
}

/// How long a connection may last that a session of the page let in.
#[derive(Debug)]
pub struct Lifetime {
    pub left: Duration,
    /// The session ends with its sender.
    pub ended: watch::Receiver<()>,
}

impl Lifetime {
    async fn over(mut self) {
        // Nothing is ever sent: what is waited for is the end of the sender.
        let _ = tokio::time::timeout(self.left, self.ended.changed()).await;
    }
}

/// What `/` answers to a request that asks for no upgrade.
pub type Landing = fn(&HeaderMap) -> Response;

/// Bounds of one connection.
#[derive(Debug, Clone, Copy)]
pub struct SocketOptions {
    pub message_bytes_max: usize,
    pub ping_interval: Duration,
}

/// Called for each new connection, so that a reload applies from the next one on.
pub type Bounds = Arc<dyn Fn() -> SocketOptions + Send + Sync>;

/// What a connection that makes only a few calls says about the CLI session that it was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CliSession {
    /// It goes on; the agent is of this kind.
    Present(AgentKind),
    Ended,
}

/// Called for each connection of a hook, so that its agent is present between two of them.
pub type Hooked = Arc<dyn Fn(&Identity, Option<&str>, CliSession) + Send + Sync>;

#[derive(Clone)]
struct Front {
    driver: Driver,
    admit: Admit,
    options: Bounds,
    hooked: Hooked,
    landing: Landing,
}

#[derive(Debug, Deserialize)]
struct UpgradeQuery {
    project: Option<String>,
    environment: Option<String>,
    port_fingerprint: Option<String>,
    seat: Option<String>,
    seat_hint: Option<String>,
    /// The connection is one of a hook: the kind of its agent, which stays present when it closes.
    present: Option<String>,
    /// The CLI session of a hook ends, and with it the presence of its agent.
    #[serde(default)]
    leaving: bool,
}

impl UpgradeQuery {
    /// The client's own configuration.
    fn peer(&self) -> Result<PeerConfig, RpcError> {
        Ok(PeerConfig {
            environment: parsed("environment", self.environment.as_deref())?,
            port_fingerprint: parsed("port_fingerprint", self.port_fingerprint.as_deref())?,
        })
    }

    fn cli_session(&self) -> Result<Option<CliSession>, RpcError> {
        if self.leaving {
            return Ok(Some(CliSession::Ended));
        }
        let kind = parsed("present", self.present.as_deref())?;
        Ok(kind.map(CliSession::Present))
    }

    fn seat(&self, headers: &HeaderMap) -> Result<SeatRequest, RpcError> {
        let named = headers.get_all(SEAT_HEADER).into_iter();
        let named = named.map(HeaderValue::as_bytes);
        SeatRequest::read(self.seat.as_deref(), named, self.seat_hint.as_deref())
    }
}

fn parsed<T: FromStr<Err = NameError>>(
    name: &str,
    text: Option<&str>,
) -> Result<Option<T>, RpcError> {
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|error| RpcError::new(ErrorKind::InvalidParams, format!("{name}: {error}")))
}

/// `/ws`, and `/` for clients without a path; browsers get `landing` there.
pub fn routes(
    driver: Driver,
    admit: Admit,
    options: Bounds,
    hooked: Hooked,
    landing: Landing,
) -> Router {
    let front = Front {
        driver,
        admit,
        options,
        hooked,
        landing,
    };
    Router::new()
        .route("/ws", get(upgrade))
        .route("/", get(root))
        .with_state(front)
}

async fn root(state: State<Front>, query: Query<UpgradeQuery>, request: Request) -> Response {
    if request.headers().contains_key(UPGRADE) {
        return upgrade(state, query, request).await;
    }
    (state.landing)(request.headers())
}

async fn upgrade(
    State(front): State<Front>,
    Query(query): Query<UpgradeQuery>,
    mut request: Request,
) -> Response {
    let headers = request.headers();
    let Some(key) = websocket_key(headers) else {
        return not_an_upgrade();
    };
    let accept = derive_accept_key(key.as_bytes());
    let admitted = match (front.admit)(headers) {
        Ok(admitted) => admitted,
        Err(response) => return *response,
    };
    let connected = query.peer().and_then(|peer| {
        let identity = admitted.identity.at_seat(&query.seat(headers)?)?;
        let project = query.project.as_deref();
        let cli_session = query.cli_session()?;
        let link = front.driver.connect(identity.clone(), project, &peer)?;
        if let Some(session) = cli_session {
            (front.hooked)(&identity, project, session);
        }
        Ok(link)
    });
    let link = match connected {
        Ok(link) => link,
        Err(error) => return refuse(&error),
    };
    // Keeps the connection's place among the listener's connections as long as the socket lives.
    let peer = request.extensions_mut().remove::<PeerGuard>();
    let on_upgrade = hyper::upgrade::on(&mut request);
    let options = (front.options)();
    let over: BoxFuture<'static, ()> = match admitted.lifetime {
        Some(lifetime) => Box::pin(lifetime.over()),
        None => Box::pin(std::future::pending()),
    };
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = socket::serve(on_upgrade, link, options, peer) => {}
            () = over => {}
        }
    });
    switching(&accept, admitted.subprotocol)
}

/// A value of the listener that must live as long as the socket.
#[derive(Clone)]
pub struct PeerGuard(#[expect(dead_code, reason = "held, never read")] Arc<dyn Send + Sync>);

impl std::fmt::Debug for PeerGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PeerGuard")
    }
}

impl PeerGuard {
    pub fn new(held: impl Send + Sync + 'static) -> Self {
        Self(Arc::new(held))
    }
}

fn websocket_key(headers: &HeaderMap) -> Option<&HeaderValue> {
    let has = |name, wanted: &str| {
        let value = headers
            .get(name)
            .and_then(|v: &HeaderValue| v.to_str().ok());
        value.is_some_and(|text| {
            text.split(',')
                .any(|t| t.trim().eq_ignore_ascii_case(wanted))
        })
    };
    let upgrades = has(CONNECTION, "upgrade") && has(UPGRADE, "websocket");
    let known_version = has(SEC_WEBSOCKET_VERSION, "13");
    headers
        .get(SEC_WEBSOCKET_KEY)
        .filter(|_| upgrades && known_version)
}

fn not_an_upgrade() -> Response {
    let body = json!({
        "service": "cli-coordinator",
        "error": { "kind": "invalid_request", "message": "connect with WebSocket version 13" },
    });
    let mut response = (StatusCode::UPGRADE_REQUIRED, axum::Json(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

fn refuse(error: &RpcError) -> Response {
    let status = match error.kind {
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::InvalidParams => StatusCode::BAD_REQUEST,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut body = json!({ "error": { "kind": error.kind.as_str(), "message": error.message } });
    if let (Some(path), StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST) =
        (&error.detail.path, status)
    {
        body["error"]["path"] = path.as_str().into();
    }
    let mut response = (status, axum::Json(body)).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn switching(accept: &str, subprotocol: Option<&'static str>) -> Response {
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(name) = subprotocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
    }
    response
}
