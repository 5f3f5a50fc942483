//! The page that Prometheus scrapes.

use std::io::Write;
use std::sync::Arc;

use axum::Router;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Brings the gauges up to date and renders everything; the error is a text for the log.
pub type MetricsSource = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub fn routes(path: &str, source: MetricsSource) -> Router {
    let page = move |headers: HeaderMap| async move { page(&source, &headers) };
    Router::new().route(path, get(page))
}

fn page(source: &MetricsSource, asked: &HeaderMap) -> Response {
    match source().and_then(|text| encoded(text, takes_gzip(asked))) {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(error, "cannot render the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn encoded(text: String, gzip: bool) -> Result<Response, String> {
    let mut response = if gzip {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let written = encoder.write_all(text.as_bytes());
        let packed = written.and_then(|()| encoder.finish());
        let mut response = packed.map_err(|error| error.to_string())?.into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    } else {
        text.into_response()
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(FORMAT));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    Ok(response)
}

/// Whether the client takes gzip: it names it, or everything, with a weight other than 0.
fn takes_gzip(asked: &HeaderMap) -> bool {
    let values = asked.get_all(ACCEPT_ENCODING).iter();
    let codings = values.filter_map(|value| value.to_str().ok());
    let mut takes_any = false;
    for coding in codings.flat_map(|text| text.split(',')) {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q="));
        let wanted = weight.is_none_or(|weight| weight.parse().is_ok_and(|q: f32| q > 0.0));
        if name.eq_ignore_ascii_case("gzip") {
            return wanted;
        }
        takes_any |= wanted && name == "*";
    }
    takes_any
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(asked: &[&'static str], expected: bool) {
        let mut headers = HeaderMap::new();
        for value in asked {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_static(value));
        }
        assert_eq!(takes_gzip(&headers), expected, "{asked:?}");
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        check(&["gzip"], true);
        check(&["deflate, GZIP;q=0.5"], true);
        check(&["deflate", "gzip"], true);
        check(&["*"], true);
        check(&[], false);
        check(&["identity"], false);
        check(&["gzip;q=0"], false);
        check(&["*, gzip;q=0.0"], false);
        check(&["gzipped"], false);
        check(&["gzip;q=nonsense"], false);
    }
}
