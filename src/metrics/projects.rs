//! Metrics of the state of each project.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};

use super::Maker;

/// What a project holds, and how often something happened to it.
#[derive(Debug, Clone)]
pub struct ProjectMetrics {
    pub tasks: IntGaugeVec,
    pub agents: IntGaugeVec,
    pub leases: IntGaugeVec,
    pub messages_waiting: IntGaugeVec,
    pub messages_oldest_seconds: IntGaugeVec,
    pub journal_time_seconds: GaugeVec,
    pub tasks_done: IntCounterVec,
    pub tasks_dead: IntCounterVec,
    pub tasks_forgotten: IntCounterVec,
    pub attempts_lost: IntCounterVec,
    pub leases_lapsed: IntCounterVec,
    pub messages_expired: IntCounterVec,
}

impl ProjectMetrics {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        let project = &["project"];
        let gauges = |name, help| make.gauges(name, help, project);
        let counters = |name, help| make.counters(name, help, project);
        Self {
            tasks: make.gauges("coord_tasks", "Tasks by state.", &["project", "state"]),
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
            messages_waiting: gauges(
                "coord_messages_waiting",
                "Messages not acknowledged by all.",
            ),
            messages_oldest_seconds: gauges(
                "coord_messages_oldest_seconds",
                "Age of the oldest waiting message.",
            ),
            journal_time_seconds: make.seconds_gauges(
                "coord_journal_time_seconds",
                "Journal time of the last record.",
                project,
            ),
            tasks_done: counters("coord_tasks_done_total", "Tasks that were completed."),
            tasks_dead: counters("coord_tasks_dead_total", "Tasks that failed too often."),
            tasks_forgotten: counters(
                "coord_tasks_forgotten_total",
                "Finished tasks that were deleted because of their age or number.",
            ),
            attempts_lost: counters(
                "coord_attempts_lost_total",
                "Attempts that ended because their agent was lost.",
            ),
            leases_lapsed: counters("coord_leases_lapsed_total", "Leases that expired."),
            messages_expired: counters(
                "coord_messages_expired_total",
                "Messages that expired before all had acknowledged them.",
            ),
        }
    }
}
