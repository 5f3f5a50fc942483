//! The page for people: its files, and the sessions of those who look at it.
//!
//! It is a client of the WebSocket like any other; what is here is the way in. A session lives in memory only.

mod assets;
mod sessions;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ORIGIN, RETRY_AFTER, SET_COOKIE};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use crate::driver::Identity;
use crate::driver::shell::Driver;
use crate::engine::command::Role;
use crate::engine::ids::ProjectName;

pub use assets::landing;
pub use sessions::{Session, Sessions};

/// A token, a code and their names are much shorter.
const BODY_BYTES_MAX: usize = 4 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Who sends a request with a token, by its headers.
pub type Admit = Arc<dyn Fn(&HeaderMap) -> Result<Identity, Box<Response>> + Send + Sync>;
/// Whether a request comes from a page of this coordinator: a browser adds cookies to those of other pages too.
pub type OriginCheck = Arc<dyn Fn(&HeaderMap) -> Result<(), Box<Response>> + Send + Sync>;
/// Told of a wrong token or code.
pub type GuessObserver = Arc<dyn Fn() + Send + Sync>;
/// The address that a connection comes from.
pub type PeerOf = fn(&Extensions) -> Option<IpAddr>;
/// Renders the metrics.
pub type MetricsSource = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// What the page is made with.
#[derive(Clone)]
pub struct Front {
    pub driver: Driver,
    pub sessions: Sessions,
    pub admit: Admit,
    pub own_origin: OriginCheck,
    pub guessed: GuessObserver,
    pub peer: PeerOf,
    pub metrics: MetricsSource,
    /// The SHA-256 of a certificate that no authority signed: agents must pin it.
    pub certificate: Option<Arc<str>>,
}

impl std::fmt::Debug for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Front")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginBody {
    token: Option<String>,
    code: Option<String>,
    /// Whether the session may do what the token may; otherwise it only looks.
    #[serde(default)]
    operate: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CodeBody {
    #[serde(default)]
    operate: bool,
}

/// All below `/page/`.
pub fn routes(front: Front) -> Router {
    Router::new()
        .route("/page/login", post(login))
        .route("/page/logout", post(logout))
        .route("/page/code", post(code))
        .route("/page/session", get(session))
        .route("/page/metrics", get(metrics))
        .route("/page/{name}", get(file))
        .with_state(front)
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    assets::answer(&name, &headers)
}

/// Begins a session, by a token or by a code that works once.
async fn login(State(front): State<Front>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Err(response) = (front.own_origin)(&parts.headers) {
        return *response;
    }
    let body: LoginBody = match read(&parts.headers, body).await {
        Ok(body) => body,
        Err(response) => return *response,
    };
    // Only now: many requests whose bodies are held back must not all be let through before the first one fails.
    let now = front.driver.now();
    let peer = (front.peer)(&parts.extensions);
    if let Some(wait) = peer.and_then(|peer| front.sessions.must_wait(peer, now)) {
        return too_many(wait);
    }
    let identity = match (body.token, body.code) {
        (Some(token), None) => {
            let identity = front.driver.authenticate(&token);
            identity.map(|identity| limited(identity, body.operate))
        }
        (None, Some(code)) => front
            .sessions
            .redeem(&code, now)
            .filter(|identity| is_valid(&front.driver, identity)),
        _ => {
            let what = "give either a token or a code";
            return refusal(StatusCode::BAD_REQUEST, "invalid_request", what);
        }
    };
    let Some(identity) = identity else {
        if let Some(peer) = peer {
            front.sessions.failed(peer, now);
        }
        (front.guessed)();
        let what =
            "this is unknown, revoked, expired, or was used before: `coord open` makes a new link";
        return refusal(StatusCode::UNAUTHORIZED, "unauthenticated", what);
    };
    let is_secure = is_secure(&parts.headers);
    let Some((cookie, session)) = front.sessions.begin(identity, is_secure, now) else {
        let what = "too many sessions are open: log out of another one";
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "limit_exceeded", what);
    };
    tracing::info!(agent = %session.identity.agent, role = session.identity.role.as_str(), "a session of the page began");
    with_cookie(front.told(&session), &cookie)
}

async fn logout(State(front): State<Front>, headers: HeaderMap) -> Response {
    if let Err(response) = (front.own_origin)(&headers) {
        return *response;
    }
    front.sessions.end(&headers);
    let gone = front.sessions.no_cookie(is_secure(&headers));
    with_cookie(answer(StatusCode::OK, &json!({})), &gone)
}

