//! Networks, interfaces and open ports, as the firewall's settings name them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::problem::{Misfit, quoted};
use crate::edge::ports::PortRange;

/// The kernel's bound, without its closing zero.
const INTERFACE_BYTES_MAX: usize = 15;

/// A stretch of addresses of one family, both ends included; how it was written is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    first: IpAddr,
    last: IpAddr,
}

/// The name of a network interface; whether there is one of that name is found out elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct InterfaceName(String);

/// What carries a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    Tcp,
    Udp,
}

/// A port, or a range of them, of one transport: `443`, `51820/udp`, `6000-6010/tcp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenPort {
    pub ports: PortRange,
    pub transport: Transport,
}

impl Network {
    pub fn first(&self) -> IpAddr {
        self.first
    }

    pub fn last(&self) -> IpAddr {
        self.last
    }

    /// Addresses of the other family are in no network; an IPv4 address in IPv6 clothes is IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.is_ipv4() == address.is_ipv4() && (self.first..=self.last).contains(&address)
    }

    pub fn covers(&self, other: &Self) -> bool {
        self.contains(other.first) && self.contains(other.last)
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    pub fn is_ipv4(&self) -> bool {
        self.first.is_ipv4()
    }

    /// As few networks as cover the same addresses, in ascending order, IPv4 first.
    pub fn merged(networks: &[Self]) -> Vec<Self> {
        let mut sorted = networks.to_vec();
        sorted.sort_unstable();
        let mut merged: Vec<Self> = Vec::new();
        for network in sorted {
            match merged.last_mut() {
                Some(last) if last.touches(&network) => last.last = last.last.max(network.last),
                _ => merged.push(network),
            }
        }
        merged
    }

    /// Whether `next`, which begins no earlier, overlaps this one or begins right behind it.
    fn touches(&self, next: &Self) -> bool {
        self.is_ipv4() == next.is_ipv4()
            && number(next.first) <= number(self.last).saturating_add(1)
    }

    /// The prefix length, where the stretch is one network of that length.
    fn prefix_bits(&self) -> Option<u32> {
        let all = if self.is_ipv4() { 32 } else { 128 };
        let (first, last) = (number(self.first), number(self.last));
        let host = (first ^ last).count_ones();
        let mask = if host == 128 {
            u128::MAX
        } else {
            (1 << host) - 1
        };
        (first & mask == 0 && first | mask == last).then(|| all - host)
    }
}

/// The address as a number of its family's width.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl FromStr for Network {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        let wrong = || {
            let right = "use an address, a network or a range, as in 192.0.2.7, 10.0.0.0/8, \
                         2001:db8::/64 or 192.0.2.5-192.0.2.9";
            Misfit::new(format!("{} is not a network", quoted(text)), right)
        };
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
            let bits: u32 = bits.trim().parse().map_err(|_| wrong())?;
            return Self::of_prefix(address, bits).ok_or_else(wrong)?;
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let first: IpAddr = first.trim().parse().map_err(|_| wrong())?;
        let last: IpAddr = last.trim().parse().map_err(|_| wrong())?;
        if first.is_ipv4() != last.is_ipv4() {
            return Err(wrong());
        }
        if first > last {
            let right = format!("write {last}-{first}");
            return Err(Misfit::new(format!("{} is reversed", quoted(text)), right));
        }
        Ok(Self { first, last })
    }
}

impl Network {
    /// `None` for more bits than the family has. Bits behind the prefix are a slip of the keyboard.
    fn of_prefix(address: IpAddr, bits: u32) -> Option<Result<Self, Misfit>> {
        let (first, last): (IpAddr, IpAddr) = match address {
            IpAddr::V4(address) => {
                let host = u32::MAX.checked_shr(bits).unwrap_or(0);
                let first = address.to_bits() & !host;
                let ends = (
                    Ipv4Addr::from_bits(first),
                    Ipv4Addr::from_bits(first | host),
                );
                (bits <= 32).then_some((ends.0.into(), ends.1.into()))?
            }
            IpAddr::V6(address) => {
                let host = u128::MAX.checked_shr(bits).unwrap_or(0);
                let first = address.to_bits() & !host;
                let ends = (
                    Ipv6Addr::from_bits(first),
                    Ipv6Addr::from_bits(first | host),
                );
                (bits <= 128).then_some((ends.0.into(), ends.1.into()))?
            }
        };
        if first == address {
            return Some(Ok(Self { first, last }));
        }
        let what = format!("{address}/{bits} has bits set beyond its prefix");
        let right = format!("write {first}/{bits} for the network, {address} for the single host");
        Some(Err(Misfit::new(what, right)))
    }
}

