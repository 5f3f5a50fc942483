//! The port documentation of a deployment: the table of all profiles, what holds here and why, the
//! variables, and what to think of when a port changes.

use std::path::Path;

use serde_json::{Value, json};

use super::env::{self, Variable};
use super::push;
use super::quote::cell;
use crate::config::settings::{self, Spec};
use crate::config::{Config, Endpoint};
use crate::edge::ports::{Service, neighbour, table_markdown};

/// One service as it is configured here.
struct Row {
    service: Service,
    /// `None`: Redis, which is not used.
    endpoint: Option<Endpoint>,
    detail: String,
    source: String,
}

/// Relative paths of flags and variables count from `folder`.
pub fn markdown(config: &Config, folder: &Path) -> String {
    let mut text = format!(
        "# Ports of {}, {} profile\n\n\
         Made by `coord render markdown` (coord {}); make it anew when ports change.\n\n\
         Port configuration `{}`: `coord health` and `coord status` show the same on every machine \
         that agrees.\n\n## All profiles\n\n{}\n## In use here\n\n\
         | Service | Address | Reached from | What it is | Set by |\n|---|---|---|---|---|\n",
        cell(config.node.as_str()),
        config.profile,
        env!("CARGO_PKG_VERSION"),
        config.port_fingerprint(),
        table_markdown(),
    );
    for row in rows(config) {
        let address = row
            .endpoint
            .as_ref()
            .map_or("-".to_owned(), ToString::to_string);
        push(
            &mut text,
            format_args!(
                "| **{}** | {} | {} | {} | {} |\n",
                row.service,
                cell(&address),
                reached_from(row.service, row.endpoint.as_ref()),
                cell(&row.detail),
                cell(&row.source),
            ),
        );
    }
    text.push_str("\n## Environment variables\n\n| Variable | Value | Meaning |\n|---|---|---|\n");
    for Variable { spec, value } in env::chosen(config, folder) {
        let meaning = cell(spec.doc);
        push(
            &mut text,
            format_args!(
                "| {} | {} | {meaning} |\n",
                cell(env::name(spec)),
                cell(&value)
            ),
        );
    }
    for kept in env::secrets(config, folder) {
        let file = kept
            .file
            .as_ref()
            .map_or("a file of mode 600".to_owned(), |file| {
                file.to_string_lossy().into_owned()
            });
        push(
            &mut text,
            format_args!(
                "| {} | {} | The password of Redis, which is not shown; here it comes from {}. |\n",
                cell(&kept.variable),
                cell(&file),
                cell(&kept.source)
            ),
        );
    }
    text.push_str(&notes(config));
    text
}

/// The same for programs.
pub fn markdown_json(config: &Config) -> Value {
    let services = rows(config).into_iter().map(|row| {
        let endpoint = row.endpoint.as_ref();
        json!({
            "service": row.service,
            "host": endpoint.map(|endpoint| &endpoint.host),
            "port": endpoint.map(|endpoint| endpoint.port),
            "standard_port": row.service.standard_port(),
            "variable": row.service.variable(),
            "detail": row.detail,
            "source": row.source,
        })
    });
    json!({
        "node": config.node,
        "profile": config.profile,
        "port_fingerprint": config.port_fingerprint(),
        "services": services.collect::<Vec<_>>(),
    })
}

fn rows(config: &Config) -> [Row; Service::ALL.len()] {
    Service::ALL.map(|service| {
        let source = |spec: &Spec| config.origins.source(spec).to_string();
        match service {
            Service::Redis => Row {
                service,
                endpoint: config.redis.as_ref().map(|redis| redis.endpoint.clone()),
                detail: match &config.redis {
                    None => "not used: the journal is embedded".to_owned(),
                    Some(redis) if redis.tls => "the journal, over TLS".to_owned(),
                    Some(_) => "the journal".to_owned(),
                },
                source: match &config.redis {
                    None => "-".to_owned(),
                    Some(_) => source(&settings::REDIS_PORT),
                },
            },
            Service::WebSocket => Row {
                service,
                endpoint: Some(config.websocket.endpoint.clone()),
                detail: match &config.websocket.tls {
                    None => "agents, over ws:".to_owned(),
                    Some(_) => "agents, over wss:".to_owned(),
                },
                source: source(&settings::WEBSOCKET_PORT),
            },
            Service::Metrics => Row {
                service,
                endpoint: Some(config.metrics.endpoint.clone()),
                detail: format!("metrics at {}", config.metrics.path),
                source: source(&settings::METRICS_PORT),
            },
        }
    })
}

fn reached_from(service: Service, endpoint: Option<&Endpoint>) -> &'static str {
    match endpoint.map(|endpoint| &endpoint.host) {
        None => "-",
        Some(host) if host.is_loopback() => "this machine",
        Some(_) if service == Service::Redis => "there",
        Some(host) if host.is_wildcard() => "every network of this machine",
        Some(_) => "the network of this address",
    }
}

/// The notes of the document that this tool makes work, each with the command that does it.
fn notes(config: &Config) -> String {
    let mut text = String::from("\n## When a port changes\n\n");
    let open: Vec<String> = rows(config)
        .iter()
        .filter(|row| row.service != Service::Redis)
        .filter_map(|row| row.endpoint.as_ref())
        .filter(|endpoint| !endpoint.host.is_loopback())
        .map(|endpoint| format!("TCP {}", endpoint.port))
        .collect();
    let firewall = if open.is_empty() {
        "nothing needs to be opened: all listens on loopback".to_owned()
    } else {
        format!(
            "let agents and Prometheus reach {}, and nobody else",
            open.join(" and ")
        )
    };
    let items = [
        ("Firewall rules", firewall),
        (
            "Load balancers",
            "`coord render haproxy`, `coord render nginx`".to_owned(),
        ),
        (
            "Monitoring",
            "`coord render prometheus`; `coord health` asks each service".to_owned(),
        ),
        (
            "Documentation",
            "`coord render markdown` makes this page".to_owned(),
        ),
        (
            "Environment sync",
            "`coord render env` and `coord render compose`; whoever connects with other ports is \
             warned, with another environment refused"
                .to_owned(),
        ),
    ];
    for (index, (what, how)) in items.iter().enumerate() {
        push(
            &mut text,
            format_args!("{}. **{what}**: {how}.\n", index + 1),
        );
    }
    let known = rows(config).into_iter().filter_map(|row| {
        let known = neighbour(row.endpoint?.port)?;
        Some(format!("- {}: {}\n", known.port, cell(known.note)))
    });
    let known: String = known.collect();
    if !known.is_empty() {
        push(
            &mut text,
            format_args!("\nOthers are known to use these ports too:\n\n{known}"),
        );
    }
    text
}
