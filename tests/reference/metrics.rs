//! The names and labels of all metrics are a promise to dashboards and alerts: the page holds the list.

use std::fmt::Write;
use std::fs;

use cli_coordinator::metrics::{MetricInfo, Metrics, MetricsScope};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
const BUILD: [(&str, &str); 3] = [("version", ""), ("environment", ""), ("journal", "")];

/// Labels whose values the program chooses, from sets of a few words. Names of operations, errors, limits, tools
/// and counters of the firewall are such sets too.
const BOUNDED: &[&str] = &[
    "class",
    "counter",
    "environment",
    "journal",
    "kind",
    "limit",
    "operation",
    "outcome",
    "part",
    "presence",
    "reason",
    "state",
    "tool",
    "use",
    "version",
];
/// Its values come from users; `app/gauges.rs` bounds their number.
const FROM_OUTSIDE: &str = "project";

fn all() -> Vec<MetricInfo> {
    let scope = MetricsScope {
        shared: true,
        detail: true,
        push: true,
        mqtt: true,
    };
    let mut described = Metrics::new(&BUILD, scope).described().to_vec();
    described.sort_unstable();
    described
}

fn page(metrics: &[MetricInfo]) -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Every metric of the page that Prometheus scrapes. [monitoring.md](monitoring.md) says how to scrape it.\n\n\
         `coord_shared_…` exist only with a shared journal, `coord_mqtt_…` only with an MQTT broker, `coord_operation_…` \
         only with\n`metrics.detail`, `coord_firewall_…` only where the firewall's status file is. Ratios and rates are left \
         to PromQL.\n\n\
         | metric | type | labels | meaning |\n|---|---|---|---|\n",
    );
    for metric in metrics {
        let labels = metric.labels.join(", ");
        let (name, kind, help) = (&metric.name, &metric.kind, &metric.help);
        writeln!(page, "| `{name}` | {kind} | {labels} | {help} |").unwrap();
    }
    page
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "writing the page anew must be asked for outside the test"
)]
fn the_page_of_metrics_is_current() {
    let current = page(&all());
    if std::env::var("GOLDEN_WRITE").is_ok() {
        fs::write(PAGE, &current).unwrap();
    }
    let kept = fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        kept == current,
        "docs/metrics.md is out of date, and so may be dashboards and alerts: GOLDEN_WRITE=1 writes it"
    );
}

#[test]
fn a_label_takes_no_value_from_outside_but_the_project() {
    for metric in all() {
        for label in &metric.labels {
            assert!(
                label == FROM_OUTSIDE || BOUNDED.contains(&label.as_str()),
                "{} has the label {label}",
                metric.name
            );
        }
        // What grows for ever is called so, and nothing else is.
        let total = metric.name.ends_with("_total");
        assert_eq!(total, metric.kind == "counter", "{}", metric.name);
    }
}
