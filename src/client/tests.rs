//! The client against a coordinator that is a script.

use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use super::*;
use crate::config::{ClientConfig, Flags, MapEnvironment};
use crate::engine::ids::{JournalTime, Title};
use crate::protocol::error::ErrorKind;
use crate::protocol::events::EventsSubscribeParams;
use crate::protocol::task::{TaskSubmitParams, TaskSubmitResult};
use tokio_tungstenite::tungstenite::Message;

const TOKEN: &str = "secret-of-the-test";

/// A listener, and a target that leads to it.
async fn coordinator() -> (TcpListener, Target) {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let environment = MapEnvironment::from([
        ("COORD_URL", format!("ws://{address}/ws").as_str()),
        ("COORD_TOKEN", TOKEN),
        ("COORD_PROJECT", "demo"),
    ]);
    let config = ClientConfig::load(&Flags::default(), &environment).expect("it is right");
    (listener, Target::new(config).expect("there is a token"))
}

/// Plays the script of a coordinator against a client that is connected to it. What the script returns stays open
/// until the client is done.
async fn converse<P, R>(
    server: impl AsyncFnOnce(&TcpListener) -> P,
    client: impl AsyncFnOnce(Client) -> R,
) -> R {
    let (listener, target) = coordinator().await;
    let client = async {
        let connected = Client::connect(target).await.expect("it connects");
        client(connected).await
    };
    let (_peer, result) = tokio::join!(server(&listener), client);
    result
}

/// One accepted connection.
struct Peer {
    socket: WebSocketStream<TcpStream>,
}

impl Peer {
    #[expect(
        clippy::result_large_err,
        reason = "the handshake's callback has this type"
    )]
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().await.expect("somebody connects");
        let check = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            assert_eq!(request.uri().path(), "/ws");
            assert_eq!(request.uri().query(), Some("project=demo"));
            let bearer = request.headers().get("authorization");
            let bearer = bearer
                .expect("there is a token")
                .to_str()
                .expect("it is text");
            assert_eq!(bearer, format!("Bearer {TOKEN}"));
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, check);
        Self {
            socket: socket.await.expect("it is a WebSocket client"),
        }
    }

    /// The next request; its method is what the script expects.
    async fn expect(&mut self, method: &str) -> Value {
        loop {
            let message = self.socket.next().await.expect("there is a request");
            let Message::Text(text) = message.expect("the connection lives") else {
                continue;
            };
            let request: Value = serde_json::from_str(&text).expect("requests are JSON");
            assert_eq!(request["jsonrpc"], "2.0");
            assert_eq!(request["method"], method, "{request}");
            return request;
        }
    }

    async fn send(&mut self, frame: Value) {
        let message = Message::text(frame.to_string());
        self.socket.send(message).await.expect("the client listens");
    }

    async fn reply(&mut self, request: &Value, result: Value) {
        let frame = json!({ "jsonrpc": "2.0", "id": request["id"], "result": result });
        self.send(frame).await;
    }

    async fn refuse(&mut self, request: &Value, data: Value) {
        let error = json!({ "code": -32000, "message": "no", "data": data });
        let frame = json!({ "jsonrpc": "2.0", "id": request["id"], "error": error });
        self.send(frame).await;
    }

    async fn tell(&mut self, method: &str, params: Value) {
        let frame = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        self.send(frame).await;
    }

    async fn open_session(&mut self, grace_ms: u64) -> Value {
        let request = self.expect("session.open").await;
        self.reply(&request, opened(grace_ms)).await;
        request
    }
}

fn opened(grace_ms: u64) -> Value {
    json!({
        "session": 5, "resume_secret": "again", "resumed": false, "agent": "ann",
        "project": "demo", "node": "n1", "environment": "testing", "protocol": "1.0",
        "version": "0", "cursor": "1:10", "now_ms": 0, "grace_ms": grace_ms,
        "limits": {
            "message_bytes_max": 1, "requests_in_flight_max": 1, "requests_waiting_max": 1,
            "wait_ms_max": 1, "payload_bytes_max": 1,
        },
    })
}

