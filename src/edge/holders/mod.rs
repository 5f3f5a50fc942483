//! The holders of a TCP port of this host: from the kernel's table of listening sockets to the process, its
//! command line, user, systemd unit and container, as far as this user may see them.
//!
//! A process may hold a port for something else, or do more than use the port: see [`Behind`]. A socket in
//! `TIME_WAIT` does not listen and is not a holder. Searching changes nothing; a [`Handle`] ends a holder, a
//! [`PortLock`] reserves a port.

mod behind;
mod facts;
mod free;
mod handle;
mod lock;
mod namespaces;
mod owners;
mod presumed;
mod program;
mod running;
mod socket_units;
mod starter;
mod tables;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use serde::Serialize;

use tables::Listening;

pub use behind::{Behind, CONTAINER, COORDINATOR, KernelSocket};
pub use free::is_free;
pub use handle::{EndSignal, Handle};
pub use lock::{LockHolder, PortLock};
pub use running::RunningProcess;
pub use starter::Starter;

/// Where the kernel shows its processes.
pub const PROC: &str = "/proc";
/// The number of the first process; systemd listens there on behalf of services.
pub const INIT: u32 = 1;

/// A socket that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Where it listens; a wildcard is `0.0.0.0` or `::`, and `::` mostly takes IPv4 along.
    pub address: SocketAddr,
    pub user_id: u32,
    /// The name of that user, if the host knows one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The network namespace of the socket, if it differs from this process's: such a holder does not block
    /// the port here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_namespace: Option<u64>,
    /// What the kernel knows the socket by.
    #[serde(skip)]
    pub inode: u64,
    /// The processes that have the socket open; empty if this user may not inspect them.
    pub processes: Vec<Process>,
    /// The process that has it by its own words, where none is known to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presumed: Option<Process>,
    /// The service of the kernel that is known to have the port, where no process has the socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelSocket>,
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
    /// What it holds the port for, or what else it does; `None` for an ordinary program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<Behind>,
}

/// All holders of `port` in the network namespace of this process, IPv4 first.
///
/// `proc` is [`PROC`], but for tests. Errors are those of reading the kernel's tables; what cannot
/// be seen of a process is left out.
pub fn of_port(proc: &Path, port: u16) -> io::Result<Vec<Holder>> {
    of_ports(proc, |number| number == port)
}

/// The same for some ports. The kernel's tables and the processes are read once for all of them.
pub fn of_ports(proc: &Path, wanted: impl Fn(u16) -> bool) -> io::Result<Vec<Holder>> {
    let mut listening = tables::listening(&own_tables(proc))?;
    listening.retain(|socket| wanted(socket.address.port()));
    let sockets = listening.into_iter().map(|socket| (None, socket));
    let mut found = with_owners(proc, sockets.collect());
    for holder in &mut found {
        holder.tell_what_is_behind(proc);
    }
    Ok(found)
}

/// All holders of `port` in other network namespaces, as far as this user may see their processes.
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

/// The sockets that listen on `port` here, by inode: a quick check without processes.
pub fn sockets_of_port(proc: &Path, port: u16) -> io::Result<BTreeSet<u64>> {
    let listening = on_port(&own_tables(proc), port)?;
    Ok(listening.into_iter().map(|socket| socket.inode).collect())
}

/// What is known of a process; only its number if it has ended.
pub fn process(proc: &Path, pid: u32) -> Process {
    owners::process(proc, pid)
}

/// Whether a process has the socket open; not, too, when this user may not look into it.
pub fn has_socket(proc: &Path, pid: u32, inode: u64) -> bool {
    owners::sockets(&proc.join(pid.to_string())).contains(&inode)
}

/// The numbers of a process' ancestors, its parent first.
pub fn ancestors(proc: &Path, pid: u32) -> Vec<u32> {
    let parents = facts::parents(proc, pid);
    parents.iter().map(|parent| parent.pid).collect()
}

/// The supervisor that restarts a process when it ends, and the command that keeps it stopped, as far as the
/// surroundings show it.
pub fn starter(proc: &Path, pid: u32, port: u16) -> Option<Starter> {
    starter::of(&facts::of(proc, pid, port))
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
        presumed: None,
        kernel: None,
    };
    sockets.into_iter().map(holder).collect()
}

impl Process {
    /// How to stop the service that it is part of, so that it is not restarted.
    pub fn stop_command(&self) -> Option<String> {
        // The unit of a proxy is its engine's: stopping that stops all containers.
        let of_its_own = self.behind.as_ref().is_none_or(|behind| !behind.refused);
        let unit = self
            .unit
            .as_ref()
            .filter(|unit| facts::is_own_service(unit) && of_its_own)?;
        let systemctl = facts::systemctl(self.unit_is_users);
        Some(format!("{systemctl} stop {unit}"))
    }
}

impl Holder {
    /// Looks at each process, or, where none can be seen, for one that says that it has the port.
    fn tell_what_is_behind(&mut self, proc: &Path) {
        let port = self.address.port();
        for process in &mut self.processes {
            process.behind = behind::of(&facts::of(proc, process.pid, port));
        }
        if !self.processes.is_empty() {
            return;
        }
        self.presumed = presumed::of(proc, self.user_id, port);
        // What root does not see is the kernel's own, or in another world of processes.
        let is_kernels = self.user_id == 0 && self.presumed.is_none() && geteuid().is_root();
        self.kernel = behind::kernel_socket(port).filter(|_| is_kernels);
    }

    /// What is behind it, for the first of its processes that something is behind.
    pub fn behind(&self) -> Option<&Behind> {
        let mut known = self.processes.iter().chain(&self.presumed);
        known.find_map(|process| process.behind.as_ref())
    }

    /// Whether it blocks listening on `address`, if the port is the same.
    pub fn is_in_the_way_of(&self, address: IpAddr) -> bool {
        let own = self.address.ip();
        own == address || own.is_unspecified() || address.is_unspecified()
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.user_id.to_string();
        let user = self.user.as_deref().unwrap_or(&id);
        if let Some(kernel) = self.kernel {
            return write!(f, "the kernel itself, where {} listens", kernel.name);
        }
        if self.processes.is_empty() {
            write!(f, "a process of user {user} that this user may not see")?;
            return match &self.presumed {
                Some(process) => write!(f, ", by its arguments {process})"),
                None => Ok(()),
            };
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
