//! The files of the page, compressed by the build script.

use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

/// One file: its name, its media type, a tag of its content, and its content in gzip.
struct Asset {
    name: &'static str,
    kind: &'static str,
    tag: &'static str,
    packed: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/page_assets.rs"));

/// Everything comes from the coordinator itself, and nothing is inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const COOP: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The page itself, at `/`. It holds nothing that needs a session.
pub fn landing(headers: &HeaderMap) -> Response {
    answer("index.html", headers)
}

pub(super) fn answer(name: &str, asked: &HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        let mut response = (StatusCode::NOT_FOUND, "no such file").into_response();
        protect(response.headers_mut());
        return response;
    };
    let text = |name| {
        asked
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let is_known = text(IF_NONE_MATCH).is_some_and(|known| known.contains(asset.tag));
    // Only the compressed form is in the program; every browser takes it.
    let takes = text(ACCEPT_ENCODING).is_some_and(|codings| codings.contains("gzip"));
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else if takes {
        let mut response = asset.packed.into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
        response
    } else {
        let what = "this page is for browsers: ask with Accept-Encoding: gzip";
        (StatusCode::NOT_ACCEPTABLE, what).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, HeaderValue::from_static(asset.tag));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    // Kept, but asked for each time: a new version of the coordinator shows at once.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    protect(headers);
    response
}

/// The headers of everything that a browser gets.
pub(super) fn protect(headers: &mut HeaderMap) {
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (COOP, "same-origin"),
        (CORP, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
