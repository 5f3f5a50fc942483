//! One task for each connection: frames in, frames out, pings, and an end that is always reported to the
//! driver.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::{PeerGuard, SocketOptions};
use crate::driver::Prospect;
use crate::driver::shell::DriverLink;
use crate::engine::command::LostReason;

/// The library's default of 128 KiB, zeroed at every read, costs 3 times the CPU time and 18 times the memory
/// with many connections. Most requests fit into this size.
const READ_BUFFER_BYTES: usize = 2 * 1024;
/// Frames are collected up to this size before they are written; with less, each frame would be a separate
/// write.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;
/// Frames written before the socket is flushed.
const FRAMES_AT_ONCE_MAX: usize = 64;
/// The most frames that are read before waiting frames are written.
const READS_AT_ONCE_MAX: usize = 32;
/// How long the closing handshake may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the peer of a closing connection must be silent before it is closed, so that requests that it
/// sent before it was told get their answers.
const QUIET: Duration = Duration::from_millis(200);
/// The longest that a peer can keep such a connection open by sending more.
const QUIET_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a connection ends.
enum SocketEnd {
    /// The peer closed, or its stream ended.
    Peer,
    /// The driver closes it, and has told the peer why.
    Driver,
    /// The peer broke a rule.
    Refused(CloseCode, String),
    /// The peer does not read, or does not answer to pings.
    Silent,
}

/// Waits for the upgrade, then serves the socket until one side ends it.
pub(super) async fn serve(
    upgrade: OnUpgrade,
    link: DriverLink,
    options: SocketOptions,
    peer: Option<PeerGuard>,
) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!(%error, "an upgrade was not completed");
            return;
        }
    };
    // A plain stream is served without the indirection that an upgraded connection brings.
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            let stream = parts.io.into_inner();
            run(stream, parts.read_buf, link, options).await;
        }
        Err(upgraded) => {
            run::<TokioIo<Upgraded>>(TokioIo::new(upgraded), Bytes::new(), link, options).await;
        }
    }
    drop(peer);
}

async fn run<S>(stream: S, read: Bytes, mut link: DriverLink, options: SocketOptions)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(options.message_bytes_max.saturating_mul(4).max(1 << 20))
        .max_message_size(Some(options.message_bytes_max))
        .max_frame_size(Some(options.message_bytes_max));
    let mut socket = if read.is_empty() {
        WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await
    } else {
        WebSocketStream::from_partially_read(stream, read.into(), Role::Server, Some(config)).await
    };
    let end = talk(&mut socket, &link, options).await;
    if matches!(end, SocketEnd::Silent) {
        link.lost(LostReason::NoAnswerToPing);
    }
    // The driver is told before the closing handshake, which a dead peer never answers.
    drop(link);
    let frame = match end {
        SocketEnd::Peer | SocketEnd::Silent => None,
        SocketEnd::Driver => Some(close_frame(CloseCode::Away, "see session.closed")),
        SocketEnd::Refused(code, reason) => Some(close_frame(code, &reason)),
    };
    let closing = async {
        let _ = socket.close(frame).await;
        while let Some(Ok(_)) = socket.next().await {}
    };
    let _ = timeout(CLOSE_TIMEOUT, closing).await;
}

fn close_frame(code: CloseCode, reason: &str) -> CloseFrame {
    CloseFrame {
        code,
        reason: Utf8Bytes::from(reason),
    }
}

