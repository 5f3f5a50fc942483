//! What a central Prometheus reads: counters and histograms, resolved once, cheap to touch.

mod config;
mod firewall;
mod journal;
mod maker;
mod mqtt;
mod process;
mod projects;
mod push;
mod requests;
mod shared;
mod tools;

use std::sync::Arc;

use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder};

pub use config::ConfigMetrics;
pub use firewall::FirewallMetrics;
pub use journal::JournalMetrics;
pub use maker::MetricInfo;
pub use mqtt::MqttMetrics;
pub use process::ProcessMetrics;
pub use projects::ProjectMetrics;
pub use push::PushMetrics;
pub use shared::{DurabilityMetrics, SharedMetrics};
pub use tools::ToolMetrics;

use crate::protocol::error::ErrorKind;
use crate::protocol::operations::Operation;
use maker::Maker;
use requests::RequestMetrics;

/// Which metrics are on the page beside those of every coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct MetricsScope {
    /// Those of a shared journal.
    pub shared: bool,
    /// Each outcome and latency by operation: some 1,500 series more.
    pub detail: bool,
    /// Those of writing them to a receiver.
    pub push: bool,
    /// Those of an MQTT broker.
    pub mqtt: bool,
}

/// Every metric of the coordinator.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    described: Arc<[MetricInfo]>,
    requests: RequestMetrics,
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
    pub config: ConfigMetrics,
    pub ready: IntGauge,
    pub certificate_not_after: IntGaugeVec,
    pub process: ProcessMetrics,
    pub journal: JournalMetrics,
    pub shared: SharedMetrics,
    pub projects: ProjectMetrics,
    pub push: PushMetrics,
    pub firewall: FirewallMetrics,
    pub mqtt: MqttMetrics,
    pub tools: ToolMetrics,
}

/// Seconds; from a read on a fast box to a sync on a slow card.
const LATENCY_BUCKETS: &[f64] = &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0];
const BATCH_BUCKETS: &[f64] = &[1.0, 4.0, 16.0, 64.0, 256.0, 1024.0];

impl Metrics {
    /// `build` are the labels of `coord_build_info`: name and value.
    pub fn new(build: &[(&str, &str)], scope: MetricsScope) -> Self {
        // Metrics that are not shown are counted all the same, which is simpler than asking each time.
        let (registry, hidden) = (Registry::new(), Registry::new());
        let (make, hide) = (Maker::new(&registry), Maker::new(&hidden));
        let shown = |is_shown| if is_shown { &make } else { &hide };
        make.build_info(build);
        Self {
            requests: RequestMetrics::new(&make, scope.detail),
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
            config: ConfigMetrics::new(&make),
            ready: make.gauge(
                "coord_ready",
                "1 while new work is accepted; otherwise /readyz says what the coordinator waits for.",
            ),
            certificate_not_after: make.gauges(
                "coord_certificate_not_after_seconds",
                "When a served certificate expires, as seconds since 1970, by what it is used for.",
                &["use"],
            ),
            process: ProcessMetrics::new(&make),
            journal: JournalMetrics::new(&make),
            shared: SharedMetrics::new(shown(scope.shared)),
            projects: ProjectMetrics::new(&make),
            push: PushMetrics::new(shown(scope.push)),
            firewall: FirewallMetrics::new(&make),
            mqtt: MqttMetrics::new(shown(scope.mqtt)),
            tools: ToolMetrics::new(&make),
            registry: registry.clone(),
            // Last, when all have been made.
            described: make.described().into(),
        }
    }

    /// Every metric that the page can have.
    pub fn described(&self) -> &[MetricInfo] {
        &self.described
    }

    /// One answered request.
    pub fn request(&self, operation: Operation, error: Option<ErrorKind>, micros: u64) {
        self.requests.answered(operation, error, micros);
    }

    /// Everything, as it is now.
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }
}

/// In the Prometheus text format.
pub fn text(families: &[MetricFamily]) -> Result<String, prometheus::Error> {
    TextEncoder::new().encode_to_string(families)
}
