//! Contradictions: a service that no source may reach, and settings that cancel each other. All are reported
//! at once.

use super::policy::{Contradiction, Policy};
use crate::config::settings::{self, Spec};
use crate::config::{FirewallConfig, Host, Network, ServiceConfig, Transport};
use crate::edge::ports::{PortRange, Service};

pub(super) fn find(config: &FirewallConfig, policy: &Policy) -> Vec<Contradiction> {
    let mut found = Vec::new();
    unreachable(config, &mut found);
    elsewhere(config, &mut found);
    denied(config, policy, &mut found);
    trusted_in_vain(policy, &mut found);
    shared_ports(config, &mut found);
    opened_twice(config, policy, &mut found);
    open_to_no_purpose(config, policy, &mut found);
    found
}

/// Each service with the settings of its allowed sources and its address.
pub(super) fn keys(config: &FirewallConfig) -> [(&ServiceConfig, &'static str, &'static str); 3] {
    [
        (
            &config.redis,
            settings::FIREWALL_REDIS_FROM.key,
            settings::REDIS_HOST.key,
        ),
        (
            &config.websocket,
            settings::FIREWALL_WEBSOCKET_FROM.key,
            settings::WEBSOCKET_HOST.key,
        ),
        (
            &config.metrics,
            settings::FIREWALL_METRICS_FROM.key,
            settings::METRICS_HOST.key,
        ),
    ]
}

/// A service that listens for other machines, but no source is allowed.
fn unreachable(config: &FirewallConfig, found: &mut Vec<Contradiction>) {
    for (service, key, host_key) in keys(config) {
        let Some(host) = service.host.as_ref().filter(|host| !host.is_loopback()) else {
            continue;
        };
        if service.service == Service::Redis || !service.from.is_empty() {
            continue;
        }
        let what = format!("it is empty, but {host_key} = {host} lets other machines connect");
        let right = format!("list who may connect, or set {host_key} to 127.0.0.1");
        found.push(contradiction(key, what, right));
    }
}

/// A Redis can be opened only on the machine that runs it.
fn elsewhere(config: &FirewallConfig, found: &mut Vec<Contradiction>) {
    let Some(host) = &config.redis.host else {
        return;
    };
    let here = host.is_loopback() || host.is_wildcard() || matches!(host, Host::Name(_));
    if !here && !config.redis.from.is_empty() {
        let what = format!("it opens Redis on this machine, but Redis is at {host}");
        let right = "remove it, or set it on the machine that runs Redis";
        found.push(contradiction(
            settings::FIREWALL_REDIS_FROM.key,
            what,
            right,
        ));
    }
}

/// Denied networks are checked first, so an allowed network within one is never accepted.
fn denied(config: &FirewallConfig, policy: &Policy, found: &mut Vec<Contradiction>) {
    let lists = keys(config)
        .map(|(service, key, _)| (key, service.from.as_slice()))
        .into_iter()
        .chain([(settings::FIREWALL_SSH_FROM.key, config.ssh_from.as_slice())]);
    for (key, networks) in lists {
        for network in networks {
            let denied = policy.deny.iter().find(|denied| denied.covers(network));
            if let Some(denied) = denied {
                let what = format!("{network} is within {denied}, which firewall.deny blocks");
                found.push(contradiction(key, what, "remove it from one of the two"));
            }
        }
    }
}

fn trusted_in_vain(policy: &Policy, found: &mut Vec<Contradiction>) {
    let let_in = |network: &Network| {
        let mut from = policy.services.iter().flat_map(|service| &service.from);
        from.any(|from| from.overlaps(network))
    };
    for network in policy.trusted.iter().filter(|network| !let_in(network)) {
        let what = format!("{network} is trusted, but may reach no service");
        let right = "add it to websocket_from, metrics_from or redis_from";
        found.push(contradiction(settings::FIREWALL_TRUSTED.key, what, right));
    }
}

