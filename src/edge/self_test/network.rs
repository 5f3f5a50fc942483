//! Whether the ports of the configuration can be had, or who has them.

use std::io;
use std::path::Path;

use super::{CheckFound, CheckResult, CheckState};
use crate::config::{Config, Endpoint};
use crate::edge::holders;
use crate::edge::ports::Service;
use crate::edge::probe::{self, ProbeTarget};

/// How long whoever has a port may take to say whether it is a coordinator.
const ASKED_MS_MAX: u64 = 1_000;

/// Nothing is bound for longer than a look.
pub(super) async fn check(config: &Config) -> CheckResult {
    let mut all = CheckFound::ok("");
    let ports = [
        (Service::WebSocket, &config.websocket.endpoint),
        (Service::Metrics, &config.metrics.endpoint),
    ];
    let mut running = None;
    for (service, endpoint) in ports {
        let found = match look(endpoint, &mut running).await {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => CheckFound::failed(
                "not allowed for this user",
                format!("choose a port from 1024 with {}", service.variable()),
            ),
            Err(error) => return Err(error.into()),
        };
        let comma = if all.detail.is_empty() { "" } else { "; " };
        let port = endpoint.port;
        all.detail = format!(
            "{}{comma}{} {port} {}",
            all.detail,
            service.title(),
            found.detail
        );
        if found.state != CheckState::Ok {
            all.state = found.state;
            all.next = found.next;
        }
    }
    Ok(all)
}

/// `running` is the coordinator that was met at an earlier port, whose metrics are not asked again.
async fn look(endpoint: &Endpoint, running: &mut Option<String>) -> io::Result<CheckFound> {
    let port = endpoint.port.number();
    let holders = holders::of_port(Path::new(holders::PROC), port)?;
    let Some(holder) = holders.first() else {
        return Ok(if holders::is_free(port)? {
            CheckFound::ok("is free")
        } else {
            CheckFound::warning(
                "is in use, but no process can be seen",
                "try again in a minute: connections of an ended program stay for that time",
            )
        });
    };
    let target = ProbeTarget {
        endpoint: endpoint.clone(),
        tls: None,
    };
    if let Some(identity) = probe::coordinator(&target, ASKED_MS_MAX).await {
        let detail = format!("has the coordinator {}", identity.node);
        *running = Some(holder.to_string());
        return Ok(CheckFound::ok(detail));
    }
    let holder = holder.to_string();
    if running.as_ref() == Some(&holder) {
        return Ok(CheckFound::ok("has the same process"));
    }
    Ok(CheckFound::warning(
        format!("is taken by {holder}"),
        "check with `coord health` whether it is the coordinator; otherwise stop it, or set another port",
    ))
}
