//! What a central Prometheus reads: counters and histograms, resolved once, cheap to touch.

mod firewall;
mod journal;
mod maker;
mod projects;
mod shared;
mod tools;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry,
    TextEncoder,
};

pub use firewall::FirewallMetrics;
pub use journal::JournalMetrics;
pub use projects::ProjectMetrics;
pub use shared::{DurabilityMetrics, SharedMetrics};
pub use tools::ToolMetrics;

use crate::protocol::error::ErrorKind;
use crate::protocol::operations::{OPERATIONS, Operation};
use maker::Maker;

/// Every metric of the coordinator.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    requests: Vec<OperationMetrics>,
    pub connections: IntGauge,
    pub connections_total: IntCounter,
    pub connections_refused: IntCounterVec,
    pub connections_port_mismatch: IntGauge,
    pub port_mismatches: IntCounter,
    pub sessions: IntGauge,
    pub in_flight: IntGauge,
    pub waiting: IntGauge,
    pub events_sent: IntCounter,
    pub subscriptions_expired: IntCounter,
    pub limits_hit: IntCounterVec,
    pub self_checks_failed: IntCounterVec,
    pub clock_wrong: IntGauge,
    pub config_reloads: IntCounterVec,
    pub config_reload_ok: IntGauge,
    pub ready: IntGauge,
    pub journal: JournalMetrics,
    pub shared: SharedMetrics,
    pub projects: ProjectMetrics,
    pub firewall: FirewallMetrics,
    pub tools: ToolMetrics,
}

#[derive(Debug, Clone)]
struct OperationMetrics {
    seconds: Histogram,
    ok: IntCounter,
    errors: Vec<IntCounter>,
}

/// Seconds; from a read on a fast box to a sync on a slow card.
const LATENCY_BUCKETS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
    5.0,
];
const BATCH_BUCKETS: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0,
];

impl Metrics {
    /// `build` are the labels of `coord_build_info`: name and value.
    pub fn new(build: &[(&str, &str)]) -> Self {
        let registry = Registry::new();
        let make = Maker(&registry);
        make.build_info(build);
        Self {
            requests: operation_metrics(&make),
            connections: make.gauge("coord_connections", "Open connections to the driver."),
            connections_total: make.counter("coord_connections_total", "Connections accepted."),
            connections_refused: make.counters(
                "coord_connections_refused_total",
                "Connections refused, by reason.",
                &["reason"],
            ),
            connections_port_mismatch: make.gauge(
                "coord_connections_port_mismatch",
                "Open connections with a different port configuration.",
            ),
            port_mismatches: make.counter(
                "coord_port_mismatches_total",
                "Connections that had a different port configuration.",
            ),
            sessions: make.gauge(
                "coord_sessions",
                "Sessions of all projects, including those in their grace period.",
            ),
            in_flight: make.gauge(
                "coord_commands_in_flight",
                "Commands that are being written to the journal.",
            ),
            waiting: make.gauge("coord_requests_waiting", "Claims and acquires that wait."),
            events_sent: make.counter("coord_events_sent_total", "Events sent to subscribers."),
            subscriptions_expired: make.counter(
                "coord_subscriptions_expired_total",
                "Subscriptions that ended because the subscriber was too slow.",
            ),
            limits_hit: make.counters(
                "coord_limits_hit_total",
                "Refusals, by the limit that was reached.",
                &["limit"],
            ),
            self_checks_failed: make.counters(
                "coord_self_checks_failed_total",
                "Times that a part of the coordinator did not respond to its self-check.",
                &["part"],
            ),
            clock_wrong: make.gauge(
                "coord_wall_clock_wrong",
                "1 while the wall clock is wrong, or the certificate is not valid according to it.",
            ),
            config_reloads: make.counters(
                "coord_config_reloads_total",
                "Reloads of the configuration, by result.",
                &["outcome"],
            ),
            config_reload_ok: make.gauge_of(
                "coord_config_last_reload_successful",
                "0 when the last reload was refused and the earlier configuration is still used.",
                // The one that it started with holds.
                1,
            ),
            ready: make.gauge(
                "coord_ready",
                "1 while new work is accepted; otherwise /readyz says what the coordinator waits for.",
            ),
            journal: JournalMetrics::new(&make),
            shared: SharedMetrics::new(&make),
            projects: ProjectMetrics::new(&make),
            firewall: FirewallMetrics::new(&make),
            tools: ToolMetrics::new(&make),
            registry,
        }
    }

    /// One answered request.
    pub fn request(&self, operation: Operation, error: Option<ErrorKind>, micros: u64) {
        let Some(metrics) = self.requests.get(operation as usize) else {
            return;
        };
        #[allow(
            clippy::cast_precision_loss,
            reason = "latencies are far below 2^52 microseconds"
        )]
        metrics.seconds.observe(micros as f64 / 1e6);
        match error.and_then(|kind| metrics.errors.get(kind as usize)) {
            Some(counter) => counter.inc(),
            None => metrics.ok.inc(),
        }
    }

    /// Everything in the Prometheus text format.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

fn operation_metrics(make: &Maker<'_>) -> Vec<OperationMetrics> {
    let requests = make.counters(
        "coord_requests_total",
        "Requests answered, by operation and outcome.",
        &["operation", "outcome"],
    );
    let options = HistogramOpts::new("coord_request_seconds", "Time to answer, waiting included.");
    let options = options.buckets(LATENCY_BUCKETS.to_vec());
    let seconds = make.register(HistogramVec::new(options, &["operation"]));
    OPERATIONS
        .iter()
        .map(|info| OperationMetrics {
            seconds: seconds.with_label_values(&[info.name]),
            ok: requests.with_label_values(&[info.name, "ok"]),
            errors: ErrorKind::ALL
                .iter()
                .map(|(kind, ..)| requests.with_label_values(&[info.name, kind.as_str()]))
                .collect(),
        })
        .collect()
}
