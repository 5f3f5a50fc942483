//! A connection that reads no more than it should, with or without TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::{Failure, State, Target};
use crate::config::Host;

/// What one connection of a probe reads at most. A coordinator's metrics with many projects come to
/// some hundred kilobytes.
pub(super) const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The addresses of a name that are tried at most.
const ADDRESSES_MAX: usize = 8;

/// A plain or an encrypted connection.
trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A connection that fails once it has read [`ANSWER_BYTES_MAX`].
pub(super) struct Stream {
    inner: Box<dyn Io>,
    bytes_left: usize,
}

/// Connects; says why not in terms of what was found.
pub(super) async fn open(target: &Target) -> Result<Stream, Failure> {
    let endpoint = &target.endpoint;
    let port = endpoint.port.number();
    let addresses = match &endpoint.host {
        Host::Address(address) => vec![(*address, port).into()],
        Host::Name(name) => {
            let unknown = |why: String| {
                Failure::new(
                    State::Unreachable,
                    format!("the name {name} is not known: {why}"),
                )
            };
            let found = lookup_host((name.as_str(), port)).await;
            let found = found.map_err(|error| unknown(error.to_string()))?;
            found.take(ADDRESSES_MAX).collect()
        }
    };
    let tcp = TcpStream::connect(addresses.as_slice()).await;
    let tcp = tcp.map_err(|error| unconnected(&error))?;
    // A failure only costs time.
    let _ = tcp.set_nodelay(true);
    let inner: Box<dyn Io> = match &target.tls {
        None => Box::new(tcp),
        Some(config) => {
            let name = match &endpoint.host {
                Host::Address(address) => ServerName::from(*address),
                Host::Name(name) => ServerName::try_from(name.clone())
                    .map_err(|error| Failure::new(State::Unreachable, error.to_string()))?,
            };
            let connector = TlsConnector::from(Arc::clone(config));
            let tls = connector.connect(name, tcp).await;
            Box::new(tls.map_err(|error| untrusted(&error))?)
        }
    };
    Ok(Stream {
        inner,
        bytes_left: ANSWER_BYTES_MAX,
    })
}

fn unconnected(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            Failure::new(State::NotRunning, "nothing listens on the port")
        }
        _ => Failure::new(State::Unreachable, error.to_string()),
    }
}

fn untrusted(error: &io::Error) -> Failure {
    Failure::wrong(format!("the TLS handshake failed: {error}")).next(
        "if it is ours, is TLS switched on for both sides, and its certificate the one that is \
         trusted here (--tls-fingerprint, --tls-ca-file)?",
    )
}

/// What it means that an established connection broke.
pub(super) fn broken(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable => {
            Failure::new(State::Unreachable, error.to_string())
        }
        _ => Failure::wrong(format!(
            "it ended the connection without an answer: {error}"
        )),
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes_left == 0 {
            let text = format!("it sent more than {ANSWER_BYTES_MAX} bytes");
            return Poll::Ready(Err(io::Error::other(text)));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        let read = buffer.filled().len() - before;
        self.bytes_left = self.bytes_left.saturating_sub(read);
        polled
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
