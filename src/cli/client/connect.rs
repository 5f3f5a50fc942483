//! From a URL and a token to an open WebSocket.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, RETRY_AFTER};
use tokio_tungstenite::tungstenite::http::{HeaderValue, Response, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::error::ClientError;
use crate::cli::table::one_line;
use crate::config::{ClientConfig, Host, Secret, ServerUrl, Source, Trust, settings};
use crate::engine::ids::ProjectName;
use crate::link::tls;

/// The longest a connection may take, from the first packet to the end of the handshake.
pub(crate) const CONNECT_MS_MAX: u64 = 5_000;

/// The largest reply; a full list of messages with bodies comes near it.
const REPLY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Read at once; the library's default is zeroed before every read.
const READ_BUFFER_BYTES: usize = 16 * 1024;

/// How much an error repeats of what a server said.
const SAID_CHARS_MAX: usize = 200;

pub(super) type Socket = WebSocketStream<Box<dyn Io>>;

/// A plain or an encrypted connection.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Where to connect and as whom.
#[derive(Debug)]
pub struct Target {
    pub url: Arc<ServerUrl>,
    token: Secret,
    /// Where the token came from, for error texts.
    origin: String,
    project: Option<ProjectName>,
    trust: Trust,
    /// What is said of our own configuration.
    peer: Vec<(&'static str, String)>,
}

impl Target {
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        let origin = origin(config.origins.source(&settings::CLIENT_TOKEN));
        let environment = config.environment.map(|profile| profile.to_string());
        let ports = config.port_fingerprint.map(|ports| ports.to_string());
        let said = [("environment", environment), ("port_fingerprint", ports)];
        let said = said.into_iter();
        let peer = said.filter_map(|(name, value)| Some((name, value?)));
        let peer = peer.collect();
        let url = Arc::new(config.url);
        let Some(token) = config.token else {
            return Err(ClientError::NoToken { url });
        };
        Ok(Self {
            url,
            token,
            origin,
            project: config.project,
            trust: config.trust,
            peer,
        })
    }

    /// Opens a WebSocket within [`CONNECT_MS_MAX`].
    pub(super) async fn connect(&self) -> Result<Socket, ClientError> {
        let limit = Duration::from_millis(CONNECT_MS_MAX);
        let slow = |_| ClientError::Slow {
            url: self.url.clone(),
            waited_ms: CONNECT_MS_MAX,
        };
        timeout(limit, self.open()).await.map_err(slow)?
    }

    async fn open(&self) -> Result<Socket, ClientError> {
        let request = self.request()?;
        let stream = self.stream().await?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(REPLY_BYTES_MAX))
            .max_frame_size(Some(REPLY_BYTES_MAX));
        match client_async_with_config(request, stream, Some(config)).await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(response)) => Err(self.refused(&response)),
            Err(tungstenite::Error::Io(source)) => Err(self.unconnected(source)),
            Err(error) => Err(self.stranger(error.to_string())),
        }
    }

    async fn stream(&self) -> Result<Box<dyn Io>, ClientError> {
        let endpoint = &self.url.endpoint;
        let port = endpoint.port.number();
        let tcp = match &endpoint.host {
            Host::Address(address) => TcpStream::connect((*address, port)).await,
            Host::Name(name) => TcpStream::connect((name.as_str(), port)).await,
        };
        let tcp = tcp.map_err(|source| self.unconnected(source))?;
        // Requests are small and each waits for its answer; a failure only costs time.
        let _ = tcp.set_nodelay(true);
        if !self.url.tls {
            return Ok(Box::new(tcp));
        }
        let config = tls::config(&self.trust).map_err(ClientError::Certificates)?;
        let name = match &endpoint.host {
            Host::Address(address) => ServerName::from(*address),
            Host::Name(name) => ServerName::try_from(name.clone())
                .map_err(|error| self.stranger(error.to_string()))?,
        };
        let connector = TlsConnector::from(Arc::new(config));
        let tls = connector.connect(name, tcp).await;
        let tls = tls.map_err(|source| ClientError::Tls {
            url: self.url.clone(),
            source,
        })?;
        Ok(Box::new(tls))
    }

    fn request(&self) -> Result<Request, ClientError> {
        let project = self.project.as_ref();
        let project = project.map(|project| ("project", project.to_string()));
        let mut uri = self.url.to_string();
        // None of these values can have a character that a query would have to escape.
        for (i, (name, value)) in project.iter().chain(&self.peer).enumerate() {
            uri.push(if i == 0 { '?' } else { '&' });
            uri.extend([*name, "=", value]);
        }
        let bearer = format!("Bearer {}", self.token.expose());
        let mut bearer = HeaderValue::from_str(&bearer).map_err(|_| ClientError::BadToken {
            origin: self.origin.clone(),
        })?;
        bearer.set_sensitive(true);
        let request = uri.into_client_request();
        let mut request = request.map_err(|error| self.stranger(error.to_string()))?;
        request.headers_mut().insert(AUTHORIZATION, bearer);
        Ok(request)
    }

    fn refused(&self, response: &Response<Option<Vec<u8>>>) -> ClientError {
        let url = self.url.clone();
        let origin = self.origin.clone();
        let said = said(response.body().as_deref());
        match response.status() {
            StatusCode::UNAUTHORIZED => ClientError::Unauthenticated { url, origin, said },
            StatusCode::FORBIDDEN => ClientError::Forbidden { url, origin, said },
            StatusCode::CONFLICT => ClientError::WrongEnvironment { url, said },
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => ClientError::Busy {
                url,
                retry_after_ms: retry_after_ms(response.headers().get(RETRY_AFTER)),
                said,
            },
            status => self.stranger(format!("HTTP {status}{said}")),
        }
    }

    fn unconnected(&self, source: io::Error) -> ClientError {
        ClientError::Connect {
            url: self.url.clone(),
            source,
        }
    }

    fn stranger(&self, problem: String) -> ClientError {
        ClientError::NotACoordinator {
            url: self.url.clone(),
            problem,
        }
    }
}

