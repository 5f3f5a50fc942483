//! Tools for models: what the clients really send first, what bad input gets, and what a restart, a revoked
//! token or a client that does not read do to a call.

mod bad_input;
mod day;
mod endings;
mod long_lists;
mod openings;
mod repeats;
mod seats;
mod stdio;
mod trees;

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::seats::seats_token;
use crate::support::{Coordinator, http};

/// The headers of a client of the era that begins with `initialize`.
const PLAIN: &[(&str, &str)] = &[
    ("Content-Type", "application/json"),
    ("Accept", "application/json, text/event-stream"),
];

/// What an HTTP request got.
#[derive(Debug)]
struct Answer {
    status: u16,
    /// Header lines in lower case.
    headers: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Checks a JSON-RPC error, and that its text names each of `words`.
    #[track_caller]
    fn check_error(&self, status: u16, code: i64, words: &[&str]) {
        let body = self.json();
        assert_eq!(
            (self.status, &body["error"]["code"]),
            (status, &json!(code)),
            "{body}"
        );
        assert_eq!(body["jsonrpc"], "2.0", "{body}");
        let message = body["error"]["message"].as_str().unwrap();
        for word in words {
            assert!(message.contains(word), "{word:?} is not in {message:?}");
        }
    }
}

/// One agent's way to `/mcp`.
#[derive(Clone)]
struct Agent {
    port: u16,
    token: String,
    seat: Option<String>,
    /// What its client adds to each call.
    meta: Value,
}

impl Agent {
    async fn new(coordinator: &Coordinator, name: &str) -> Self {
        Self::of(coordinator, coordinator.token(name, "agent").await)
    }

    /// With a token that allows seats, and without one.
    async fn with_seats(coordinator: &Coordinator, name: &str) -> Self {
        Self::of(coordinator, seats_token(coordinator, name).await.1)
    }

    fn of(coordinator: &Coordinator, token: String) -> Self {
        Self {
            port: coordinator.port(),
            token,
            seat: None,
            meta: json!({}),
        }
    }

    fn at(&self, seat: &str) -> Self {
        let seat = Some(seat.to_owned());
        Self {
            seat,
            ..self.clone()
        }
    }

    fn saying(&self, meta: Value) -> Self {
        Self {
            meta,
            ..self.clone()
        }
    }

    async fn send(&self, method: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.send_to(method, "/mcp", headers, body).await
    }

    async fn send_to(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let authorization = format!("Bearer {}", self.token);
        let mut all = vec![("Authorization", authorization.as_str())];
        all.extend(self.seat.iter().map(|seat| ("Coord-Seat", seat.as_str())));
        all.extend(headers);
        request(self.port, method, target, &all, body).await
    }

    /// Posts a message of the era that begins with `initialize`.
    async fn post(&self, message: &Value) -> Answer {
        self.send("POST", PLAIN, &message.to_string()).await
    }

    /// Calls a tool; gives the result, whether it refused or not.
    async fn call(&self, tool: &str, arguments: Value) -> Value {
        let params = json!({"name": tool, "arguments": arguments, "_meta": self.meta});
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let answer = self.post(&message).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["result"].take()
    }

    /// Calls a tool that must do it.
    async fn done(&self, tool: &str, arguments: Value) -> Value {
        let mut result = self.call(tool, arguments).await;
        assert_eq!(result["isError"], false, "{result}");
        let text = result["content"][0]["text"].as_str().unwrap().to_owned();
        let answer = result["structuredContent"].take();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), answer);
        answer
    }

    /// Calls a tool that must refuse, in words that say what to do.
    async fn refused(&self, tool: &str, arguments: Value, words: &[&str]) {
        let result = self.call(tool, arguments).await;
        assert_eq!(result["isError"], true, "{result}");
        let text = result["content"][0]["text"].as_str().unwrap();
        for word in words {
            assert!(text.contains(word), "{word:?} is not in {text:?}");
        }
    }
}

async fn request(
    port: u16,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut text = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        write!(text, "Host: 127.0.0.1:{port}\r\n").unwrap();
    }
    for (name, value) in headers {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    write!(text, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let reply = http::exchange(port, &text).await.unwrap();
    let (headers, body) = reply.rest.split_once("\r\n\r\n").unwrap();
    Answer {
        status: reply.status,
        headers: headers.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}
