//! The scrape job for Prometheus, as a whole configuration and as targets for `file_sd_configs`.

use serde_json::{Value, json};

use super::{heading, push, quote};
use crate::config::{AllowedHost, Config, Endpoint, Host};

/// The name of the job; dashboards and alerts refer to it.
const JOB: &str = "coord";
const SCRAPE_INTERVAL_S: u64 = 15;
const SCRAPE_TIMEOUT_S: u64 = 10;

/// A configuration that Prometheus starts with as it stands. Without targets: the configured one.
pub fn prometheus(config: &Config, targets: &[Endpoint]) -> String {
    let mut text = heading("Prometheus' scrape job", "prometheus", config);
    if targets.is_empty() && config.metrics.endpoint.host.is_loopback() {
        text.push_str(
            "# The metrics are on loopback, so only a Prometheus of this machine reaches them.\n",
        );
    }
    if targets.iter().any(|target| !is_served(config, target)) {
        text.push_str(
            "# Each coordinator must know the names it is scraped by: set metrics.allowed_hosts\n\
             # (COORD_METRICS_ALLOWED_HOSTS) there, or scrape it by its address.\n",
        );
    }
    push(
        &mut text,
        format_args!(
            "global:\n  scrape_interval: {SCRAPE_INTERVAL_S}s\n  scrape_timeout: {SCRAPE_TIMEOUT_S}s\n\
         scrape_configs:\n  - job_name: {JOB}\n    scheme: http\n    metrics_path: {}\n    \
         static_configs:\n",
            quote::yaml(config.metrics.path.as_str())
        ),
    );
    for (target, node) in targets_of(config, targets) {
        push(
            &mut text,
            format_args!(
                "      - targets: [{}]\n        labels:\n          environment: {}\n          \
             node: {}\n",
                quote::yaml(&target.to_string()),
                quote::yaml(config.profile.name()),
                quote::yaml(&node)
            ),
        );
    }
    text
}

/// The targets alone, for a file that Prometheus watches; the path goes with each.
pub fn file_sd(config: &Config, targets: &[Endpoint]) -> Value {
    let groups = targets_of(config, targets)
        .into_iter()
        .map(|(target, node)| {
            json!({
                "targets": [target.to_string()],
                "labels": {
                    "__metrics_path__": config.metrics.path.as_str(),
                    "environment": config.profile.name(),
                    "node": node,
                },
            })
        });
    Value::Array(groups.collect())
}

/// Whether a coordinator of this configuration answers to the name of a target.
fn is_served(config: &Config, target: &Endpoint) -> bool {
    let Host::Name(_) = &target.host else {
        return true;
    };
    let metrics = &config.metrics;
    let allowed = metrics.allowed_hosts.iter();
    let mut allowed = allowed.chain(&config.websocket.allowed_hosts);
    let named = |allowed: &AllowedHost| {
        let port = allowed.port.is_none_or(|port| port == target.port);
        allowed.host == target.host && port
    };
    target.host.is_loopback() || target.host == metrics.endpoint.host || allowed.any(named)
}

/// Each target and its node's name. Of a target that was named only its host is known.
fn targets_of(config: &Config, targets: &[Endpoint]) -> Vec<(Endpoint, String)> {
    if targets.is_empty() {
        let endpoint = config.metrics.endpoint.from_here();
        return vec![(endpoint, config.node.to_string())];
    }
    let named = |target: &Endpoint| (target.from_here(), target.host.to_string());
    targets.iter().map(named).collect()
}
