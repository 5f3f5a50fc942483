//! What a lease holds: paths, names and ports.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::glob::{Glob, GlobError};
use super::ids::NameError;

mod names {
    pub(super) const ALLOWED: &str = "`path:GLOB`, `name:NAME` or `port:HOST:NUMBER`";
}

/// The name of a shared thing: a build slot, a merge slot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlotName(super::ids::ContextKey);

/// The name of a host whose ports are leased.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostName(super::ids::LabelKey);

/// What a lease holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    Path(Glob),
    Name(SlotName),
    Port { host: HostName, port: u16 },
}

/// What a lease is asked for: a resource, or any port of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceRequest {
    One(Resource),
    PortPool { host: HostName, from: u16, to: u16 },
}

/// Why a text names no resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    #[error("{text:?} names no resource: write {}", names::ALLOWED)]
    NoKind { text: String },
    #[error("a bad glob in {text:?}: {source}")]
    Glob { text: String, source: GlobError },
    #[error("a bad name in {text:?}: {source}")]
    Name { text: String, source: NameError },
    #[error("a bad port in {text:?}: a port is a number from 1 to 65535")]
    Port { text: String },
    #[error("the pool in {text:?} is empty: its first port is above its last")]
    EmptyPool { text: String },
}

impl HostName {
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Resource {
    /// Whether holding one excludes holding the other: for globs, whether any path matches both.
    pub fn overlaps(&self, other: &Self) -> bool {
        #[cfg(feature = "planted-bugs")]
        if crate::planted::is_on(crate::planted::Bug::DoubleGrant) {
            return self == other;
        }
        match (self, other) {
            (Self::Path(a), Self::Path(b)) => a.overlaps(b),
            (a, b) => a == b,
        }
    }

    /// The length of its glob, on which the cost of deciding overlap depends.
    pub fn pattern_bytes(&self) -> u64 {
        match self {
            Self::Path(glob) => glob.as_str().len() as u64,
            Self::Name(_) | Self::Port { .. } => 0,
        }
    }

    /// A path that both match, to show people why they conflict.
    pub fn example(&self, other: &Self) -> Option<String> {
        match (self, other) {
            (Self::Path(a), Self::Path(b)) => a.overlap_witness(b),
            _ => None,
        }
    }
}

impl FromStr for ResourceRequest {
    type Err = ResourceError;

    fn from_str(text: &str) -> Result<Self, ResourceError> {
        let owned = || text.to_owned();
        let name_error = |source| ResourceError::Name {
            text: owned(),
            source,
        };
        match text.split_once(':') {
            Some(("path", glob)) => match glob.parse() {
                Ok(glob) => Ok(Self::One(Resource::Path(glob))),
                Err(source) => Err(ResourceError::Glob {
                    text: owned(),
                    source,
                }),
            },
            Some(("name", name)) => {
                let name = SlotName(name.parse().map_err(name_error)?);
                Ok(Self::One(Resource::Name(name)))
            }
            Some(("port", rest)) => {
                let (host, ports) = rest
                    .rsplit_once(':')
                    .ok_or(ResourceError::Port { text: owned() })?;
                let host = HostName(host.parse().map_err(name_error)?);
                parse_ports(text, host, ports)
            }
            _ => Err(ResourceError::NoKind { text: owned() }),
        }
    }
}

fn parse_ports(text: &str, host: HostName, ports: &str) -> Result<ResourceRequest, ResourceError> {
    let number = |part: &str| match part.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(ResourceError::Port {
            text: text.to_owned(),
        }),
    };
    let Some((from, to)) = ports.split_once('-') else {
        let port = number(ports)?;
        return Ok(ResourceRequest::One(Resource::Port { host, port }));
    };
    let (from, to) = (number(from)?, number(to)?);
    if from > to {
        return Err(ResourceError::EmptyPool {
            text: text.to_owned(),
        });
    }
    Ok(ResourceRequest::PortPool { host, from, to })
}

impl FromStr for Resource {
    type Err = ResourceError;

    fn from_str(text: &str) -> Result<Self, ResourceError> {
        match text.parse()? {
            ResourceRequest::One(resource) => Ok(resource),
            ResourceRequest::PortPool { .. } => Err(ResourceError::Port {
                text: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(glob) => write!(f, "path:{glob}"),
            Self::Name(name) => write!(f, "name:{}", name.0),
            Self::Port { host, port } => write!(f, "port:{}:{port}", host.0),
        }
    }
}

impl fmt::Display for ResourceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(resource) => fmt::Display::fmt(resource, f),
            Self::PortPool { host, from, to } => write!(f, "port:{}:{from}-{to}", host.0),
        }
    }
}

macro_rules! serde_as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

serde_as_text!(Resource, ResourceRequest);
