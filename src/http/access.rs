//! Who may ask: the Host and Origin headers, and the token of a request.
//!
//! A page in a browser of the same network can make that browser connect to the gateway. Checking
//! Host keeps out names that were rebound to our address, checking Origin keeps out other pages.

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL, SERVER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::config::{AllowedHost, Endpoint, Host, WebOrigin};

/// The WebSocket subprotocol; a browser offers it together with `bearer.TOKEN`.
pub const SUBPROTOCOL: &str = "coord";
const BEARER_PROTOCOL: &str = "bearer.";

/// What Host and Origin may say.
#[derive(Debug, Clone)]
pub struct Access {
    own: Host,
    hosts: Vec<AllowedHost>,
    origins: Vec<WebOrigin>,
}

/// Why a request is turned away. Nothing in it comes from a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    Host,
    Origin,
    NoToken,
    BadToken,
}

impl Access {
    pub fn new(endpoint: &Endpoint, hosts: &[AllowedHost], origins: &[WebOrigin]) -> Self {
        Self {
            own: endpoint.host.clone(),
            hosts: hosts.to_vec(),
            origins: origins.to_vec(),
        }
    }

    /// Checks Host and Origin.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let host = headers.get(HOST).and_then(|value| value.to_str().ok());
        let host: AllowedHost = host
            .and_then(|text| text.parse().ok())
            .ok_or(Denied::Host)?;
        if !self.allows_host(&host) {
            return Err(Denied::Host);
        }
        let Some(origin) = headers.get(ORIGIN) else {
            return Ok(());
        };
        let origin = origin
            .to_str()
            .ok()
            .and_then(|text| text.parse::<WebOrigin>().ok());
        let same = |origin: &WebOrigin| {
            let named = headers.get(HOST).and_then(|value| value.to_str().ok());
            let page = origin.as_str().split_once("://").map(|(_, rest)| rest);
            page == named
        };
        match origin {
            Some(origin) if self.origins.contains(&origin) || same(&origin) => Ok(()),
            _ => Err(Denied::Origin),
        }
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
            Self::Host => "host",
            Self::Origin => "origin",
            Self::NoToken => "no_token",
            Self::BadToken => "bad_token",
        }
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let (status, kind, message) = match self {
            Self::Host => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "this Host is not served here: add it to websocket.allowed_hosts",
            ),
            Self::Origin => (
                StatusCode::FORBIDDEN,
                "forbidden",
                "pages of this Origin may not connect: add it to websocket.allowed_origins",
            ),
            Self::NoToken => (
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "a token is needed: Authorization: Bearer TOKEN",
            ),
            Self::BadToken => (
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                "the token is unknown, revoked or has run out",
            ),
        };
        refusal(status, kind, message)
    }
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
