//! Makes the policy from the configuration, after checking it for contradictions.

use super::contradictions::{find, keys};
use super::policy::{Closed, Policy, PolicyErrors, ServicePolicy};
use super::{REDIS_CLIENTS_OPEN_MAX, SCRAPES_OPEN_MAX};
use crate::config::settings::{self, Spec};
use crate::config::{FirewallConfig, Host, Network, OpenPort, ServiceConfig, Transport};
use crate::edge::ports::{Port, PortRange, Service};

impl Policy {
    /// `ssh_found` are the SSH ports of this machine, for `default_drop` without configured ports. Also returns
    /// warnings about settings without effect.
    pub fn of(
        config: &FirewallConfig,
        ssh_found: &[Port],
    ) -> Result<(Self, Vec<String>), PolicyErrors> {
        let services = [
            (&config.redis, REDIS_CLIENTS_OPEN_MAX),
            (&config.websocket, config.connections_max),
            (&config.metrics, SCRAPES_OPEN_MAX),
        ];
        let policy = Self {
            profile: config.profile,
            services: services
                .map(|(service, max)| of_service(service, max))
                .into(),
            closed: config.default_drop.then(|| closed(config, ssh_found)),
            interfaces: config.interfaces.clone(),
            deny: Network::merged(&config.deny),
            trusted: Network::merged(&config.trusted),
            new_per_minute_max: config.new_per_minute_max,
            open_per_source_max: config.connections_per_source_max,
            log_per_minute_max: config.log_per_minute_max,
        };
        let wrong = find(config, &policy);
        if wrong.is_empty() {
            return Ok((policy, idle(config)));
        }
        Err(PolicyErrors(wrong))
    }
}

fn of_service(config: &ServiceConfig, open_max: u64) -> ServicePolicy {
    ServicePolicy {
        service: config.service,
        ports: merged(config.ports.clone()),
        from: Network::merged(&config.from),
        open_max,
    }
}

fn closed(config: &FirewallConfig, ssh_found: &[Port]) -> Closed {
    let found = ssh_found
        .iter()
        .filter_map(|port| PortRange::new(*port, *port).ok());
    let named = of_transport(&config.ssh_ports, Transport::Tcp);
    Closed {
        ssh_ports: if config.ssh_ports.is_empty() {
            merged(found.collect())
        } else {
            named
        },
        ssh_from: Network::merged(&config.ssh_from),
        open_tcp: of_transport(&config.open_ports, Transport::Tcp),
        open_udp: of_transport(&config.open_ports, Transport::Udp),
        lease_ports: config.lease_ports,
    }
}

fn of_transport(ports: &[OpenPort], transport: Transport) -> Vec<PortRange> {
    let of = ports.iter().filter(|port| port.transport == transport);
    merged(of.map(|port| port.ports).collect())
}

/// In ascending order and without overlaps, which `nft` refuses.
fn merged(mut ports: Vec<PortRange>) -> Vec<PortRange> {
    ports.sort_unstable_by_key(|range| (range.first(), range.last()));
    let mut merged: Vec<PortRange> = Vec::new();
    for range in ports {
        match merged.last_mut() {
            Some(last) if range.first() <= last.last() => {
                let end = last.last().max(range.last());
                *last = PortRange::new(last.first(), end).unwrap_or(*last);
            }
            _ => merged.push(range),
        }
    }
    merged
}

/// Warnings about settings without effect.
fn idle(config: &FirewallConfig) -> Vec<String> {
    let mut remarks = Vec::new();
    if !config.default_drop {
        let only_closed: [(&Spec, bool); 4] = [
            (&settings::FIREWALL_SSH_FROM, config.ssh_from.is_empty()),
            (&settings::FIREWALL_SSH_PORTS, config.ssh_ports.is_empty()),
            (&settings::FIREWALL_OPEN_PORTS, config.open_ports.is_empty()),
            (
                &settings::FIREWALL_LEASE_PORTS,
                config.lease_ports.is_none(),
            ),
        ];
        let set = only_closed.iter().filter(|(_, absent)| !absent);
        remarks.extend(set.map(|(spec, _)| {
            format!(
                "{} has no effect, because firewall.default_drop is not set",
                spec.key
            )
        }));
    }
    for (service, key, host_key) in keys(config) {
        let alone = service.host.as_ref().is_some_and(Host::is_loopback);
        if alone && !service.from.is_empty() && service.service != Service::Redis {
            remarks.push(format!(
                "{key} allows other machines, but {host_key} is loopback: that is useful only for a port that a \
                 container engine publishes"
            ));
        }
    }
    remarks
}
