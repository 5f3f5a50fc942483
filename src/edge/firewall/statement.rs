//! The parts of a rule, and their nft syntax. The JSON syntax is in `json`.

use std::fmt;

use crate::config::{InterfaceName, Transport};
use crate::edge::ports::PortRange;

/// An address family, as far as a rule or a set depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// Where a packet's port is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PortField {
    Destination(Transport),
    /// The port the client dialled, before a container engine or anybody else translated it.
    Dialled,
}

/// The limit of one source in a set that remembers sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SourceLimit {
    NewPerMinute { max: u64, burst: u64 },
    Open { max: u64 },
}

/// A period of a limit that is not kept per source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Period {
    Second,
    Minute,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Statement {
    Loopback,
    NotThrough(Vec<InterfaceName>),
    SourceIn {
        family: Family,
        set: String,
    },
    SourceLinkLocal,
    State(&'static [&'static str]),
    /// The way out of a connection whose destination was translated.
    Translated,
    /// What opens a TCP connection.
    Opening,
    Carries(Transport),
    PortAmong {
        field: PortField,
        ports: Vec<PortRange>,
    },
    PortIn {
        field: PortField,
        set: &'static str,
    },
    UdpPorts {
        source: u16,
        destination: u16,
    },
    /// Each port leads to a chain.
    Dispatch {
        field: PortField,
        chains: Vec<(PortRange, String)>,
    },
    Icmp {
        family: Family,
        kinds: &'static [&'static str],
    },
    Igmp,
    /// Only a neighbour's packet still has it: routers count it down.
    HopLimitWhole,
    OverPerSource {
        family: Family,
        set: String,
        limit: SourceLimit,
    },
    OverInAll {
        open_max: u64,
    },
    AtMost {
        count: u64,
        period: Period,
        burst: u64,
    },
    Log {
        prefix: String,
    },
    Count(String),
    Accept,
    Drop,
    Goto(String),
}

impl Family {
    pub(super) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
        }
    }

    /// The protocol's name in an expression.
    pub(super) const fn protocol(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        }
    }

    /// The type of a set's elements.
    pub(super) const fn address_type(self) -> &'static str {
        match self {
            Self::V4 => "ipv4_addr",
            Self::V6 => "ipv6_addr",
        }
    }
}

/// What one IPv6 source is: its network, since a host has as many addresses in it as it likes.
pub(super) const SOURCE_MASK_V6: &str = "ffff:ffff:ffff:ffff::";

impl Period {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
        }
    }
}

impl fmt::Display for PortField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Destination(transport) => write!(f, "{} dport", transport.name()),
            Self::Dialled => f.write_str("ct original proto-dst"),
        }
    }
}

impl fmt::Display for SourceLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewPerMinute { max, burst } => {
                write!(f, "limit rate over {max}/minute burst {burst} packets")
            }
            Self::Open { max } => write!(f, "ct count over {max}"),
        }
    }
}

impl SourceLimit {
    /// Every attempt updates the rate, so that a source that keeps trying stays limited.
    pub(super) const fn operation(self) -> &'static str {
        match self {
            Self::NewPerMinute { .. } => "update",
            Self::Open { .. } => "add",
        }
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => f.write_str("iifname \"lo\""),
            Self::NotThrough(names) => {
                let names = joined(names.iter().map(|name| format!("\"{name}\"")));
                write!(f, "iifname != {{ {names} }}")
            }
            Self::SourceIn { family, set } => write!(f, "{} saddr @{set}", family.protocol()),
            Self::SourceLinkLocal => f.write_str("ip6 saddr fe80::/10"),
            Self::State(states) => write!(f, "ct state {}", states.join(",")),
            Self::Translated => f.write_str("ct status dnat ct direction original"),
            Self::Opening => f.write_str("tcp flags & (fin | syn | rst | ack) == syn"),
            Self::Carries(transport) => write!(f, "meta l4proto {}", transport.name()),
            Self::PortAmong { field, ports } => {
                write!(f, "{field} {{ {} }}", joined(ports.iter()))
            }
            Self::PortIn { field, set } => write!(f, "{field} @{set}"),
            Self::UdpPorts {
                source,
                destination,
            } => write!(f, "udp sport {source} udp dport {destination}"),
            Self::Dispatch { field, chains } => {
                let chains = chains
                    .iter()
                    .map(|(ports, chain)| format!("{ports} : jump {chain}"));
                write!(f, "{field} vmap {{ {} }}", joined(chains))
            }
            Self::Icmp { family, kinds } => {
                write!(f, "{} type {{ {} }}", icmp(*family), kinds.join(", "))
            }
            Self::Igmp => f.write_str("ip protocol igmp"),
            Self::HopLimitWhole => f.write_str("ip6 hoplimit 255"),
            Self::OverPerSource { family, set, limit } => {
                let source = match family {
                    Family::V4 => "ip saddr".to_owned(),
                    Family::V6 => format!("ip6 saddr & {SOURCE_MASK_V6}"),
                };
                write!(f, "{} @{set} {{ {source} {limit} }}", limit.operation())
            }
            Self::OverInAll { open_max } => write!(f, "ct count over {open_max}"),
            Self::AtMost {
                count,
                period,
                burst,
            } => write!(
                f,
                "limit rate {count}/{} burst {burst} packets",
                period.name()
            ),
            Self::Log { prefix } => write!(f, "log prefix \"{prefix}\" level info"),
            Self::Count(counter) => write!(f, "counter name \"{counter}\""),
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}

pub(super) const fn icmp(family: Family) -> &'static str {
    match family {
        Family::V4 => "icmp",
        Family::V6 => "icmpv6",
    }
}

pub(super) fn joined<T: fmt::Display>(items: impl Iterator<Item = T>) -> String {
    items
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}
