//! From a URL and a token to an open WebSocket.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::error::ClientError;
use super::socket::{self, FrameLimits, RequestError, Socket, UpgradeError};
use crate::config::{ClientConfig, Secret, ServerUrl, Source, Trust, settings};
use crate::engine::ids::{AgentKind, ProjectName, SeatName};
use crate::link::{self, Io, LinkError, tls};
use crate::text::one_line;

/// The longest a connection may take, from the first packet to the end of the handshake.
pub(crate) const CONNECT_MS_MAX: u64 = 5_000;

/// The largest reply is a full list of messages with bodies, which comes near this.
const LIMITS: FrameLimits = FrameLimits {
    message_bytes_max: 32 * 1024 * 1024,
    read_buffer_bytes: 16 * 1024,
};

/// The most that is read of the answer to a post.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// How much of a server's message an error repeats.
const SAID_CHARS_MAX: usize = 200;

/// Where to connect, and with which token.
#[derive(Debug, Clone)]
pub struct Target {
    pub url: Arc<ServerUrl>,
    token: Secret,
    /// The source of the token, for error texts.
    origin: String,
    trust: Trust,
    /// The query: the project, and the client's own configuration.
    query: Vec<(&'static str, String)>,
}

impl Target {
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        let origin = origin(config.origins.source(&settings::CLIENT_TOKEN));
        let query = [
            ("project", config.project.map(|name| name.to_string())),
            ("environment", config.environment.map(|it| it.to_string())),
            (
                "port_fingerprint",
                config.port_fingerprint.map(|ports| ports.to_string()),
            ),
            ("seat", config.seat.map(|seat| seat.to_string())),
        ];
        let query = query.into_iter();
        let query = query.filter_map(|(name, value)| Some((name, value?)));
        let url = Arc::new(config.url);
        let Some(token) = config.token else {
            return Err(ClientError::NoToken { url });
        };
        Ok(Self {
            url,
            token,
            origin,
            trust: config.trust,
            query: query.collect(),
        })
    }

    /// Takes this seat unless another one was named. Has no effect where the token allows no seats.
    #[must_use]
    pub fn with_seat_hint(mut self, hint: Option<&SeatName>) -> Self {
        let is_named = self.query.iter().any(|(name, _)| *name == "seat");
        let hint = hint.filter(|_| !is_named);
        self.query
            .extend(hint.map(|seat| ("seat_hint", seat.to_string())));
        self
    }

    /// Works in this project, whatever was configured.
    #[must_use]
    pub fn in_project(mut self, project: &ProjectName) -> Self {
        self.query.retain(|(name, _)| *name != "project");
        self.query.push(("project", project.to_string()));
        self
    }

    /// Keeps the agent present after the connection closes, until nothing was heard of it for a while.
    #[must_use]
    pub fn present_as(mut self, kind: &AgentKind) -> Self {
        self.query.push(("present", kind.to_string()));
        self
    }

    /// Ends the presence that [`Target::present_as`] began.
    #[must_use]
    pub fn leaving(mut self) -> Self {
        self.query.retain(|(name, _)| *name != "present");
        self.query.push(("leaving", true.to_string()));
        self
    }

    /// Uses the token's own project. `origin` is the source of the token.
    pub(crate) fn of(url: ServerUrl, token: Secret, origin: &str, trust: Trust) -> Self {
        Self {
            url: Arc::new(url),
            token,
            origin: origin.to_owned(),
            trust,
            query: Vec::new(),
        }
    }

    /// Posts JSON to a path of the coordinator, with the token, over a connection of its own; gives the answer.
    pub async fn post(&self, path: &str, json: &str) -> Result<Vec<u8>, ClientError> {
        let limit = Duration::from_millis(CONNECT_MS_MAX);
        let slow = |_| ClientError::Slow {
            url: self.url.clone(),
            waited_ms: CONNECT_MS_MAX,
        };
        timeout(limit, self.exchange(path, json))
            .await
            .map_err(slow)?
    }

