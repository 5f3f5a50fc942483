//! How a coordinator is addressed, and how it is recognised: its URL and its certificate's fingerprint.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::host::{Endpoint, split_port};
use super::problem::{Misfit, quoted};
use crate::edge::ports::Port;

/// Where a coordinator answers WebSocket upgrades.
pub const WEBSOCKET_PATH: &str = "/ws";

const FINGERPRINT_BYTES: usize = 32;

/// The SHA-256 of a certificate; displays as `SHA256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; FINGERPRINT_BYTES]);

/// A `ws:` or `wss:` URL, taken apart. It never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    pub tls: bool,
    pub endpoint: Endpoint,
    /// Begins with `/`.
    pub path: String,
}

impl FromStr for ServerUrl {
    type Err = Misfit;

    /// Errors repeat of the URL only what cannot be a secret.
    fn from_str(text: &str) -> Result<Self, Misfit> {
        const RIGHT: &str = "write ws://host:port/ws, or wss:// for TLS";
        let wrong = |what: &str| Misfit::new(what, RIGHT);
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| wrong("the URL has no scheme"))?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "ws" => false,
            "wss" => true,
            "http" => return Err(wrong("the URL's scheme is http, not ws")),
            "https" => return Err(wrong("the URL's scheme is https, not wss")),
            _ => return Err(wrong("the URL's scheme is neither ws nor wss")),
        };
        if rest.contains(['@', '?', '#']) {
            let what = "the URL may have only a host, a port and a path";
            return Err(Misfit::new(
                what,
                format!("{RIGHT}; a token belongs in COORD_TOKEN or COORD_TOKEN_FILE"),
            ));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = split_port(authority);
        let standard_port = if tls { "443" } else { "80" };
        let port: Port = port.unwrap_or(standard_port).parse().map_err(|_| {
            wrong(&format!(
                "{} is not a port",
                quoted(port.unwrap_or_default())
            ))
        })?;
        if path
            .bytes()
            .any(|byte| byte.is_ascii_control() || byte == b' ')
        {
            return Err(wrong("the URL's path has spaces or control characters"));
        }
        let path = if path.is_empty() {
            WEBSOCKET_PATH.to_owned()
        } else {
            format!("/{path}")
        };
        Ok(Self {
            tls,
            endpoint: Endpoint {
                host: host.parse()?,
                port,
            },
            path,
        })
    }
}

impl FromStr for Fingerprint {
    type Err = Misfit;

    /// With or without `SHA256:` before it, with or without colons between the bytes.
    fn from_str(text: &str) -> Result<Self, Misfit> {
        let wrong = || {
            let right = "use 64 hexadecimal digits, as a coordinator prints at its start";
            Misfit::new(format!("{} is not a fingerprint", quoted(text)), right)
        };
        let digits: Vec<u8> = text
            .strip_prefix("SHA256:")
            .unwrap_or(text)
            .chars()
            .filter(|c| *c != ':')
            .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect::<Option<_>>()
            .ok_or_else(wrong)?;
        if digits.len() != 2 * FINGERPRINT_BYTES {
            return Err(wrong());
        }
        Ok(Self(std::array::from_fn(|i| {
            digits[2 * i] << 4 | digits[2 * i + 1]
        })))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SHA256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.endpoint, self.path)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for ServerUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
