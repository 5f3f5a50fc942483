//! What ends around a call: the coordinator, the token, the client's patience.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Agent;
use crate::support::{Coordinator, until, within};

#[tokio::test]
async fn nothing_is_lost_when_the_coordinator_restarts_between_two_calls() {
    let mut coordinator = Coordinator::start().await;
    let ana = Agent::new(&coordinator, "ana").await;
    ana.done("submit_task", json!({"title": "survive"})).await;
    let claimed = ana.done("claim_task", json!({})).await["claimed"].take();
    ana.done("reserve", json!({"resources": ["src/main.rs"]}))
        .await;
    coordinator.kill().await;
    coordinator.restart().await;
    let status = ana.done("status", json!({})).await;
    assert_eq!(status["tasks"][0]["fence"], claimed["fence"], "{status}");
    assert_eq!(
        status["reserved"][0]["resources"][0], "file:src/main.rs",
        "{status}"
    );
    let finish = json!({"task": claimed["task"], "outcome": "done", "fence": claimed["fence"]});
    ana.done("finish_task", finish).await;
    // Present again, by the call alone.
    let mut operator = coordinator.operator().await;
    until("ana to be present", async || {
        let seen = operator
            .call("agent.get", json!({"agent": "ana"}))
            .await
            .unwrap();
        (seen["presence"] == "online").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stale_fence_is_refused() {
    let coordinator = Coordinator::start().await;
    let ana = Agent::new(&coordinator, "ana").await;
    ana.done("submit_task", json!({"title": "twice"})).await;
    let first = ana.done("claim_task", json!({})).await["claimed"].take();
    let task = first["task"].clone();
    ana.done(
        "finish_task",
        json!({"task": task, "outcome": "given_back"}),
    )
    .await;
    ana.done("claim_task", json!({"task": task})).await;
    let late = json!({"task": task, "outcome": "done", "fence": first["fence"]});
    ana.refused("finish_task", late, &["stop working on it"])
        .await;
}

/// Asks for a wait with signs of progress, on a connection of its own.
async fn waiting(agent: &Agent) -> TcpStream {
    let params =
        json!({"name": "wait", "arguments": {"seconds": 50}, "_meta": {"progressToken": "p"}});
    let body =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", agent.port)).await.unwrap();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {}\r\nContent-Type: \
         application/json\r\nAccept: application/json, text/event-stream\r\nContent-Length: {}\r\n\r\n{body}",
        agent.token,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn rest(mut stream: TcpStream) -> String {
    let mut text = String::new();
    within("the end of a stream", stream.read_to_string(&mut text))
        .await
        .unwrap();
    text
}

/// Waits until the calls under way have begun.
async fn begun(operator: &mut crate::support::Client, connections: u64) {
    until("the wait to begin", async || {
        let status = operator.call("server.status", json!({})).await.unwrap();
        (status["connections"].as_u64()? >= connections).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_wait_shows_progress_and_ends_with_what_happened() {
    let coordinator = Coordinator::start().await;
    let (ana, bob) = (
        Agent::new(&coordinator, "ana").await,
        Agent::new(&coordinator, "bob").await,
    );
    let mut stream = waiting(&ana).await;
    let mut text = String::new();
    while !text.contains("notifications/progress") {
        let mut buffer = [0; 4_096];
        let count = within("progress", stream.read(&mut buffer)).await.unwrap();
        assert_ne!(count, 0, "{text}");
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    assert!(
        text.to_lowercase()
            .contains("content-type: text/event-stream"),
        "{text}"
    );
    assert!(text.contains(r#""progressToken":"p""#), "{text}");
    bob.done("send_message", json!({"to": "ana", "text": "hello"}))
        .await;
    let text = rest(stream).await;
    assert!(
        text.contains("1 messages wait") && text.contains(r#""id":1"#),
        "{text}"
    );
}

#[tokio::test]
async fn a_token_that_is_revoked_ends_the_call() {
    let coordinator = Coordinator::start().await;
    let ana = Agent::new(&coordinator, "ana").await;
    ana.done("status", json!({})).await;
    let stream = waiting(&ana).await;
    let mut operator = coordinator.operator().await;
    // The operator, ana's presence, the call and what it follows.
    begun(&mut operator, 4).await;
    let tokens = operator.call("token.list", json!({})).await.unwrap();
    let of_ana = |token: &&Value| token["agent"] == "ana";
    let token = tokens["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .find(of_ana)
        .unwrap();
    operator
        .call("token.revoke", json!({"token": token["token"]}))
        .await
        .unwrap();
    let text = rest(stream).await;
    assert!(
        text.contains(r#""isError":true"#) && text.contains("your user"),
        "{text}"
    );
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    assert_eq!(ana.post(&list).await.status, 401);
    begun(&mut operator, 1).await;
}

#[tokio::test]
async fn a_client_that_never_reads_holds_up_nobody() {
    let mut coordinator = Coordinator::start().await;
    let (ana, bob) = (
        Agent::new(&coordinator, "ana").await,
        Agent::new(&coordinator, "bob").await,
    );
    let mut stuck = Vec::new();
    for _ in 0..20 {
        stuck.push(waiting(&ana).await);
    }
    let mut operator = coordinator.operator().await;
    begun(&mut operator, 42).await;
    for _ in 0..20 {
        bob.done("send_message", json!({"to": "ana", "text": "read me"}))
            .await;
    }
    bob.done("status", json!({})).await;
    drop(operator);
    let stopping = tokio::time::timeout(Duration::from_secs(20), coordinator.stop()).await;
    assert!(stopping.expect("the coordinator stops in time").success());
    drop(stuck);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_behind() {
    let coordinator = Coordinator::start().await;
    let ana = Agent::new(&coordinator, "ana").await;
    let stream = waiting(&ana).await;
    let mut operator = coordinator.operator().await;
    begun(&mut operator, 4).await;
    drop(stream);
    until("the call to end", async || {
        let status = operator.call("server.status", json!({})).await.unwrap();
        (status["connections"] == 2).then_some(())
    })
    .await;
}
