//! What a lease holds: paths, files, names and ports.
//!
//! A resource has two texts. People and the wire write a glob as `path:` ([`fmt::Display`]). In the journal,
//! `path:` is a glob of format 1 and 2, which covers nothing below its paths, and `glob:` is one that does.
//! So old records keep their meaning ([`Resource::from_record`]). `protocol/resource/` parses what people
//! write, and refuses more than the journal does.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::file_path::{FilePath, FilePathError};
use super::glob::{Coverage, Glob, GlobError};
use super::ids::NameError;
use super::place::{PathPlace, Place};
use crate::planted::{Bug, is_on};

/// The name of a shared thing: a build slot, a merge slot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlotName(Box<super::ids::ContextKey>);

/// The name of a host whose ports are leased.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostName(Box<super::ids::LabelKey>);

/// What a lease holds. One lease may have many, so the type is small.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    Path(Glob),
    File(FilePath),
    Name(SlotName),
    Port { host: HostName, port: u16 },
}

/// A requested resource, or any port of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceRequest {
    One(Resource),
    PortPool { host: HostName, from: u16, to: u16 },
}

/// Why a text is not a resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    #[error("it has no kind")]
    NoKind,
    #[error(transparent)]
    Glob(#[from] GlobError),
    #[error(transparent)]
    File(#[from] FilePathError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(
        "write a port as port:HOST:NUMBER, a pool of ports as port:HOST:FIRST-LAST; numbers are 1 to 65535"
    )]
    Port,
    #[error("the first port of the pool is above its last")]
    EmptyPool,
    #[error("a pool of ports is not a resource: give one port")]
    Pool,
}

impl HostName {
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Resource {
    /// Whether the two conflict: whether both cover a common path.
    pub fn overlaps(&self, other: &Self) -> bool {
        if is_on(Bug::DoubleGrant) {
            return self == other;
        }
        match (self, other) {
            (Self::Path(a), Self::Path(b)) => a.overlaps(b),
            (Self::File(a), Self::File(b)) => a.overlaps(b),
            (Self::File(file), Self::Path(glob)) | (Self::Path(glob), Self::File(file)) => {
                file.overlaps_glob(glob)
            }
            (a, b) => a == b,
        }
    }

    /// Whether it is on paths, which are those of a tree; names and ports are the same everywhere.
    pub fn is_of_tree(&self) -> bool {
        matches!(self, Self::Path(_) | Self::File(_))
    }

    /// Whether holding this protects all that the other one means.
    ///
    /// What it says yes to is so. Of two globs it knows only that equal ones, and all below a folder, are.
    pub fn contains(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Path(glob), Self::File(file)) if !file.is_folder() => {
                glob.matches(file.as_str())
            }
            (Self::Path(_) | Self::File(_), Self::Path(_) | Self::File(_)) => {
                let below = self.folder().is_some_and(|it| it.contains(&other.place()));
                below || self == other
            }
            _ => self == other,
        }
    }

    /// The folder, if it is one and all in it.
    fn folder(&self) -> Option<Place> {
        match self {
            Self::File(file) => file.is_folder().then(|| self.place()),
            Self::Path(glob) => {
                let text = glob.as_str();
                let covers = glob.coverage() == Coverage::Covering && !text.ends_with('/');
                let is_folder = text == "**" || (covers && glob.beginning().1);
                is_folder.then(|| self.place())
            }
            Self::Name(_) | Self::Port { .. } => None,
        }
    }

    /// Where it lies.
    pub(super) fn place(&self) -> Place {
        match self {
            Self::Path(glob) => Place::Path(PathPlace(glob.beginning().0.into())),
            Self::File(file) => Place::Path(PathPlace(file.place())),
            Self::Name(name) => Place::Name(name.clone()),
            Self::Port { host, port } => Place::Port(host.clone(), *port),
        }
    }

    /// How the last name of each of its paths ends: from its last dot on, and empty without a dot. `None` if the
    /// paths differ in that, or may be told from others in another way.
    pub(super) fn ending(&self) -> Option<&str> {
        match self {
            Self::Path(glob) => glob.ending(),
            Self::File(file) if !file.is_folder() => {
                let text = file.as_str();
                let name = text.rsplit('/').next().unwrap_or(text);
                Some(name.rfind('.').map_or("", |dot| &name[dot..]))
            }
            Self::File(_) | Self::Name(_) | Self::Port { .. } => None,
        }
    }

    pub(super) fn is_glob(&self) -> bool {
        matches!(self, Self::Path(_))
    }

    /// The length of its glob, on which the cost of deciding overlap depends.
    pub fn pattern_bytes(&self) -> u64 {
        match self {
            Self::Path(glob) => glob.as_str().len() as u64,
            Self::File(_) | Self::Name(_) | Self::Port { .. } => 0,
        }
    }

    /// The length of its file's name; none for other resources.
    pub fn file_bytes(&self) -> Option<u64> {
        match self {
            Self::File(file) => Some(file.as_str().len() as u64),
            Self::Path(_) | Self::Name(_) | Self::Port { .. } => None,
        }
    }

    /// A path that both match, to show people why they conflict.
    pub fn example(&self, other: &Self) -> Option<String> {
        match (self, other) {
            (Self::Path(a), Self::Path(b)) => a.overlap_witness(b),
            (Self::File(file), Self::Path(glob)) | (Self::Path(glob), Self::File(file)) => {
                file.witness(glob)
            }
            _ => None,
        }
    }

    /// The format of commands that first had its kind.
    pub fn format(&self) -> u32 {
        match self {
            Self::File(_) => 3,
            Self::Path(glob) if glob.coverage() == Coverage::Covering => 3,
            Self::Path(_) | Self::Name(_) | Self::Port { .. } => 1,
        }
    }

    /// A resource as records and snapshots have it.
    pub fn from_record(text: &str) -> Result<Self, ResourceError> {
        match ResourceRequest::from_record(text)? {
            ResourceRequest::One(resource) => Ok(resource),
            ResourceRequest::PortPool { .. } => Err(ResourceError::Pool),
        }
    }

    fn kind(&self, for_record: bool) -> &'static str {
        match self {
            Self::Path(glob) if for_record && glob.coverage() == Coverage::Covering => "glob",
            Self::Path(_) => "path",
            Self::File(_) => "file",
            Self::Name(_) => "name",
            Self::Port { .. } => "port",
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, for_record: bool) -> fmt::Result {
        write!(f, "{}:", self.kind(for_record))?;
        match self {
            Self::Path(glob) => write!(f, "{glob}"),
            Self::File(file) => write!(f, "{file}"),
            Self::Name(name) => write!(f, "{}", name.0),
            Self::Port { host, port } => write!(f, "{}:{port}", host.0),
        }
    }
}

