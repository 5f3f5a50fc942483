//! Seats at `/mcp`: who gets one, and what a token that makes up ten thousand of them gets.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Agent, PLAIN, request};
use crate::support::{Coordinator, until, within};

fn codex(turn: &Value) -> Value {
    json!({ "x-codex-turn-metadata": turn })
}

async fn you(agent: &Agent) -> String {
    let status = agent.done("status", json!({})).await;
    status["you"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_seat_that_cannot_be_is_refused_with_what_it_may_be() {
    let coordinator = Coordinator::start().await;
    let ana = Agent::with_seats(&coordinator, "ana").await;
    let bob = Agent::new(&coordinator, "bob").await;
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/list"}).to_string();
    let long = format!("/mcp?seat={}", "s".repeat(33));
    let none = ["bob allows no seats", "token create bob --seats"];
    for (agent, target, header, status, code, words) in [
        (
            &ana,
            "/mcp?seat=A",
            None,
            400,
            -32602,
            &["a seat name contains", "lower case"][..],
        ),
        (
            &ana,
            "/mcp",
            Some("bob/a"),
            400,
            -32602,
            &["a seat name contains"],
        ),
        (
            &ana,
            "/mcp",
            Some("${COORD_SEAT}"),
            400,
            -32602,
            &["a seat name contains"],
        ),
        (
            &ana,
            "/mcp?seat=",
            None,
            400,
            -32602,
            &["seat: ", "must not be empty"],
        ),
        (&ana, &long, None, 400, -32602, &["at most 32"]),
        (
            &ana,
            "/mcp?seat=a",
            Some("b"),
            400,
            -32602,
            &["different seats"],
        ),
        (&bob, "/mcp?seat=a", None, 403, -32008, &none),
        (&bob, "/mcp", Some("a"), 403, -32008, &none),
    ] {
        let mut headers = PLAIN.to_vec();
        headers.extend(header.map(|seat| ("Coord-Seat", seat)));
        let answer = agent.send_to("POST", target, &headers, &body).await;
        answer.check_error(status, code, words);
        assert_eq!(answer.json()["id"], 7, "{target}");
        assert_eq!(answer.json()["error"]["data"]["path"], "seat", "{target}");
    }
}

#[tokio::test]
async fn windows_of_one_token_are_agents_of_their_own() {
    let coordinator = Coordinator::start().await;
    let ana = Agent::with_seats(&coordinator, "ana").await;
    let (one, two) = (ana.at("one"), ana.at("two"));
    one.done("reserve", json!({"resources": ["a.rs"]})).await;
    two.refused("reserve", json!({"resources": ["a.rs"]}), &["ana/one"])
        .await;
    two.done("send_message", json!({"to": "ana/one", "text": "done?"}))
        .await;
    for (window, unread) in [(&one, 1), (&two, 0)] {
        let status = window.done("status", json!({})).await;
        assert_eq!(status["unread_messages"], unread, "{status}");
    }
    let call =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "status"}});
    let answer = ana
        .send_to("POST", "/mcp?seat=one", PLAIN, &call.to_string())
        .await;
    let status = &answer.json()["result"]["structuredContent"];
    assert_eq!(
        (&status["you"], &status["reserved"][0]["resources"][0]),
        (&json!("ana/one"), &json!("file:a.rs"))
    );
}

