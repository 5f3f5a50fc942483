//! What the coordinator's own configuration is like, and who was let in to read the metrics by it.

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use super::Maker;

/// Reloads of the configuration, and the security of the metrics port.
#[derive(Debug, Clone)]
pub struct ConfigMetrics {
    pub reloads: IntCounterVec,
    pub reload_ok: IntGauge,
    pub web_config_ok: IntGauge,
    pub passwords_checked: IntCounter,
}

impl ConfigMetrics {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        Self {
            reloads: make.counters(
                "coord_config_reloads_total",
                "Reloads of the configuration, by result.",
                &["outcome"],
            ),
            reload_ok: make.gauge_of(
                "coord_config_last_reload_successful",
                "0 when the last reload was refused and the earlier configuration is still used.",
                // The one that it started with holds.
                1,
            ),
            web_config_ok: make.gauge_of(
                "coord_metrics_web_config_ok",
                "0 while the security of the metrics port is the last good one because the present one is wrong.",
                1,
            ),
            passwords_checked: make.counter(
                "coord_metrics_passwords_checked_total",
                "Passwords for the metrics port that took a computation of bcrypt.",
            ),
        }
    }
}
