//! Who may ask: the Host and Origin headers, and the token of a request.
//!
//! A page in a browser of the same network can make that browser connect to the gateway. Checking
//! Host keeps out names that were rebound to our address, checking Origin keeps out other pages.
//! Host is checked for every answer of every listener: a rebound name could read pages too.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{
    AUTHORIZATION, HOST, ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL, SERVER,
};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::config::{AllowedHost, Endpoint, Host, WebOrigin};

/// The WebSocket subprotocol; a browser offers it together with `bearer.TOKEN`.
pub const SUBPROTOCOL: &str = "coord";
const BEARER_PROTOCOL: &str = "bearer.";

/// What Host and Origin may say.
#[derive(Debug, Clone)]
pub struct Access {
    /// The setting that takes more hosts.
    setting: &'static str,
    own: Host,
    hosts: Vec<AllowedHost>,
    origins: Vec<WebOrigin>,
}

/// Why a request is turned away. Nothing in it comes from a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// With the setting that takes more hosts.
    Host(&'static str),
    Origin,
    NoToken,
    BadToken,
}

impl Access {
    /// `setting` names `hosts` for people.
    pub fn new(
        endpoint: &Endpoint,
        setting: &'static str,
        hosts: &[AllowedHost],
        origins: &[WebOrigin],
    ) -> Self {
        Self {
            setting,
            own: endpoint.host.clone(),
            hosts: hosts.to_vec(),
            origins: origins.to_vec(),
        }
    }

    /// Checks by which name a request addresses us: one Host, and the same for a target that names a host.
    pub fn check_host(
        &self,
        version: Version,
        target: Option<&Authority>,
        headers: &HeaderMap,
    ) -> Result<(), Denied> {
        let named: Vec<&HeaderValue> = headers.get_all(HOST).iter().collect();
        let allowed = match &*named {
            // Old health checkers send none. No browser is among them, and only browsers are rebound.
            [] => version == Version::HTTP_10,
            [host] => host.to_str().is_ok_and(|host| self.allows(host)),
            _ => false,
        };
        if allowed && target.is_none_or(|target| self.allows(target.as_str())) {
            return Ok(());
        }
        Err(Denied::Host(self.setting))
    }

    /// Checks Origin, where a browser sent one.
    pub fn check_origin(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let Some(origin) = headers.get(ORIGIN) else {
            return Ok(());
        };
        let origin = origin
            .to_str()
            .ok()
            .and_then(|text| text.parse::<WebOrigin>().ok());
        match origin {
            Some(origin) if self.origins.contains(&origin) || is_own(&origin, headers) => Ok(()),
            _ => Err(Denied::Origin),
        }
    }

    /// Checks that a request comes from a page of this coordinator, and from a browser, which says so: it adds our
    /// cookie to the requests of other pages too.
    pub fn check_own_origin(headers: &HeaderMap) -> Result<(), Denied> {
        let origin = headers.get(ORIGIN).and_then(|value| value.to_str().ok());
        let origin = origin.and_then(|text| text.parse::<WebOrigin>().ok());
        match origin {
            Some(origin) if is_own(&origin, headers) => Ok(()),
            _ => Err(Denied::Origin),
        }
    }

    fn allows(&self, host: &str) -> bool {
        host.parse().is_ok_and(|host| self.allows_host(&host))
    }

    /// An address cannot be rebound as a name can, so any address will do.
    fn allows_host(&self, named: &AllowedHost) -> bool {
        matches!(named.host, Host::Address(_))
            || named.host.is_loopback()
            || named.host == self.own
            || self.hosts.iter().any(|allowed| {
                allowed.host == named.host && (allowed.port.is_none() || allowed.port == named.port)
            })
    }
}

/// Whether a page was served by the host that the request names.
fn is_own(origin: &WebOrigin, headers: &HeaderMap) -> bool {
    let named = headers.get(HOST).and_then(|value| value.to_str().ok());
    let page = origin.as_str().split_once("://").map(|(_, rest)| rest);
    page == named
}

