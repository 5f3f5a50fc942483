//! What must not be cut off: the SSH session in which a command runs, and the SSH ports of this machine.
//!
//! `sudo` takes `SSH_CONNECTION` out of the environment, so those of the processes that led here are
//! asked too; root may read them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::config::InterfaceName;
use crate::edge::ports::Port;

/// The port of a server whose configuration names none.
const SSH_PORT: u16 = 22;
/// What `sshd_config` and the files it takes in may amount to.
const SSH_CONFIG_BYTES_MAX: u64 = 256 * 1024;
const SSH_CONFIG_FILES_MAX: usize = 64;
/// How many processes may lead to this one, before it is taken for a loop.
const ANCESTORS_MAX: usize = 64;
/// A line an interface.
const INTERFACES_BYTES_MAX: u64 = 4 * 1024 * 1024;
const ENVIRONMENT_BYTES_MAX: u64 = 1024 * 1024;

/// One end of an SSH session: from where it comes, and to which port of this box.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SshSession {
    pub peer: IpAddr,
    pub port: Port,
}

/// The SSH sessions that this process runs in; `own` is its own `SSH_CONNECTION`.
pub fn own(proc: &Path, own: Option<&str>) -> BTreeSet<SshSession> {
    let mut sessions: BTreeSet<SshSession> = own.and_then(parse).into_iter().collect();
    let mut process = std::process::id();
    for _ in 0..ANCESTORS_MAX {
        let folder = proc.join(process.to_string());
        let variables = bounded(&folder.join("environ"), ENVIRONMENT_BYTES_MAX);
        let connection = variables
            .split('\0')
            .find_map(|variable| variable.strip_prefix("SSH_CONNECTION="));
        sessions.extend(connection.and_then(parse));
        match parent(&folder) {
            Some(next) if next > 1 => process = next,
            _ => break,
        }
    }
    sessions
}

/// The ports that the configuration of the SSH server in `folder` names, or its standard port.
pub fn ssh_ports(folder: &Path) -> Vec<Port> {
    let mut files = vec![folder.join("sshd_config")];
    let beside = std::fs::read_dir(folder.join("sshd_config.d"));
    let beside = beside
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut beside: Vec<PathBuf> = beside
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "conf")
        })
        .take(SSH_CONFIG_FILES_MAX)
        .collect();
    beside.sort();
    files.extend(beside);
    let ports = files.iter().flat_map(|path| {
        let text = bounded(path, SSH_CONFIG_BYTES_MAX);
        text.lines()
            .map(str::trim)
            // What follows holds for some users only, and no port can stand there.
            .take_while(|line| !line.to_ascii_lowercase().starts_with("match "))
            .filter_map(port_in)
            .collect::<Vec<_>>()
    });
    let mut ports: BTreeSet<Port> = ports.collect();
    if ports.is_empty() {
        ports.extend(Port::new(SSH_PORT));
    }
    ports.into_iter().collect()
}

/// The first of these interfaces that this box does not have. `proc` is `/proc`: what is under `/sys`
/// may belong to another network namespace.
pub fn unknown_interface<'a>(proc: &Path, names: &'a [InterfaceName]) -> Option<&'a InterfaceName> {
    let table = bounded(&proc.join("self/net/dev"), INTERFACES_BYTES_MAX);
    let has = |name: &InterfaceName| {
        let of = |line: &str| {
            let rest = line.trim_start().strip_prefix(name.as_str());
            rest.is_some_and(|rest| rest.starts_with(':'))
        };
        table.lines().any(of)
    };
    names.iter().find(|name| !has(name))
}

/// `peer peer-port own-address own-port`, as the SSH server sets it.
fn parse(text: &str) -> Option<SshSession> {
    let mut words = text.split_ascii_whitespace();
    let peer = words.next()?;
    // A link-local address comes with the interface it is on.
    let peer = peer.split('%').next()?.parse::<IpAddr>().ok()?;
    let port = words.nth(2)?.parse().ok()?;
    Some(SshSession {
        peer: peer.to_canonical(),
        port,
    })
}

/// A line's port: `Port 2222`, or that of `ListenAddress host:2222`.
fn port_in(line: &str) -> Option<Port> {
    let (key, value) = line.split_once(|c: char| c.is_ascii_whitespace() || c == '=')?;
    let value = value.trim().trim_matches('"');
    if key.eq_ignore_ascii_case("port") {
        return value.parse().ok();
    }
    if !key.eq_ignore_ascii_case("listenaddress") {
        return None;
    }
    let value = value.split_ascii_whitespace().next()?;
    let (host, port) = value.rsplit_once(':')?;
    let alone = host.ends_with(']') || !host.contains(':');
    port.parse().ok().filter(|_| alone)
}

/// From the process's `stat`: its name, which stands in brackets, may hold anything.
fn parent(folder: &Path) -> Option<u32> {
    let stat = bounded(&folder.join("stat"), ENVIRONMENT_BYTES_MAX);
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// What can be read of a file; a process may have ended, and another's may not be read.
fn bounded(path: &Path, bytes_max: u64) -> String {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(bytes_max).read_to_end(&mut bytes));
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[track_caller]
    fn check_ports(files: &[(&str, &str)], expected: &[u16]) {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        fs::create_dir(folder.path().join("sshd_config.d")).expect("it is ours");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("it is ours");
        }
        let ports: Vec<u16> = ssh_ports(folder.path())
            .iter()
            .map(|port| port.number())
            .collect();
        assert_eq!(ports, expected);
    }

    #[test]
    fn the_ports_of_ssh_are_found() {
        check_ports(&[], &[22]);
        check_ports(
            &[("sshd_config", "# Port 23\nPort 2222\nport=2223\n")],
            &[2222, 2223],
        );
        check_ports(
            &[
                (
                    "sshd_config",
                    "Include x\nListenAddress 10.0.0.1:2022\nListenAddress ::1\n",
                ),
                (
                    "sshd_config.d/a.conf",
                    "ListenAddress [::1]:2023\nMatch User x\nPort 1\n",
                ),
                ("sshd_config.d/a.bak", "Port 9\n"),
            ],
            &[2022, 2023],
        );
    }

    #[test]
    fn sessions_of_processes_before_this_one_count() {
        let proc = tempfile::tempdir().expect("a temporary folder can be made");
        let process = |id: u32, parent: u32, environ: &str| {
            let folder = proc.path().join(id.to_string());
            fs::create_dir(&folder).expect("it is ours");
            fs::write(folder.join("stat"), format!("{id} (a ) b) S {parent} 1")).expect("ours");
            fs::write(folder.join("environ"), environ).expect("ours");
        };
        process(std::process::id(), 70_001, "HOME=/\0");
        process(
            70_001,
            70_002,
            "A=b\0SSH_CONNECTION=::ffff:10.0.0.7 5000 10.0.0.1 2222\0",
        );
        process(70_002, 1, "SSH_CONNECTION=fe80::1%eth0 1 fe80::2%eth0 22");
        process(1, 0, "SSH_CONNECTION=10.0.0.9 1 10.0.0.1 22");
        let own = own(proc.path(), Some("10.0.0.8 1 10.0.0.1 22"));
        let shown: Vec<String> = own
            .iter()
            .map(|it| format!("{} {}", it.peer, it.port))
            .collect();
        assert_eq!(shown, ["10.0.0.7 2222", "10.0.0.8 22", "fe80::1 22"]);
        for wrong in ["", "x 1 y 22", "10.0.0.1", "10.0.0.1 1 10.0.0.2 0"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
