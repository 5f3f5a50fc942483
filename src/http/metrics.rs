//! The page that Prometheus scrapes.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Brings the gauges up to date and renders everything; the error is a text for the log.
pub type MetricsSource = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

pub fn routes(path: &str, source: MetricsSource) -> Router {
    Router::new().route(path, get(move || async move { page(&source) }))
}

fn page(source: &MetricsSource) -> Response {
    match source() {
        Ok(text) => {
            let format = "text/plain; version=0.0.4; charset=utf-8";
            ([(CONTENT_TYPE, format)], text).into_response()
        }
        Err(error) => {
            tracing::error!(error, "cannot render the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
