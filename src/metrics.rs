//! What a central Prometheus reads: counters and histograms, resolved once, cheap to touch.

mod shared;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

pub use shared::SharedMetrics;

use crate::protocol::error::ErrorKind;
use crate::protocol::operations::{OPERATIONS, Operation};

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
    pub journal_syncs: IntCounter,
    pub journal_written_bytes: IntCounter,
    pub journal_disk_bytes: IntGauge,
    pub journal_live_bytes: IntGauge,
    pub journal_reserve: IntGauge,
    pub journal_batch_commands: Histogram,
    pub journal_sync_seconds: Histogram,
    pub snapshots: IntCounter,
    pub snapshot_bytes: IntGauge,
    pub recovered_torn_bytes: IntGauge,
    pub events_sent: IntCounter,
    pub subscriptions_expired: IntCounter,
    pub limits_hit: IntCounterVec,
    pub tasks: IntGaugeVec,
    pub totals: IntGaugeVec,
    pub agents: IntGaugeVec,
    pub leases: IntGaugeVec,
    pub messages_waiting: IntGaugeVec,
    pub messages_oldest_seconds: IntGaugeVec,
    pub clock_reading_ms: IntGaugeVec,
    /// The firewall's, as a privileged helper left them; without values where there is no firewall.
    pub firewall_state: IntGaugeVec,
    pub firewall_drift: IntGaugeVec,
    pub firewall_unconfirmed: IntGaugeVec,
    pub firewall_configuration_unconfirmed: IntGaugeVec,
    pub firewall_configuration_wrong: IntGaugeVec,
    pub firewall_age_seconds: IntGaugeVec,
    pub firewall_unreadable: IntGauge,
    pub firewall_packets: IntCounterVec,
    pub firewall_bytes: IntCounterVec,
    pub self_checks_failed: IntCounterVec,
    pub clock_wrong: IntGauge,
    pub config_reloads: IntCounterVec,
    pub config_reload_ok: IntGauge,
    pub ready: IntGauge,
    pub shared: SharedMetrics,
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
        let config_reload_ok = make.gauge(
            "coord_config_last_reload_successful",
            "0 when the configuration that was read last was refused, and an older one holds.",
        );
        // What it started with holds.
        config_reload_ok.set(1);
        let info = Opts::new("coord_build_info", "What is running; always 1.");
        let info = build.iter().fold(info, |o, (k, v)| o.const_label(*k, *v));
        make.register(IntGauge::with_opts(info)).set(1);
        Self {
            requests: operation_metrics(&make),
            connections: make.gauge("coord_connections", "Open WebSocket connections."),
            connections_total: make.counter("coord_connections_total", "Connections accepted."),
            connections_refused: make.counters(
                "coord_connections_refused_total",
                "Connections refused, by reason.",
                &["reason"],
            ),
            connections_port_mismatch: make.gauge(
                "coord_connections_port_mismatch",
                "Open connections whose port configuration is another one.",
            ),
            port_mismatches: make.counter(
                "coord_port_mismatches_total",
                "Connections whose port configuration was another one.",
            ),
            sessions: make.gauge(
                "coord_sessions",
                "Sessions of all projects, those in grace included.",
            ),
            in_flight: make.gauge(
                "coord_commands_in_flight",
                "Commands on their way to the journal.",
            ),
            waiting: make.gauge("coord_requests_waiting", "Claims and acquires that wait."),
            journal_syncs: make.counter("coord_journal_syncs_total", "Syncs of the journal."),
            journal_written_bytes: make.counter(
                "coord_journal_written_bytes_total",
                "Bytes written to the journal, padding included.",
            ),
            journal_disk_bytes: make.gauge(
                "coord_journal_disk_bytes",
                "Bytes the journal takes on the medium.",
            ),
            journal_live_bytes: make.gauge(
                "coord_journal_live_bytes",
                "Bytes of records no snapshot covers.",
            ),
            journal_reserve: make.gauge(
                "coord_journal_storage_full",
                "1 while only the reserve is left.",
            ),
            journal_batch_commands: make.histogram(
                "coord_journal_batch_commands",
                "Commands made durable by one sync.",
                BATCH_BUCKETS,
            ),
            journal_sync_seconds: make.histogram(
                "coord_journal_sync_seconds",
                "Time of one write and sync.",
                LATENCY_BUCKETS,
            ),
            snapshots: make.counter("coord_snapshots_total", "Snapshots saved."),
            snapshot_bytes: make.gauge(
                "coord_snapshot_bytes",
                "Bytes of the latest snapshots together.",
            ),
            recovered_torn_bytes: make.gauge(
                "coord_journal_torn_bytes",
                "Bytes of an unfinished write that recovery cut off at this start.",
            ),
            events_sent: make.counter("coord_events_sent_total", "Events sent to subscribers."),
            subscriptions_expired: make.counter(
                "coord_subscriptions_expired_total",
                "Subscribers that were too slow and were told so.",
            ),
            limits_hit: make.counters(
                "coord_limits_hit_total",
                "Refusals by the limit that was reached.",
                &["limit"],
            ),
            tasks: make.gauges("coord_tasks", "Tasks by state.", &["project", "state"]),
            totals: make.gauges(
                "coord_project_totals",
                "What has happened since a project began.",
                &["project", "what"],
            ),
            agents: make.gauges(
                "coord_agents",
                "Agents by presence.",
                &["project", "presence"],
            ),
            leases: make.gauges(
                "coord_leases",
                "Leases held, or lapsed and not open yet.",
                &["project", "state"],
            ),
            messages_waiting: make.gauges(
                "coord_messages_waiting",
                "Messages not acknowledged by all.",
                &["project"],
            ),
            messages_oldest_seconds: make.gauges(
                "coord_messages_oldest_seconds",
                "Age of the oldest message that waits.",
                &["project"],
            ),
            firewall_state: make.gauges(
                "coord_firewall_state",
                "How the loaded firewall rules stand to the configuration; 1 for what holds.",
                &["state"],
            ),
            firewall_drift: make.gauges(
                "coord_firewall_drift",
                "1 while the loaded firewall rules are not those of the configuration.",
                &[],
            ),
            firewall_unconfirmed: make.gauges(
                "coord_firewall_unconfirmed",
                "1 while a change of the firewall waits for its confirmation.",
                &[],
            ),
            firewall_configuration_unconfirmed: make.gauges(
                "coord_firewall_configuration_unconfirmed",
                "1 while the rules last confirmed are not those of the configuration, or cannot be read.",
                &[],
            ),
            firewall_configuration_wrong: make.gauges(
                "coord_firewall_configuration_wrong",
                "1 while the configuration makes no firewall rules.",
                &[],
            ),
            firewall_age_seconds: make.gauges(
                "coord_firewall_age_seconds",
                "How long ago the firewall was looked at.",
                &[],
            ),
            firewall_unreadable: make.gauge(
                "coord_firewall_unreadable",
                "1 while what the firewall's helper left cannot be used.",
            ),
            firewall_packets: make.counters(
                "coord_firewall_packets_total",
                "Packets by named counter of the firewall.",
                &["counter"],
            ),
            firewall_bytes: make.counters(
                "coord_firewall_bytes_total",
                "Bytes by named counter of the firewall.",
                &["counter"],
            ),
            clock_reading_ms: make.gauges(
                "coord_journal_time_ms",
                "Journal time of the last record.",
                &["project"],
            ),
            self_checks_failed: make.counters(
                "coord_self_checks_failed_total",
                "Times that a part of the coordinator did not answer to itself.",
                &["part"],
            ),
            clock_wrong: make.gauge(
                "coord_wall_clock_wrong",
                "1 while the wall clock is wrong, or the certificate is not valid by it.",
            ),
            config_reloads: make.counters(
                "coord_config_reloads_total",
                "Times the configuration was read anew, by what came of it.",
                &["outcome"],
            ),
            config_reload_ok,
            ready: make.gauge(
                "coord_ready",
                "1 while new work is taken; /readyz says what is waited for otherwise.",
            ),
            shared: SharedMetrics::new(&make),
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

/// Makes metrics and registers them. Names and labels are constants, so neither step can fail.
struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn register<M: prometheus::core::Collector + Clone + 'static>(
        &self,
        metric: prometheus::Result<M>,
    ) -> M {
        let metric = metric.expect("names and labels of metrics are valid constants");
        let boxed = Box::new(metric.clone());
        self.0
            .register(boxed)
            .expect("every metric is registered once");
        metric
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help))
    }

    fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(Histogram::with_opts(options))
    }
}
