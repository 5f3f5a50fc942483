//! Ports that are ours for as long as a test lasts, restarts of its coordinator included.

use tokio::net::TcpSocket;

/// A port of the loopback address. It is bound but never listened on: the system gives it to nobody
/// else, while the coordinator, which like this socket allows the address to be reused, can have it.
#[derive(Debug)]
pub struct HeldPort {
    socket: TcpSocket,
}

impl HeldPort {
    pub fn take() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        Self { socket }
    }

    pub fn number(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }
}