async fn talk<S>(
    socket: &mut WebSocketStream<S>,
    link: &DriverLink,
    options: SocketOptions,
) -> SocketEnd
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut pings = interval_at(
        Instant::now() + options.ping_interval,
        options.ping_interval,
    );
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = true;
    let mut frames = Vec::new();
    let mut ending: Option<Instant> = None;
    loop {
        match within(options.ping_interval, write_all(socket, link, &mut frames)).await {
            Ok(Ok(Prospect::Open)) => {}
            Ok(Ok(Prospect::EndsWhenQuiet)) => {
                let latest = *ending.get_or_insert_with(|| Instant::now() + QUIET_TIMEOUT);
                let quiet = latest.min(Instant::now() + QUIET);
                let Ok(message) = timeout_at(quiet, socket.next()).await else {
                    return SocketEnd::Driver;
                };
                if let Some(end) = receive(socket, link, message, options) {
                    return end;
                }
                continue;
            }
            Ok(Ok(Prospect::EndsNow)) => return SocketEnd::Driver,
            Ok(Err(_)) => return SocketEnd::Peer,
            Err(_) => return SocketEnd::Silent,
        }
        // Output comes first, because checking for input zeroes a buffer. Input does not starve: waiting
        // frames are written quickly unless the peer does not read.
        tokio::select! {
            biased;
            () = link.ready() => {}
            message = socket.next() => {
                heard = true;
                if let Some(end) = receive(socket, link, message, options) {
                    return end;
                }
            }
            _ = pings.tick() => {
                if !heard {
                    return SocketEnd::Silent;
                }
                heard = false;
                match timeout(options.ping_interval, socket.send(Message::Ping(Bytes::new()))).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return SocketEnd::Peer,
                    Err(_) => return SocketEnd::Silent,
                }
            }
        }
    }
}

/// Writes all waiting frames, with one flush for many frames. Returns whether the connection stays open.
async fn write_all<S>(
    socket: &mut WebSocketStream<S>,
    link: &DriverLink,
    frames: &mut Vec<Bytes>,
) -> Result<Prospect, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        let prospect = link.take_frames(FRAMES_AT_ONCE_MAX, frames);
        if !frames.is_empty() {
            for frame in frames.drain(..) {
                // Frames are made of JSON text, so this check never fails; it costs nanoseconds.
                let text = Utf8Bytes::try_from(frame).map_err(|_| Error::AttackAttempt)?;
                socket.feed(Message::Text(text)).await?;
            }
            socket.flush().await?;
        }
        if let Some(prospect) = prospect {
            return Ok(prospect);
        }
    }
}

/// Like [`timeout`], but reads no clock if the future is ready at once, as nearly every write is.
async fn within<F: Future>(time: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    match future.as_mut().now_or_never() {
        Some(done) => Ok(done),
        None => timeout(time, future).await,
    }
}

/// Passes on a message and those that arrived with it.
fn receive<S>(
    socket: &mut WebSocketStream<S>,
    link: &DriverLink,
    first: Option<Result<Message, Error>>,
    options: SocketOptions,
) -> Option<SocketEnd>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut message = first;
    for _ in 0..READS_AT_ONCE_MAX {
        match message {
            Some(Ok(Message::Text(text))) => link.frame(text.as_str()),
            Some(Ok(Message::Binary(_))) => {
                link.refuse_frame("binary frames are not accepted: send JSON as text");
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Close(_))) | None => return Some(SocketEnd::Peer),
            Some(Err(error)) => return Some(refuse(&error, options)),
        }
        message = socket.next().now_or_never()?;
    }
    // One frame more was read than may be handled at once; it must not be lost.
    match message {
        Some(Ok(Message::Text(text))) => {
            link.frame(text.as_str());
            None
        }
        Some(Ok(Message::Close(_))) | None => Some(SocketEnd::Peer),
        Some(Ok(_)) => None,
        Some(Err(error)) => Some(refuse(&error, options)),
    }
}

fn refuse(error: &Error, options: SocketOptions) -> SocketEnd {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            let reason = format!("message_bytes_max is {}", options.message_bytes_max);
            SocketEnd::Refused(CloseCode::Size, reason)
        }
        Error::Utf8(_) => {
            SocketEnd::Refused(CloseCode::Invalid, "text frames must be UTF-8".to_owned())
        }
        Error::Protocol(error) => SocketEnd::Refused(CloseCode::Protocol, error.to_string()),
        _ => SocketEnd::Peer,
    }
}
