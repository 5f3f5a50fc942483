//! How writing the metrics to a receiver goes.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{Gauge, IntCounterVec, IntGauge};

use super::Maker;
use crate::protocol::admin::PushStatus;

#[derive(Debug, Clone)]
pub struct PushMetrics {
    pub records: IntCounterVec,
    pub failures: IntCounterVec,
    backlog_records: IntGauge,
    backlog_bytes: IntGauge,
    lag: Gauge,
    pub clock_offset: Gauge,
    pub protocol: IntGauge,
    /// For `coord status`.
    status: Arc<Mutex<Option<PushStatus>>>,
}

impl PushMetrics {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        Self {
            records: make.counters(
                "coord_push_records_total",
                "Gatherings of the metrics that were sent or dropped, by what became of them.",
                &["outcome"],
            ),
            failures: make.counters(
                "coord_push_failures_total",
                "Requests to the receiver of the metrics that brought nothing, by why.",
                &["reason"],
            ),
            backlog_records: make.gauge(
                "coord_push_backlog_records",
                "Gatherings that wait for the receiver, in memory and on disk.",
            ),
            backlog_bytes: make.gauge("coord_push_backlog_bytes", "Their bytes."),
            lag: make.seconds_gauge(
                "coord_push_lag_seconds",
                "Age of the newest gathering that the receiver has; at first, how long the coordinator runs.",
            ),
            clock_offset: make.seconds_gauge(
                "coord_push_clock_offset_seconds",
                "The receiver's clock minus the clock of this machine, at the last answer.",
            ),
            protocol: make.gauge(
                "coord_push_protocol",
                "The version of remote write that is spoken: 1 or 2.",
            ),
            status: Arc::default(),
        }
    }

    /// Takes up how it goes now.
    pub fn show(&self, status: PushStatus) {
        self.backlog_records.set(gauge(status.backlog_records));
        self.backlog_bytes.set(gauge(status.backlog_bytes));
        #[allow(
            clippy::cast_precision_loss,
            reason = "milliseconds are far below 2^52"
        )]
        self.lag.set(status.lag_ms as f64 / 1e3);
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
    }

    /// `None`: nothing is pushed.
    pub fn status(&self) -> Option<PushStatus> {
        let status = self.status.lock();
        status.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
