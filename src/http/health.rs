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
    /// `ready`, `draining`, `storage_full`, `journal_unreachable` or `failed`.
    pub status: &'static str,
    pub service: &'static str,
    pub version: &'static str,
    pub node: String,
    pub environment: String,
    /// The fingerprint of the port configuration, 16 hexadecimal digits.
    pub port_fingerprint: String,
    /// `embedded` or `redis`.
    pub journal: &'static str,
    /// The coordinator is stopping: what is under way is finished, nothing new is taken.
    pub draining: bool,
    /// Work can be finished, none can be begun.
    pub storage_full: bool,
    /// Ways in which a shared Redis could lose acknowledged writes; the log names them.
    pub durability_warnings: i64,
    /// Open connections whose port configuration is another one.
    pub connections_port_mismatch: u64,
    /// Coordinators that share the journal, serve sessions and have another port configuration.
    pub coordinators_port_mismatch: u64,
    /// `right`, as far as can be told; `behind`, when it reads a time before the program was written
    /// or before the certificate begins; or `ahead_or_certificate_expired`.
    pub clock: &'static str,
    /// `none`, `valid`, `not_yet_valid`, `expired` or `unreadable`.
    pub certificate: &'static str,
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
