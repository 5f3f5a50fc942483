//! Whether a listener still accepts: one connection to it from inside, taken by its own loop.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

/// Asks one listener to take a connection. The listener knows the connection by its address, lets go
/// of it at once and counts it nowhere.
#[derive(Debug)]
pub struct Accepting {
    target: SocketAddr,
    expected: Mutex<Option<SocketAddr>>,
    taken: watch::Sender<Option<SocketAddr>>,
}

impl Accepting {
    pub fn new(listener: &TcpListener) -> io::Result<Self> {
        Ok(Self {
            target: reachable(listener.local_addr()?),
            expected: Mutex::new(None),
            taken: watch::Sender::new(None),
        })
    }

    /// Connects, and waits until the listener's loop has taken the connection.
    pub async fn ask(&self) -> io::Result<()> {
        let socket = if self.target.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        // Bound first: the listener must know the address before it sees the connection.
        socket.bind(SocketAddr::new(self.target.ip(), 0))?;
        let own = socket.local_addr()?;
        *self.expected() = Some(own);
        let _connection = socket.connect(self.target).await?;
        let mut taken = self.taken.subscribe();
        // The sender is in `self`, so it is not gone.
        let _ = taken.wait_for(|taken| *taken == Some(own)).await;
        Ok(())
    }

    /// Whether an accepted connection is the one that was asked for; whoever asked is told.
    pub(super) fn takes(&self, peer: SocketAddr) -> bool {
        let same = |own: SocketAddr| own.ip() == peer.ip() && own.port() == peer.port();
        let Some(own) = self.expected().take_if(|own| same(*own)) else {
            return false;
        };
        self.taken.send_replace(Some(own));
        true
    }

    fn expected(&self) -> std::sync::MutexGuard<'_, Option<SocketAddr>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a listener can be reached from this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(bind: &str) {
        let listener = TcpListener::bind(bind).await.expect("loopback is there");
        let accepting = Accepting::new(&listener).expect("it is bound");
        let stranger = tokio::net::TcpStream::connect(accepting.target);
        let (stranger, accepted) = tokio::join!(stranger, listener.accept());
        let (_, peer) = accepted.expect("somebody came");
        drop(stranger);
        assert!(!accepting.takes(peer), "a stranger was taken for our own");
        let serving = async {
            let (_, peer) = listener.accept().await.expect("somebody came");
            assert!(accepting.takes(peer), "our own was taken for a stranger");
            assert!(!accepting.takes(peer), "it comes once");
        };
        let (asked, ()) = tokio::join!(accepting.ask(), serving);
        asked.expect("it was taken");
    }

    #[tokio::test]
    async fn only_the_own_connection_counts() {
        check("127.0.0.1:0").await;
        check("0.0.0.0:0").await;
        check("[::]:0").await;
    }

    #[tokio::test]
    async fn a_listener_that_is_gone_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("loopback is there");
        let accepting = Accepting::new(&listener).expect("it is bound");
        drop(listener);
        let error = accepting.ask().await.expect_err("nobody listens");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
