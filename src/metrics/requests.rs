//! Metrics of requests: how many of each operation, which errors, how long by class.

use prometheus::{Histogram, HistogramVec, IntCounter};

use super::{LATENCY_BUCKETS, Maker};
use crate::protocol::error::ErrorKind;
use crate::protocol::operations::{OPERATIONS, Operation, OperationInfo};

/// Finer buckets for benches, in seconds; only with `metrics.detail`.
const DETAIL_BUCKETS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
    5.0,
];
const CLASSES: [&str; 3] = ["read", "write", "wait"];

/// Requests, resolved once for each operation.
#[derive(Debug, Clone)]
pub(super) struct RequestMetrics {
    operations: Vec<OperationMetrics>,
    errors: Vec<IntCounter>,
}

#[derive(Debug, Clone)]
struct OperationMetrics {
    answered: IntCounter,
    /// Of the operation's class.
    seconds: Histogram,
    detail: Option<OperationDetail>,
}

#[derive(Debug, Clone)]
struct OperationDetail {
    seconds: Histogram,
    ok: IntCounter,
    errors: Vec<IntCounter>,
}

impl RequestMetrics {
    pub(super) fn new(make: &Maker<'_>, detail: bool) -> Self {
        let answered = make.counters(
            "coord_requests_total",
            "Requests answered, by operation.",
            &["operation"],
        );
        let errors = make.counters(
            "coord_request_errors_total",
            "Requests answered with an error, by its kind.",
            &["kind"],
        );
        let seconds = make.histograms(
            "coord_request_seconds",
            "Time to answer a request that reads, writes, or may wait for something.",
            LATENCY_BUCKETS,
            &["class"],
        );
        let classes = CLASSES.map(|class| seconds.with_label_values(&[class]));
        let mut details = detail.then(|| detail_of_operations(make).into_iter());
        let operations = OPERATIONS.iter().map(|info| OperationMetrics {
            answered: answered.with_label_values(&[info.name]),
            seconds: classes[class(info)].clone(),
            detail: details.as_mut().and_then(Iterator::next),
        });
        Self {
            operations: operations.collect(),
            errors: ErrorKind::ALL
                .iter()
                .map(|(kind, ..)| errors.with_label_values(&[kind.as_str()]))
                .collect(),
        }
    }

    pub(super) fn answered(&self, operation: Operation, error: Option<ErrorKind>, micros: u64) {
        let Some(metrics) = self.operations.get(operation as usize) else {
            return;
        };
        #[allow(
            clippy::cast_precision_loss,
            reason = "latencies are far below 2^52 microseconds"
        )]
        let seconds = micros as f64 / 1e6;
        metrics.answered.inc();
        metrics.seconds.observe(seconds);
        if let Some(counter) = error.and_then(|kind| self.errors.get(kind as usize)) {
            counter.inc();
        }
        let Some(detail) = &metrics.detail else {
            return;
        };
        detail.seconds.observe(seconds);
        let outcome = error.and_then(|kind| detail.errors.get(kind as usize));
        outcome.unwrap_or(&detail.ok).inc();
    }
}

/// The class's place in [`CLASSES`]. An operation that may wait for hours, or for a whole backup, would ruin
/// the quantiles of the others.
fn class(info: &OperationInfo) -> usize {
    match (info.operation, info.kind) {
        (Operation::TaskClaim | Operation::LeaseAcquire | Operation::ServerBackup, _) => 2,
        (_, "query" | "connection") => 0,
        _ => 1,
    }
}

fn detail_of_operations(make: &Maker<'_>) -> Vec<OperationDetail> {
    let outcomes = make.counters(
        "coord_operation_outcomes_total",
        "Requests answered, by operation and outcome (metrics.detail).",
        &["operation", "outcome"],
    );
    let seconds: HistogramVec = make.histograms(
        "coord_operation_seconds",
        "Time to answer, waiting included, by operation (metrics.detail).",
        DETAIL_BUCKETS,
        &["operation"],
    );
    let detail = |info: &OperationInfo| OperationDetail {
        seconds: seconds.with_label_values(&[info.name]),
        ok: outcomes.with_label_values(&[info.name, "ok"]),
        errors: ErrorKind::ALL
            .iter()
            .map(|(kind, ..)| outcomes.with_label_values(&[info.name, kind.as_str()]))
            .collect(),
    };
    OPERATIONS.iter().map(detail).collect()
}
