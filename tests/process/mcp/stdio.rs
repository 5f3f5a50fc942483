//! `coord mcp`: one session for one CLI, over its streams.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::seats_token;
use crate::support::{Coordinator, until, within};

/// A running `coord mcp`.
pub(super) struct Server {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Server {
    async fn start(coordinator: &Coordinator, agent: &str) -> Self {
        let token = coordinator.token(agent, "agent").await;
        Self::start_in(coordinator, &token, Path::new("/"), &[])
    }

    pub(super) fn start_in(
        coordinator: &Coordinator,
        token: &str,
        folder: &Path,
        variables: &[(&str, &str)],
    ) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_coord"))
            .arg("mcp")
            .current_dir(folder)
            .env_clear()
            .env(
                "COORD_URL",
                format!("ws://127.0.0.1:{}/ws", coordinator.port()),
            )
            .env("COORD_TOKEN", token)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
        }
    }

    async fn say(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        input
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
    }

    async fn hear(&mut self) -> Value {
        let line = within("a line", self.output.next_line()).await.unwrap();
        serde_json::from_str(&line.expect("the server goes on")).unwrap()
    }

    async fn ask(&mut self, id: u64, method: &str, params: Value) -> Value {
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.say(&message.to_string()).await;
        let answer = self.hear().await;
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    pub(super) async fn result(&mut self, tool: &str, arguments: Value) -> Value {
        let params = json!({"name": tool, "arguments": arguments});
        let mut answer = self.ask(1, "tools/call", params).await;
        answer["result"].take()
    }

    pub(super) async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let mut result = self.result(tool, arguments).await;
        assert_eq!(result["isError"], false, "{result}");
        result["structuredContent"].take()
    }

    pub(super) async fn introduce(&mut self) {
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "claude-code", "version": "2.1.332"}});
        let answer = self.ask(0, "initialize", params).await;
        assert_eq!(
            answer["result"]["protocolVersion"], "2025-11-25",
            "{answer}"
        );
        self.say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)
            .await;
    }
}

