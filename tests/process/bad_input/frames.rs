//! Frames that are no requests.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};

use crate::support::coordinator::Start;
use crate::support::{Coordinator, within};

const TEXT: OpCode = OpCode::Data(Data::Text);
const CONTINUE: OpCode = OpCode::Data(Data::Continue);

/// Sends a text frame that must be refused, and checks that the connection goes on.
async fn check(frames: &[&str], kind: &str, code: i64, words: &[&str]) {
    let coordinator = Coordinator::start().await;
    let mut client = coordinator.operator().await;
    for frame in frames {
        let failure = client.raw(frame).await.unwrap_err();
        assert_eq!(failure.code, code, "{frame}: {failure:?}");
        failure.check(kind, words);
        client.check_alive().await;
    }
}

#[tokio::test]
async fn malformed_json() {
    let frames = [
        "",
        " ",
        "{",
        r#"{"jsonrpc":"2.0","id":1,"method":"ping""#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":}}"#,
        "nonsense",
        "{'jsonrpc':'2.0'}",
        "\u{0}",
    ];
    check(&frames, "parse_error", -32700, &["not JSON", "column"]).await;
}

#[tokio::test]
async fn json_that_is_no_request() {
    let frames = [
        "1",
        "null",
        "\"ping\"",
        "{}",
        r#"{"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"ping"}"#,
    ];
    check(&frames, "invalid_request", -32600, &[]).await;
}

#[tokio::test]
async fn an_id_that_is_too_long() {
    let frame = json!({"jsonrpc": "2.0", "id": "x".repeat(100), "method": "ping"}).to_string();
    check(&[&frame], "invalid_request", -32600, &["64 bytes"]).await;
}

#[tokio::test]
async fn batches() {
    let frames = [
        "[]",
        "  [1]",
        r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
    ];
    check(
        &frames,
        "invalid_request",
        -32600,
        &["batches", "one request"],
    )
    .await;
}

#[tokio::test]
async fn ids_come_back_as_they_were_sent() {
    let coordinator = Coordinator::start().await;
    let mut client = coordinator.operator().await;
    for id in ["1", "-7", "1.50", "1e3", "\"a b\"", "\"\\u00e9\"", "\"\""] {
        let request = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        client.send(Message::text(request)).await;
        let message = client.receive().await;
        let wanted: Value = serde_json::from_str(id).unwrap();
        assert_eq!(message["id"], wanted);
        assert!(message["result"].is_object(), "{message}");
    }
}

#[tokio::test]
async fn notifications_get_no_answer_not_even_an_error() {
    let coordinator = Coordinator::start().await;
    let mut client = coordinator.operator().await;
    for method in ["ping", "token.create"] {
        let request = json!({"jsonrpc": "2.0", "method": method, "params": {"agent": "a-1"}});
        client.send(Message::text(request.to_string())).await;
    }
    // `call` refuses any answer but its own.
    client.check_alive().await;
}

#[tokio::test]
async fn binary_frames() {
    let coordinator = Coordinator::start().await;
    let mut client = coordinator.operator().await;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    for bytes in [ping.as_bytes(), b"", b"\xff\x00"] {
        client.send(Message::binary(bytes.to_vec())).await;
        let error = client.receive().await["error"].take();
        assert_eq!(error["code"], -32600);
        let text = error["message"].as_str().unwrap();
        assert!(text.contains("binary") && text.contains("text"), "{text}");
        client.check_alive().await;
    }
}

#[tokio::test]
async fn fragments_are_put_together() {
    let coordinator = Coordinator::start().await;
    let mut client = coordinator.operator().await;
    let request = json!({"jsonrpc": "2.0", "id": "é", "method": "ping"}).to_string();
    // One byte a frame: the two bytes of the é come apart too.
    let last = request.len() - 1;
    for (index, byte) in request.bytes().enumerate() {
        let opcode = if index == 0 { TEXT } else { CONTINUE };
        let frame = Frame::message(vec![byte], opcode, index == last);
        client.send(Message::Frame(frame)).await;
        if index == 3 {
            // Control frames may come in between.
            client.send(Message::Ping("between".into())).await;
        }
    }
    let answer = client.receive().await;
    assert_eq!(answer["id"], "é");
    client.check_alive().await;
}

