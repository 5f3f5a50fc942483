//! A WebSocket client without manners of its own: calls, and any frame a test wants to send. It
//! connects like the client of the library; what it sends and takes is the tests' own.

use std::collections::{BTreeMap, VecDeque};

use axum::http::Request;
use cli_coordinator::client::socket::{self, FrameLimits, Socket, UpgradeError};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::waiting::within;

const LIMITS: FrameLimits = FrameLimits {
    message_bytes_max: 64 * 1024 * 1024,
    read_buffer_bytes: 16 * 1024,
};

/// One connection to a coordinator.
#[derive(Debug)]
pub struct Client {
    pub socket: WebSocketStream<TcpStream>,
    /// What came without having been asked for.
    pub notifications: VecDeque<Value>,
    /// Answers to other requests than the one that was waited for: refusals overtake.
    early: BTreeMap<u64, Value>,
    last_id: u64,
}

/// A JSON-RPC error.
#[derive(Debug, Clone, PartialEq)]
pub struct RpcFailure {
    pub code: i64,
    pub kind: String,
    pub message: Box<str>,
    pub data: Box<Value>,
}

impl RpcFailure {
    fn of(error: &Value) -> Self {
        Self {
            code: error["code"].as_i64().unwrap(),
            kind: error["data"]["kind"].as_str().unwrap().to_owned(),
            message: error["message"].as_str().unwrap().into(),
            data: Box::new(error["data"].clone()),
        }
    }

    /// Checks the kind, and that the text names each of `words`.
    #[track_caller]
    pub fn check(&self, kind: &str, words: &[&str]) -> &Self {
        assert_eq!(self.kind, kind, "{self:?}");
        for word in words {
            assert!(self.message.contains(word), "{word:?} is not in {self:?}");
        }
        self
    }
}

pub fn request(port: u16, target: &str, token: &str) -> Request<()> {
    let url = format!("ws://127.0.0.1:{port}{target}");
    socket::request(&url, Some(token)).unwrap()
}

impl Client {
    pub async fn connect(port: u16, token: &str) -> Self {
        let connected = Self::try_connect(port, "/ws", token).await;
        connected.unwrap()
    }

    pub async fn try_connect(port: u16, target: &str, token: &str) -> Result<Self, UpgradeError> {
        Self::upgrade(port, request(port, target, token)).await
    }

    /// Connects with a request of the test's own.
    pub async fn upgrade(port: u16, request: Request<()>) -> Result<Self, UpgradeError> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await;
        let stream = stream.map_err(UpgradeError::Io)?;
        stream.set_nodelay(true).map_err(UpgradeError::Io)?;
        let upgrade = Socket::upgrade(request, stream, LIMITS);
        let socket = within("an upgrade", upgrade).await?;
        Ok(Self {
            socket: socket.into_inner(),
            notifications: VecDeque::new(),
            early: BTreeMap::new(),
            last_id: 0,
        })
    }

    /// Sends a request and gives its id.
    pub async fn ask(&mut self, method: &str, params: Value) -> Result<u64, Error> {
        self.last_id += 1;
        let id = self.last_id;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.socket.send(Message::text(request.to_string())).await?;
        Ok(id)
    }

    /// Calls an operation and waits for its answer.
    pub async fn call(&mut self, method: &str, params: Value) -> Result<Value, RpcFailure> {
        let id = self.ask(method, params).await.unwrap();
        self.answer(id).await
    }

    /// Waits for the answer to a request; keeps what else comes.
    pub async fn answer(&mut self, id: u64) -> Result<Value, RpcFailure> {
        loop {
            if let Some(frame) = self.early.remove(&id) {
                return outcome(frame);
            }
            let frame = self.receive().await;
            if let Some(answered) = frame["id"].as_u64() {
                let asked = answered <= self.last_id && !self.early.contains_key(&answered);
                assert!(asked, "an answer nobody asked for: {frame}");
                self.early.insert(answered, frame);
            } else {
                assert_eq!(frame["id"], Value::Null, "{frame}");
                assert!(frame["method"].is_string(), "{frame}");
                self.notifications.push_back(frame);
            }
        }
    }

    /// Sends a text frame as it stands and reads the next frame.
    pub async fn raw(&mut self, text: &str) -> Result<Value, RpcFailure> {
        self.send(Message::text(text)).await;
        outcome(self.receive().await)
    }

    pub async fn send(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// The next text frame, as JSON.
    pub async fn receive(&mut self) -> Value {
        loop {
            let message = within("a frame", self.socket.next()).await;
            match message {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    assert_eq!(frame["jsonrpc"], "2.0", "{frame}");
                    return frame;
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no text frame: {other:?}"),
            }
        }
    }

    /// The next notification of this method; others are skipped.
    pub async fn notification(&mut self, method: &str) -> Value {
        loop {
            let mut frame = match self.notifications.pop_front() {
                Some(frame) => frame,
                None => self.receive().await,
            };
            if frame["method"] == method {
                return frame["params"].take();
            }
        }
    }

    /// Reads until the peer closes; gives how it did, if it said so.
    pub async fn closed(&mut self) -> Option<CloseFrame> {
        loop {
            match within("the close", self.socket.next()).await {
                Some(Ok(Message::Close(frame))) => return frame,
                Some(Ok(Message::Text(text))) => {
                    let frame = serde_json::from_str(&text).unwrap();
                    self.notifications.push_back(frame);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// Checks that the connection still serves.
    pub async fn check_alive(&mut self) {
        self.call("ping", json!({})).await.unwrap();
    }
}

/// Result or error of a reply.
pub fn outcome(mut frame: Value) -> Result<Value, RpcFailure> {
    let (result, error) = (frame["result"].take(), frame["error"].take());
    match error {
        Value::Null => Ok(result),
        error => Err(RpcFailure::of(&error)),
    }
}
