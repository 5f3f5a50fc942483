//! Metrics that are computed from the engines at each scrape.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGaugeVec};

use super::live::Live;
use super::{firewall, process};
use crate::driver::core::{Core, Moment};
use crate::driver::line::Condition;
use crate::driver::shell::Driver;
use crate::engine::Engine;
use crate::engine::state::Totals;
use crate::http::metrics::MetricsSource;
use crate::http::scrape::Security;
use crate::metrics::{self, Metrics};

const STATES: [&str; 6] = ["blocked", "ready", "claimed", "done", "dead", "cancelled"];
const PRESENCES: [&str; 5] = ["online", "idle", "busy", "away", "gone"];

/// Projects with series of their own. Users choose the names, so their number must have a bound.
const PROJECTS_MAX: usize = 8;
/// The label of all others together; a project cannot have this name.
const OTHERS: &str = "(others)";

/// The projects with series of their own: the first ones of this run, for a project that moved to or from the
/// others would make their counters jump.
#[derive(Debug, Default)]
pub(super) struct Shown(BTreeSet<String>);

/// What one project holds, or several together.
#[derive(Debug, Default)]
struct Reading {
    tasks: [u64; STATES.len()],
    agents: [u64; PRESENCES.len()],
    leases_held: u64,
    leases_lapsed: u64,
    messages_waiting: u64,
    messages_oldest_ms: u64,
    journal_time_ms: u64,
    totals: Totals,
}

/// Everything that a scrape reads.
pub(super) struct Gauges {
    pub(super) driver: Driver,
    pub(super) metrics: Metrics,
    pub(super) live: Live,
    pub(super) security: Arc<Security>,
    pub(super) firewall_file: PathBuf,
    pub(super) shown: Mutex<Shown>,
}

impl Gauges {
    pub(super) fn source(self: Arc<Self>) -> MetricsSource {
        Arc::new(move || {
            let page = metrics::text(&self.gather());
            page.map_err(|error| error.to_string())
        })
    }

    /// All metrics, brought up to date.
    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        // Two at once would count what both of them set.
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh(&mut shown);
        self.metrics.gather()
    }

    fn refresh(&self, shown: &mut Shown) {
        let metrics = &self.metrics;
        firewall::refresh(&self.firewall_file, metrics);
        self.certificates();
        let checked = &metrics.config.passwords_checked;
        checked.reset();
        checked.inc_by(self.security.passwords_checked());
        let now = self.driver.now();
        self.driver.inspect(|core| {
            refresh(core, shown, metrics);
            let ready = core.readiness(now).condition == Condition::Ready;
            metrics.ready.set(i64::from(ready));
            lines(core, now, shown, metrics);
            process::refresh(core.uptime_ms(now), metrics);
        });
    }

    fn certificates(&self) {
        let gauges = &self.metrics.certificate_not_after;
        gauges.reset();
        let values = self.live.values();
        let served = [
            ("agents", values.tls.as_ref().and_then(|tls| tls.validity)),
            ("metrics", self.security.validity()),
        ];
        for (used_for, validity) in served {
            if let Some(validity) = validity {
                let expires = gauge(validity.not_after_s);
                gauges.with_label_values(&[used_for]).set(expires);
            }
        }
    }
}

impl Shown {
    fn label<'a>(&mut self, project: &'a str) -> &'a str {
        if self.0.contains(project) {
            return project;
        }
        if self.0.len() < PROJECTS_MAX {
            self.0.insert(project.to_owned());
            return project;
        }
        OTHERS
    }
}

fn refresh(core: &Core, shown: &mut Shown, metrics: &Metrics) {
    let status = core.journal_status();
    metrics.journal.disk_bytes.set(gauge(status.disk_bytes));
    metrics.journal.live_bytes.set(gauge(status.live_bytes));
    metrics.journal.reserve.set(i64::from(core.storage_full()));
    let mut sessions = 0;
    let mut others = None;
    for (name, engine) in core.engines() {
        sessions += engine.state().sessions.len() as u64;
        let unseen = core.unseen_agents(name).count() as u64;
        let label = shown.label(name.as_str());
        if label == OTHERS {
            others
                .get_or_insert_with(Reading::default)
                .add(engine, unseen);
        } else {
            let mut reading = Reading::default();
            reading.add(engine, unseen);
            reading.show(label, metrics);
        }
    }
    if let Some(others) = others {
        others.show(OTHERS, metrics);
    }
    metrics.sessions.set(gauge(sessions));
    let other_ports = gauge(core.other_ports_nodes());
    metrics.shared.coordinators_port_mismatch.set(other_ports);
}

