//! Gauges of the state of each project.

use prometheus::IntGaugeVec;

use super::Maker;

/// What a project holds, one series a project.
#[derive(Debug, Clone)]
pub struct ProjectMetrics {
    pub tasks: IntGaugeVec,
    pub totals: IntGaugeVec,
    pub agents: IntGaugeVec,
    pub leases: IntGaugeVec,
    pub messages_waiting: IntGaugeVec,
    pub messages_oldest_seconds: IntGaugeVec,
    pub clock_reading_ms: IntGaugeVec,
}

impl ProjectMetrics {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        let project = &["project"];
        Self {
            tasks: make.gauges("coord_tasks", "Tasks by state.", &["project", "state"]),
            totals: make.gauges(
                "coord_project_totals",
                "Changes since the project began, by kind.",
                &["project", "what"],
            ),
            agents: make.gauges(
                "coord_agents",
                "Agents by presence.",
                &["project", "presence"],
            ),
            leases: make.gauges(
                "coord_leases",
                "Leases that are held, or expired but not free yet.",
                &["project", "state"],
            ),
            messages_waiting: make.gauges(
                "coord_messages_waiting",
                "Messages not acknowledged by all.",
                project,
            ),
            messages_oldest_seconds: make.gauges(
                "coord_messages_oldest_seconds",
                "Age of the oldest waiting message.",
                project,
            ),
            clock_reading_ms: make.gauges(
                "coord_journal_time_ms",
                "Journal time of the last record.",
                project,
            ),
        }
    }
}
