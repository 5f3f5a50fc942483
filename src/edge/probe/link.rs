//! A connection that reads no more than it should, with or without TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{ProbeFailure, ProbeTarget, ServiceState};
use crate::link::{self, Io, LinkError};

/// What one connection of a probe reads at most. A coordinator's metrics with many projects come to
/// some hundred kilobytes.
pub(super) const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A connection that fails once it has read [`ANSWER_BYTES_MAX`].
pub(super) struct Stream {
    inner: Box<dyn Io>,
    bytes_left: usize,
}

/// Connects; says why not in terms of what was found.
pub(super) async fn open(target: &ProbeTarget) -> Result<Stream, ProbeFailure> {
    // The time limit of a probe is all the patience it has.
    let opened = link::open(&target.endpoint, target.tls.as_ref(), None).await;
    let inner = opened.map_err(|error| match error {
        LinkError::Connect(error) => unconnected(&error),
        LinkError::Tls(_) => untrusted(&error),
        LinkError::Unknown { .. } => {
            ProbeFailure::new(ServiceState::Unreachable, error.to_string())
        }
    })?;
    Ok(Stream {
        inner,
        bytes_left: ANSWER_BYTES_MAX,
    })
}

fn unconnected(error: &io::Error) -> ProbeFailure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            ProbeFailure::new(ServiceState::NotRunning, "nothing listens on the port")
        }
        _ => ProbeFailure::new(ServiceState::Unreachable, error.to_string()),
    }
}

fn untrusted(error: &LinkError) -> ProbeFailure {
    ProbeFailure::wrong(error.to_string()).next(
        "if it is the coordinator, check that TLS is on for both sides, and that this side trusts its \
         certificate (--tls-fingerprint, --tls-ca-file)",
    )
}

/// What it means that an established connection broke.
pub(super) fn broken(error: &io::Error) -> ProbeFailure {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable => {
            ProbeFailure::new(ServiceState::Unreachable, error.to_string())
        }
        _ => ProbeFailure::wrong(format!(
            "it closed the connection without an answer: {error}"
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