fn lines(core: &Core, now: Moment, shown: &mut Shown, metrics: &Metrics) {
    let shared = &metrics.shared;
    for gauges in [&shared.up, &shared.lag_records, &shared.live_bytes] {
        gauges.reset();
    }
    let mut down = BTreeSet::new();
    for (name, line) in core.lines(now) {
        let label = shown.label(name.as_str());
        let of = |gauges: &IntGaugeVec| gauges.with_label_values(&[label]);
        of(&shared.lag_records).add(gauge(line.waiting));
        of(&shared.live_bytes).add(gauge(line.live_bytes));
        // Of several, one that is down shows.
        if !line.up {
            down.insert(label);
        }
        of(&shared.up).set(i64::from(!down.contains(label)));
    }
}

impl Reading {
    fn add(&mut self, engine: &Engine, unseen_agents: u64) {
        let state = engine.state();
        for (count, wanted) in self.tasks.iter_mut().zip(STATES) {
            let of_state = state.tasks.values().filter(|t| t.state.as_str() == wanted);
            *count += of_state.count() as u64;
        }
        for (count, wanted) in self.agents.iter_mut().zip(PRESENCES) {
            let agents = state.agents.values();
            let present = agents.filter(|a| a.presence.as_str() == wanted);
            *count += present.count() as u64;
            if wanted == "gone" {
                *count += unseen_agents;
            }
        }
        let held = state.leases.values().filter(|lease| lease.is_held());
        let held = held.count() as u64;
        self.leases_held += held;
        self.leases_lapsed += state.leases.len() as u64 - held;
        let waiting = || state.messages.values().filter(|m| !m.pending.is_empty());
        self.messages_waiting += waiting().count() as u64;
        let oldest = waiting().map(|m| m.sent_at).min();
        let age_ms = oldest.map_or(0, |sent_at| state.now.since_ms(sent_at));
        self.messages_oldest_ms = self.messages_oldest_ms.max(age_ms);
        self.journal_time_ms = self.journal_time_ms.max(state.now.0);
        let (sum, totals) = (&mut self.totals, &state.totals);
        sum.tasks_done += totals.tasks_done;
        sum.tasks_dead += totals.tasks_dead;
        sum.tasks_forgotten += totals.tasks_forgotten;
        sum.attempts_lost += totals.attempts_lost;
        sum.leases_lapsed += totals.leases_lapsed;
        sum.messages_expired += totals.messages_expired;
    }

    fn show(&self, label: &str, metrics: &Metrics) {
        let projects = &metrics.projects;
        let set = |gauges: &IntGaugeVec, labels: &[&str], value| {
            gauges.with_label_values(labels).set(gauge(value));
        };
        for (count, state) in self.tasks.iter().zip(STATES) {
            set(&projects.tasks, &[label, state], *count);
        }
        for (count, presence) in self.agents.iter().zip(PRESENCES) {
            set(&projects.agents, &[label, presence], *count);
        }
        set(&projects.leases, &[label, "held"], self.leases_held);
        set(&projects.leases, &[label, "lapsed"], self.leases_lapsed);
        set(&projects.messages_waiting, &[label], self.messages_waiting);
        let oldest_s = self.messages_oldest_ms / 1_000;
        set(&projects.messages_oldest_seconds, &[label], oldest_s);
        #[allow(
            clippy::cast_precision_loss,
            reason = "milliseconds of journal time are far below 2^52"
        )]
        let journal_time_s = self.journal_time_ms as f64 / 1e3;
        let clock = &projects.journal_time_seconds;
        clock.with_label_values(&[label]).set(journal_time_s);
        let counted = |counters: &IntCounterVec, total| {
            let counter = counters.with_label_values(&[label]);
            counter.reset();
            counter.inc_by(total);
        };
        counted(&projects.tasks_done, self.totals.tasks_done);
        counted(&projects.tasks_dead, self.totals.tasks_dead);
        counted(&projects.tasks_forgotten, self.totals.tasks_forgotten);
        counted(&projects.attempts_lost, self.totals.attempts_lost);
        counted(&projects.leases_lapsed, self.totals.leases_lapsed);
        counted(&projects.messages_expired, self.totals.messages_expired);
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_projects_have_series_and_the_rest_share_one() {
        let mut shown = Shown::default();
        let names: Vec<String> = (0..PROJECTS_MAX + 3).map(|n| format!("p{n}")).collect();
        let labels: BTreeSet<&str> = names.iter().map(|name| shown.label(name)).collect();
        assert_eq!(labels.len(), PROJECTS_MAX + 1);
        assert!(labels.contains(OTHERS));
        // A name that sorts before them takes nobody's place, and those shown stay.
        assert_eq!(shown.label("a"), OTHERS);
        assert_eq!(shown.label("p0"), "p0");
    }

    #[test]
    fn no_project_can_have_the_name_of_the_others() {
        assert!(OTHERS.parse::<crate::engine::ids::ProjectName>().is_err());
    }
}
