//! The least of a client: calls over one WebSocket, each answered before the next.

use std::io;

use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::protocol::operations::Operation;

const MESSAGE_BYTES_MAX: usize = 64 * 1024;
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum TalkError {
    #[error("the connection failed")]
    Io(#[from] io::Error),
    #[error("the WebSocket failed")]
    WebSocket(#[source] Box<tungstenite::Error>),
    #[error("the WebSocket was closed before {0} was answered")]
    Closed(&'static str),
    #[error("{operation} was refused: {answer}")]
    Refused {
        operation: &'static str,
        answer: Value,
    },
    #[error("the answer to {operation} is not as the protocol says")]
    Answer {
        operation: &'static str,
        #[source]
        source: serde_json::Error,
    },
}

impl From<tungstenite::Error> for TalkError {
    fn from(error: tungstenite::Error) -> Self {
        Self::WebSocket(Box::new(error))
    }
}

#[derive(Debug)]
pub(super) struct Talk(WebSocketStream<TlsStream<TcpStream>>);

impl Talk {
    /// Upgrades a connection, as whom the token says.
    pub(super) async fn begin(
        stream: TlsStream<TcpStream>,
        url: &str,
        token: &str,
    ) -> Result<Self, TalkError> {
        let mut request = url.into_client_request()?;
        let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut bearer = bearer.map_err(|error| TalkError::Io(io::Error::other(error)))?;
        bearer.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, bearer);
        let limits = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let (socket, _) = client_async_with_config(request, stream, Some(limits)).await?;
        Ok(Self(socket))
    }

    /// Calls an operation. Nothing was subscribed to, so the next text is its answer.
    pub(super) async fn call<R: DeserializeOwned>(
        &mut self,
        operation: Operation,
        params: &impl Serialize,
    ) -> Result<R, TalkError> {
        let operation = operation.name();
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": operation, "params": params});
        self.0.send(Message::text(request.to_string())).await?;
        let wrong = |source| TalkError::Answer { operation, source };
        while let Some(frame) = self.0.next().await {
            let Message::Text(text) = frame? else {
                continue;
            };
            let mut answer: Value = serde_json::from_str(&text).map_err(wrong)?;
            let result = answer["result"].take();
            if result.is_null() {
                let answer = answer["error"]["message"].take();
                return Err(TalkError::Refused { operation, answer });
            }
            return serde_json::from_value(result).map_err(wrong);
        }
        Err(TalkError::Closed(operation))
    }

    /// Says goodbye and waits for the other side to do so.
    pub(super) async fn close(mut self) -> Result<(), TalkError> {
        self.0.close(None).await?;
        while let Some(frame) = self.0.next().await {
            if frame?.is_close() {
                // What ends the connection after it is not ours to judge.
                return Ok(());
            }
        }
        Err(TalkError::Closed("the goodbye"))
    }
}
