//! Hosts and what is made of them: endpoints, allowed hosts, origins.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::problem::{Misfit, quoted};
use crate::edge::ports::Port;

/// Bounds of DNS.
const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// An IP address or a host name, the latter in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    Address(IpAddr),
    Name(String),
}

/// A host and a port on it; displays as `host:port`, IPv6 addresses in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub host: Host,
    pub port: Port,
}

/// What a Host header may say: a host, on any port unless one is named.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AllowedHost {
    pub host: Host,
    pub port: Option<Port>,
}

/// What an Origin header may say, as browsers write it: `https://host`, `http://host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct WebOrigin(String);

impl Host {
    pub const LOOPBACK: Self = Self::Address(IpAddr::V4(Ipv4Addr::LOCALHOST));

    /// Whether only this machine can reach it. A name other than `localhost` may lead anywhere.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Address(address) => address.to_canonical().is_loopback(),
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        }
    }

    /// Whether it stands for all addresses of the machine.
    pub fn is_wildcard(&self) -> bool {
        matches!(self, Self::Address(address) if address.to_canonical().is_unspecified())
    }

    /// How programs of this machine address it: "all addresses" is loopback for them.
    #[must_use]
    pub fn from_here(&self) -> Self {
        match self {
            Self::Address(address) if self.is_wildcard() && address.is_ipv6() => {
                Self::Address(IpAddr::V6(Ipv6Addr::LOCALHOST))
            }
            Self::Address(_) if self.is_wildcard() => Self::LOOPBACK,
            other => other.clone(),
        }
    }

    /// As it stands in a URL: IPv6 addresses in brackets.
    pub fn in_url(&self) -> String {
        match self {
            Self::Address(IpAddr::V6(address)) => format!("[{address}]"),
            other => other.to_string(),
        }
    }
}

impl Endpoint {
    /// The endpoint as programs of this machine address it.
    #[must_use]
    pub fn from_here(&self) -> Self {
        Self {
            host: self.host.from_here(),
            port: self.port,
        }
    }
}

impl WebOrigin {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Host {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'));
        if let Some(inner) = bare {
            let address: Ipv6Addr = inner.parse().map_err(|_| no_host(text))?;
            return Ok(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let name = text.to_ascii_lowercase();
        // An address with a slip of the keyboard would otherwise pass as a name.
        let all_digits = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
        let is_name = name.len() <= HOST_BYTES_MAX
            && name.split('.').all(is_label)
            && !name.rsplit('.').next().is_some_and(all_digits);
        if is_name {
            return Ok(Self::Name(name));
        }
        Err(no_host(text))
    }
}

impl FromStr for AllowedHost {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        let (host, port) = split_port(text);
        Ok(Self {
            host: host.parse()?,
            port: port.map(port_in).transpose()?,
        })
    }
}

impl FromStr for Endpoint {
    type Err = Misfit;

    /// `host:port`, IPv6 addresses in brackets.
    fn from_str(text: &str) -> Result<Self, Misfit> {
        let (host, port) = split_port(text);
        let missing = || {
            Misfit::new(
                format!("{} has no port", quoted(text)),
                "write host:port, as in 127.0.0.1:8768 or [::1]:8768",
            )
        };
        Ok(Self {
            host: host.parse()?,
            port: port_in(port.ok_or_else(missing)?)?,
        })
    }
}

impl FromStr for WebOrigin {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        let wrong = || {
            let right = "write a web page's scheme, host and port, as in https://dashboard.example";
            Misfit::new(format!("{} is not an origin", quoted(text)), right)
        };
        if text == "*" {
            let right = "list the web pages that may connect, as in https://dashboard.example";
            return Err(Misfit::new("\"*\" would allow every web page", right));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let scheme = scheme.to_ascii_lowercase();
        let default_port = match scheme.as_str() {
            "http" => "80",
            "https" => "443",
            _ => return Err(wrong()),
        };
        let (host, port) = split_port(rest);
        let host: Host = host.parse().map_err(|_| wrong())?;
        // Browsers leave the scheme's own port out.
        let port = match port.filter(|port| *port != default_port) {
            Some(port) => format!(":{}", port_in(port)?),
            None => String::new(),
        };
        Ok(Self(format!("{scheme}://{}{port}", host.in_url())))
    }
}

/// Cuts `host:port`; the colons of an IPv6 address only count as such in brackets or when alone.
pub(super) fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if host.ends_with(']') || !host.contains(':') => (host, Some(port)),
        _ => (text, None),
    }
}

fn port_in(text: &str) -> Result<Port, Misfit> {
    text.parse()
        .map_err(|error: crate::edge::ports::PortError| {
            Misfit::new(error.to_string(), "use a port from 1 to 65535")
        })
}

fn no_host(text: &str) -> Misfit {
    let hint = if text.contains("://") || text.contains('/') {
        "write only the host, without scheme and path"
    } else if split_port(text).1.is_some() {
        "write only the host; the port has its own setting"
    } else {
        "use an IP address or a host name, as in 127.0.0.1, ::1 or gateway.example"
    };
    Misfit::new(format!("{} is not a host", quoted(text)), hint)
}

/// Underscores are allowed because container names have them.
fn is_label(label: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(allowed)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => fmt::Display::fmt(address, f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host.in_url(), self.port)
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host.in_url())?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Host {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for AllowedHost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