/// A code for a link, asked for with a token.
async fn code(State(front): State<Front>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let identity = match (front.admit)(&parts.headers) {
        Ok(identity) => identity,
        Err(response) => return *response,
    };
    let body: CodeBody = match read(&parts.headers, body).await {
        Ok(body) => body,
        Err(response) => return *response,
    };
    let identity = limited(identity, body.operate);
    let role = identity.role.as_str();
    match front.sessions.code(identity, front.driver.now()) {
        Some(code) => {
            let expires_in_ms = sessions::CODE_MS;
            let body = json!({ "code": code, "role": role, "expires_in_ms": expires_in_ms });
            answer(StatusCode::OK, &body)
        }
        None => too_many(Duration::from_millis(sessions::CODE_MS)),
    }
}

async fn session(State(front): State<Front>, headers: HeaderMap) -> Response {
    match front.session(&headers) {
        Some(session) => front.told(&session),
        None => no_session(),
    }
}

/// The metrics of the projects that the session may see.
async fn metrics(State(front): State<Front>, headers: HeaderMap) -> Response {
    let Some(session) = front.session(&headers) else {
        return no_session();
    };
    let page = match (front.metrics)() {
        Ok(page) => page,
        Err(error) => {
            tracing::error!(error, "cannot render the metrics");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let scope = &session.identity.projects;
    let may_see = |line: &&str| {
        let project = line.split_once("project=\"").map(|(_, rest)| rest);
        let project = project.and_then(|rest| rest.split('"').next());
        project.is_none_or(|name| {
            name.parse::<ProjectName>()
                .is_ok_and(|it| scope.allows(&it))
        })
    };
    let lines: Vec<&str> = page.lines().filter(may_see).collect();
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    let mut response = lines.join("\n").into_response();
    response.headers_mut().insert(CONTENT_TYPE, kind);
    sealed(response)
}

impl Front {
    /// The session that a request's cookie names.
    pub fn session(&self, headers: &HeaderMap) -> Option<Session> {
        let session = self.sessions.find(headers, self.driver.now())?;
        if is_valid(&self.driver, &session.identity) {
            return Some(session);
        }
        // The token was revoked, or is over.
        self.sessions.end(headers);
        None
    }

    fn told(&self, session: &Session) -> Response {
        let identity = &session.identity;
        let left = u64::try_from(session.left.as_millis()).unwrap_or(u64::MAX);
        let body = json!({
            "agent": identity.agent.to_string(),
            "role": identity.role.as_str(),
            "expires_in_ms": left,
            "certificate": self.certificate.as_deref(),
        });
        answer(StatusCode::OK, &body)
    }
}

fn is_valid(driver: &Driver, identity: &Identity) -> bool {
    driver.inspect(|core| core.is_valid(identity))
}

/// Whether the page came by TLS; a proxy may have taken it off, so the browser is asked.
fn is_secure(headers: &HeaderMap) -> bool {
    let origin = headers.get(ORIGIN).map(HeaderValue::as_bytes);
    origin.is_some_and(|origin| origin.starts_with(b"https://"))
}

/// A session only looks unless more was asked for, whatever its token allows.
fn limited(mut identity: Identity, operate: bool) -> Identity {
    if !operate {
        identity.role = Role::Observer;
    }
    identity
}

async fn read<T: serde::de::DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Box<Response>> {
    let refuse = |what| {
        let response = refusal(StatusCode::BAD_REQUEST, "invalid_request", what);
        Err(Box::new(response))
    };
    // A form of another page can send no JSON without asking first.
    let kind = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    if !kind.is_some_and(|kind| kind.starts_with("application/json")) {
        return refuse("Content-Type must be application/json");
    }
    let Ok(Ok(bytes)) = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, BODY_BYTES_MAX)).await
    else {
        return refuse("the body is too large, or did not arrive in time");
    };
    // What is wrong is not said in serde's words: they would repeat a part of a token.
    serde_json::from_slice(&bytes).or_else(|_| refuse("the body is not the JSON that is asked for"))
}

fn no_session() -> Response {
    let what = "there is no session: it ended, was revoked, or the coordinator restarted";
    refusal(StatusCode::UNAUTHORIZED, "unauthenticated", what)
}

fn too_many(wait: Duration) -> Response {
    let what = "too many attempts: wait a little";
    let mut response = refusal(StatusCode::TOO_MANY_REQUESTS, "overloaded", what);
    let seconds = HeaderValue::from(wait.as_secs().max(1));
    response.headers_mut().insert(RETRY_AFTER, seconds);
    response
}

fn refusal(status: StatusCode, kind: &str, message: &str) -> Response {
    answer(
        status,
        &json!({ "error": { "kind": kind, "message": message } }),
    )
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response {
    let kind = HeaderValue::from_static("application/json");
    sealed((status, [(CONTENT_TYPE, kind)], body.to_string()).into_response())
}

/// Nobody keeps it.
fn sealed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    assets::protect(headers);
    response
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(cookie) = HeaderValue::from_str(cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}
