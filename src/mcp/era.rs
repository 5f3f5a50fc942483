//! The two eras of the protocol, and what the headers of a request must say in each.

use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::fault::{Fault, HEADER_MISMATCH, UNSUPPORTED_VERSION};
use super::incoming::Incoming;

/// Versions that begin with `initialize`, the newest first.
pub(super) const HANDSHAKE_VERSIONS: [&str; 4] =
    ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
/// The version in which each request stands alone.
pub(super) const STANDALONE_VERSION: &str = "2026-07-28";

const VERSION_HEADER: &str = "mcp-protocol-version";
const METHOD_HEADER: &str = "mcp-method";
const NAME_HEADER: &str = "mcp-name";

/// How a value that is no plain header text travels.
const ENCODED: (&str, &str) = ("=?base64?", "?=");

/// Which rules a request follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Era {
    /// Up to 2025-11-25: `initialize` first.
    Handshake,
    /// 2026-07-28: `server/discover`, and metadata in each request.
    Standalone,
}

impl Era {
    /// The era that a request without headers claims to be of.
    pub(super) fn of(incoming: &Incoming<'_>) -> Result<Self, Fault> {
        match claimed(incoming) {
            Some(STANDALONE_VERSION) => Ok(Self::Standalone),
            Some(other) => Err(unsupported(other)),
            None if incoming.method == "server/discover" => {
                let what = "_meta[\"io.modelcontextprotocol/protocolVersion\"] is missing";
                Err(Fault::invalid_params(what).status(StatusCode::BAD_REQUEST))
            }
            None => Ok(Self::Handshake),
        }
    }

    /// The era of an HTTP request, whose headers must repeat what its body says. A load balancer may have acted
    /// on the headers alone.
    pub(super) fn of_http(headers: &HeaderMap, incoming: &Incoming<'_>) -> Result<Self, Fault> {
        let header = single(headers, VERSION_HEADER)?;
        let older = |version: &str| HANDSHAKE_VERSIONS.contains(&version);
        if let Some(header) = header.filter(|it| *it != STANDALONE_VERSION && !older(it)) {
            return Err(unsupported(header));
        }
        if let Some(version) = claimed(incoming).filter(|_| header != Some(STANDALONE_VERSION)) {
            return Err(mismatch(VERSION_HEADER, header, version));
        }
        let era = Self::of(incoming)?;
        match (era, header) {
            (Self::Handshake, Some(STANDALONE_VERSION)) => {
                let what = "mcp-protocol-version is 2026-07-28, but the body has no \
                            _meta[\"io.modelcontextprotocol/protocolVersion\"]";
                Err(Fault::new(HEADER_MISMATCH, what).status(StatusCode::BAD_REQUEST))
            }
            (Self::Handshake, _) => Ok(era),
            (Self::Standalone, _) => {
                require(headers, METHOD_HEADER, &incoming.method)?;
                if let Some(name) = incoming.addressed() {
                    require(headers, NAME_HEADER, name)?;
                }
                Ok(era)
            }
        }
    }
}

/// The version that a request names for itself. One of the older era means nothing there.
fn claimed<'i>(incoming: &'i Incoming<'_>) -> Option<&'i str> {
    let version = incoming.version()?;
    (!HANDSHAKE_VERSIONS.contains(&version)).then_some(version)
}

/// A header that may be there once.
fn single<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, Fault> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    let text = first.map(|value| value.to_str());
    match (text, second) {
        (None, _) => Ok(None),
        (Some(Ok(text)), None) => Ok(Some(text.trim())),
        _ => {
            let what = format!("the header {name} must be there once, as ASCII text");
            Err(Fault::new(HEADER_MISMATCH, what).status(StatusCode::BAD_REQUEST))
        }
    }
}

fn require(headers: &HeaderMap, name: &'static str, body: &str) -> Result<(), Fault> {
    let header = single(headers, name)?;
    match header.map(decoded) {
        Some(Some(said)) if said == body => Ok(()),
        _ => Err(mismatch(name, header, body)),
    }
}

fn decoded(value: &str) -> Option<String> {
    let (prefix, suffix) = ENCODED;
    let Some(inner) = value
        .strip_prefix(prefix)
        .and_then(|v| v.strip_suffix(suffix))
    else {
        return Some(value.to_owned());
    };
    let bytes = BASE64_STANDARD.decode(inner).ok()?;
    String::from_utf8(bytes).ok()
}

fn mismatch(name: &str, header: Option<&str>, body: &str) -> Fault {
    let shown = |text: &str| text.chars().take(64).collect::<String>();
    let what = match header {
        None => format!(
            "the header {name} is missing: the body says {:?}",
            shown(body)
        ),
        Some(header) => format!(
            "the header {name} says {:?}, the body {:?}",
            shown(header),
            shown(body)
        ),
    };
    Fault::new(HEADER_MISMATCH, what).status(StatusCode::BAD_REQUEST)
}

fn unsupported(version: &str) -> Fault {
    let version: String = version.chars().take(64).collect();
    let what = format!("the protocol version {version:?} is not served");
    let supported: Vec<&str> = supported().collect();
    Fault::new(UNSUPPORTED_VERSION, what)
        .status(StatusCode::BAD_REQUEST)
        .data(serde_json::json!({ "requested": version, "supported": supported }))
}

/// Every version, the newest first.
pub(super) fn supported() -> impl Iterator<Item = &'static str> {
    std::iter::once(STANDALONE_VERSION).chain(HANDSHAKE_VERSIONS)
}
