//! Gauges that are computed from the engines at each scrape.

use std::path::PathBuf;
use std::sync::Arc;

use prometheus::IntGaugeVec;

use super::firewall;
use crate::driver::core::{Core, Moment};
use crate::driver::line::Condition;
use crate::driver::shell::Driver;
use crate::engine::Engine;
use crate::http::metrics::MetricsSource;
use crate::metrics::Metrics;

const STATES: [&str; 6] = ["blocked", "ready", "claimed", "done", "dead", "cancelled"];
const PRESENCES: [&str; 5] = ["online", "idle", "busy", "away", "gone"];

pub(super) fn source(driver: Driver, metrics: Metrics, firewall_file: PathBuf) -> MetricsSource {
    Arc::new(move || {
        firewall::refresh(&firewall_file, &metrics);
        let now = driver.now();
        driver.inspect(|core| {
            refresh(core, &metrics);
            let ready = core.readiness(now).condition == Condition::Ready;
            metrics.ready.set(i64::from(ready));
            lines(core, now, &metrics);
        });
        metrics.render().map_err(|error| error.to_string())
    })
}

fn refresh(core: &Core, metrics: &Metrics) {
    let status = core.journal_status();
    metrics.journal.disk_bytes.set(gauge(status.disk_bytes));
    metrics.journal.live_bytes.set(gauge(status.live_bytes));
    metrics.journal.reserve.set(i64::from(core.storage_full()));
    let mut sessions = 0;
    for (name, engine) in core.engines() {
        sessions += engine.state().sessions.len() as u64;
        project(name.as_str(), engine, metrics);
        let gone = metrics
            .projects
            .agents
            .with_label_values(&[name.as_str(), "gone"]);
        gone.add(gauge(core.unseen_agents(name).count() as u64));
    }
    metrics.sessions.set(gauge(sessions));
    let other_ports = gauge(core.other_ports_nodes());
    metrics.shared.coordinators_port_mismatch.set(other_ports);
}

fn lines(core: &Core, now: Moment, metrics: &Metrics) {
    for (name, line) in core.lines(now) {
        let labels = &[name.as_str()];
        let shared = &metrics.shared;
        let set = |metric: &IntGaugeVec, value| metric.with_label_values(labels).set(gauge(value));
        set(&shared.up, u64::from(line.up));
        set(&shared.lag_records, line.waiting);
        set(&shared.live_bytes, line.live_bytes);
    }
}

fn project(name: &str, engine: &Engine, metrics: &Metrics) {
    let state = engine.state();
    for wanted in STATES {
        let count = state.tasks.values().filter(|t| t.state.as_str() == wanted);
        let metric = metrics.projects.tasks.with_label_values(&[name, wanted]);
        metric.set(gauge(count.count() as u64));
    }
    for wanted in PRESENCES {
        let count = state
            .agents
            .values()
            .filter(|a| a.presence.as_str() == wanted);
        let metric = metrics.projects.agents.with_label_values(&[name, wanted]);
        metric.set(gauge(count.count() as u64));
    }
    let held = state
        .leases
        .values()
        .filter(|lease| lease.is_held())
        .count();
    let lapsed = state.leases.len() - held;
    metrics
        .projects
        .leases
        .with_label_values(&[name, "held"])
        .set(gauge(held as u64));
    metrics
        .projects
        .leases
        .with_label_values(&[name, "lapsed"])
        .set(gauge(lapsed as u64));
    let waiting = || state.messages.values().filter(|m| !m.pending.is_empty());
    let metric = metrics.projects.messages_waiting.with_label_values(&[name]);
    metric.set(gauge(waiting().count() as u64));
    let oldest = waiting().map(|m| m.sent_at).min();
    let age_ms = oldest.map_or(0, |sent_at| state.now.since_ms(sent_at));
    let metric = metrics
        .projects
        .messages_oldest_seconds
        .with_label_values(&[name]);
    metric.set(gauge(age_ms / 1_000));
    metrics
        .projects
        .clock_reading_ms
        .with_label_values(&[name])
        .set(gauge(state.now.0));
    let totals = &state.totals;
    for (what, value) in [
        ("tasks_done", totals.tasks_done),
        ("tasks_dead", totals.tasks_dead),
        ("tasks_forgotten", totals.tasks_forgotten),
        ("attempts_lost", totals.attempts_lost),
        ("leases_lapsed", totals.leases_lapsed),
        ("messages_expired", totals.messages_expired),
    ] {
        metrics
            .projects
            .totals
            .with_label_values(&[name, what])
            .set(gauge(value));
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
