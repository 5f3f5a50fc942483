//! Metrics of a journal that is shared with other coordinators; all zero for an embedded one.

use prometheus::{Histogram, IntCounter, IntGauge, IntGaugeVec};

use super::{LATENCY_BUCKETS, Maker};

/// How the shared journal does.
#[derive(Debug, Clone)]
pub struct SharedMetrics {
    pub append_seconds: Histogram,
    pub follow_seconds: Histogram,
    pub lag_records: IntGaugeVec,
    pub up: IntGaugeVec,
    pub live_bytes: IntGaugeVec,
    pub reconnects: IntCounter,
    pub epochs_opened: IntCounter,
    pub seeded: IntCounter,
    pub rebuilt: IntCounter,
    pub tails_lost: IntCounter,
    pub records_trimmed: IntCounter,
    pub appends_failed: IntCounter,
    pub durability: DurabilityMetrics,
    pub coordinators_port_mismatch: IntGauge,
}

impl SharedMetrics {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        let project = &["project"];
        Self {
            append_seconds: make.histogram(
                "coord_shared_append_seconds",
                "Time of one append to the shared journal.",
                LATENCY_BUCKETS,
            ),
            follow_seconds: make.histogram(
                "coord_shared_follow_seconds",
                "Time from the answer to an append until its record arrives on the stream, if it did not arrive \
                 before.",
                LATENCY_BUCKETS,
            ),
            lag_records: make.gauges(
                "coord_shared_lag_records",
                "Records of the stream that are not applied yet.",
                project,
            ),
            up: make.gauges(
                "coord_shared_up",
                "1 while the project's stream can be reached.",
                project,
            ),
            live_bytes: make.gauges(
                "coord_shared_live_bytes",
                "Bytes of records in the stream that no snapshot covers, as this node counts.",
                project,
            ),
            reconnects: make.counter(
                "coord_shared_reconnects_total",
                "Reconnects to the shared journal.",
            ),
            epochs_opened: make.counter(
                "coord_shared_epochs_opened_total",
                "Epochs that this node opened.",
            ),
            seeded: make.counter(
                "coord_shared_seeded_total",
                "Empty stores that this node filled.",
            ),
            rebuilt: make.counter(
                "coord_shared_rebuilt_total",
                "Times this node rebuilt a project's state from the snapshot.",
            ),
            tails_lost: make.counter(
                "coord_shared_tails_lost_total",
                "Times the store lost records that this node had applied.",
            ),
            records_trimmed: make.counter(
                "coord_shared_records_trimmed_total",
                "Records that were deleted because this node's snapshots cover them.",
            ),
            appends_failed: make.counter(
                "coord_shared_appends_failed_total",
                "Appends that were refused or not answered.",
            ),
            durability: DurabilityMetrics::new(make),
            coordinators_port_mismatch: make.gauge(
                "coord_shared_coordinators_port_mismatch",
                "Coordinators of this journal that serve sessions with a different port configuration; the log \
                 names them.",
            ),
        }
    }
}

/// How safe Redis says that it keeps what it acknowledged.
#[derive(Debug, Clone)]
pub struct DurabilityMetrics {
    pub replicas: IntGauge,
    pub fsync_always: IntGauge,
    pub warnings: IntGauge,
}

impl DurabilityMetrics {
    fn new(make: &Maker<'_>) -> Self {
        Self {
            replicas: make.gauge(
                "coord_shared_replicas",
                "Replicas of Redis at the last check.",
            ),
            fsync_always: make.gauge(
                "coord_shared_fsync_always",
                "1 if Redis syncs every write before it answers.",
            ),
            warnings: make.gauge(
                "coord_shared_durability_warnings",
                "Ways in which acknowledged writes could be lost; the log names them.",
            ),
        }
    }
}
