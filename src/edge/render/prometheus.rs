//! The scrape job for Prometheus, as a whole configuration and as targets for `file_sd_configs`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{heading, push, quote};
use crate::config::web::{ClientAuth, WebConfig};
use crate::config::{AllowedHost, Config, Endpoint, Host};

/// The name of the job; dashboards and alerts refer to it.
const JOB: &str = "coord";
const SCRAPE_INTERVAL_S: u64 = 15;
const SCRAPE_TIMEOUT_S: u64 = 10;

/// A coordinator that Prometheus scrapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub endpoint: Endpoint,
    /// The name of its node, where it is known. Otherwise the host stands for it.
    pub node: Option<String>,
}

/// Whom Prometheus scrapes, and what it has to show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScrapeOptions {
    /// Empty: the configured one.
    pub targets: Vec<Target>,
    /// The folder of certificates and secrets on the machine of Prometheus.
    pub secrets: PathBuf,
}

/// A configuration that Prometheus starts with as it stands.
pub fn prometheus(config: &Config, options: &ScrapeOptions) -> String {
    let targets = options.targets.as_slice();
    let mut text = heading("Prometheus' scrape job", "prometheus", config);
    if targets.is_empty() && config.metrics.endpoint.host.is_loopback() {
        text.push_str(
            "# The metrics are on loopback, so only a Prometheus of this machine reaches them.\n",
        );
    }
    if targets
        .iter()
        .any(|target| !is_served(config, &target.endpoint))
    {
        text.push_str(
            "# Each coordinator must know the names it is scraped by: set metrics.allowed_hosts\n\
             # (COORD_METRICS_ALLOWED_HOSTS) there, or scrape it by its address.\n",
        );
    }
    push(
        &mut text,
        format_args!(
            "global:\n  scrape_interval: {SCRAPE_INTERVAL_S}s\n  scrape_timeout: {SCRAPE_TIMEOUT_S}s\n\
         scrape_configs:\n  - job_name: {JOB}\n    scheme: {}\n    metrics_path: {}\n",
            config.metrics.scheme(),
            quote::yaml(config.metrics.path.as_str())
        ),
    );
    credentials(&mut text, &config.metrics.web, &options.secrets);
    text.push_str("    static_configs:\n");
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

/// What the metrics port asks for, from files: a scrape configuration is often readable by many.
fn credentials(text: &mut String, web: &WebConfig, folder: &Path) {
    let file = |name: &str| quote::yaml(&folder.join(name).to_string_lossy());
    if let Some(tls) = &web.tls {
        let authority = file("ca.pem");
        push(
            text,
            format_args!(
                "    tls_config:\n      # The authority of the coordinators' certificates, or their self-signed one.\n      \
                 ca_file: {authority}\n"
            ),
        );
        if matches!(tls.client, ClientAuth::Required { .. }) {
            let (certificate, key) = (file("client.pem"), file("client.key"));
            push(
                text,
                format_args!("      cert_file: {certificate}\n      key_file: {key}\n"),
            );
        }
    }
    if let Some(user) = web.users.keys().next() {
        let (user, password) = (quote::yaml(user), file("password"));
        push(
            text,
            format_args!(
                "    basic_auth:\n      username: {user}\n      password_file: {password}\n"
            ),
        );
    } else if web.token.is_some() {
        let token = file("token");
        push(
            text,
            format_args!("    authorization:\n      credentials_file: {token}\n"),
        );
    }
}

/// The targets alone, for a file that Prometheus watches; path and scheme go with each. What they ask for is a
/// matter of the job. They are sorted, so that the same boxes give the same file.
pub fn file_sd(config: &Config, targets: &[Target]) -> Value {
    let mut targets = targets_of(config, targets);
    targets.sort_by_cached_key(|(target, node)| (node.clone(), target.to_string()));
    targets.dedup();
    let groups = targets.into_iter().map(|(target, node)| {
        let mut labels = json!({
            "__metrics_path__": config.metrics.path.as_str(),
            "environment": config.profile.name(),
            "node": node,
        });
        if config.metrics.web.tls.is_some() {
            labels["__scheme__"] = json!("https");
        }
        json!({ "targets": [target.to_string()], "labels": labels })
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

/// Each target and its node's name.
fn targets_of(config: &Config, targets: &[Target]) -> Vec<(Endpoint, String)> {
    if targets.is_empty() {
        let endpoint = config.metrics.endpoint.from_here();
        return vec![(endpoint, config.node.to_string())];
    }
    let named = |target: &Target| {
        let host = || target.endpoint.host.to_string();
        let node = target.node.clone().unwrap_or_else(host);
        (target.endpoint.from_here(), node)
    };
    targets.iter().map(named).collect()
}

impl From<Endpoint> for Target {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            node: None,
        }
    }
}