impl ResourceRequest {
    /// A request as records have it.
    pub fn from_record(text: &str) -> Result<Self, ResourceError> {
        let (kind, rest) = text.split_once(':').ok_or(ResourceError::NoKind)?;
        let glob = |coverage| Ok(Self::One(Resource::Path(Glob::new(rest, coverage)?)));
        match kind {
            "path" => glob(Coverage::Exact),
            "glob" => glob(Coverage::Covering),
            "file" => Ok(Self::One(Resource::File(FilePath::new(rest)?))),
            "name" => Self::name(rest),
            "port" => Self::ports(rest),
            _ => Err(ResourceError::NoKind),
        }
    }

    /// From what follows `name:`.
    pub fn name(name: &str) -> Result<Self, ResourceError> {
        let name = SlotName(Box::new(name.parse()?));
        Ok(Self::One(Resource::Name(name)))
    }

    /// From what follows `port:`: one port, or a pool of them.
    pub fn ports(text: &str) -> Result<Self, ResourceError> {
        let (host, ports) = text.rsplit_once(':').ok_or(ResourceError::Port)?;
        let host = HostName(Box::new(host.parse()?));
        let number = |part: &str| match part.parse::<u16>() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(ResourceError::Port),
        };
        let Some((from, to)) = ports.split_once('-') else {
            let port = number(ports)?;
            return Ok(Self::One(Resource::Port { host, port }));
        };
        let (from, to) = (number(from)?, number(to)?);
        if from > to {
            return Err(ResourceError::EmptyPool);
        }
        Ok(Self::PortPool { host, from, to })
    }

    pub fn one(&self) -> Option<&Resource> {
        match self {
            Self::One(resource) => Some(resource),
            Self::PortPool { .. } => None,
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, for_record: bool) -> fmt::Result {
        match self {
            Self::One(resource) => resource.write(f, for_record),
            Self::PortPool { host, from, to } => write!(f, "port:{}:{from}-{to}", host.0),
        }
    }
}

macro_rules! texts {
    ($($name:ident),*) => {$(
        /// As people write it.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.write(f, false)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&fmt::from_fn(|f| self.write(f, true)))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                Self::from_record(&text)
                    .map_err(|error| serde::de::Error::custom(format_args!("{text:?}: {error}")))
            }
        }
    )*};
}

texts!(Resource, ResourceRequest);

#[cfg(test)]
mod tests {
    use super::*;

    /// What a record says is what is written again, and means what it meant.
    #[test]
    fn records_tell_old_globs_from_new_ones() {
        let read = |text: &str| Resource::from_record(text).expect("it is a resource");
        let inside = read("file:src/main.rs");
        for (text, shown, covers) in [
            ("path:src", "path:src", false),
            ("glob:src", "path:src", true),
            ("file:src", "file:src", false),
            ("file:src/", "file:src/", true),
            ("name:src", "name:src", false),
            ("port:src:1", "port:src:1", false),
        ] {
            let resource = read(text);
            assert_eq!(resource.to_string(), shown);
            let json = serde_json::to_string(&resource).expect("a text encodes");
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(resource.overlaps(&inside), covers, "{text}");
        }
        assert_ne!(read("path:src"), read("glob:src"));
        // What is refused at the edge was accepted once.
        for old in [
            "path:a.ts,b.ts",
            "path:~/x",
            "path:C:/x",
            "path:x.ts:12",
            "path:@(a)",
        ] {
            assert_eq!(read(old).format(), 1, "{old}");
        }
    }

    #[test]
    fn resources_are_small() {
        assert!(size_of::<Resource>() <= 24);
    }
}
