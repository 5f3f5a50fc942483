//! Whether a port is free. Listening on it is the only reliable test, and valid only for that moment.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use nix::errno::Errno;

/// Whether every address of this host could be listened on at `port`, IPv4 and IPv6.
///
/// The port is not kept: the caller must bind it. Errors are other refusals, such as a port below 1024
/// without the privilege.
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