impl FromStr for InterfaceName {
    type Err = Misfit;

    /// The kernel allows more; what it allows beyond this nobody uses, and quotes would have to be
    /// escaped everywhere.
    fn from_str(text: &str) -> Result<Self, Misfit> {
        let allowed = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'@')
        };
        let fits = (1..=INTERFACE_BYTES_MAX).contains(&text.len());
        if fits && text.bytes().all(allowed) && !matches!(text, "." | "..") {
            return Ok(Self(text.to_owned()));
        }
        Err(Misfit::new(
            format!("{} is not the name of an interface", quoted(text)),
            "use a name that `ip link` shows, as in eth0",
        ))
    }
}

impl FromStr for OpenPort {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        let wrong = |why: String| {
            Misfit::new(
                why,
                "use a port or a range, as in 443, 6000-6010/tcp or 51820/udp",
            )
        };
        let (ports, transport) = text.split_once('/').unwrap_or((text, "tcp"));
        let transport = match transport.trim() {
            "tcp" => Transport::Tcp,
            "udp" => Transport::Udp,
            other => return Err(wrong(format!("{} is neither tcp nor udp", quoted(other)))),
        };
        let ports = ports
            .parse()
            .map_err(|error| wrong(format!("{} is not a port: {error}", quoted(text))))?;
        Ok(Self { ports, transport })
    }
}

impl Transport {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    /// Its number in an IP header.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix_bits() {
            _ if self.first == self.last => write!(f, "{}", self.first),
            Some(bits) => write!(f, "{}/{bits}", self.first),
            None => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

impl InterfaceName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for OpenPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ports, self.transport.name())
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for OpenPort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let shown = match text.parse::<Network>() {
            Ok(network) => network.to_string(),
            Err(misfit) => misfit.what,
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn networks_are_read_and_shown() {
        check("192.0.2.7", "192.0.2.7");
        check("192.0.2.7/32", "192.0.2.7");
        check("10.0.0.0/8", "10.0.0.0/8");
        check("0.0.0.0/0", "0.0.0.0/0");
        check("::/0", "::/0");
        check("2001:db8::/64", "2001:db8::/64");
        check("192.0.2.5-192.0.2.9", "192.0.2.5-192.0.2.9");
        check("192.0.2.4 - 192.0.2.7", "192.0.2.4/30");
        check("10.0.0.1/8", "10.0.0.1/8 has bits set beyond its prefix");
        check("192.0.2.9-192.0.2.5", "\"192.0.2.9-192.0.2.5\" is reversed");
        for wrong in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0",
            "a/8",
            "::1-10.0.0.1",
            "10.0.0.0/-1",
        ] {
            check(wrong, &format!("{wrong:?} is not a network"));
        }
    }

    #[test]
    fn merged_networks_cover_the_same() {
        let parse = |texts: &[&str]| -> Vec<Network> {
            let parsed = texts.iter().map(|text| text.parse());
            parsed.collect::<Result<_, _>>().expect("they are networks")
        };
        let merged = Network::merged(&parse(&[
            "2001:db8::/64",
            "10.0.1.0/24",
            "10.0.0.0/24",
            "10.0.0.7",
            "255.255.255.255",
            "2001:db8::1",
        ]));
        let shown: Vec<String> = merged.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.0/23", "255.255.255.255", "2001:db8::/64"]);
    }

    #[test]
    fn an_ipv4_address_in_ipv6_clothes_is_ipv4() {
        let network: Network = "10.0.0.0/8".parse().expect("a network");
        assert!(network.contains("::ffff:10.1.2.3".parse().expect("an address")));
        let all: Network = "::/0".parse().expect("a network");
        assert!(!all.contains("10.1.2.3".parse().expect("an address")));
    }

    #[test]
    fn interfaces_and_ports_are_bounded() {
        assert!("eth0.100".parse::<InterfaceName>().is_ok());
        for wrong in ["", "..", "a b", "a\"b", "sixteen-bytes-lo", "a/b", "a;drop"] {
            assert!(wrong.parse::<InterfaceName>().is_err(), "{wrong}");
        }
        let port: OpenPort = "6000-6010/udp".parse().expect("ports");
        assert_eq!(port.to_string(), "6000-6010/udp");
        for wrong in ["", "0", "70000", "22/sctp", "9-3", "udp"] {
            assert!(wrong.parse::<OpenPort>().is_err(), "{wrong}");
        }
    }
}