#[tokio::test]
async fn each_codex_session_is_a_seat() {
    let coordinator = Coordinator::start().await;
    let ana = Agent::with_seats(&coordinator, "ana").await;
    let bob = Agent::new(&coordinator, "bob").await;
    // What Codex asks before it calls: it says its session only with calls.
    let opening = json!({"protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "codex-mcp-client", "version": "0.171.0"}});
    for (method, params) in [("initialize", opening), ("tools/list", json!({}))] {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        assert_eq!(ana.post(&message).await.status, 200);
    }
    let first = ana.saying(codex(&json!({"session_id": "0199", "thread_id": "7"})));
    let first = you(&first).await;
    assert!(first.starts_with("ana/codex-"), "{first}");
    let by_thread = ana.saying(codex(&json!({"thread_id": "0199"})));
    assert_eq!(you(&by_thread).await, first);
    let second = you(&ana.saying(codex(&json!({"session_id": "0200"})))).await;
    assert_ne!(second, first);
    let mine = ana.at("mine").saying(codex(&json!({"session_id": "0199"})));
    assert_eq!(you(&mine).await, "ana/mine");
    let bobs = bob.saying(codex(&json!({"session_id": "0199"})));
    assert_eq!(you(&bobs).await, "bob");
    let mut operator = coordinator.operator().await;
    let expected = BTreeSet::from(["ana/mine", &first, &second, "bob"]);
    until("each to be present, and no other", async || {
        let params = json!({"present": true});
        let list = operator.call("agent.list", params).await.unwrap();
        let agents = list["agents"].as_array().unwrap().iter();
        let names = agents.map(|agent| agent["name"].as_str().unwrap());
        (names.collect::<BTreeSet<_>>() == expected).then_some(())
    })
    .await;
    let seen = operator
        .call("agent.get", json!({ "agent": first }))
        .await
        .unwrap();
    assert_eq!(seen["kind"], "codex", "{seen}");
    // What is no such description is not looked at, whatever a later Codex sends.
    for other in [
        json!("0199"),
        json!(5),
        json!({"session_id": 5}),
        json!({"session_id": ""}),
        Value::Null,
    ] {
        assert_eq!(you(&ana.saying(codex(&other))).await, "ana");
    }
}

/// A connection that stays open.
struct Kept {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Kept {
    async fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        Self {
            stream,
            read: Vec::new(),
        }
    }

    async fn ask(&mut self, token: &str, seat: &str, body: &str) -> Value {
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nCoord-Seat: {seat}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(head.as_bytes()).await.unwrap();
        loop {
            let text = std::str::from_utf8(&self.read).unwrap();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let head = head.to_ascii_lowercase();
                let length = head.split("content-length: ").nth(1).unwrap();
                let length: usize = length.lines().next().unwrap().parse().unwrap();
                if body.len() >= length {
                    let answer = serde_json::from_str(&body[..length]).unwrap();
                    self.read.clear();
                    return answer;
                }
            }
            let read = self.stream.read_buf(&mut self.read);
            assert_ne!(within("an answer", read).await.unwrap(), 0);
        }
    }
}

#[tokio::test]
async fn ten_thousand_seats_of_one_token_hurt_nobody() {
    let coordinator = Coordinator::start().await;
    let ana = Agent::with_seats(&coordinator, "ana").await;
    let bob = Agent::new(&coordinator, "bob").await;
    bob.done("reserve", json!({"resources": ["a.rs"]})).await;
    let params = json!({"name": "report_progress", "arguments": {"note": "here"}});
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let body = body.to_string();
    let mut askers = Vec::new();
    for part in 0..4 {
        let (body, token) = (body.clone(), ana.token.clone());
        let mut kept = Kept::open(coordinator.port()).await;
        askers.push(tokio::spawn(async move {
            let mut given = 0;
            for number in 0..2_500 {
                let seat = format!("s{part}-{number}");
                let answer = kept.ask(&token, &seat, &body).await;
                let result = &answer["result"];
                if result["isError"] == false {
                    given += 1;
                    continue;
                }
                let text = result["content"][0]["text"].as_str().unwrap();
                assert!(text.contains("seats_per_principal_max"), "{answer}");
            }
            given
        }));
    }
    let mut taken = 0;
    for asker in askers {
        taken += asker.await.unwrap();
    }
    assert_eq!(taken, 256);
    let status = bob.done("status", json!({})).await;
    assert_eq!(status["reserved"][0]["resources"][0], "file:a.rs");
    let mut operator = coordinator.operator().await;
    until("only seats that there are to be present", async || {
        let status = operator.call("server.status", json!({})).await.unwrap();
        let present = &status["project"]["agents_present"];
        let connections = status["connections"].as_u64().unwrap();
        // Bob, and the connections of the operator.
        (*present == 257 && connections <= 260).then_some(())
    })
    .await;
    let list = operator
        .call("agent.list", json!({"present": true, "count_max": 1_000}))
        .await
        .unwrap();
    let agents = list["agents"].as_array().unwrap();
    assert!(agents.iter().any(|agent| agent["name"] == "bob"), "{list}");
    let wrong = [("Authorization", "Bearer x"), PLAIN[0], ("Coord-Seat", "a")];
    let answer = request(coordinator.port(), "POST", "/mcp", &wrong, &body).await;
    assert_eq!(answer.status, 401, "a seat without a token is nobody's");
}
