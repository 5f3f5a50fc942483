//! A configuration for `HAProxy` 2.6 and later.

use std::path::Path;

use super::proxy::{self, CONNECT_TIMEOUT_S, PATHS, PREFIX, ProxyOptions, ProxyPlan, READY};
use super::{RenderError, heading, push, quote};
use crate::config::{Config, Host};

const FORM: &str = "HAProxy configuration";
/// Chain and key together: `HAProxy` before 3.0 has no other way to be told of both.
const COMBINED_FILE: &str = "/etc/haproxy/coord.pem";
/// How long an old process may serve its tunnels after a reload.
const RELOAD_S_MAX: u64 = 3_600;
/// Requests that are no tunnels: health checks and refusals.
const REQUEST_TIMEOUT_S: u64 = 30;
/// Connections beyond those that coordinators take, so that the rest get an answer.
const CONNECTIONS_SPARE: usize = 256;

/// Relative paths of flags and variables count from `folder`.
pub fn haproxy(
    config: &Config,
    folder: &Path,
    options: &ProxyOptions,
) -> Result<String, RenderError> {
    let plan = ProxyPlan::new(FORM, config, folder, options)?;
    let mut text = heading("HAProxy's configuration", "haproxy", config);
    text.push_str(proxy::host_remark(config));
    text.push_str(&global(&plan));
    let combined = options.certificate.as_deref();
    let combined = folder.join(combined.unwrap_or(Path::new(COMBINED_FILE)));
    text.push_str(&frontend(&plan, &combined)?);
    text.push_str(&backend(&plan)?);
    Ok(text)
}

fn global(plan: &ProxyPlan) -> String {
    let connections_max = plan.connections_max * plan.backends.len() + CONNECTIONS_SPARE;
    format!(
        "
global
    log stdout format raw local0 info
    user haproxy
    group haproxy
    chroot /var/lib/haproxy
    maxconn {connections_max}
    # Where fewer files may be open than that takes, it serves as many as it can.
    no strict-limits
    hard-stop-after {RELOAD_S_MAX}s
    ssl-default-bind-options ssl-min-ver TLSv1.2
    ssl-default-server-options ssl-min-ver TLSv1.2

defaults
    mode http
    log global
    option httplog
    option dontlognull
    timeout connect {CONNECT_TIMEOUT_S}s
    timeout http-request {handshake}s
    timeout http-keep-alive {handshake}s
    timeout queue {CONNECT_TIMEOUT_S}s
    timeout client {REQUEST_TIMEOUT_S}s
    timeout server {REQUEST_TIMEOUT_S}s
    # A WebSocket: the coordinator pings a silent client long before this.
    timeout tunnel {tunnel}s
",
        handshake = plan.handshake_timeout_s,
        tunnel = plan.tunnel_timeout_s,
    )
}

fn frontend(plan: &ProxyPlan, combined: &Path) -> Result<String, RenderError> {
    let mut text = String::from("\nfrontend coord_agents\n");
    let mut tls = String::new();
    if let Some(certificate) = &plan.front {
        let file = |path| quote::path(FORM, path);
        let combined = file(combined)?;
        push(
            &mut text,
            format_args!(
                "    # Make the file below with: cat {} {} | install -m 0600 /dev/stdin {combined}\n",
                file(&certificate.chain)?,
                file(&certificate.key)?
            ),
        );
        tls = format!(" ssl crt {combined} alpn http/1.1");
    }
    push(
        &mut text,
        format_args!(
            "    bind {}{tls}
    # Only what a coordinator has for agents; the metrics are not passed on.
    http-request deny deny_status 404 unless {{ path {} }} || {{ path_beg {PREFIX} }}
    default_backend coord_coordinators
",
            plan.listen,
            PATHS.join(" ")
        ),
    );
    Ok(text)
}

fn backend(plan: &ProxyPlan) -> Result<String, RenderError> {
    let has_names = plan
        .backends
        .iter()
        .any(|it| matches!(it.host, Host::Name(_)));
    let trust = match &plan.back {
        None => String::new(),
        Some(trust) => {
            let ca = match &trust.ca {
                Some(file) => quote::path(FORM, file)?,
                None => "@system-ca".to_owned(),
            };
            let name = &trust.name;
            format!(
                " ssl verify required ca-file {ca} sni str({name}) check-sni {name} verifyhost {name} alpn http/1.1"
            )
        }
    };
    let mut text = format!(
        "
backend coord_coordinators
    # Connections last for days: the fewest, not the next in turn.
    balance leastconn
    option redispatch
    # A coordinator that stops or has no room says so here, and gets no new agents.
    option httpchk
    http-check send meth GET uri {READY} ver HTTP/1.1 hdr Host localhost
    http-check expect status 200
    default-server check inter 2s fall 2 rise 1 maxconn {}{}
",
        plan.connections_max,
        if has_names {
            " init-addr last,libc,none resolvers system"
        } else {
            ""
        },
    );
    for (index, endpoint) in plan.backends.iter().enumerate() {
        push(
            &mut text,
            format_args!("    server coordinator-{} {endpoint}{trust}\n", index + 1),
        );
    }
    if has_names {
        text.push_str("\nresolvers system\n    parse-resolv-conf\n");
    }
    Ok(text)
}
