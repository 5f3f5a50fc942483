//! The kinds of values that settings have: how a typed value is read, and what holds without one.

use serde::Serialize;
use serde_json::{Value, json};

use super::given::RawValue;
use super::host::Host;
use super::names::MetricsPath;
use super::problem::Misfit;
use super::source::Source;
use super::value;
use crate::edge::ports::{Port, Profile, Service};

/// What kind of value a setting has, for those who only describe it: schema, example, documentation.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Choice(Words),
    Count(Count),
    /// Off unless switched on.
    Boolean,
    /// The port of a service; the profile's when not set.
    Port(Service),
    /// An IP address or a host name; loopback when not set.
    Host,
    /// Hosts, with or without a port.
    Hosts,
    /// Origins of web pages: `https://host:port`.
    Origins,
    /// Addresses, networks and ranges of addresses.
    Networks,
    /// Names of network interfaces.
    Interfaces,
    /// Names in certificates.
    Names,
    /// Names with a value each.
    Pairs,
    /// Ports and ranges of ports, each of TCP or UDP.
    OpenPorts,
    /// A range of ports.
    Ports,
    /// The path of a URL.
    UrlPath,
    /// A URL without a secret in it.
    Url,
    /// Text with rules of its own.
    Text,
    /// A path in the file system; a relative one in a file counts from that file's folder.
    Path,
    /// Never shown. Also read from `<variable>_FILE` and the key `<key>_file`.
    Secret,
}

/// The words of a choice, one of which is the default.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    pub words: &'static [&'static str],
    /// The default's place in `words`.
    pub default: usize,
}

/// A choice between words that each stand for a value.
#[derive(Debug)]
pub struct Choice<T: 'static> {
    pub words: Words,
    /// What each of the words stands for.
    pub values: &'static [T],
}

/// A whole number; unit and bounds included.
#[derive(Debug, Clone, Copy)]
pub struct Count {
    pub unit: &'static str,
    pub min: u64,
    pub max: u64,
    pub default: u64,
}

/// The port of a service.
#[derive(Debug)]
pub struct ServicePort(pub Service);

/// A value without a default.
#[derive(Debug)]
pub struct Plain<T> {
    pub(super) read: fn(&RawValue) -> Result<T, Misfit>,
}

/// A value with a default that is the same everywhere.
#[derive(Debug)]
pub struct Or<T> {
    pub(super) read: fn(&RawValue) -> Result<T, Misfit>,
    pub(super) default: fn() -> T,
}

/// Makes a value of what was typed.
pub(super) trait Read: 'static {
    type Value: Serialize;

    fn read(&self, raw: &RawValue) -> Result<Self::Value, Misfit>;
}

/// Knows what holds when nobody sets it, and who says so.
pub(super) trait Fallback: Read {
    fn fallback(&self, profile: Profile) -> (Self::Value, Source);
}

impl<T: Copy + Serialize> Read for Choice<T> {
    type Value = T;

    fn read(&self, raw: &RawValue) -> Result<T, Misfit> {
        Ok(self.values[value::choice(raw, self.words.words)?])
    }
}

impl<T: Copy + Serialize> Fallback for Choice<T> {
    fn fallback(&self, _: Profile) -> (T, Source) {
        (self.values[self.words.default], Source::Default)
    }
}

impl Read for Count {
    type Value = u64;

    fn read(&self, raw: &RawValue) -> Result<u64, Misfit> {
        value::count(raw, self.unit, self.min, self.max)
    }
}

impl Fallback for Count {
    fn fallback(&self, _: Profile) -> (u64, Source) {
        (self.default, Source::Default)
    }
}

impl Read for ServicePort {
    type Value = Port;

    fn read(&self, raw: &RawValue) -> Result<Port, Misfit> {
        value::port(raw)
    }
}

impl Fallback for ServicePort {
    fn fallback(&self, profile: Profile) -> (Port, Source) {
        (profile.port(self.0), Source::profile(profile))
    }
}

impl<T: Serialize + 'static> Read for Plain<T> {
    type Value = T;

    fn read(&self, raw: &RawValue) -> Result<T, Misfit> {
        (self.read)(raw)
    }
}

impl<T: Serialize + 'static> Read for Or<T> {
    type Value = T;

    fn read(&self, raw: &RawValue) -> Result<T, Misfit> {
        (self.read)(raw)
    }
}

impl<T: Serialize + 'static> Fallback for Or<T> {
    fn fallback(&self, _: Profile) -> (T, Source) {
        ((self.default)(), Source::Default)
    }
}

impl Kind {
    /// What holds when nobody sets it, where the kind decides that.
    pub(super) fn default(self) -> Option<Value> {
        match self {
            Self::Choice(Words { words, default }) => Some(json!(words[default])),
            Self::Count(count) => Some(json!(count.default)),
            Self::Boolean => Some(json!(false)),
            Self::Port(service) => Some(json!(Profile::fallback().port(service))),
            Self::Host => Some(json!(Host::LOOPBACK)),
            Self::UrlPath => Some(json!(MetricsPath::default())),
            _ => None,
        }
    }

    /// Whether a file has a list of texts for it.
    pub fn is_list(self) -> bool {
        matches!(
            self,
            Self::Hosts
                | Self::Origins
                | Self::Networks
                | Self::Interfaces
                | Self::Names
                | Self::Pairs
                | Self::OpenPorts
        )
    }
}
