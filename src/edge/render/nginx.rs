//! A part of the `http` block of nginx 1.18 and later.

use std::path::Path;

use super::proxy::{self, CONNECT_TIMEOUT_S, PATHS, PREFIX, ProxyOptions, ProxyPlan};
use super::{RenderError, heading, push, quote};
use crate::config::Config;

const FORM: &str = "nginx configuration";
/// The certificates that Debian and its kin trust.
const SYSTEM_CA_FILE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Relative paths of flags and variables count from `folder`.
pub fn nginx(
    config: &Config,
    folder: &Path,
    options: &ProxyOptions,
) -> Result<String, RenderError> {
    let plan = ProxyPlan::new(FORM, config, folder, options)?;
    let mut text = heading("nginx' part", "nginx", config);
    text.push_str("# It belongs into the http block: /etc/nginx/conf.d/coord.conf.\n");
    text.push_str(proxy::host_remark(config));
    text.push_str(&upstream(&plan));
    text.push_str(&server(&plan)?);
    Ok(text)
}

fn upstream(plan: &ProxyPlan) -> String {
    let mut text = String::from(
        "
map $http_upgrade $coord_connection {
    default upgrade;
    \"\" close;
}

upstream coord_coordinators {
    zone coord_coordinators 64k;
    # Connections last for days: the fewest, not the next in turn.
    least_conn;
",
    );
    for endpoint in &plan.backends {
        push(
            &mut text,
            format_args!(
                "    server {endpoint} max_conns={} max_fails=2 fail_timeout=5s;\n",
                plan.connections_max
            ),
        );
    }
    text.push_str("}\n");
    text
}

fn server(plan: &ProxyPlan) -> Result<String, RenderError> {
    let tls = if plan.front.is_some() { " ssl" } else { "" };
    let mut text = format!(
        "\nserver {{\n    listen {}{tls};\n    server_name _;\n",
        plan.listen
    );
    if let Some(certificate) = &plan.front {
        push(
            &mut text,
            format_args!(
                "    ssl_certificate {};\n    ssl_certificate_key {};\n    \
             ssl_protocols TLSv1.2 TLSv1.3;\n",
                quote::path(FORM, &certificate.chain)?,
                quote::path(FORM, &certificate.key)?
            ),
        );
    }
    push(
        &mut text,
        format_args!(
            "    client_header_timeout {handshake}s;
    keepalive_timeout {handshake}s;

    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $coord_connection;
    proxy_buffering off;
    proxy_connect_timeout {CONNECT_TIMEOUT_S}s;
    # A WebSocket: the coordinator pings a silent client long before this.
    proxy_read_timeout {tunnel}s;
    proxy_send_timeout {tunnel}s;
    # nginx itself asks nobody for their health: a coordinator that cannot be reached or answers
    # that it takes no new work is passed over.
    proxy_next_upstream error timeout http_502 http_503 http_504;
",
            handshake = plan.handshake_timeout_s,
            tunnel = plan.tunnel_timeout_s,
        ),
    );
    let scheme = if plan.back.is_some() { "https" } else { "http" };
    if let Some(trust) = &plan.back {
        let ca = trust.ca.as_deref().unwrap_or(Path::new(SYSTEM_CA_FILE));
        push(
            &mut text,
            format_args!(
                "    proxy_ssl_verify on;\n    proxy_ssl_trusted_certificate {};\n    \
             proxy_ssl_name {};\n    proxy_ssl_server_name on;\n    \
             proxy_ssl_protocols TLSv1.2 TLSv1.3;\n",
                quote::path(FORM, ca)?,
                trust.name
            ),
        );
    }
    text.push_str(
        "\n    # Only what a coordinator has for agents; the metrics are not passed on.\n",
    );
    for path in PATHS {
        push(
            &mut text,
            format_args!("    location = {path} {{ proxy_pass {scheme}://coord_coordinators; }}\n"),
        );
    }
    push(
        &mut text,
        format_args!("    location {PREFIX} {{ proxy_pass {scheme}://coord_coordinators; }}\n"),
    );
    text.push_str("    location / { return 404; }\n}\n");
    Ok(text)
}
