//! Whose socket it is by the words of a process, where this user may not look into any process that has it.
//!
//! Everybody sees the words of Docker's proxies, which run as root and name the port. They are no proof: nothing is
//! ever ended for them, and it is told what they come from.

use std::path::Path;

use super::{Process, behind, facts, owners};

/// The option by which a proxy names the port of this machine.
const HOST_PORT: &str = "-host-port";

/// A process of that user which says that it has the port.
pub(super) fn of(proc: &Path, user_id: u32, port: u16) -> Option<Process> {
    let names_port = |pid: &u32| {
        let words = owners::words(proc, *pid);
        let mut pairs = words.windows(2);
        pairs.any(|pair| pair[0] == HOST_PORT && pair[1].parse() == Ok(port))
    };
    let mut found = owners::processes(proc)
        .filter(names_port)
        .filter(|pid| owners::user_of(proc, *pid) == user_id);
    let pid = found.next()?;
    let behind = behind::of(&facts::of(proc, pid, port));
    Some(Process {
        behind,
        ..owners::process(proc, pid)
    })
}
