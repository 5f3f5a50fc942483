//! Connections to other programs: by address or name, plain or encrypted.
//!
//! A name is resolved at each connect, so that a server that moved is found again.

pub mod tls;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use crate::config::{Endpoint, Host};

/// The addresses of a name that are tried at most.
const ADDRESSES_MAX: usize = 8;

/// Probes of an idle connection until it counts as broken.
const KEEPALIVE_PROBES: u32 = 3;

/// A plain or an encrypted connection.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("cannot resolve the name {name}: {source}")]
    Unknown { name: String, source: io::Error },
    #[error("{0}")]
    Connect(io::Error),
    #[error("the TLS handshake failed: {0}")]
    Tls(io::Error),
}

/// Connects. A connection on which the other side is silent for `silence_max` although it was sent
/// something, or asked whether it is there, breaks by itself; without it, the system's patience holds.
pub async fn open(
    endpoint: &Endpoint,
    tls: Option<&Arc<ClientConfig>>,
    silence_max: Option<Duration>,
) -> Result<Box<dyn Io>, LinkError> {
    let tcp = connect(endpoint, silence_max).await?;
    match tls {
        Some(config) => secure(tcp, &endpoint.host, config).await,
        None => Ok(Box::new(tcp)),
    }
}

/// The first half of [`open`]: the TCP connection.
pub async fn connect(
    endpoint: &Endpoint,
    silence_max: Option<Duration>,
) -> Result<TcpStream, LinkError> {
    let port = endpoint.port.number();
    let addresses = match &endpoint.host {
        Host::Address(address) => vec![(*address, port).into()],
        Host::Name(name) => {
            let found = lookup_host((name.as_str(), port)).await;
            let found = found.map_err(|source| LinkError::Unknown {
                name: name.clone(),
                source,
            })?;
            found.take(ADDRESSES_MAX).collect()
        }
    };
    let tcp = TcpStream::connect(addresses.as_slice()).await;
    let tcp = tcp.map_err(LinkError::Connect)?;
    // A failure only costs time.
    let _ = tcp.set_nodelay(true);
    if let Some(silence_max) = silence_max {
        watch(&tcp, silence_max).map_err(|error| LinkError::Connect(error.into()))?;
    }
    Ok(tcp)
}

/// The second half: TLS, by the name or address that was connected to.
pub async fn secure(
    tcp: TcpStream,
    host: &Host,
    config: &Arc<ClientConfig>,
) -> Result<Box<dyn Io>, LinkError> {
    let connector = TlsConnector::from(Arc::clone(config));
    let tls = connector.connect(server_name(host)?, tcp).await;
    Ok(Box::new(tls.map_err(LinkError::Tls)?))
}

fn server_name(host: &Host) -> Result<ServerName<'static>, LinkError> {
    match host {
        Host::Address(address) => Ok(ServerName::from(*address)),
        Host::Name(name) => ServerName::try_from(name.clone())
            .map_err(|error| LinkError::Tls(io::Error::other(error.to_string()))),
    }
}

/// Lets the system find out that the other side is gone, while nothing is sent and while something is.
fn watch(tcp: &TcpStream, silence_max: Duration) -> nix::Result<()> {
    let ms = u32::try_from(silence_max.as_millis()).unwrap_or(u32::MAX);
    let between_s = (ms / 1000 / (KEEPALIVE_PROBES + 1)).max(1);
    setsockopt(tcp, sockopt::KeepAlive, &true)?;
    setsockopt(tcp, sockopt::TcpKeepIdle, &between_s)?;
    setsockopt(tcp, sockopt::TcpKeepInterval, &between_s)?;
    setsockopt(tcp, sockopt::TcpKeepCount, &KEEPALIVE_PROBES)?;
    setsockopt(tcp, sockopt::TcpUserTimeout, &ms)
}
