//! The firewall's metrics, as a privileged helper left them; without values where there is no firewall.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec};

use super::Maker;

/// What the firewall is like, by its board.
#[derive(Debug, Clone)]
pub struct FirewallMetrics {
    pub state: IntGaugeVec,
    pub drift: IntGaugeVec,
    pub unconfirmed: IntGaugeVec,
    pub configuration_unconfirmed: IntGaugeVec,
    pub configuration_wrong: IntGaugeVec,
    pub age_seconds: IntGaugeVec,
    pub unreadable: IntGauge,
    pub packets: IntCounterVec,
    pub bytes: IntCounterVec,
}

impl FirewallMetrics {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        Self {
            state: make.gauges(
                "coord_firewall_state",
                "State of the loaded firewall rules compared to the configuration; 1 for the current state.",
                &["state"],
            ),
            drift: make.gauges(
                "coord_firewall_drift",
                "1 while the loaded firewall rules differ from the configuration.",
                &[],
            ),
            unconfirmed: make.gauges(
                "coord_firewall_unconfirmed",
                "1 while a change of the firewall waits for confirmation.",
                &[],
            ),
            configuration_unconfirmed: make.gauges(
                "coord_firewall_configuration_unconfirmed",
                "1 while the rules last confirmed differ from the configuration, or cannot be read.",
                &[],
            ),
            configuration_wrong: make.gauges(
                "coord_firewall_configuration_wrong",
                "1 while the configuration yields no firewall rules.",
                &[],
            ),
            age_seconds: make.gauges(
                "coord_firewall_age_seconds",
                "Age of the last check of the firewall.",
                &[],
            ),
            unreadable: make.gauge(
                "coord_firewall_unreadable",
                "1 while the firewall's status file cannot be used.",
            ),
            packets: make.counters(
                "coord_firewall_packets_total",
                "Packets by named counter of the firewall.",
                &["counter"],
            ),
            bytes: make.counters(
                "coord_firewall_bytes_total",
                "Bytes by named counter of the firewall.",
                &["counter"],
            ),
        }
    }
}
