//! `/healthz`: the process answers. `/readyz`: it can take work.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use super::access::set_retry_after;

/// What the pages call the program.
pub const SERVICE: &str = "cli-coordinator";

/// What both pages say.
#[derive(Debug, Clone, Serialize)]
pub struct Health {
    /// `ready`, `starting`, `recovering`, `draining`, `storage_full`, `journal_unreachable` or `failed`.
    pub status: &'static str,
    /// While it is starting or recovering, which ends by itself: the stage that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<&'static str>,
    /// The same for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// When it makes sense to ask again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
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
    let mut response = (status, axum::Json(health)).into_response();
    if let Some(retry_after_ms) = health.retry_after_ms.filter(|_| !well) {
        set_retry_after(&mut response, retry_after_ms);
    }
    response
}
