//! `coord firewall leases`: opens the ports that agents have leased, for as long as they hold the lease.

use std::collections::BTreeMap;

use serde_json::json;

use super::PolicyArgs;
use crate::cli::client::{Client, Target};
use crate::cli::duration::Millis;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::shell::Shell;
use crate::config::{ClientConfig, Host, settings};
use crate::edge::firewall::LEASE_PORTS_OPEN_MAX;
use crate::edge::nft::{self, Nft};
use crate::edge::ports::{Port, PortRange, Profile, Service};
use crate::engine::ids::LeaseId;
use crate::protocol::lease::{LeaseListParams, LeaseListResult, LeaseView};
use crate::protocol::operations::Operation;

/// The longest that a port stays open before its lease is checked again.
const KEEP_DEFAULT: &str = "2m";
const KEEP_MS_MAX: u64 = 60 * 60 * 1_000;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct LeasesArgs {
    /// How long a port stays open unless the next run finds its lease again; at most 1h
    #[arg(long, value_name = "DURATION", default_value = KEEP_DEFAULT)]
    keep: Millis,
    /// Open the ports of leases on this host [default: this machine's host name]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    #[command(flatten)]
    policy: PolicyArgs,
}

pub(super) async fn run(args: LeasesArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let config = super::config(args.policy, shell)?;
    let policy = super::policy(&config, shell)?;
    let range = policy.closed.and_then(|closed| closed.lease_ports);
    let range = range.ok_or_else(|| {
        CliError::usage(
            "the configuration lets leases open no ports on this machine",
            "set firewall.default_drop and firewall.lease_ports, apply, and try again",
        )
    })?;
    let nft = Nft::find()?;
    let hosts = match args.host {
        Some(host) => vec![host],
        None => own_names(shell),
    };
    let own = config.websocket.ports.first();
    let own = own.filter(|ports| ports.count() == 1);
    let own_port = own.map(|ports| ports.first());
    let mut client = connect(config.profile, own_port, shell).await?;
    let mut open = BTreeMap::new();
    let keep_ms = args.keep.0.clamp(1, KEEP_MS_MAX);
    let mut after = None;
    loop {
        let page = page(after, &mut client).await?;
        for lease in &page.leases {
            let left_ms = lease
                .expires_at_ms
                .map_or(keep_ms, |end| end.since_ms(page.now_ms).min(keep_ms));
            for port in ports(lease, &hosts, range).filter(|_| left_ms > 0) {
                let longest: &mut u64 = open.entry(port).or_default();
                *longest = left_ms.max(*longest);
            }
        }
        after = page.next_after;
        if after.is_none() {
            break;
        }
    }
    client.close().await;
    let open: Vec<(Port, u64)> = open.into_iter().take(LEASE_PORTS_OPEN_MAX).collect();
    nft::open_leased(&nft, &open).await?;
    if shell.out.style().json {
        let open: Vec<_> = open
            .iter()
            .map(|(port, ms)| json!({ "port": port, "open_ms": ms }))
            .collect();
        shell.out.json(&json!({ "ports": open }))?;
    } else {
        let ports: Vec<String> = open.iter().map(|(port, _)| port.to_string()).collect();
        shell.out.note(match ports.as_slice() {
            [] => "no leased port is open".to_owned(),
            ports => format!("open for leases: {}", ports.join(", ")),
        });
    }
    Ok(Exit::Ok)
}

/// Connects to the coordinator of this machine unless another is named: the rules are made from its profile
/// and port.
async fn connect(
    profile: Profile,
    own_port: Option<Port>,
    shell: &Shell<'_>,
) -> Result<Client, CliError> {
    let flags = shell.connection.flags()?;
    let flags = flags.with(&settings::PROFILE, profile.name());
    let mut config = ClientConfig::load(&flags, shell.environment)?;
    let asked_for = &config.url;
    let unasked = asked_for.endpoint.host == Host::LOOPBACK
        && asked_for.endpoint.port == profile.port(Service::WebSocket);
    if let Some(port) = own_port.filter(|_| unasked) {
        config.url.endpoint.port = port;
    }
    for warning in &config.warnings {
        shell.out.note(format_args!("warning: {warning}"));
    }
    Ok(Client::connect(Target::new(config)?).await?)
}

async fn page(after: Option<LeaseId>, client: &mut Client) -> Result<LeaseListResult, CliError> {
    let params = LeaseListParams {
        after,
        ..LeaseListParams::default()
    };
    let reply = client
        .call_waiting(Operation::LeaseList, &params, 0)
        .await?;
    Ok(reply.value)
}

/// The ports of this host that the lease holds and leases may open. A lease whose holder is lost opens none:
/// no program serves there.
fn ports<'a>(
    lease: &'a LeaseView,
    hosts: &'a [String],
    range: PortRange,
) -> impl Iterator<Item = Port> + 'a {
    let held = lease.opens_at_ms.is_none();
    let resources = lease.resources.iter().filter(move |_| held);
    resources.filter_map(move |resource| {
        let (host, port) = resource.port()?;
        let here = hosts.iter().any(|own| own.eq_ignore_ascii_case(host));
        Port::new(port).filter(|port| here && range.contains(*port))
    })
}

/// The host's name with and without its domain. Not `localhost`, which on an agent's machine is that.
fn own_names(shell: &Shell<'_>) -> Vec<String> {
    let name = shell.environment.hostname().unwrap_or_default();
    let short = name.split('.').next().unwrap_or_default().to_owned();
    let mut names = vec![name, short];
    names.retain(|name| !name.is_empty());
    names
}