    async fn exchange(&self, path: &str, json: &str) -> Result<Vec<u8>, ClientError> {
        // Checks that the token can stand in a header.
        self.request()?;
        let mut stream = self.dial().await?;
        // Of version 1.0, so that the answer comes in one piece and ends with the connection.
        let request = format!(
            "POST {path} HTTP/1.0\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{json}",
            self.url.endpoint,
            self.token.expose(),
            json.len(),
        );
        let broken = |source| self.undialled(LinkError::Connect(source));
        stream.write_all(request.as_bytes()).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;
        let mut answer = Vec::new();
        let mut limited = stream.take(ANSWER_BYTES_MAX);
        if let Err(error) = limited.read_to_end(&mut answer).await
            && answer.is_empty()
        {
            return Err(broken(error));
        }
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let status = answer
            .get(9..12)
            .and_then(|digits| StatusCode::from_bytes(digits).ok());
        let (Some(end), Some(status)) = (end, status) else {
            return Err(self.stranger("the answer is no HTTP".to_owned()));
        };
        let body = answer.split_off(end + 4);
        if status.is_success() {
            return Ok(body);
        }
        let mut response = Response::new(Some(body));
        *response.status_mut() = status;
        Err(self.refused(&response))
    }

    /// Opens a WebSocket within [`CONNECT_MS_MAX`].
    pub(crate) async fn connect(&self) -> Result<Socket<Box<dyn Io>>, ClientError> {
        let limit = Duration::from_millis(CONNECT_MS_MAX);
        let slow = |_| ClientError::Slow {
            url: self.url.clone(),
            waited_ms: CONNECT_MS_MAX,
        };
        timeout(limit, self.open()).await.map_err(slow)?
    }

    async fn open(&self) -> Result<Socket<Box<dyn Io>>, ClientError> {
        let request = self.request()?;
        let stream = self.dial().await?;
        let opened = Socket::upgrade(request, stream, LIMITS).await;
        opened.map_err(|error| match error {
            UpgradeError::Refused(response) => self.refused(&response),
            UpgradeError::Io(source) => self.undialled(LinkError::Connect(source)),
            UpgradeError::Garbled(error) => self.stranger(error.to_string()),
        })
    }

    /// Certificates are read after connecting: that no server listens is the more useful error.
    async fn dial(&self) -> Result<Box<dyn Io>, ClientError> {
        let endpoint = &self.url.endpoint;
        let undialled = |error| self.undialled(error);
        let tcp = link::connect(endpoint, None).await.map_err(undialled)?;
        if !self.url.tls {
            return Ok(Box::new(tcp));
        }
        let config = tls::config(&self.trust).map_err(ClientError::Certificates)?;
        let secured = link::secure(tcp, &endpoint.host, &Arc::new(config)).await;
        secured.map_err(undialled)
    }

    fn request(&self) -> Result<Request<()>, ClientError> {
        let url = socket::with_query(&self.url, &self.query);
        let request = socket::request(&url, Some(self.token.expose()));
        request.map_err(|error| match error {
            RequestError::Token => ClientError::BadToken {
                origin: self.origin.clone(),
            },
            RequestError::Url(error) => self.stranger(error.to_string()),
        })
    }

    fn refused(&self, response: &Response<Option<Vec<u8>>>) -> ClientError {
        let url = self.url.clone();
        let origin = self.origin.clone();
        let said = said(response.body().as_deref());
        match response.status() {
            StatusCode::UNAUTHORIZED => ClientError::Unauthenticated { url, origin, said },
            StatusCode::FORBIDDEN if is_about_seat(response.body().as_deref()) => {
                ClientError::NoSeats { url, said }
            }
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

    fn undialled(&self, error: LinkError) -> ClientError {
        let url = self.url.clone();
        match error {
            LinkError::Unknown { source, .. } | LinkError::Connect(source) => {
                ClientError::Connect { url, source }
            }
            LinkError::Tls(source) => ClientError::Tls { url, source },
        }
    }

    fn stranger(&self, problem: String) -> ClientError {
        ClientError::NotACoordinator {
            url: self.url.clone(),
            problem,
        }
    }
}

/// The source of the token; a token file is named without a line number.
fn origin(source: &Source) -> String {
    match source {
        Source::File { path, line: 0, .. } => path.display().to_string(),
        other => other.to_string(),
    }
}

/// Whether the server refuses the seat, not the token.
fn is_about_seat(body: Option<&[u8]>) -> bool {
    let json: serde_json::Value =
        serde_json::from_slice(body.unwrap_or_default()).unwrap_or_default();
    json.pointer("/error/path") == Some(&serde_json::Value::from("seat"))
}

/// The server's message, for the end of an error: the message of its JSON error, or its text.
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
