//! One connection to the receiver, over which one request goes at a time: TLS, credentials, bounds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{
    AUTHORIZATION, DATE, HOST, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use super::encode;
use super::sender::{self, Answer};
use crate::config::{PushConfig, Trust};
use crate::link::{self, LinkError, tls};

/// Of one request, the connection included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection on which the receiver is silent for so long is broken.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// Bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of an answer's body; after a longer one the connection is given up.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How much of a receiver's explanation is told.
const SAID_CHARS_MAX: usize = 200;

/// The receiver of remote write, as it is configured.
pub struct Transport {
    config: Arc<PushConfig>,
    user_agent: HeaderValue,
    connection: Option<SendRequest<Full<Bytes>>>,
    /// As they were read when the connection was made.
    headers: HeaderMap,
}

/// What the receiver said.
#[derive(Debug)]
pub struct Said {
    pub answer: Answer,
    /// The first line of its explanation.
    pub text: String,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("cannot use the credentials: {0}")]
    Credentials(String),
    #[error("it does not speak HTTP")]
    Http(#[from] hyper::Error),
    #[error("no answer within {} s", REQUEST_TIMEOUT.as_secs())]
    Timeout,
}

impl Transport {
    pub fn new(config: Arc<PushConfig>, user_agent: &str) -> Self {
        let user_agent = HeaderValue::from_str(user_agent);
        Self {
            config,
            user_agent: user_agent.unwrap_or(HeaderValue::from_static("coord")),
            connection: None,
            headers: HeaderMap::new(),
        }
    }

    pub fn is_connected(&self) -> bool {
        let connection = self.connection.as_ref();
        connection.is_some_and(|connection| !connection.is_closed())
    }

    /// Sends a request, over a new connection if there is none. Everything that fails ends the connection.
    pub async fn send(&mut self, request: sender::Request) -> Result<Said, TransportError> {
        let sent = tokio::time::timeout(REQUEST_TIMEOUT, self.try_send(request)).await;
        let sent = sent.unwrap_or(Err(TransportError::Timeout));
        if sent.is_err() {
            self.connection = None;
        }
        sent
    }

    async fn try_send(&mut self, request: sender::Request) -> Result<Said, TransportError> {
        if !self.is_connected() {
            self.connect().await?;
        }
        let url = &self.config.url;
        let mut message = Request::new(Full::new(Bytes::from(request.body)));
        *message.method_mut() = hyper::Method::POST;
        let target = url.path.parse();
        *message.uri_mut() =
            target.map_err(|error| TransportError::Credentials(format!("{error}")))?;
        let headers = message.headers_mut();
        headers.clone_from(&self.headers);
        let mut set = |name: &'static str, value: &'static str| {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        };
        set("content-encoding", "snappy");
        let (version, media_type) = encode::form(request.protocol);
        set("content-type", media_type);
        set("x-prometheus-remote-write-version", version);
        let Some(connection) = &mut self.connection else {
            return Err(TransportError::Timeout);
        };
        connection.ready().await?;
        let response = connection.send_request(message).await?;
        Ok(self.read(response).await)
    }

    async fn read(&mut self, response: Response<Incoming>) -> Said {
        let answer = answer(response.status().as_u16(), response.headers());
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX)
            .collect()
            .await;
        let text = if let Ok(body) = body {
            said(&String::from_utf8_lossy(&body.to_bytes()))
        } else {
            // The status counts all the same, but what follows cannot be read.
            self.connection = None;
            String::new()
        };
        Said { answer, text }
    }

    async fn connect(&mut self) -> Result<(), TransportError> {
        // Files are read and certificates parsed where nobody waits for it.
        let config = Arc::clone(&self.config);
        let prepared = tokio::task::spawn_blocking(move || prepare(&config)).await;
        let prepared = prepared.map_err(|error| TransportError::Credentials(error.to_string()))?;
        let (headers, tls) = prepared.map_err(TransportError::Credentials)?;
        let stream = link::open(&self.config.url.endpoint, tls.as_ref(), Some(SILENCE_MAX)).await?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX);
        let (connection, driver) = builder.handshake(TokioIo::new(stream)).await?;
        // Ends with the connection; why is told to who sends.
        tokio::spawn(driver);
        self.headers = headers;
        self.headers.insert(USER_AGENT, self.user_agent.clone());
        self.connection = Some(connection);
        Ok(())
    }
}