/// The token of a request: from `Authorization: Bearer`, or from the offered subprotocols.
pub fn token(headers: &HeaderMap) -> Result<&str, Denied> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let text = value.to_str().map_err(|_| Denied::BadToken)?;
        let (scheme, token) = text.split_once(' ').ok_or(Denied::BadToken)?;
        return if scheme.eq_ignore_ascii_case("bearer") {
            Ok(token.trim())
        } else {
            Err(Denied::BadToken)
        };
    }
    offered(headers)
        .find_map(|protocol| protocol.strip_prefix(BEARER_PROTOCOL))
        .ok_or(Denied::NoToken)
}

/// Whether the client offers our subprotocol, which then must be named in the answer.
pub fn offers_subprotocol(headers: &HeaderMap) -> bool {
    offered(headers).any(|protocol| protocol == SUBPROTOCOL)
}

fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .map(str::trim)
}

impl Denied {
    pub fn reason(self) -> &'static str {
        match self {
            Self::Host(_) => "host",
            Self::Origin => "origin",
            Self::NoToken => "no_token",
            Self::BadToken => "bad_token",
        }
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let (status, kind, message) = match self {
            Self::Host(setting) => (
                StatusCode::FORBIDDEN,
                "forbidden",
                format!("this Host header is not allowed: add it to {setting}"),
            ),
            Self::Origin => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "this Origin is not allowed: add it to websocket.allowed_origins".to_owned(),
            ),
            Self::NoToken => (
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "a token is needed: Authorization: Bearer TOKEN".to_owned(),
            ),
            Self::BadToken => (
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "the token is unknown, revoked or expired".to_owned(),
            ),
        };
        refusal(status, kind, &message)
    }
}

/// What Host may say, asked anew for each request.
pub type AccessSource = Arc<dyn Fn() -> Access + Send + Sync>;

/// Told the reason when a request is turned away.
pub type RefusalObserver = Arc<dyn Fn(&'static str) + Send + Sync>;

/// Checks Host before anything of a listener answers, what it does not know included.
pub fn guarded(router: Router, access: AccessSource, refused: RefusalObserver) -> Router {
    router.layer(from_fn(move |request: Request, next: Next| {
        let target = request.uri().authority();
        let checked = access().check_host(request.version(), target, request.headers());
        if let Err(denied) = checked {
            refused(denied.reason());
        }
        async move {
            match checked {
                Ok(()) => next.run(request).await,
                Err(denied) => denied.into_response(),
            }
        }
    }))
}

/// The `Server` header of every answer.
const PRODUCT: &str = concat!("coord/", env!("CARGO_PKG_VERSION"));

/// Says in an answer whose it is.
pub async fn name_product(mut response: Response) -> Response {
    let product = HeaderValue::from_static(PRODUCT);
    response.headers_mut().insert(SERVER, product);
    response
}

/// A refusal as JSON, in the form of the WebSocket errors.
pub fn refusal(status: StatusCode, kind: &str, message: &str) -> Response {
    let body = json!({ "error": { "kind": kind, "message": message } });
    let mut response = (status, axum::Json(body)).into_response();
    if status == StatusCode::UNAUTHORIZED {
        let challenge = axum::http::HeaderValue::from_static("Bearer realm=\"coord\"");
        let headers = response.headers_mut();
        headers.insert(axum::http::header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// A refusal because the coordinator does not serve yet, in the form of the WebSocket errors.
pub fn not_yet(why: &str, retry_after_ms: u64) -> Response {
    let error = json!({
        "kind": "unavailable",
        "message": why,
        "retry_after_ms": retry_after_ms,
    });
    let body = axum::Json(json!({ "error": error }));
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, body).into_response();
    set_retry_after(&mut response, retry_after_ms);
    response
}

/// The header counts in seconds.
pub(super) fn set_retry_after(response: &mut Response, retry_after_ms: u64) {
    let seconds = retry_after_ms.div_ceil(1_000).max(1);
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from(seconds));
}
