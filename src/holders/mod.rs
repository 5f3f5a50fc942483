//! Who holds a TCP port of this host: from the kernel's table of listening sockets to the process,
//! its command line, user, systemd unit and container, as far as this user may see them.
//!
//! A socket in `TIME_WAIT` listens to nobody and is no holder. Looking changes nothing; a [`Handle`]
//! ends a holder, a [`PortLock`] keeps a port for one that is yet to come.

mod free;
mod handle;
mod lock;
mod namespaces;
mod owners;
mod tables;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Serialize;

use tables::Listening;

pub use free::is_free;
pub use handle::{End, Handle};
pub use lock::{LockHolder, PortLock};

/// Where the kernel shows its processes.
pub const PROC: &str = "/proc";

/// A socket that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Where it listens; a wildcard is `0.0.0.0` or `::`, and `::` mostly takes IPv4 along.
    pub address: SocketAddr,
    pub user_id: u32,
    /// The name of that user, if the host knows one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The network namespace it listens in, when that is not the one of this process: such a holder
    /// keeps nobody here from the port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_namespace: Option<u64>,
    /// What the kernel knows the socket by.
    #[serde(skip)]
    pub inode: u64,
    /// Who has the socket open; none when this user may not look into that process.
    pub processes: Vec<Process>,
}

/// A process that has a socket open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Process {
    pub pid: u32,
    /// The user it runs as, which need not be the one that opened the socket.
    pub user_id: u32,
    /// The short name that the kernel knows it by.
    pub program: String,
    /// Its words, joined by spaces and cut to a line; empty for a kernel thread.
    pub command: String,
    /// The systemd unit it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Whether that unit is one of a user's own manager.
    #[serde(skip)]
    pub unit_is_users: bool,
    /// The first twelve digits of the container's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

/// Everybody who listens on `port` in the network namespace of this process, IPv4 first.
///
/// `proc` is [`PROC`], but for tests. Errors are those of reading the kernel's tables; what cannot
/// be seen of a process is left out.
pub fn of_port(proc: &Path, port: u16) -> io::Result<Vec<Holder>> {
    let listening = on_port(&own_tables(proc), port)?;
    let sockets = listening.into_iter().map(|socket| (None, socket));
    Ok(with_owners(proc, sockets.collect()))
}

/// Everybody who listens on `port` in another network namespace, as far as this user may see the
/// processes that are in it.
pub fn elsewhere(proc: &Path, port: u16) -> Vec<Holder> {
    let mut sockets = Vec::new();
    for (namespace, pids) in namespaces::others(proc) {
        let tables = |pid: &u32| on_port(&proc.join(pid.to_string()).join("net"), port).ok();
        // Any process of the namespace shows its tables, unless it ends just then.
        let listening = pids.iter().find_map(tables).unwrap_or_default();
        sockets.extend(
            listening
                .into_iter()
                .map(|socket| (Some(namespace), socket)),
        );
    }
    with_owners(proc, sockets)
}

/// The sockets that listen on `port` here, by inode: a quick look, which names nobody.
pub fn sockets_of_port(proc: &Path, port: u16) -> io::Result<BTreeSet<u64>> {
    let listening = on_port(&own_tables(proc), port)?;
    Ok(listening.into_iter().map(|socket| socket.inode).collect())
}

/// What can be told of a process; nothing but its number when it has ended.
pub fn process(proc: &Path, pid: u32) -> Process {
    owners::process(proc, pid)
}

/// Whether a process has the socket open; not, too, when this user may not look into it.
pub fn has_socket(proc: &Path, pid: u32, inode: u64) -> bool {
    owners::sockets(&proc.join(pid.to_string())).contains(&inode)
}

fn own_tables(proc: &Path) -> PathBuf {
    proc.join("self/net")
}

fn on_port(tables: &Path, port: u16) -> io::Result<Vec<Listening>> {
    let mut listening = tables::listening(tables)?;
    listening.retain(|socket| socket.address.port() == port);
    Ok(listening)
}

fn with_owners(proc: &Path, sockets: Vec<(Option<u64>, Listening)>) -> Vec<Holder> {
    if sockets.is_empty() {
        return Vec::new();
    }
    let inodes = sockets.iter().map(|(_, socket)| socket.inode).collect();
    let mut owners = owners::of_sockets(proc, &inodes);
    let holder = |(network_namespace, socket): (Option<u64>, Listening)| Holder {
        address: socket.address,
        user_id: socket.user_id,
        user: owners::user_name(socket.user_id),
        network_namespace,
        inode: socket.inode,
        processes: owners.remove(&socket.inode).unwrap_or_default(),
    };
    sockets.into_iter().map(holder).collect()
}

impl Process {
    /// How to stop the service that it is part of, so that nobody starts it again.
    pub fn stop_command(&self) -> Option<String> {
        let unit = self
            .unit
            .as_ref()
            .filter(|unit| unit.ends_with(".service"))?;
        let manager = if self.unit_is_users { " --user" } else { "" };
        Some(format!("systemctl{manager} stop {unit}"))
    }
}

impl Holder {
    /// Whether it is in the way of who wants to listen on `address`, the port being the same.
    pub fn is_in_the_way_of(&self, address: IpAddr) -> bool {
        let own = self.address.ip();
        own == address || own.is_unspecified() || address.is_unspecified()
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.user_id.to_string();
        let user = self.user.as_deref().unwrap_or(&id);
        if self.processes.is_empty() {
            return write!(f, "a process of user {user} that this user may not see");
        }
        for (i, process) in self.processes.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{process}, user {user})")?;
        }
        Ok(())
    }
}

/// Open-ended: whoever prints it adds the user and the closing bracket.
impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {}", self.program, self.pid)?;
        if let Some(unit) = &self.unit {
            write!(f, ", {unit}")?;
        }
        if let Some(container) = &self.container {
            write!(f, ", container {container}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
