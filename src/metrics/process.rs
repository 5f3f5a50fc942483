//! What the process takes from the machine, under the names that all Prometheus client libraries use.

use prometheus::{Counter, Gauge, IntGauge};

use super::Maker;

/// Memory, CPU, descriptors and the start of this process.
#[derive(Debug, Clone)]
pub struct ProcessMetrics {
    pub cpu_seconds: Counter,
    pub resident_memory_bytes: IntGauge,
    pub virtual_memory_bytes: IntGauge,
    pub open_fds: IntGauge,
    pub max_fds: IntGauge,
    pub start_time_seconds: Gauge,
}

impl ProcessMetrics {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        Self {
            cpu_seconds: make.seconds_counter(
                "process_cpu_seconds_total",
                "CPU time that the process used, in user and system mode.",
            ),
            resident_memory_bytes: make.gauge(
                "process_resident_memory_bytes",
                "Memory of the process that is in RAM.",
            ),
            virtual_memory_bytes: make.gauge(
                "process_virtual_memory_bytes",
                "Address space of the process.",
            ),
            open_fds: make.gauge("process_open_fds", "Open file descriptors."),
            max_fds: make.gauge("process_max_fds", "Limit of open file descriptors."),
            start_time_seconds: make.seconds_gauge(
                "process_start_time_seconds",
                "Start of the process as seconds since 1970, by the present wall clock.",
            ),
        }
    }
}
