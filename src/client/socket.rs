//! The WebSocket: the upgrade, and text frames of bounded size.

use std::io;
use std::time::{Duration, UNIX_EPOCH};

use axum::http::header::{AUTHORIZATION, DATE};
use axum::http::{HeaderValue, Request, Response};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::config::ServerUrl;

/// Limits on what one connection receives.
#[derive(Debug, Clone, Copy)]
pub struct FrameLimits {
    /// The largest message; the connection of a larger one ends.
    pub message_bytes_max: usize,
    /// Read at once; the library's default is zeroed before every read.
    pub read_buffer_bytes: usize,
}

/// Why the request cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("the token contains characters that no token contains")]
    Token,
    #[error(transparent)]
    Url(SocketError),
}

/// Why the upgrade failed.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// The server answered with another HTTP status.
    #[error("HTTP {}", .0.status())]
    Refused(Box<Response<Option<Vec<u8>>>>),
    #[error(transparent)]
    Io(io::Error),
    /// The answer is not a WebSocket upgrade.
    #[error(transparent)]
    Garbled(SocketError),
}

/// What is wrong with a connection, in the library's words.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SocketError(Box<tungstenite::Error>);

/// What arrives.
#[derive(Debug)]
pub enum Received {
    Text(Utf8Bytes),
    /// A close frame, perhaps with a reason.
    Close(String),
    /// Only a heartbeat: a ping, a pong, or a frame that this protocol does not use.
    Other,
}

/// An open WebSocket.
#[derive(Debug)]
pub struct Socket<S> {
    stream: WebSocketStream<S>,
    /// The server's wall clock when it upgraded the connection, since 1970, if it said so.
    date: Option<Duration>,
}

/// The URL with a query. The values must not contain characters that need escaping.
pub fn with_query(url: &ServerUrl, pairs: &[(&str, String)]) -> String {
    let mut text = url.to_string();
    for (i, (name, value)) in pairs.iter().enumerate() {
        text.push(if i == 0 { '?' } else { '&' });
        text.extend([*name, "=", value]);
    }
    text
}

/// The upgrade request, with the token.
pub fn request(url: &str, token: Option<&str>) -> Result<Request<()>, RequestError> {
    let bearer = token.map(|token| HeaderValue::from_str(&format!("Bearer {token}")));
    let bearer = bearer.transpose().map_err(|_| RequestError::Token)?;
    let mut request = url
        .into_client_request()
        .map_err(|error| RequestError::Url(error.into()))?;
    if let Some(mut bearer) = bearer {
        bearer.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, bearer);
    }
    Ok(request)
}

fn since_1970(date: &HeaderValue) -> Option<Duration> {
    let date = httpdate::parse_http_date(date.to_str().ok()?).ok()?;
    date.duration_since(UNIX_EPOCH).ok()
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    /// Upgrades a connection.
    pub async fn upgrade(
        request: Request<()>,
        stream: S,
        limits: FrameLimits,
    ) -> Result<Self, UpgradeError> {
        let config = WebSocketConfig::default()
            .read_buffer_size(limits.read_buffer_bytes)
            .max_message_size(Some(limits.message_bytes_max))
            .max_frame_size(Some(limits.message_bytes_max));
        match client_async_with_config(request, stream, Some(config)).await {
            Ok((stream, response)) => {
                let date = response.headers().get(DATE).and_then(since_1970);
                Ok(Self { stream, date })
            }
            Err(tungstenite::Error::Http(response)) => Err(UpgradeError::Refused(response)),
            Err(tungstenite::Error::Io(error)) => Err(UpgradeError::Io(error)),
            Err(error) => Err(UpgradeError::Garbled(error.into())),
        }
    }

    /// The server's wall clock when it upgraded the connection: since 1970, to a second.
    pub fn date(&self) -> Option<Duration> {
        self.date
    }

    pub async fn send_text(&mut self, text: String) -> Result<(), SocketError> {
        Ok(self.stream.send(Message::text(text)).await?)
    }

    pub async fn ping(&mut self) -> Result<(), SocketError> {
        Ok(self.stream.send(Message::Ping(Vec::new().into())).await?)
    }

    /// Sends a close frame; its answer arrives like other frames.
    pub async fn close(&mut self) -> Result<(), SocketError> {
        Ok(self.stream.close(None).await?)
    }

    /// The next frame; `None` at the end. Cancel-safe. Pings are answered with the next read.
    pub async fn receive(&mut self) -> Result<Option<Received>, SocketError> {
        let Some(message) = self.stream.next().await.transpose()? else {
            return Ok(None);
        };
        Ok(Some(match message {
            Message::Text(text) => Received::Text(text),
            Message::Close(close) => {
                let reason = close.map(|close| close.reason.to_string());
                Received::Close(reason.unwrap_or_default())
            }
            _ => Received::Other,
        }))
    }

    /// The library's socket, to send and receive any frame.
    pub fn into_inner(self) -> WebSocketStream<S> {
        self.stream
    }
}

impl From<tungstenite::Error> for SocketError {
    fn from(error: tungstenite::Error) -> Self {
        Self(Box::new(error))
    }
}
