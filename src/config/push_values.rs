//! The values of `[push]` with rules of their own: the receiver's address, headers, labels.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::host::{Endpoint, split_port};
use super::problem::{Misfit, quoted};
use crate::edge::ports::Port;

const TEXT_BYTES_MAX: usize = 1_024;

/// What every request has already, or the connection decides. `authorization` has settings of its own.
const HEADERS_RESERVED: [&str; 14] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-prometheus-remote-write-version",
];

/// `http://host:port/path`; it never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushUrl {
    pub tls: bool,
    pub endpoint: Endpoint,
    /// Begins with `/`; with the query, if there is one.
    pub path: String,
}

/// A further header: `Name: value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushHeader {
    pub name: String,
    pub value: String,
}

/// A further label: `name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushLabel {
    pub name: String,
    pub value: String,
}

impl PushUrl {
    /// As it stands in a Host header: without the port that the scheme implies.
    pub fn authority(&self) -> String {
        let standard = if self.tls { 443 } else { 80 };
        if self.endpoint.port.number() == standard {
            return self.endpoint.host.in_url();
        }
        self.endpoint.to_string()
    }
}

impl FromStr for PushUrl {
    type Err = Misfit;

    /// Errors repeat of the URL only what cannot be a secret.
    fn from_str(text: &str) -> Result<Self, Misfit> {
        let wrong = |what: &str| Misfit::new(what, "write https://host:port/api/v1/write");
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| wrong("the URL has no scheme"))?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(wrong("the URL's scheme is neither http nor https")),
        };
        if rest.contains(['@', '#']) {
            let right = "leave out what stands before the @ or after the #; user and password belong in \
                         push.user and push.password";
            return Err(Misfit::new(
                "the URL may have only a host, a port and a path",
                right,
            ));
        }
        let (authority, path) = rest
            .split_once('/')
            .ok_or_else(|| wrong("the URL has no path"))?;
        if !path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte))
        {
            return Err(wrong(
                "the URL's path has characters that must be written as %..",
            ));
        }
        let (host, port) = split_port(authority);
        let port = port.unwrap_or(if tls { "443" } else { "80" });
        let port: Port = port
            .parse()
            .map_err(|_| wrong("the URL's port is not a port"))?;
        Ok(Self {
            tls,
            endpoint: Endpoint {
                host: host.parse()?,
                port,
            },
            path: format!("/{path}"),
        })
    }
}

impl FromStr for PushHeader {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        let right = "write a name and a value, as in \"X-Scope-OrgID: fleet\"";
        let wrong = |what: String| Misfit::new(what, right);
        let (name, value) = text
            .split_once(':')
            .ok_or_else(|| wrong("a header has no colon".to_owned()))?;
        let (name, value) = (name.trim(), value.trim());
        let of_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || !name.bytes().all(of_token) {
            return Err(wrong(format!(
                "{} is not the name of a header",
                quoted(name)
            )));
        }
        let lower = name.to_ascii_lowercase();
        if HEADERS_RESERVED.contains(&lower.as_str()) || lower.starts_with("proxy-") {
            let what = format!("the header {name} is not for you to set");
            return Err(Misfit::new(
                what,
                "leave it out; credentials belong in push.user or push.token",
            ));
        }
        let visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        if value.is_empty() || value.len() > TEXT_BYTES_MAX || !value.bytes().all(visible) {
            return Err(wrong(format!(
                "the value of the header {name} is empty, too long or not visible ASCII"
            )));
        }
        Ok(Self {
            name: lower,
            value: value.to_owned(),
        })
    }
}

impl FromStr for PushLabel {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        let wrong =
            |what: String| Misfit::new(what, "write a name and a value, as in \"site=north\"");
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| wrong("a label has no =".to_owned()))?;
        let (name, value) = (name.trim(), value.trim());
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let fits = name.bytes().all(allowed) && !name.starts_with(|c: char| c.is_ascii_digit());
        if name.is_empty() || !fits || name.starts_with("__") {
            return Err(wrong(format!(
                "{} is not the name of a label",
                quoted(name)
            )));
        }
        if value.is_empty() || value.len() > TEXT_BYTES_MAX {
            return Err(wrong(format!(
                "the value of the label {name} is empty or too long"
            )));
        }
        Ok(Self {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
}

impl fmt::Display for PushUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.endpoint, self.path)
    }
}

impl Serialize for PushUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for PushHeader {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}: {}", self.name, self.value))
    }
}

impl Serialize for PushLabel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}={}", self.name, self.value))
    }
}
