//! Texts with rules of their own: what a node is called, the path of the metrics, who reads them.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::problem::{Misfit, quoted};

/// Bounds of a label in DNS, which a host's name is.
const NODE_NAME_BYTES_MAX: usize = 63;

const METRICS_PATH_BYTES_MAX: usize = 128;

/// What a coordinator calls itself: letters, digits and `-_.`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct NodeName(String);

/// The path of a URL: begins with `/`, holds letters, digits and `-._~/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct MetricsPath(String);

/// A name in a client's certificate: a DNS name, an e-mail or IP address, or a URI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ClientName(String);

impl FromStr for ClientName {
    type Err = Misfit;

    /// It is compared as it is written; certificates may have anything in them.
    fn from_str(text: &str) -> Result<Self, Misfit> {
        let fits = !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control());
        if fits {
            return Ok(Self(text.to_owned()));
        }
        Err(Misfit::new(
            format!("{} is not a name in a certificate", quoted(text)),
            "use a DNS name, an e-mail address, a URI or an IP address, as in prometheus.example",
        ))
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl NodeName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host's name without its domain, if it makes a name; a box may be called anything.
    pub(super) fn of_host(hostname: &str) -> Self {
        let short = hostname.split('.').next().unwrap_or_default();
        short.parse().unwrap_or_else(|_| Self("node".to_owned()))
    }
}

impl FromStr for NodeName {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let fits = (1..=NODE_NAME_BYTES_MAX).contains(&text.len())
            && text.bytes().all(allowed)
            && !text.starts_with(['-', '.']);
        if fits {
            return Ok(Self(text.to_owned()));
        }
        Err(Misfit::new(
            format!("{} is not a node name", quoted(text)),
            format!("use at most {NODE_NAME_BYTES_MAX} letters, digits and -_. as in gateway-1"),
        ))
    }
}

impl MetricsPath {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for MetricsPath {
    fn default() -> Self {
        Self("/metrics".to_owned())
    }
}

impl FromStr for MetricsPath {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        let wrong = |right: &str| Misfit::new(format!("{} is not a path", quoted(text)), right);
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
        if text.len() > METRICS_PATH_BYTES_MAX {
            return Err(wrong(&format!(
                "use at most {METRICS_PATH_BYTES_MAX} bytes"
            )));
        }
        if !text.starts_with('/') || !text.bytes().all(allowed) {
            return Err(wrong(
                "begin with / and use only letters, digits and -._~/ as in /metrics",
            ));
        }
        if text == "/" || text.contains("//") || text.split('/').any(|part| part == "..") {
            return Err(wrong("write a path without // and .., as in /metrics"));
        }
        if matches!(text, "/healthz" | "/readyz") {
            return Err(wrong(
                "use another path: /healthz and /readyz are the health checks",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for MetricsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
