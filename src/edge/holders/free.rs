//! Whether a port is free: found out by listening on it, the only way that the kernel answers for
//! certain, and for that moment only.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use nix::errno::Errno;

/// Whether every address of this host could be listened on at `port`, IPv4 and IPv6.
///
/// Nothing is kept: who wants the port binds it and keeps that. Errors are refusals for another
/// reason than that somebody has it, such as a port below 1024 without the privilege.
pub fn is_free(port: u16) -> io::Result<bool> {
    // IPv6 first: its wildcard mostly takes IPv4 along, and where it does not, the second tells.
    Ok(can_listen((Ipv6Addr::UNSPECIFIED, port).into())?
        && can_listen((Ipv4Addr::UNSPECIFIED, port).into())?)
}

fn can_listen(address: SocketAddr) -> io::Result<bool> {
    // A host without one of the two has nobody on it there.
    let absent = [Errno::EAFNOSUPPORT as i32, Errno::EADDRNOTAVAIL as i32];
    match TcpListener::bind(address) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(false),
        Err(error)
            if error
                .raw_os_error()
                .is_some_and(|code| absent.contains(&code)) =>
        {
            Ok(true)
        }
        Err(error) => Err(error),
    }
}
