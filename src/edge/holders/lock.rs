//! Locks on ports, which reserve a port before a program listens on it.
//!
//! A lock is a listening Unix socket with an abstract name. Just like a port it belongs to a network
//! namespace and not to a file system, so containers that share ports share locks and others do not; the
//! kernel frees it when the last process that has it open ends, in any way; there is no file that another
//! user could create or leave behind; and a process that connects to it learns the holder from the kernel.
//!
//! Only programs that use these locks respect them. Other programs that listen on the port are found by
//! trying to listen.

use std::collections::BTreeSet;
use std::fs::{read_dir, read_to_string};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, UnixCredentials, bind, connect,
    getsockopt, listen, socket, sockopt,
};

use super::{Process, owners};

/// Those who may ask at the same time who holds a lock.
const ASKING_MAX: i32 = 64;
/// How the kernel's table marks a socket that listens.
const LISTENS: &str = "00010000";

/// A locked port. The lock belongs to this process and those that it starts, and is freed when the last of
/// them ends.
#[derive(Debug)]
pub struct PortLock {
    _socket: OwnedFd,
}

/// The holder of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockHolder {
    pub user_id: u32,
    /// The name of that user, if the host knows one.
    pub user: Option<String>,
    /// The process that took it, if it can be seen from here.
    pub process: Option<Process>,
}

impl PortLock {
    /// Locks a port; `None` if another process has the lock.
    pub fn take(port: u16) -> io::Result<Option<Self>> {
        // Child commands inherit the lock: they use the port, and continue when this process is killed.
        let socket = stream(SockFlag::empty())?;
        match bind(socket.as_raw_fd(), &address(port)?) {
            Ok(()) => {}
            Err(Errno::EADDRINUSE) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        listen(&socket, Backlog::new(ASKING_MAX)?)?;
        Ok(Some(Self { _socket: socket }))
    }

    /// The holder of a port's lock; `None` if there is none, or it is unknown.
    pub fn holder(proc: &Path, port: u16) -> Option<LockHolder> {
        let inode = listening(proc, port)?;
        let taker = taker(port);
        // 0 is what the kernel says of a process that this one's namespace cannot see.
        let taker_pid =
            taker.and_then(|peer| u32::try_from(peer.pid()).ok().filter(|pid| *pid > 0));
        let owners = owners::of_sockets(proc, &BTreeSet::from([inode]));
        let having: Vec<Process> = owners.into_values().flatten().collect();
        let has = |pid: &u32| having.iter().any(|process| process.pid == *pid);
        // The descriptors of another user's process are not shown, but its command is.
        let is_hidden = |pid: &u32| read_dir(proc.join(pid.to_string()).join("fd")).is_err();
        let taker_pid = taker_pid.filter(|pid| has(pid) || is_hidden(pid));
        let process = taker_pid.map(|pid| owners::process(proc, pid));
        let process = process.filter(|process| !process.program.is_empty());
        // Otherwise a command that outlived it.
        let process = process.or_else(|| having.into_iter().next());
        let user_id = taker.map(|peer| peer.uid());
        let user_id = user_id.or_else(|| Some(process.as_ref()?.user_id))?;
        let user = owners::user_name(user_id);
        Some(LockHolder {
            user_id,
            user,
            process,
        })
    }
}

/// The inode of a lock, from the kernel's table of Unix sockets.
fn listening(proc: &Path, port: u16) -> Option<u64> {
    let table = read_to_string(proc.join("self/net/unix")).ok()?;
    let name = format!("@{}", name(port));
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let is_it = fields.get(7) == Some(&name.as_str()) && fields.get(3) == Some(&LISTENS);
        is_it.then(|| fields[6].parse().ok())?
    })
}

/// Who called `listen`, as the kernel remembers; `None` when too many ask.
fn taker(port: u16) -> Option<UnixCredentials> {
    let asking = stream(SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK).ok()?;
    connect(asking.as_raw_fd(), &address(port).ok()?).ok()?;
    getsockopt(&asking, sockopt::PeerCredentials).ok()
}

fn stream(flags: SockFlag) -> nix::Result<OwnedFd> {
    socket(AddressFamily::Unix, SockType::Stream, flags, None)
}

fn address(port: u16) -> nix::Result<UnixAddr> {
    UnixAddr::new_abstract(name(port).as_bytes())
}

fn name(port: u16) -> String {
    format!("coord/port/{port}")
}

impl std::fmt::Display for LockHolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = self.user_id.to_string();
        let user = self.user.as_deref().unwrap_or(&id);
        match &self.process {
            Some(process) => write!(
                f,
                "`{}` (process {}, user {user})",
                process.command, process.pid
            ),
            None => write!(f, "a process of user {user} that cannot be seen from here"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::PROC;
    use super::*;

    /// Ports that no profile and no pool has, so that nobody else on this machine locks them.
    #[test]
    fn a_lock_excludes_names_its_holder_and_goes_with_it() {
        const PORT: u16 = 1;
        assert_eq!(PortLock::holder(Path::new(PROC), PORT), None);
        let lock = PortLock::take(PORT).expect("sockets are there");
        assert!(lock.is_some());
        assert!(PortLock::take(PORT).expect("sockets are there").is_none());
        let holder = PortLock::holder(Path::new(PROC), PORT).expect("it is held");
        let process = holder.process.expect("this process sees itself");
        assert_eq!(process.pid, std::process::id());
        drop(lock);
        assert!(PortLock::take(PORT).expect("sockets are there").is_some());
    }

    /// Who asks and goes away must not fill up the place where others ask.
    #[test]
    fn asking_too_often_does_no_harm() {
        const PORT: u16 = 2;
        let _lock = PortLock::take(PORT).expect("sockets are there");
        for _ in 0..3 * ASKING_MAX {
            let holder = PortLock::holder(Path::new(PROC), PORT).expect("it is held");
            let process = holder.process.expect("this process sees itself");
            assert_eq!(process.pid, std::process::id());
        }
        assert!(PortLock::take(PORT).expect("sockets are there").is_none());
    }
}