/// A port belongs to one service, but it can be in the range of another service in the profile.
fn shared_ports(config: &FirewallConfig, found: &mut Vec<Contradiction>) {
    let services = [
        (&config.redis, &settings::REDIS_PORT),
        (&config.websocket, &settings::WEBSOCKET_PORT),
        (&config.metrics, &settings::METRICS_PORT),
    ];
    for (index, (service, spec)) in services.iter().enumerate() {
        for (other, other_spec) in &services[..index] {
            if let Some(ports) = common(&service.ports, &other.ports) {
                let what = format!("port {ports} is also in {}", other_spec.key);
                let right = "give each service its own ports";
                found.push(contradiction(spec.key, what, right));
            }
        }
    }
}

/// With `default_drop`: ports that are open to everybody although a service restricts them.
fn opened_twice(config: &FirewallConfig, policy: &Policy, found: &mut Vec<Contradiction>) {
    let Some(closed) = &policy.closed else {
        return;
    };
    let (ssh, open) = (closed.ssh_ports.as_slice(), closed.open_tcp.as_slice());
    let leased: Vec<PortRange> = config.lease_ports.into_iter().collect();
    let governed: Vec<PortRange> = policy
        .services
        .iter()
        .flat_map(|service| service.ports.iter().copied())
        .collect();
    let pairs: [(&Spec, &[PortRange], &[PortRange], &str); 5] = [
        (
            &settings::FIREWALL_SSH_PORTS,
            ssh,
            &governed,
            "a service of this coordinator uses it",
        ),
        (
            &settings::FIREWALL_OPEN_PORTS,
            open,
            &governed,
            "a service of this coordinator uses it",
        ),
        (
            &settings::FIREWALL_LEASE_PORTS,
            &leased,
            &governed,
            "a service of this coordinator uses it",
        ),
        (&settings::FIREWALL_LEASE_PORTS, &leased, ssh, "SSH has it"),
        (
            &settings::FIREWALL_LEASE_PORTS,
            &leased,
            open,
            "firewall.open_ports opens it to everybody",
        ),
    ];
    for (spec, ports, others, why) in pairs {
        if let Some(ports) = common(ports, others) {
            let what = format!("port {ports} is taken: {why}");
            found.push(contradiction(spec.key, what, "use other ports"));
        }
    }
}

/// With `default_drop`: settings that open nothing, or less than they seem to.
fn open_to_no_purpose(config: &FirewallConfig, policy: &Policy, found: &mut Vec<Contradiction>) {
    let Some(closed) = &policy.closed else {
        return;
    };
    let mut ssh_ports = config.ssh_ports.iter();
    if let Some(port) = ssh_ports.find(|port| port.transport == Transport::Udp) {
        let what = format!("{port} is not TCP, but SSH is");
        found.push(contradiction(
            settings::FIREWALL_SSH_PORTS.key,
            what,
            "list its TCP ports",
        ));
    }
    if config.lease_ports.is_some() && config.websocket.from.is_empty() {
        let what = "leases would open no ports, because firewall.websocket_from is empty";
        let right = "list the agents' networks in firewall.websocket_from";
        found.push(contradiction(
            settings::FIREWALL_LEASE_PORTS.key,
            what,
            right,
        ));
    }
    let narrowed =
        common(&closed.open_tcp, &closed.ssh_ports).filter(|_| !config.ssh_from.is_empty());
    if let Some(ports) = narrowed {
        let what = format!("port {ports} is an SSH port, which firewall.ssh_from restricts");
        found.push(contradiction(
            settings::FIREWALL_OPEN_PORTS.key,
            what,
            "keep it in one of the two",
        ));
    }
}

/// The first common range.
fn common(some: &[PortRange], others: &[PortRange]) -> Option<PortRange> {
    some.iter().find_map(|range| {
        others.iter().find_map(|other| {
            let first = range.first().max(other.first());
            let last = range.last().min(other.last());
            PortRange::new(first, last).ok()
        })
    })
}

fn contradiction(
    key: &'static str,
    what: impl Into<String>,
    right: impl Into<String>,
) -> Contradiction {
    Contradiction {
        key,
        what: what.into(),
        right: right.into(),
    }
}
