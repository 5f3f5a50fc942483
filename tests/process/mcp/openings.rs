//! The first requests of each CLI, as it was seen to send them, and what it relies on in the answers.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{Agent, request};
use crate::support::{Coordinator, until};

/// Whether all that is expected is there; more may be.
fn check_part(expected: &Value, found: &Value, at: &str) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            for (name, value) in expected {
                let at = format!("{at}.{name}");
                check_part(value, found.get(name).unwrap_or(&Value::Null), &at);
            }
        }
        _ => assert_eq!(expected, found, "{at}"),
    }
}

async fn check(client: &str, kind: &str) {
    let coordinator = Coordinator::start().await;
    let agent = Agent::new(&coordinator, "ana").await;
    let file = format!("tests/process/mcp/openings/{client}.json");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let steps: Vec<Value> = serde_json::from_str(&text).unwrap();
    for step in &steps {
        let mut headers = vec![("Content-Type", "application/json")];
        for (name, value) in step["headers"].as_object().unwrap() {
            headers.push((name, value.as_str().unwrap()));
        }
        let body = step
            .get("body")
            .map(ToString::to_string)
            .unwrap_or_default();
        let answer = agent
            .send(step["method"].as_str().unwrap(), &headers, &body)
            .await;
        let expect = &step["expect"];
        assert_eq!(expect["status"], answer.status, "{step} {answer:?}");
        for header in expect["headers"].as_array().into_iter().flatten() {
            assert!(
                answer
                    .headers
                    .contains(&header.as_str().unwrap().to_lowercase()),
                "{answer:?}"
            );
        }
        // With a session id, Gemini CLI would never recover from a restart.
        assert!(!answer.headers.contains("mcp-session-id"), "{answer:?}");
        match expect.get("body") {
            Some(expected) => check_part(expected, &answer.json(), &body),
            None if answer.status == 202 => assert_eq!(answer.body, ""),
            None => {}
        }
    }
    // What the client calls itself is what others see.
    let mut operator = coordinator.operator().await;
    let seen = until("ana to be present", async || {
        let seen = operator
            .call("agent.get", serde_json::json!({"agent": "ana"}))
            .await
            .unwrap();
        (seen["presence"] == "online").then_some(seen)
    })
    .await;
    assert_eq!(seen["kind"], kind, "{seen}");
}

#[tokio::test]
async fn claude_code() {
    check("claude-code", "claude-code").await;
}

#[tokio::test]
async fn codex() {
    check("codex", "codex").await;
}

#[tokio::test]
async fn gemini_cli() {
    check("gemini-cli", "gemini-cli").await;
}

#[tokio::test]
async fn opencode() {
    check("opencode", "opencode").await;
}

#[tokio::test]
async fn a_client_without_a_token_finds_no_oauth() {
    let coordinator = Coordinator::start().await;
    let port = coordinator.port();
    let json = [("Content-Type", "application/json")];
    let answer = request(port, "POST", "/mcp", &json, "{}").await;
    assert_eq!(answer.status, 401, "{answer:?}");
    assert!(
        answer.headers.contains("www-authenticate: bearer"),
        "{answer:?}"
    );
    for page in [
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/openid-configuration",
        "/mcp/.well-known/openid-configuration",
    ] {
        let answer = request(port, "GET", page, &[], "").await;
        assert_eq!(answer.status, 404, "{page} {answer:?}");
        assert!(
            answer.json()["error"]["message"]
                .as_str()
                .unwrap()
                .contains("Bearer")
        );
    }
    assert_eq!(
        request(port, "POST", "/register", &json, "{}").await.status,
        404
    );
}