/// Sends frames that the connection cannot survive, and checks how it ends.
async fn check_close(frames: Vec<Frame>, code: CloseCode, words: &[&str]) {
    let start = Start::new().variable("COORD_MESSAGE_BYTES_MAX", 8192);
    let coordinator = start.run().await;
    let mut client = coordinator.operator().await;
    let mut other = coordinator.operator().await;
    for frame in frames {
        // The coordinator may have closed already.
        let _ = futures_util::SinkExt::send(&mut client.socket, Message::Frame(frame)).await;
    }
    let close = client.closed().await.expect("a close frame that says why");
    assert_eq!(close.code, code, "{close:?}");
    for word in words {
        assert!(close.reason.contains(word), "{word:?} is not in {close:?}");
    }
    other.check_alive().await;
    coordinator.operator().await.check_alive().await;
}

#[tokio::test]
async fn an_oversized_message() {
    let frame = Frame::message(vec![b' '; 9000], TEXT, true);
    check_close(vec![frame], CloseCode::Size, &["message_bytes_max", "8192"]).await;
}

#[tokio::test]
async fn an_oversized_message_in_small_fragments() {
    let mut frames = vec![Frame::message(vec![b' '; 1000], TEXT, false)];
    frames.extend((0..9).map(|_| Frame::message(vec![b' '; 1000], CONTINUE, false)));
    check_close(frames, CloseCode::Size, &["message_bytes_max", "8192"]).await;
}

#[tokio::test]
async fn a_message_of_exactly_the_limit() {
    let start = Start::new().variable("COORD_MESSAGE_BYTES_MAX", 8192);
    let coordinator = start.run().await;
    let mut client = coordinator.operator().await;
    let mut request = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}).to_string();
    request.push_str(&" ".repeat(8192 - request.len()));
    assert!(client.raw(&request).await.is_ok());
}

#[tokio::test]
async fn text_that_is_not_utf_8() {
    let frame = Frame::message(b"{\"id\":\"\xc3\x28\"}".to_vec(), TEXT, true);
    check_close(vec![frame], CloseCode::Invalid, &["UTF-8"]).await;
}

#[tokio::test]
async fn frames_against_the_rules() {
    let mut compressed = Frame::message(b"{}".to_vec(), TEXT, true);
    compressed.header_mut().rsv1 = true;
    check_close(vec![compressed], CloseCode::Protocol, &[]).await;
    let orphan = Frame::message(b"{}".to_vec(), CONTINUE, true);
    check_close(vec![orphan], CloseCode::Protocol, &[]).await;
    let long_ping = Frame::ping(vec![0; 126]);
    check_close(vec![long_ping], CloseCode::Protocol, &[]).await;
}

#[tokio::test]
async fn a_peer_that_vanishes_in_the_middle_of_a_frame() {
    use tokio::io::AsyncWriteExt;
    let coordinator = Coordinator::start().await;
    let mut client = coordinator.operator().await;
    let half = [0x81, 0xfe, 0x10, 0x00, 1, 2, 3, 4, b'{'];
    client.socket.get_mut().write_all(&half).await.unwrap();
    drop(client);
    let mut operator = coordinator.operator().await;
    crate::support::until("the lost connection to be noticed", async || {
        let status = operator.call("server.status", json!({})).await.unwrap();
        (status["connections"] == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn pings_are_answered_with_their_payload() {
    use futures_util::StreamExt;
    let coordinator = Coordinator::start().await;
    let mut client = coordinator.operator().await;
    client.send(Message::Ping("marco".into())).await;
    let message = within("a pong", client.socket.next()).await;
    assert_eq!(message.unwrap().unwrap(), Message::Pong("marco".into()));
}
