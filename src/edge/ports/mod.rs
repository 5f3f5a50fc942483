//! Ports and profiles: the port table as typed constants, and functions that depend only on it.
//!
//! Everything here is pure; another module finds out who listens on a port. In the table, no service has the
//! usual port of its kind, and no two profiles share a port.
//!
//! A profile can be baked in at build time: `COORD_BAKED_PROFILE=production cargo build --release` makes it
//! the default if no flag, variable or file names one. An unknown name fails the build.

mod choice;
mod fingerprint;
mod neighbours;
mod number;
mod render;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use choice::{
    TestPorts, candidates_above, candidates_for_key, candidates_in_pool, candidates_in_profile,
    spans_of_pool,
};
pub use fingerprint::{PortFingerprint, PortPlan};
pub use neighbours::{NEIGHBOURS, Neighbour, neighbour};
pub use number::{PORT_UNPRIVILEGED_MIN, Port, PortError, PortRange, PortRangeError};
pub use render::{table_json, table_markdown, table_text};

/// The environment of a coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    Production,
    Staging,
    Development,
    Testing,
}

/// What listens on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    Redis,
    WebSocket,
    Metrics,
}

/// A text that names no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a profile: use production, staging, development or testing")]
pub struct ProfileError(pub String);

impl Profile {
    pub const ALL: [Self; 4] = [
        Self::Production,
        Self::Staging,
        Self::Development,
        Self::Testing,
    ];

    /// The profile this binary was built for, if it was built for one.
    pub const BAKED: Option<Self> = baked(option_env!("COORD_BAKED_PROFILE"));

    /// The default: the baked profile, otherwise development.
    pub const fn fallback() -> Self {
        match Self::BAKED {
            Some(profile) => profile,
            None => Self::Development,
        }
    }

    /// As written in flags, variables and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Staging => "staging",
            Self::Development => "development",
            Self::Testing => "testing",
        }
    }

    /// The ports the profile owns for a service: one, or a range when tests run side by side.
    pub const fn ports(self, service: Service) -> PortRange {
        let (first, last) = match (self, service) {
            (Self::Production, Service::Redis) => (6380, 6380),
            (Self::Production, Service::WebSocket) => (8766, 8766),
            (Self::Production, Service::Metrics) => (9091, 9091),
            (Self::Staging, Service::Redis) => (6381, 6381),
            (Self::Staging, Service::WebSocket) => (8767, 8767),
            (Self::Staging, Service::Metrics) => (9092, 9092),
            (Self::Development, Service::Redis) => (6382, 6382),
            (Self::Development, Service::WebSocket) => (8768, 8768),
            (Self::Development, Service::Metrics) => (9093, 9093),
            (Self::Testing, Service::Redis) => (6383, 6390),
            (Self::Testing, Service::WebSocket) => (8769, 8780),
            (Self::Testing, Service::Metrics) => (9094, 9100),
        };
        PortRange::known(first, last)
    }

    /// The port a service has in this profile when nobody chose: the first of those it owns.
    pub const fn port(self, service: Service) -> Port {
        self.ports(service).first()
    }
}

impl Service {
    pub const ALL: [Self; 3] = [Self::Redis, Self::WebSocket, Self::Metrics];

    /// As the port table calls it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Redis => "Redis",
            Self::WebSocket => "WebSocket",
            Self::Metrics => "Prometheus",
        }
    }

    /// As written in machine-readable output, and the section of the configuration file.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::WebSocket => "websocket",
            Self::Metrics => "metrics",
        }
    }

    /// The environment variable that sets the service's port.
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Redis => "REDIS_PORT",
            Self::WebSocket => "WEBSOCKET_PORT",
            Self::Metrics => "METRICS_PORT",
        }
    }

    /// The port this kind of service usually has, which every profile keeps clear of.
    pub const fn standard_port(self) -> Port {
        match self {
            Self::Redis => Port::known(6379),
            Self::WebSocket => Port::known(8765),
            Self::Metrics => Port::known(9090),
        }
    }
}

/// Which profile and service a port belongs to; `None` when the table does not own it.
pub fn owner(port: Port) -> Option<(Profile, Service)> {
    Profile::ALL
        .into_iter()
        .flat_map(|profile| Service::ALL.map(|service| (profile, service)))
        .find(|(profile, service)| profile.ports(*service).contains(port))
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.title())
    }
}

impl FromStr for Profile {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        by_name(text).ok_or_else(|| ProfileError(text.to_owned()))
    }
}

/// Reads the build's choice; an unknown one stops the compiler, with this text.
const fn baked(name: Option<&str>) -> Option<Profile> {
    match name {
        None => None,
        // An empty variable is how build scripts write "none".
        Some(name) if name.is_empty() => None,
        Some(name) => match by_name(name) {
            Some(profile) => Some(profile),
            None => panic!(
                "COORD_BAKED_PROFILE names no profile: production, staging, development and testing are"
            ),
        },
    }
}

/// The profile of that name. `const`, so that the build and the command line go through one door;
/// that is why it compares bytes by hand.
const fn by_name(name: &str) -> Option<Profile> {
    let mut i = 0;
    while i < Profile::ALL.len() {
        if same(Profile::ALL[i].name().as_bytes(), name.as_bytes()) {
            return Some(Profile::ALL[i]);
        }
        i += 1;
    }
    None
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}
