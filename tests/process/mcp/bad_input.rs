//! What no client should send, and the clear answer that each gets.

use serde_json::{Value, json};

use super::{Agent, PLAIN, request};
use crate::support::Coordinator;
use crate::support::coordinator::Start;

const META: &str = "io.modelcontextprotocol/protocolVersion";

fn list() -> Value {
    json!({"jsonrpc": "2.0", "id": 7, "method": "tools/list"})
}

fn standalone(method: &str, params: Value) -> Value {
    let mut params = params;
    params["_meta"][META] = json!("2026-07-28");
    json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
}

#[tokio::test]
async fn other_methods_than_post() {
    let coordinator = Coordinator::start().await;
    let agent = Agent::new(&coordinator, "ana").await;
    for method in ["GET", "DELETE", "PUT"] {
        let answer = agent.send(method, PLAIN, "").await;
        assert_eq!(answer.status, 405, "{answer:?}");
        assert!(answer.headers.contains("allow: post"), "{answer:?}");
    }
}

#[tokio::test]
async fn envelopes() {
    let coordinator = Coordinator::start().await;
    let agent = Agent::new(&coordinator, "ana").await;
    for (body, code, words) in [
        ("", -32700, &["JSON"][..]),
        ("{", -32700, &["JSON"]),
        ("[]", -32600, &["batches"]),
        (
            r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
            -32600,
            &["batches"],
        ),
        (r#"{"id":1,"method":"ping"}"#, -32600, &["jsonrpc"]),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600, &["method"]),
        (
            r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
            -32600,
            &["id"],
        ),
        ("17", -32600, &[]),
    ] {
        agent
            .send("POST", PLAIN, body)
            .await
            .check_error(400, code, words);
    }
    for (params, words) in [
        (json!([]), "by name"),
        (json!({"name": 5}), "params.name"),
        (json!({"_meta": {"progressToken": {}}}), "progressToken"),
        (json!({"_meta": 5}), "params._meta"),
    ] {
        let message = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params});
        agent
            .post(&message)
            .await
            .check_error(200, -32602, &[words]);
    }
    let answer = agent
        .send("POST", &[("Content-Type", "text/plain")], "{}")
        .await;
    answer.check_error(415, -32600, &["application/json"]);
    let answer = agent
        .send_to("POST", "/mcp?tools=some", PLAIN, &list().to_string())
        .await;
    answer.check_error(400, -32600, &["all"]);
}

#[tokio::test]
async fn bodies_are_bounded() {
    let coordinator = Start::new()
        .variable("COORD_MESSAGE_BYTES_MAX", 65_536)
        .run()
        .await;
    let agent = Agent::new(&coordinator, "ana").await;
    let mut message = list();
    message["params"] = json!({"name": "x".repeat(65_536)});
    let answer = agent.post(&message).await;
    answer.check_error(413, -32600, &["message_bytes_max", "65536"]);
    assert_eq!(agent.post(&list()).await.status, 200);
}

#[tokio::test]
async fn hosts_and_origins() {
    let coordinator = Coordinator::start().await;
    let agent = Agent::new(&coordinator, "ana").await;
    let body = list().to_string();
    for header in [
        ("Host", "rebound.example"),
        ("Origin", "http://evil.example"),
    ] {
        let mut headers = PLAIN.to_vec();
        headers.push(header);
        let answer = agent.send("POST", &headers, &body).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["kind"]),
            (403, &json!("forbidden"))
        );
    }
    let wrong = [("Authorization", "Bearer wrong"), PLAIN[0]];
    let answer = request(coordinator.port(), "POST", "/mcp", &wrong, &body).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    let answer = agent
        .send_to("POST", "/mcp?project=other", PLAIN, &body)
        .await;
    answer.check_error(403, -32008, &["does not allow"]);
}

#[tokio::test]
async fn versions_and_headers() {
    let coordinator = Coordinator::start().await;
    let agent = Agent::new(&coordinator, "ana").await;
    let with = |more: &[(&'static str, &'static str)]| {
        let mut headers = PLAIN.to_vec();
        headers.extend(more);
        headers
    };
    let version = ("MCP-Protocol-Version", "2026-07-28");
    let call = standalone("tools/call", json!({"name": "status", "arguments": {}}));
    let plain = list();
    let discover = json!({"jsonrpc": "2.0", "id": 7, "method": "server/discover"});
    let future = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {"_meta": {META: "2031-01-01"}}});
    for (headers, body, code, words) in [
        (
            with(&[("MCP-Protocol-Version", "1999-01-01")]),
            &plain,
            -32022,
            &["1999-01-01"][..],
        ),
        (with(&[version]), &plain, -32020, &["_meta"]),
        (with(&[]), &discover, -32602, &["_meta"]),
        (with(&[version]), &future, -32022, &["2031-01-01"]),
        (
            with(&[]),
            &call,
            -32020,
            &["mcp-protocol-version", "missing"],
        ),
        (
            with(&[("MCP-Protocol-Version", "2025-11-25")]),
            &call,
            -32020,
            &["2025-11-25"],
        ),
        (with(&[version]), &call, -32020, &["mcp-method"]),
        (
            with(&[version, ("Mcp-Method", "tools/list")]),
            &call,
            -32020,
            &["tools/list", "tools/call"],
        ),
        (
            with(&[version, ("Mcp-Method", "tools/call")]),
            &call,
            -32020,
            &["mcp-name"],
        ),
        (
            with(&[version, ("Mcp-Method", "tools/call"), ("Mcp-Name", "wait")]),
            &call,
            -32020,
            &["wait", "status"],
        ),
        (
            with(&[
                version,
                ("Mcp-Method", "tools/call"),
                ("Mcp-Method", "tools/call"),
            ]),
            &call,
            -32020,
            &["once"],
        ),
    ] {
        let answer = agent.send("POST", &headers, &body.to_string()).await;
        answer.check_error(400, code, words);
        if code == -32022 {
            assert_eq!(answer.json()["error"]["data"]["supported"][0], "2026-07-28");
        }
    }
    // The base64 of "status", as a client may send any name.
    let name = ("Mcp-Name", "=?base64?c3RhdHVz?=");
    let headers = with(&[version, ("Mcp-Method", "tools/call"), name]);
    let answer = agent.send("POST", &headers, &call.to_string()).await;
    assert_eq!(
        answer.json()["result"]["resultType"],
        "complete",
        "{answer:?}"
    );
}

