//! Metrics of the journal and its snapshots.

use prometheus::{Histogram, IntCounter, IntGauge};

use super::{BATCH_BUCKETS, LATENCY_BUCKETS, Maker};

/// How the journal does.
#[derive(Debug, Clone)]
pub struct JournalMetrics {
    pub syncs: IntCounter,
    pub written_bytes: IntCounter,
    pub disk_bytes: IntGauge,
    pub live_bytes: IntGauge,
    pub reserve: IntGauge,
    pub batch_commands: Histogram,
    pub sync_seconds: Histogram,
    pub snapshots: IntCounter,
    pub snapshot_bytes: IntGauge,
    pub recovered_torn_bytes: IntGauge,
}

impl JournalMetrics {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        Self {
            syncs: make.counter("coord_journal_syncs_total", "Syncs of the journal."),
            written_bytes: make.counter(
                "coord_journal_written_bytes_total",
                "Bytes written to the journal, padding included.",
            ),
            disk_bytes: make.gauge("coord_journal_disk_bytes", "Bytes of the journal on disk."),
            live_bytes: make.gauge(
                "coord_journal_live_bytes",
                "Bytes of records that no snapshot covers.",
            ),
            reserve: make.gauge(
                "coord_journal_storage_full",
                "1 while only the reserved space is left.",
            ),
            batch_commands: make.histogram(
                "coord_journal_batch_commands",
                "Commands made durable by one sync.",
                BATCH_BUCKETS,
            ),
            sync_seconds: make.histogram(
                "coord_journal_sync_seconds",
                "Time of one write and sync.",
                LATENCY_BUCKETS,
            ),
            snapshots: make.counter("coord_snapshots_total", "Snapshots saved."),
            snapshot_bytes: make.gauge(
                "coord_snapshot_bytes",
                "Total bytes of the latest snapshots.",
            ),
            recovered_torn_bytes: make.gauge(
                "coord_journal_torn_bytes",
                "Bytes of an incomplete write that recovery removed at this start.",
            ),
        }
    }
}
