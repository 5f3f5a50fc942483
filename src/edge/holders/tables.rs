//! The kernel's tables of TCP sockets, as text: `/proc/net/tcp` and `tcp6`.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// The state of a socket that waits for connections.
const LISTEN: &str = "0A";

/// A listening socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    pub(super) user_id: u32,
    /// What its open descriptors are known by.
    pub(super) inode: u64,
}

/// All listening sockets of one network namespace, whose tables lie in the folder `net` of each of
/// its processes; a kernel without IPv6 has no table of it.
pub(super) fn listening(net: &Path) -> io::Result<Vec<Listening>> {
    let mut found = table(&fs::read_to_string(net.join("tcp"))?);
    match fs::read_to_string(net.join("tcp6")) {
        Ok(text) => found.extend(table(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(found)
}

/// The listening sockets of one table. Its first line has headings, which make no socket.
fn table(text: &str) -> Vec<Listening> {
    text.lines().filter_map(socket).collect()
}

/// `sl local_address rem_address st queues timer retransmits uid timeout inode …`
fn socket(line: &str) -> Option<Listening> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = fields.next()?;
    let state = fields.nth(1)?;
    let user_id = fields.nth(3)?;
    let inode = fields.nth(1)?;
    (state == LISTEN).then_some(())?;
    Some(Listening {
        address: address(local)?,
        user_id: user_id.parse().ok()?,
        inode: inode.parse().ok()?,
    })
}

/// `0100007F:1F90`: each 32 bits of the address as this machine has them in memory.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = ip.get(at * 8..at * 8 + 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut bytes = [0; 16];
            for at in 0..4 {
                bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at)?);
            }
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn addresses_are_read_as_the_kernel_writes_them() {
        let check = |text: &str, expected: &str| {
            assert_eq!(address(text), Some(expected.parse().expect("it is one")));
        };
        check("0100007F:1F90", "127.0.0.1:8080");
        check("00000000:0050", "0.0.0.0:80");
        check("00000000000000000000000001000000:2240", "[::1]:8768");
        check("B80D01200000000000000000FE000000:0001", "[2001:db8::fe]:1");
        for wrong in ["", "0100007F", "0100007F:", "01:1", "XX00007F:1F90"] {
            assert_eq!(address(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_listening_sockets_count() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 00000000:2387 00000000:0000 0A 00000000:00000000 00:00000000 00000000   999        0 4711 1 0 100 0 0 10 0\n\
             1: 00000000:2387 0100007F:A000 06 00000000:00000000 03:00000A00 00000000     0        0 0 3 0\n";
        let found = table(text);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].user_id, found[0].inode), (999, 4711));
        assert_eq!(found[0].address.port(), 9095);
    }
}