async fn presence(coordinator: &Coordinator, agent: &str, wanted: &str) {
    let mut operator = coordinator.operator().await;
    until(wanted, async || {
        let seen = operator
            .call("agent.get", json!({"agent": agent}))
            .await
            .unwrap();
        (seen["presence"] == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn presence_and_leases_last_as_long_as_the_cli() {
    let coordinator = Coordinator::start().await;
    let mut server = Server::start(&coordinator, "ana").await;
    server.introduce().await;
    presence(&coordinator, "ana", "online").await;
    let reserved = server
        .call("reserve", json!({"resources": ["src/a.rs"]}))
        .await;
    assert_eq!(reserved["held"], "until your session ends", "{reserved}");
    drop(server.input.take());
    let status = within("the end", server.child.wait()).await.unwrap();
    assert!(status.success());
    presence(&coordinator, "ana", "gone").await;
    let mut operator = coordinator.operator().await;
    let leases = operator.call("lease.list", json!({})).await.unwrap();
    assert_eq!(leases["leases"], json!([]));
}

/// Claude Code sends two signals within 0.1 s, Codex and Gemini CLI one; none closes the streams first.
#[tokio::test]
async fn a_signal_ends_the_session_in_order() {
    let coordinator = Coordinator::start().await;
    for signals in [
        &[Signal::SIGINT, Signal::SIGTERM][..],
        &[Signal::SIGTERM],
        &[Signal::SIGHUP],
    ] {
        let mut server = Server::start(&coordinator, "ana").await;
        server.introduce().await;
        presence(&coordinator, "ana", "online").await;
        server
            .call("reserve", json!({"resources": ["src/a.rs"]}))
            .await;
        let process = Pid::from_raw(server.child.id().unwrap().cast_signed());
        for signal in signals {
            kill(process, *signal).unwrap();
        }
        let status = within("the end", server.child.wait()).await.unwrap();
        assert!(status.success(), "{signals:?}: {status}");
        // Nothing of it waits for the session's grace.
        let mut operator = coordinator.operator().await;
        let seen = operator.call("agent.get", json!({"agent": "ana"})).await;
        assert_eq!(seen.unwrap()["presence"], "gone", "{signals:?}");
        let leases = operator.call("lease.list", json!({})).await.unwrap();
        assert_eq!(leases["leases"], json!([]), "{signals:?}");
    }
}

#[tokio::test]
async fn a_restart_of_the_coordinator_keeps_what_the_session_holds() {
    let mut coordinator = Coordinator::start().await;
    let mut server = Server::start(&coordinator, "ana").await;
    server.introduce().await;
    server
        .call("reserve", json!({"resources": ["src/a.rs"]}))
        .await;
    coordinator.kill().await;
    coordinator.restart().await;
    // Before any call.
    presence(&coordinator, "ana", "online").await;
    let status = server.call("status", json!({})).await;
    assert_eq!(
        status["reserved"][0]["resources"][0], "file:src/a.rs",
        "{status}"
    );
}

#[tokio::test]
async fn the_seat_is_that_of_the_cli_session_and_outlives_a_restart() {
    let mut coordinator = Coordinator::start().await;
    let (_, token) = seats_token(&coordinator, "ana").await;
    let session = [("CLAUDE_CODE_SESSION_ID", "5f0c")];
    let here = Path::new("/");
    let mut claude = Server::start_in(&coordinator, &token, here, &session);
    claude.introduce().await;
    let file = json!({"resources": ["src/a.rs"]});
    claude.call("reserve", file.clone()).await;
    // After `/clear` shells and hooks have another seat, and this server goes on with its own.
    let cleared = [("CLAUDE_CODE_SESSION_ID", "c1ea")];
    let mut later = Server::start_in(&coordinator, &token, here, &cleared);
    let refusal = later.result("reserve", file.clone()).await;
    let text = refusal["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("held by ana/claude-88d12b3b"), "{refusal}");
    coordinator.kill().await;
    coordinator.restart().await;
    let status = claude.call("status", json!({})).await;
    assert_eq!(
        (&status["you"], &status["reserved"][0]["resources"][0]),
        (&json!("ana/claude-88d12b3b"), &json!("file:src/a.rs"))
    );
    assert_eq!(
        claude.call("release", json!({"all": true})).await["released"],
        1
    );
    later.call("reserve", file).await;
    // A seat that was named comes first, and a token without seats goes on as it was.
    let named = [session[0], ("COORD_SEAT", "mine")];
    let mut named = Server::start_in(&coordinator, &token, here, &named);
    assert_eq!(named.call("status", json!({})).await["you"], "ana/mine");
    let plain = coordinator.token("bob", "agent").await;
    let mut bob = Server::start_in(&coordinator, &plain, here, &session);
    assert_eq!(bob.call("status", json!({})).await["you"], "bob");
}

#[tokio::test]
async fn a_wait_holds_up_no_other_call_and_can_be_cancelled() {
    let coordinator = Coordinator::start().await;
    let mut server = Server::start(&coordinator, "ana").await;
    server.introduce().await;
    let wait = json!({"jsonrpc": "2.0", "id": "w", "method": "tools/call",
        "params": {"name": "wait", "arguments": {"seconds": 50}}});
    server.say(&wait.to_string()).await;
    assert_eq!(server.call("status", json!({})).await["you"], "ana");
    let cancel =
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"w"}}"#;
    server.say(cancel).await;
    server.say(&wait.to_string()).await;
    let mut bob = coordinator.agent("bob").await;
    let message = json!({"to": {"agent": "ana"}, "body": "hello"});
    bob.call("message.send", message).await.unwrap();
    // One answer, though two were asked for: the first was cancelled.
    assert_eq!(server.hear().await["id"], "w");
    assert_eq!(server.call("status", json!({})).await["unread_messages"], 1);
}

#[tokio::test]
async fn bad_lines_get_an_answer_and_the_server_goes_on() {
    let coordinator = Coordinator::start().await;
    let mut server = Server::start(&coordinator, "ana").await;
    let long = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#,
        "x".repeat(1 << 20)
    );
    for (line, code) in [
        ("{", -32700),
        ("[]", -32600),
        (long.as_str(), -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"nothing"}"#, -32601),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"nothing"}}"#,
            -32602,
        ),
    ] {
        server.say(line).await;
        let answer = server.hear().await;
        assert_eq!(answer["error"]["code"], code, "{answer}");
    }
    assert_eq!(server.call("status", json!({})).await["you"], "ana");
}

/// A model does not wait for half a minute for each of its calls.
#[tokio::test]
async fn calls_while_the_coordinator_is_away_are_answered_soon() {
    let mut coordinator = Coordinator::start().await;
    let mut server = Server::start(&coordinator, "ana").await;
    server.introduce().await;
    let reserve = json!({"resources": ["a.rs"]});
    server.call("reserve", reserve).await;
    coordinator.kill().await;
    let params = json!({"name": "status", "arguments": {}});
    let call = |id: u64| {
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).to_string()
    };
    let answers = async {
        // Those that come at the same time do not wait for each other.
        for id in 1..=3 {
            server.say(&call(id)).await;
        }
        for _ in 1..=3 {
            let answer = server.hear().await;
            let text = answer["result"]["content"][0]["text"].as_str().unwrap();
            assert!(
                text.contains("does not answer") && text.contains("coord doctor"),
                "{text}"
            );
        }
    };
    timeout(Duration::from_secs(5), answers)
        .await
        .expect("they are answered within 5 s");
    coordinator.restart().await;
    presence(&coordinator, "ana", "online").await;
    let status = server.call("status", json!({})).await;
    assert_eq!(
        status["reserved"][0]["resources"][0], "file:a.rs",
        "{status}"
    );
}

#[tokio::test]
async fn without_a_coordinator_the_tools_say_so() {
    let mut coordinator = Coordinator::start().await;
    let mut server = Server::start(&coordinator, "ana").await;
    coordinator.kill().await;
    server.introduce().await;
    let params = json!({"name": "status", "arguments": {}});
    let answer = server.ask(1, "tools/call", params).await;
    let text = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert!(
        text.contains("cannot connect") && text.contains("Try again"),
        "{text}"
    );
}
