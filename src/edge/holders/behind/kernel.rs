//! Ports that the kernel itself listens on: no process has the socket, so no process can be ended.

use serde::Serialize;

/// A service of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct KernelSocket {
    pub name: &'static str,
    /// The command that stops it.
    pub stop: &'static str,
}

const SERVICES: [(u16, KernelSocket); 4] = [
    (
        2049,
        KernelSocket {
            name: "the NFS server",
            stop: "systemctl stop nfs-server",
        },
    ),
    (
        445,
        KernelSocket {
            name: "the SMB server ksmbd",
            stop: "systemctl stop ksmbd",
        },
    ),
    (
        3260,
        KernelSocket {
            name: "the iSCSI target",
            stop: "systemctl stop target",
        },
    ),
    (
        4420,
        KernelSocket {
            name: "the NVMe target",
            stop: "nvmetcli clear",
        },
    ),
];

/// Which service of the kernel is known to have a port.
pub(in crate::edge::holders) fn of_port(port: u16) -> Option<KernelSocket> {
    let mut services = SERVICES.iter();
    services
        .find(|(own, _)| *own == port)
        .map(|(_, service)| *service)
}
