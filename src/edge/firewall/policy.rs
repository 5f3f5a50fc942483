//! Who may do what: made from the configuration once, and only if it makes sense.

use core::net::IpAddr;
use std::fmt;

use serde::Serialize;

use super::{REDIS_CLIENTS_OPEN_MAX, SCRAPES_OPEN_MAX};
use crate::config::settings::{self, Spec};
use crate::config::{FirewallConfig, InterfaceName, Network, OpenPort, ServiceConfig, Transport};
use crate::edge::ports::{Port, PortRange, Profile, Service};

/// What the firewall is to enforce. It has been checked: no rule made of it contradicts another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub profile: Profile,
    pub services: Vec<ServicePolicy>,
    /// `None`: only the services' ports are governed.
    pub closed: Option<Closed>,
    /// Empty: all.
    pub interfaces: Vec<InterfaceName>,
    pub deny: Vec<Network>,
    pub trusted: Vec<Network>,
    pub new_per_minute_max: u64,
    pub open_per_source_max: u64,
    /// 0: nothing is logged.
    pub log_per_minute_max: u64,
}

/// One service: its ports, who may connect, and how many may at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePolicy {
    pub service: Service,
    pub ports: Vec<PortRange>,
    pub from: Vec<Network>,
    pub open_max: u64,
}

/// What a closed box leaves open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    pub ssh_ports: Vec<PortRange>,
    /// Empty: from anywhere.
    pub ssh_from: Vec<Network>,
    pub open_tcp: Vec<PortRange>,
    pub open_udp: Vec<PortRange>,
    pub lease_ports: Option<PortRange>,
}

/// One thing that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{key}: {what}; {right}")]
pub struct Contradiction {
    /// The setting to look at.
    pub key: &'static str,
    /// What is wrong, as a lower-case fragment.
    pub what: String,
    /// What would be right, as an instruction.
    pub right: String,
}

/// Everything that cannot be meant; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(transparent)]
pub struct PolicyErrors(pub Vec<Contradiction>);

impl Policy {
    /// `ssh_found` are the ports that SSH has on this box, for a closed one that names none. With the
    /// policy come remarks on settings that do nothing.
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
        let wrong = super::contradictions::find(config, &policy);
        if wrong.is_empty() {
            return Ok((policy, idle(config)));
        }
        Err(PolicyErrors(wrong))
    }

    /// Whether a packet from `peer` to a port of this box gets in. What limits would say is left out.
    pub fn admits(&self, peer: IpAddr, port: Port) -> bool {
        let among = |networks: &[Network]| networks.iter().any(|network| network.contains(peer));
        if peer.to_canonical().is_loopback() {
            return true;
        }
        let service = self.services.iter().find(|service| service.has(port));
        if let Some(service) = service {
            return !among(&self.deny) && among(&service.from);
        }
        let Some(closed) = &self.closed else {
            return true;
        };
        let ssh = contains(&closed.ssh_ports, port)
            && (closed.ssh_from.is_empty() || among(&closed.ssh_from));
        !among(&self.deny) && (ssh || contains(&closed.open_tcp, port))
    }
}

impl ServicePolicy {
    pub fn has(&self, port: Port) -> bool {
        contains(&self.ports, port)
    }
}

fn contains(ports: &[PortRange], port: Port) -> bool {
    ports.iter().any(|range| range.contains(port))
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

/// In ascending order, and none overlapping another: `nft` refuses that.
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

/// What is set and does nothing, as remarks.
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
                "{} has no effect, because the box is not closed (firewall.default_drop)",
                spec.key
            )
        }));
    }
    for (service, key, host_key) in super::contradictions::keys(config) {
        let alone = service
            .host
            .as_ref()
            .is_some_and(crate::config::Host::is_loopback);
        if alone && !service.from.is_empty() && service.service != Service::Redis {
            remarks.push(format!(
                "{key} lets others in, but {host_key} is loopback: that only makes sense for a \
                 port that a container engine publishes"
            ));
        }
    }
    remarks
}

impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [one] = self.0.as_slice() {
            return fmt::Display::fmt(one, f);
        }
        write!(f, "{} settings contradict each other:", self.0.len())?;
        self.0.iter().try_for_each(|one| write!(f, "\n  {one}"))
    }
}
