//! The environment, behind a small trait so that a map can stand in for it.
//!
//! This is the only place that reads the process's variables and who it runs as.

use std::collections::BTreeMap;
use std::env::VarError;
use std::path::{Path, PathBuf};

use crate::edge::ports::PORT_UNPRIVILEGED_MIN;

/// Where the configuration of the whole machine is looked for.
const SYSTEM_FOLDER: &str = "/etc/coord";

/// The bit of `CAP_NET_BIND_SERVICE` in a capability set.
const CAPABILITY_NET_BIND_SERVICE_BIT: u32 = 10;

/// What surrounds the process, as far as its configuration depends on it.
pub trait Environment {
    /// The variable's text. An empty one counts as not set.
    fn variable(&self, name: &str) -> Result<Option<String>, NotUnicode>;

    /// The names of all variables that are set.
    fn names(&self) -> Vec<String>;

    /// The folder of the machine-wide configuration, if there is such a thing.
    fn system_folder(&self) -> Option<PathBuf>;

    /// What the machine calls itself.
    fn hostname(&self) -> Option<String>;

    /// The file of one of systemd's credentials, if it was handed over.
    fn credential(&self, name: &str) -> Option<PathBuf> {
        let folder = self.variable("CREDENTIALS_DIRECTORY").ok()??;
        file_in(&folder, name)
    }
}

/// A variable whose bytes are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its value is not valid UTF-8")]
pub struct NotUnicode;

/// The real one.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnvironment;

/// A stand-in: nothing but what it was given.
#[derive(Debug, Clone, Default)]
pub struct MapEnvironment {
    pub variables: BTreeMap<String, String>,
    pub system_folder: Option<PathBuf>,
    pub hostname: Option<String>,
    /// Files that will be handed over as credentials, by name.
    pub credentials: BTreeMap<String, PathBuf>,
}

/// Who runs the program, as far as it decides which ports can be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invoker {
    pub uid: u32,
    /// The lowest port that can be bound.
    pub port_min: u16,
    pub bound: Bound,
}

/// Which sockets somebody else binds, and hands over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bound {
    pub websocket: bool,
    pub metrics: bool,
}

impl Environment for ProcessEnvironment {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one reader of the environment"
    )]
    fn variable(&self, name: &str) -> Result<Option<String>, NotUnicode> {
        match std::env::var(name) {
            Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(NotUnicode),
        }
    }

    fn names(&self) -> Vec<String> {
        std::env::vars_os()
            .filter_map(|(name, _)| name.into_string().ok())
            .collect()
    }

    fn system_folder(&self) -> Option<PathBuf> {
        Some(PathBuf::from(SYSTEM_FOLDER))
    }

    fn hostname(&self) -> Option<String> {
        // Asked of the kernel itself: a service in a sandbox does not see /proc/sys.
        let name = nix::unistd::gethostname().ok()?.into_string().ok()?;
        (!name.is_empty()).then_some(name)
    }
}

impl Environment for MapEnvironment {
    fn variable(&self, name: &str) -> Result<Option<String>, NotUnicode> {
        Ok(self
            .variables
            .get(name)
            .filter(|text| !text.is_empty())
            .cloned())
    }

    fn names(&self) -> Vec<String> {
        self.variables.keys().cloned().collect()
    }

    fn system_folder(&self) -> Option<PathBuf> {
        self.system_folder.clone()
    }

    fn hostname(&self) -> Option<String> {
        self.hostname.clone()
    }

    fn credential(&self, name: &str) -> Option<PathBuf> {
        let folder = self.variables.get("CREDENTIALS_DIRECTORY");
        let handed_over = folder.and_then(|folder| file_in(folder, name));
        handed_over.or_else(|| self.credentials.get(name).cloned())
    }
}

fn file_in(folder: &str, name: &str) -> Option<PathBuf> {
    Some(Path::new(folder).join(name)).filter(|path| path.exists())
}

impl<const N: usize> From<[(&str, &str); N]> for MapEnvironment {
    fn from(variables: [(&str, &str); N]) -> Self {
        Self {
            variables: variables
                .map(|(name, text)| (name.to_owned(), text.to_owned()))
                .into(),
            ..Self::default()
        }
    }
}

impl Invoker {
    /// This process: root and holders of `CAP_NET_BIND_SERVICE` bind any port; for the rest the
    /// kernel's own setting holds, which containers usually lower to 0.
    pub fn current() -> Self {
        let uid = nix::unistd::geteuid().as_raw();
        let port_min = if may_bind_low_ports() {
            1
        } else {
            unprivileged_port_start().unwrap_or(PORT_UNPRIVILEGED_MIN)
        };
        Self {
            uid,
            port_min,
            bound: Bound::default(),
        }
    }
}

impl From<u32> for Invoker {
    /// What holds for this user on a machine left as it was delivered.
    fn from(uid: u32) -> Self {
        let port_min = if uid == 0 { 1 } else { PORT_UNPRIVILEGED_MIN };
        Self {
            uid,
            port_min,
            bound: Bound::default(),
        }
    }
}

/// Root has the capability too, unless it was taken away, in which case it counts as anybody else.
fn may_bind_low_ports() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    effective.map_or_else(
        || nix::unistd::geteuid().is_root(),
        |set| set & (1 << CAPABILITY_NET_BIND_SERVICE_BIT) != 0,
    )
}

fn unprivileged_port_start() -> Option<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").ok()?;
    text.trim().parse().ok()
}
