//! Metrics of the tools of MCP.

use std::time::Duration;

use prometheus::{Histogram, IntCounterVec};

use super::{LATENCY_BUCKETS, Maker};

/// How tools do.
#[derive(Debug, Clone)]
pub struct ToolMetrics {
    calls: IntCounterVec,
    seconds: Histogram,
}

impl ToolMetrics {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        Self {
            calls: make.counters(
                "coord_tool_calls_total",
                "Calls of MCP tools, by tool and by what came of them.",
                &["tool", "outcome"],
            ),
            seconds: make.histogram(
                "coord_tool_call_seconds",
                "Time of one call of an MCP tool, all its operations together.",
                LATENCY_BUCKETS,
            ),
        }
    }

    /// One answered call. Both labels are of bounded sets.
    pub fn call(&self, tool: &'static str, outcome: &'static str, duration: Duration) {
        self.calls.with_label_values(&[tool, outcome]).inc();
        self.seconds.observe(duration.as_secs_f64());
    }
}
