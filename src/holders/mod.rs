//! Who holds a TCP port of this host: from the kernel's table of listening sockets to the process,
//! its command line, user, systemd unit and container, as far as this user may see them.
//!
//! It only looks. A socket in `TIME_WAIT` listens to nobody and is no holder.

mod free;
mod owners;
mod tables;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use serde::Serialize;

pub use free::is_free;

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
    /// Who has the socket open; none when this user may not look into that process.
    pub processes: Vec<Process>,
}

/// A process that has a socket open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Process {
    pub pid: u32,
    /// The short name that the kernel knows it by.
    pub program: String,
    /// Its words, joined by spaces and cut to a line; empty for a kernel thread.
    pub command: String,
    /// The systemd unit it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The first twelve digits of the container's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

/// Everybody who listens on `port` in the network namespace of this process, IPv4 first.
///
/// `proc` is [`PROC`], but for tests. Errors are those of reading the kernel's tables; what cannot
/// be seen of a process is left out.
pub fn of_port(proc: &Path, port: u16) -> io::Result<Vec<Holder>> {
    let listening: Vec<_> = tables::listening(proc)?
        .into_iter()
        .filter(|socket| socket.address.port() == port)
        .collect();
    if listening.is_empty() {
        return Ok(Vec::new());
    }
    let inodes = listening.iter().map(|socket| socket.inode).collect();
    let mut owners = owners::of_sockets(proc, &inodes);
    let holder = |socket: &tables::Listening| Holder {
        address: socket.address,
        user_id: socket.user_id,
        user: owners::user_name(socket.user_id),
        processes: owners.remove(&socket.inode).unwrap_or_default(),
    };
    Ok(listening.iter().map(holder).collect())
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
