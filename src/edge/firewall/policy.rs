//! The policy: which source may reach which port.

use core::net::IpAddr;
use std::fmt;

use serde::Serialize;

use crate::config::{InterfaceName, Network};
use crate::edge::ports::{Port, PortRange, Profile, Service};

/// What the firewall enforces. It is checked: its rules do not contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub profile: Profile,
    pub services: Vec<ServicePolicy>,
    /// `None`: the rules cover only the services' ports.
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

/// One service: its ports, allowed sources, and limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePolicy {
    pub service: Service,
    pub ports: Vec<PortRange>,
    pub from: Vec<Network>,
    pub open_max: u64,
}

/// What stays open with `default_drop`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    pub ssh_ports: Vec<PortRange>,
    /// Empty: from anywhere.
    pub ssh_from: Vec<Network>,
    pub open_tcp: Vec<PortRange>,
    pub open_udp: Vec<PortRange>,
    pub lease_ports: Option<PortRange>,
}

/// One contradiction.
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

/// All contradictions; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(transparent)]
pub struct PolicyErrors(pub Vec<Contradiction>);

impl Policy {
    /// Whether a packet from `peer` to a port of this machine is accepted, ignoring limits.
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

impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [one] = self.0.as_slice() {
            return fmt::Display::fmt(one, f);
        }
        write!(f, "{} settings are in conflict:", self.0.len())?;
        self.0.iter().try_for_each(|one| write!(f, "\n  {one}"))
    }
}
