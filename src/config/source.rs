//! Where a value came from, and which sources go before which.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::edge::ports::Profile;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Source {
    Flag {
        name: &'static str,
    },
    Variable {
        name: String,
    },
    /// One of systemd's credentials.
    Credential {
        name: &'static str,
    },
    File {
        path: PathBuf,
        line: usize,
        key: String,
    },
    /// The port table's value for this profile.
    Profile(ProfileSource),
    /// Chosen when the binary was built.
    Baked,
    Default,
}

/// The profile a port came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ProfileSource {
    pub profile: Profile,
}

impl Source {
    /// Sources with a smaller rank go before those with a larger one.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Flag { .. } => 0,
            Self::Variable { .. } => 1,
            Self::Credential { .. } => 2,
            Self::File { .. } => 3,
            Self::Profile(_) => 4,
            Self::Baked | Self::Default => 5,
        }
    }

    /// Whether somebody chose the value, rather than nobody.
    pub fn is_given(&self) -> bool {
        self.rank() < 4
    }

    pub(super) fn profile(profile: Profile) -> Self {
        Self::Profile(ProfileSource { profile })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag { name } => f.write_str(name),
            Self::Variable { name } => f.write_str(name),
            Self::Credential { name } => write!(f, "credential {name}"),
            Self::File { path, line: 0, .. } => write!(f, "{}", path.display()),
            Self::File { path, line, key } if key.is_empty() => {
                write!(f, "{}:{line}", path.display())
            }
            Self::File { path, line, key } => write!(f, "{}:{line} {key}", path.display()),
            Self::Profile(source) => write!(f, "{} profile", source.profile),
            Self::Baked => f.write_str("built in"),
            Self::Default => f.write_str("default"),
        }
    }
}
