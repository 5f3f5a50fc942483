//! `/healthz`: the process answers. `/readyz`: it can take work.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

/// What both pages say.
#[derive(Debug, Clone, Serialize)]
pub struct Health {
    /// `ready`, `draining`, `storage_full` or `failed`.
    pub status: &'static str,
    pub service: &'static str,
    pub version: &'static str,
    pub node: String,
    pub environment: String,
    /// `embedded` or `redis`.
    pub journal: &'static str,
    pub uptime_ms: u64,
}

/// Works out the health, anew for each request.
pub type HealthSource = Arc<dyn Fn() -> Health + Send + Sync>;

/// Both pages. They tell nothing that an unauthenticated peer may not know.
pub fn routes(source: HealthSource) -> Router {
    let ready = Arc::clone(&source);
    Router::new()
        .route(
            "/healthz",
            get(move || async move { page(&source(), true) }),
        )
        .route("/readyz", get(move || async move { page(&ready(), false) }))
}

fn page(health: &Health, alive: bool) -> Response {
    let failed = health.status == "failed";
    let well = if alive {
        !failed
    } else {
        health.status == "ready"
    };
    let status = if well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, axum::Json(health)).into_response()
}