fn submission() -> TaskSubmitParams {
    let title: Title = "a".parse().expect("it is a title");
    serde_json::from_value(json!({ "title": title })).expect("it is a submission")
}

fn event(position: u64) -> Value {
    json!({ "cursor": format!("1:{position}"), "at_ms": 0, "changes": [] })
}

#[tokio::test]
async fn a_call_gets_its_own_reply() {
    let server = async |listener: &TcpListener| {
        let mut peer = Peer::accept(listener).await;
        let request = peer.expect("ping").await;
        // Answers to others, news of a later version and signs of life do not disturb.
        peer.reply(&json!({ "id": 999 }), json!({})).await;
        peer.tell("weather.changed", json!({ "rain": true })).await;
        let ping = Message::Ping(Vec::new().into());
        peer.socket.send(ping).await.expect("the client listens");
        peer.reply(&request, json!({ "now_ms": 7, "new_field": 1 }))
            .await;
        peer
    };
    let client = async |mut client: Client| {
        let params = crate::protocol::session::Empty {};
        let reply: Reply<crate::protocol::session::PingResult> = client
            .call(Operation::Ping, &params)
            .await
            .expect("it is answered");
        assert_eq!(reply.value.now_ms, JournalTime(7));
        assert_eq!(reply.raw.get(), r#"{"now_ms":7,"new_field":1}"#);
    };
    converse(server, client).await;
}

#[tokio::test]
async fn a_request_is_sent_again_under_the_same_id() {
    let server = async |listener: &TcpListener| {
        let mut peer = Peer::accept(listener).await;
        let first = peer.expect("task.submit").await;
        // Carried out, but the answer is lost with the connection.
        drop(peer);
        let mut peer = Peer::accept(listener).await;
        let second = peer.expect("task.submit").await;
        assert!(first["params"]["request_id"].is_string(), "{first}");
        assert_eq!(first["params"], second["params"]);
        peer.reply(&second, json!({ "task": 3, "existing": false }))
            .await;
        peer
    };
    let client = async |mut client: Client| {
        let reply: Reply<TaskSubmitResult> = client
            .call(Operation::TaskSubmit, &submission())
            .await
            .expect("it is answered in the end");
        assert_eq!(reply.value.task.0, 3);
    };
    converse(server, client).await;
}

#[tokio::test]
async fn what_cannot_be_repeated_is_not() {
    let server = async |listener: &TcpListener| {
        let mut peer = Peer::accept(listener).await;
        peer.expect("token.create").await;
    };
    let client = async |mut client: Client| {
        let params = json!({ "agent": "bob" }).to_string();
        let error = client.call_raw(Operation::TokenCreate, params, 0).await;
        let error = error.expect_err("its outcome is unknown");
        assert!(
            matches!(error, ClientError::OutcomeUnknown { .. }),
            "{error}"
        );
    };
    converse(server, client).await;
}

#[tokio::test]
async fn an_overloaded_coordinator_is_asked_again() {
    let server = async |listener: &TcpListener| {
        let mut peer = Peer::accept(listener).await;
        let first = peer.expect("task.submit").await;
        peer.refuse(&first, json!({ "kind": "overloaded", "retry_after_ms": 1 }))
            .await;
        let second = peer.expect("task.submit").await;
        assert_eq!(first["params"], second["params"]);
        peer.refuse(&second, json!({ "kind": "storage_full" }))
            .await;
        peer
    };
    let client = async |mut client: Client| {
        let params = serde_json::to_string(&submission()).expect("it encodes");
        let error = client.call_raw(Operation::TaskSubmit, params, 0).await;
        let error = error.expect_err("the disk is full");
        assert_eq!(error.kind(), Some(ErrorKind::StorageFull));
    };
    converse(server, client).await;
}

#[tokio::test]
async fn a_session_is_resumed_and_its_holder_told() {
    let server = async |listener: &TcpListener| {
        let mut peer = Peer::accept(listener).await;
        peer.open_session(60_000).await;
        drop(peer);
        let mut peer = Peer::accept(listener).await;
        let request = peer.open_session(60_000).await;
        assert_eq!(
            request["params"]["resume"],
            json!({ "session": 5, "secret": "again" })
        );
        peer.tell(
            "lease.lost",
            json!({ "lease": 1, "fence": 2, "reason": "revoked" }),
        )
        .await;
        peer
    };
    let client = async |mut client: Client| {
        let params = SessionOpenParams::default();
        client.open_session(&params).await.expect("it opens");
        let resumed = client.notice().await.expect("it is resumed");
        assert!(matches!(resumed, Notice::Resumed), "{resumed:?}");
        let lost = client.notice().await.expect("it is told");
        assert!(matches!(lost, Notice::LeaseLost(_)), "{lost:?}");
    };
    converse(server, client).await;
}

#[tokio::test]
async fn a_session_that_ended_meanwhile_is_told_as_such() {
    let server = async |listener: &TcpListener| {
        let mut peer = Peer::accept(listener).await;
        peer.open_session(60_000).await;
        drop(peer);
        let mut peer = Peer::accept(listener).await;
        let request = peer.expect("session.open").await;
        peer.refuse(&request, json!({ "kind": "not_found" })).await;
        // Another one can be opened on the next connection.
        let mut peer = Peer::accept(listener).await;
        let request = peer.open_session(60_000).await;
        assert_eq!(request["params"].get("resume"), None);
        peer
    };
    let client = async |mut client: Client| {
        let params = SessionOpenParams::default();
        client.open_session(&params).await.expect("it opens");
        let error = client.notice().await.expect_err("the session is gone");
        assert!(matches!(error, ClientError::SessionGone { .. }), "{error}");
        client.open_session(&params).await.expect("another opens");
    };
    converse(server, client).await;
}

/// Real time, but short: a grace of 300 ms is over before the test is bored.
#[tokio::test]
async fn patience_ends_with_the_grace() {
    let (listener, target) = coordinator().await;
    let server = async {
        let mut peer = Peer::accept(&listener).await;
        peer.open_session(300).await;
        drop(peer);
        drop(listener);
    };
    let client = async {
        let mut client = Client::connect(target).await.expect("it connects");
        let started = Instant::now();
        let params = SessionOpenParams::default();
        client.open_session(&params).await.expect("it opens");
        let error = client.notice().await.expect_err("nobody is there any more");
        assert!(is_unreachable(&error), "{error:?}");
        assert!(started.elapsed() >= Duration::from_millis(250));
        assert!(started.elapsed() < Duration::from_secs(5));
    };
    tokio::join!(server, client);
}

fn is_unreachable(error: &ClientError) -> bool {
    use ClientError::{Connect, Lost, Slow};
    matches!(error, Connect { .. } | Lost { .. } | Slow { .. })
}

#[tokio::test]
async fn silence_within_the_grace_counts_as_loss() {
    let server = async |listener: &TcpListener| {
        let mut peer = Peer::accept(listener).await;
        peer.open_session(600).await;
        // Keeps the connection, reads nothing, answers no ping.
        let second = Peer::accept(listener).await;
        (peer, second)
    };
    let client = async |mut client: Client| {
        let params = SessionOpenParams::default();
        client.open_session(&params).await.expect("it opens");
        client.notice().await.expect_err("nobody answers")
    };
    let error = converse(server, client).await;
    assert!(is_unreachable(&error), "{error:?}");
}

#[tokio::test]
async fn a_subscription_goes_on_where_it_stood() {
    let server = async |listener: &TcpListener| {
        let mut peer = Peer::accept(listener).await;
        let request = peer.expect("events.subscribe").await;
        assert_eq!(request["params"].get("from"), None);
        peer.reply(&request, json!({ "cursor": "1:10" })).await;
        peer.tell("event", event(11)).await;
        drop(peer);
        let mut peer = Peer::accept(listener).await;
        let request = peer.expect("events.subscribe").await;
        assert_eq!(request["params"]["from"], "1:11");
        peer.reply(&request, json!({ "cursor": "1:11" })).await;
        peer.tell("event", event(12)).await;
        drop(peer);
        // What came after is forgotten by the time the client is back.
        let mut peer = Peer::accept(listener).await;
        let request = peer.expect("events.subscribe").await;
        let data = json!({ "kind": "cursor_expired", "cursor": "1:99" });
        peer.refuse(&request, data).await;
        let request = peer.expect("events.subscribe").await;
        assert_eq!(request["params"]["from"], "1:99");
        peer.reply(&request, json!({ "cursor": "1:99" })).await;
        peer
    };
    let client = async |mut client: Client| {
        let params = EventsSubscribeParams::default();
        client.subscribe(params).await.expect("it subscribes");
        for position in [11, 12] {
            let notice = client.notice().await.expect("there is an event");
            let Notice::Event(event, _) = notice else {
                panic!("{notice:?}")
            };
            assert_eq!(event.cursor.position.0, position);
        }
        let notice = client.notice().await.expect("it is told of the gap");
        let Notice::EventsClosed(closed, _) = notice else {
            panic!("{notice:?}")
        };
        assert_eq!(closed.kind, ErrorKind::CursorExpired);
        assert_eq!(closed.cursor.to_string(), "1:12");
        client.resubscribe().await.expect("it goes on");
    };
    converse(server, client).await;
}

/// Refuses the handshake with a status; what the client makes of it.
async fn refused(status: u16, headers: &'static str) -> ClientError {
    let (listener, target) = coordinator().await;
    let seen = Arc::new(Mutex::new(String::new()));
    let server = async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.expect("somebody connects");
        let mut request = vec![0; 4096];
        let read = stream.read(&mut request).await.expect("there is a request");
        *seen.lock().expect("nobody panicked") = String::from_utf8_lossy(&request[..read]).into();
        let text = format!("HTTP/1.1 {status} No\r\n{headers}Content-Length: 3\r\n\r\nwhy");
        stream
            .write_all(text.as_bytes())
            .await
            .expect("the client listens");
        stream
    };
    let (_stream, client) = tokio::join!(server, Client::connect(target));
    assert!(seen.lock().expect("nobody panicked").contains("Bearer"));
    let error = client.expect_err("it is refused");
    let told = format!("{} {error:?}", crate::causes::one_line(&error));
    assert!(!told.contains(TOKEN), "{told}");
    error
}