#[tokio::test]
async fn unknown_methods_tools_and_resources() {
    let coordinator = Coordinator::start().await;
    let agent = Agent::new(&coordinator, "ana").await;
    let ask = |method: &str, params: Value| json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
    let unknown = agent
        .post(&ask("logging/setLevel", json!({"level": "debug"})))
        .await;
    unknown.check_error(200, -32601, &["logging/setLevel"]);
    let headers = [
        PLAIN,
        &[
            ("MCP-Protocol-Version", "2026-07-28"),
            ("Mcp-Method", "ping"),
        ],
    ]
    .concat();
    let ping = standalone("ping", json!({})).to_string();
    agent
        .send("POST", &headers, &ping)
        .await
        .check_error(404, -32601, &["ping"]);
    let tool = agent
        .post(&ask("tools/call", json!({"name": "lease_acquire"})))
        .await;
    tool.check_error(200, -32602, &["lease_acquire"]);
    let tool = agent
        .post(&ask("tools/call", json!({"name": "read_message"})))
        .await;
    tool.check_error(200, -32602, &["read_messages"]);
    agent
        .post(&ask("tools/call", json!({})))
        .await
        .check_error(200, -32602, &["params.name"]);
    let resource = agent
        .post(&ask("resources/read", json!({"uri": "coord://nothing"})))
        .await;
    resource.check_error(200, -32002, &["coord://inbox"]);
    // A notification gets no answer, whatever it is.
    let answer = agent
        .post(&json!({"jsonrpc": "2.0", "method": "nothing/at-all"}))
        .await;
    assert_eq!((answer.status, answer.body.as_str()), (202, ""));
}

#[tokio::test]
async fn arguments_are_told_with_their_place_and_what_is_right() {
    let coordinator = Coordinator::start().await;
    let agent = Agent::new(&coordinator, "ana").await;
    for (tool, arguments, words) in [
        (
            "reserve",
            json!({"resources": "a"}),
            &["arguments.resources", "array"][..],
        ),
        (
            "reserve",
            json!({"resources": ["a", {}]}),
            &["arguments.resources[1]", "string"],
        ),
        (
            "reserve",
            json!({"resources": []}),
            &["arguments.resources", "1 to 100"],
        ),
        (
            "reserve",
            json!({"resources": ["/etc/passwd"]}),
            &["arguments.resources[0]", "/etc/passwd"],
        ),
        ("submit_task", json!({}), &["title", "string"]),
        (
            "submit_task",
            json!({"title": "x".repeat(500)}),
            &["arguments.title", "200"],
        ),
        (
            "submit_task",
            json!({"title": "a", "after": [999]}),
            &["999", "list_tasks"],
        ),
        (
            "finish_task",
            json!({"task": 999, "outcome": "done"}),
            &["999", "does not exist"],
        ),
        (
            "finish_task",
            json!({"task": 1, "outcome": "dine"}),
            &["arguments.outcome", "handed_over"],
        ),
        ("report_progress", json!({}), &["task", "note"]),
        ("release", json!({}), &["resources", "all"]),
        (
            "wait",
            json!({"seconds": 600}),
            &["arguments.seconds", "50"],
        ),
        ("context", json!({"value": "x"}), &["arguments.key"]),
        ("status", json!({"verbose": true}), &["verbose"]),
    ] {
        agent.refused(tool, arguments, words).await;
    }
    let params = json!({"name": "status", "arguments": []});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let result = agent.post(&message).await.json();
    assert_eq!(result["result"]["isError"], true, "{result}");
}

#[tokio::test]
async fn roles_are_held() {
    let coordinator = Coordinator::start().await;
    let token = coordinator.token("watcher", "observer").await;
    let observer = Agent::of(&coordinator, token);
    assert_eq!(observer.done("status", json!({})).await["you"], "watcher");
    observer
        .refused("claim_task", json!({}), &["role", "your user"])
        .await;
}
