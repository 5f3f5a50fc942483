//! Port numbers and ranges of them: checked once, where they are read.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

/// Ports below this one can, by default, only be bound by root or with `CAP_NET_BIND_SERVICE`.
pub const PORT_UNPRIVILEGED_MIN: u16 = 1024;

/// A TCP port that a service can have: 1 to 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Port(NonZeroU16);

/// Why a text is not a port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    #[error("port 0 means \"any port\", so clients could not find it")]
    Zero,
    #[error("{0} is above 65535, the largest port")]
    TooLarge(String),
    #[error("{0:?} is not a port number")]
    NotANumber(String),
}

/// Ports from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortRange {
    first: Port,
    last: Port,
}

/// Why a text is not a range of ports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortRangeError {
    #[error("{0}")]
    Port(#[from] PortError),
    #[error("the range {first}-{last} is reversed: write {last}-{first}")]
    Reversed { first: Port, last: Port },
}

impl Port {
    /// `None` for 0.
    pub const fn new(number: u16) -> Option<Self> {
        match NonZeroU16::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    pub const fn number(self) -> u16 {
        self.0.get()
    }

    /// A constant of the port table; evaluated by the compiler, so a 0 fails the build.
    pub(super) const fn known(number: u16) -> Self {
        match Self::new(number) {
            Some(port) => port,
            None => panic!("the port table holds a 0"),
        }
    }

    /// The port `steps` above this one, unless that is past the largest port.
    pub fn above(self, steps: u16) -> Option<Self> {
        self.0.checked_add(steps).map(Self)
    }
}

impl PortRange {
    pub const fn new(first: Port, last: Port) -> Result<Self, PortRangeError> {
        if first.number() > last.number() {
            return Err(PortRangeError::Reversed { first, last });
        }
        Ok(Self { first, last })
    }

    pub(super) const fn single(port: Port) -> Self {
        Self {
            first: port,
            last: port,
        }
    }

    /// The same range, but up to `last`, which is not below its first port.
    pub(super) fn up_to(self, last: Port) -> Self {
        Self {
            first: self.first,
            last: last.max(self.first),
        }
    }

    pub(super) const fn known(first: u16, last: u16) -> Self {
        assert!(first <= last, "the port table holds a reversed range");
        Self {
            first: Port::known(first),
            last: Port::known(last),
        }
    }

    pub const fn first(self) -> Port {
        self.first
    }

    pub const fn last(self) -> Port {
        self.last
    }

    /// How many ports; at least 1, and 65535 at most.
    pub const fn count(self) -> u16 {
        self.last.number() - self.first.number() + 1
    }

    pub fn contains(self, port: Port) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// All its ports, each once, from `start` steps in, and round again from the first.
    pub fn round_from(self, start: u16) -> impl Iterator<Item = Port> {
        let count = u32::from(self.count());
        (0..count).map(move |step| {
            let offset = (u32::from(start) + step) % count;
            let offset = u16::try_from(offset).expect("an offset is below a count, which is a u16");
            self.first
                .above(offset)
                .expect("the first port and an offset below the count stay within the range")
        })
    }

    /// All its ports, in ascending order.
    pub fn iter(self) -> impl Iterator<Item = Port> {
        self.round_from(0)
    }
}

impl FromStr for Port {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, PortError> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(PortError::NotANumber(text.to_owned()));
        }
        let number = text
            .parse()
            .map_err(|_| PortError::TooLarge(text.to_owned()))?;
        Self::new(number).ok_or(PortError::Zero)
    }
}

impl FromStr for PortRange {
    type Err = PortRangeError;

    /// `3000-3999`, or `3000` for a single port.
    fn from_str(text: &str) -> Result<Self, PortRangeError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Self::new(first.trim().parse()?, last.trim().parse()?)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return fmt::Display::fmt(&self.first, f);
        }
        f.pad(&format!("{}-{}", self.first, self.last))
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