#[tokio::test]
async fn a_refused_handshake_says_why() {
    let error = refused(401, "").await;
    assert!(
        matches!(error, ClientError::Unauthenticated { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("COORD_TOKEN"), "{error}");
    let error = refused(403, "").await;
    assert!(matches!(error, ClientError::Forbidden { .. }), "{error}");
    let error = refused(503, "Retry-After: 2\r\n").await;
    let ClientError::Busy { retry_after_ms, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(retry_after_ms, Some(2_000));
    let error = refused(404, "").await;
    assert!(
        matches!(error, ClientError::NotACoordinator { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn where_nobody_listens_nobody_is_reached() {
    let (listener, target) = coordinator().await;
    drop(listener);
    let error = Client::connect(target).await.expect_err("nobody listens");
    assert!(matches!(error, ClientError::Connect { .. }), "{error}");
}

/// The first message out of date is told, and no other.
#[tokio::test]
async fn what_is_out_of_date_is_told_once() {
    let server = async |listener: &TcpListener| {
        let mut peer = Peer::accept(listener).await;
        for stale_ms in [3_000, 4_000] {
            let request = peer.expect("ping").await;
            peer.reply(&request, json!({ "now_ms": 7, "stale_ms": stale_ms }))
                .await;
        }
        peer
    };
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let client = async |mut client: Client| {
        client.on_stale(move |ms| heard.lock().expect("nobody panicked").push(ms));
        for _ in 0..2 {
            let params = crate::protocol::session::Empty {};
            let reply = client.call::<Value>(Operation::Ping, &params).await;
            reply.expect("it is answered");
        }
    };
    converse(server, client).await;
    assert_eq!(*told.lock().expect("nobody panicked"), [3_000]);
}
