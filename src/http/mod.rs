//! HTTP listeners: accept, shake hands within a time, hand requests to a router.
//!
//! One listener serves WebSocket upgrades, health and whatever front end comes later, since they
//! share the port; the metrics have their own. This layer knows neither operations nor engines.

mod accepting;
pub mod access;
mod door;
pub mod health;
pub mod metrics;
mod places;
pub mod scrape;
pub mod tls;
mod validity;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::future::BoxFuture;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use places::{Place, Places};

pub use accepting::Accepting;
pub use door::{Door, WaitingRoom};
pub use validity::Validity;

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Header lines of a request.
const HEADERS_MAX: usize = 64;
/// How long to rest when the process is out of file descriptors, instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How one listener treats its connections.
#[derive(Clone)]
pub struct ListenerOptions {
    /// Connections at once, upgraded ones included.
    pub connections_max: usize,
    /// Of these, so many may be of one source, so that others get in too.
    pub per_source_max: usize,
    /// Asked for each new connection, so that what is read again holds from the next one on.
    pub handshake: HandshakeSource,
    /// Through which the listener shows that it accepts.
    pub accepting: Arc<Accepting>,
    /// Told the reason when a connection is refused or fails to shake hands.
    pub refused: Arc<dyn Fn(&'static str) + Send + Sync>,
}

/// The handshake of a connection, by the addresses of its two ends, or why it is closed at once.
pub type HandshakeSource =
    Arc<dyn Fn(Ends) -> BoxFuture<'static, Result<Handshake, &'static str>> + Send + Sync>;

/// The addresses of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    pub peer: SocketAddr,
    pub own: SocketAddr,
}

/// How a new connection shakes hands.
#[derive(Clone)]
pub struct Handshake {
    /// For TLS, for a request's head, and between requests.
    pub timeout: Duration,
    pub tls: Option<TlsAcceptor>,
    /// Looks at the finished TLS handshake.
    pub certificate: Option<CertificateCheck>,
}

/// Whether a client lacks the certificate that it needs; the error is why its connection is closed.
pub type CertificateCheck =
    Arc<dyn Fn(&ServerConnection) -> Result<bool, &'static str> + Send + Sync>;

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handshake {{ timeout: {:?} }}", self.timeout)
    }
}

impl std::fmt::Debug for ListenerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ListenerOptions")
    }
}

/// Who is at the other end, and the place it takes among the connections; the place is free again
/// when the last copy is dropped.
#[derive(Debug, Clone)]
pub struct AdmittedPeer {
    pub address: SocketAddr,
    /// It came without the client certificate that is needed, and must show something else.
    pub lacks_certificate: bool,
    _place: Arc<Place>,
}

/// How long a connection that was taken before the word to stop may take to ask for something: who
/// was let in gets an answer.
const LAST_REQUEST_TIMEOUT: Duration = Duration::from_millis(500);

/// Serves a listener until `stop` says so, and its connections to their end. Upgraded ones go on.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: ListenerOptions,
    mut stop: watch::Receiver<bool>,
) {
    let places = Places::new(options.connections_max, options.per_source_max);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = stopped(&mut stop) => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if options.accepting.takes(address) {
            continue;
        }
        let place = match places.take(address.ip()) {
            Ok(place) => place,
            Err(reason) => {
                // Closing at once is the only answer that costs an attacker as much as us.
                (options.refused)(reason);
                continue;
            }
        };
        let peer = AdmittedPeer {
            address,
            lacks_certificate: false,
            _place: Arc::new(place),
        };
        // Small frames must not wait for each other.
        let _ = stream.set_nodelay(true);
        connections.spawn(shake_hands(
            stream,
            peer,
            router.clone(),
            options.clone(),
            stop.clone(),
        ));
    }
    // Whoever comes from now on waits for the next process, where a socket is kept open for it.
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn shake_hands(
    stream: TcpStream,
    mut peer: AdmittedPeer,
    router: Router,
    options: ListenerOptions,
    stop: watch::Receiver<bool>,
) {
    // A connection that is gone already has no address.
    let Ok(own) = stream.local_addr() else { return };
    let ends = Ends {
        peer: peer.address,
        own,
    };
    let handshake = match (options.handshake)(ends).await {
        Ok(handshake) => handshake,
        Err(reason) => return (options.refused)(reason),
    };
    let timeout = handshake.timeout;
    let Some(acceptor) = handshake.tls else {
        return serve_connection(stream, peer, router, timeout, stop).await;
    };
    let stream = match tokio::time::timeout(timeout, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(peer = %peer.address, %error, "a TLS handshake failed");
            return (options.refused)("tls_handshake");
        }
        Err(_) => return (options.refused)("handshake_timeout"),
    };
    let checked = handshake.certificate.map(|check| check(stream.get_ref().1));
    match checked {
        Some(Err(reason)) => return (options.refused)(reason),
        Some(Ok(lacks_certificate)) => peer.lacks_certificate = lacks_certificate,
        None => {}
    }
    serve_connection(stream, peer, router, timeout, stop).await;
}

/// Boxed, so that the memory of a handshake is not kept by the connection's whole life.
fn serve_connection<S>(
    stream: S,
    peer: AdmittedPeer,
    router: Router,
    head_timeout: Duration,
    mut stop: watch::Receiver<bool>,
) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let address = peer.address;
    let router = router.layer(axum::Extension(peer));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    Box::pin(async move {
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = stopped(&mut stop) => {
                let last = tokio::time::timeout(LAST_REQUEST_TIMEOUT, connection.as_mut()).await;
                if let Ok(result) = last {
                    result
                } else {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        };
        if let Err(error) = result {
            tracing::debug!(peer = %address, %error, "an HTTP connection ended with an error");
        }
    })
}

/// Waits for the word to stop; the end of whoever would give it counts as one.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