/// Where the token came from; a file is named without a line that it does not have.
fn origin(source: &Source) -> String {
    match source {
        Source::File { path, line: 0, .. } => path.display().to_string(),
        other => other.to_string(),
    }
}

/// What the server said, to go at the end of an error: the message of its error, or whatever it is.
fn said(body: Option<&[u8]>) -> String {
    let body = body.unwrap_or_default();
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let message = json
        .pointer("/error/message")
        .and_then(|text| text.as_str());
    let text = message.map_or_else(|| String::from_utf8_lossy(body), Cow::from);
    let text: String = one_line(text.trim()).chars().take(SAID_CHARS_MAX).collect();
    if text.is_empty() {
        return text;
    }
    format!(": {text}")
}

/// Only the form in seconds: a coordinator sends no dates.
fn retry_after_ms(value: Option<&HeaderValue>) -> Option<u64> {
    let seconds: u64 = value?.to_str().ok()?.trim().parse().ok()?;
    seconds.checked_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_said_is_short_and_harmless() {
        let error = br#"{"error":{"kind":"forbidden","message":"not \u001b[31m here"}}"#;
        assert_eq!(said(Some(error)), ": not \\u{1b}[31m here");
        assert_eq!(said(Some(b"plain")), ": plain");
        assert_eq!(said(None), "");
        let long = "x".repeat(10_000);
        assert!(said(Some(long.as_bytes())).len() <= SAID_CHARS_MAX + 2);
    }

    #[test]
    fn a_pause_is_read_in_seconds() {
        let header = |text: &'static str| HeaderValue::from_static(text);
        assert_eq!(retry_after_ms(Some(&header("2"))), Some(2_000));
        assert_eq!(retry_after_ms(Some(&header("tomorrow"))), None);
        assert_eq!(retry_after_ms(None), None);
    }
}