/// Headers with the credentials of this moment, and what TLS is made with.
fn prepare(config: &PushConfig) -> Result<(HeaderMap, Option<Arc<rustls::ClientConfig>>), String> {
    let mut headers = HeaderMap::new();
    let url = &config.url;
    let value = |text: &str| {
        HeaderValue::from_str(text).map_err(|_| "a value does not fit a header".to_owned())
    };
    headers.insert(HOST, value(&url.authority())?);
    for header in &config.headers {
        let name: HeaderName = header
            .name
            .parse()
            .map_err(|_| format!("{} is no header", header.name))?;
        headers.append(name, value(&header.value)?);
    }
    let authorization = match (&config.token, &config.user) {
        (Some(token), _) => Some(format!("Bearer {}", fresh(token)?)),
        (None, Some(user)) => {
            let password = config.password.as_ref().map(fresh).transpose()?;
            let both = format!("{user}:{}", password.unwrap_or_default());
            Some(format!("Basic {}", STANDARD.encode(both)))
        }
        (None, None) => None,
    };
    if let Some(text) = authorization {
        let mut value = value(&text)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    if !url.tls {
        return Ok((headers, None));
    }
    let trust = config
        .ca_file
        .clone()
        .map_or(Trust::Machine, Trust::Authorities);
    let client: Option<&(PathBuf, PathBuf)> = config.client_certificate.as_ref();
    let tls = tls::config_with(
        &trust,
        client.map(|(certificate, key)| (certificate.as_path(), key.as_path())),
    );
    let tls = tls.map_err(|error| error.to_string())?;
    Ok((headers, Some(Arc::new(tls))))
}

/// A secret as its file has it now.
fn fresh(secret: &crate::config::Secret) -> Result<String, String> {
    let again = secret.read_again();
    let again = again.map_err(|error| match secret.file() {
        Some(file) => format!("{}: {error}", file.display()),
        None => error.to_string(),
    })?;
    Ok(again.expose().to_owned())
}

fn answer(status: u16, headers: &HeaderMap) -> Answer {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let date_ms = text(DATE).and_then(date_ms);
    let retry_after = text(RETRY_AFTER).map(str::trim);
    let retry_after_ms = retry_after.and_then(|text| match text.parse::<u64>() {
        Ok(seconds) => Some(seconds.saturating_mul(1_000)),
        // Seen from the clock of who says so.
        Err(_) => Some(self::date_ms(text)?.saturating_sub(date_ms?)),
    });
    let written = headers.get("x-prometheus-remote-write-samples-written");
    Answer {
        status,
        date_ms,
        retry_after_ms,
        counts_samples: written.is_some(),
    }
}

fn date_ms(text: &str) -> Option<u64> {
    let time = httpdate::parse_http_date(text).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

/// The first line, short and without control characters.
fn said(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let line = line.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(SAID_CHARS_MAX).collect()
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport")
            .field("url", &self.config.url.to_string())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &[(&'static str, &str)], date_ms: Option<u64>, retry_after_ms: Option<u64>) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value");
            headers.insert(*name, value);
        }
        let found = answer(503, &headers);
        assert_eq!(
            (found.date_ms, found.retry_after_ms),
            (date_ms, retry_after_ms),
            "{lines:?}"
        );
    }

    #[test]
    fn headers_are_believed_where_they_make_sense() {
        let (date, later) = (
            "Fri, 15 Jan 2027 08:00:00 GMT",
            "Fri, 15 Jan 2027 08:00:30 GMT",
        );
        let ms = 1_800_000_000_000;
        check(
            &[("date", date), ("retry-after", " 7 ")],
            Some(ms),
            Some(7_000),
        );
        check(
            &[("date", date), ("retry-after", later)],
            Some(ms),
            Some(30_000),
        );
        // Before its own date: at once.
        check(
            &[("date", later), ("retry-after", date)],
            Some(ms + 30_000),
            Some(0),
        );
        // A date alone says nothing without a clock to compare it with.
        check(&[("retry-after", later)], None, None);
        check(
            &[("date", "yesterday"), ("retry-after", "soon")],
            None,
            None,
        );
        check(&[("date", "\u{e9}"), ("retry-after", "-7")], None, None);
        check(&[("retry-after", "99999999999999999999999")], None, None);
        check(
            &[("retry-after", "18446744073709551615")],
            None,
            Some(u64::MAX),
        );
        check(&[("date", "Thu, 01 Jan 1970 00:00:00 GMT")], Some(0), None);
    }

    #[test]
    fn what_a_receiver_says_is_short_and_harmless() {
        assert_eq!(
            said("\n out of \u{1b}[31mbounds\nmore"),
            "out of  [31mbounds"
        );
        assert_eq!(said(&"x".repeat(9_999)).len(), SAID_CHARS_MAX);
    }
}
