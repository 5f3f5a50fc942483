//! Requests for operations that do not exist, and parameters that are wrong.

use serde_json::{Value, json};

use crate::support::Coordinator;

#[tokio::test]
async fn unknown_operations() {
    let coordinator = Coordinator::start().await;
    let mut client = coordinator.agent("alice").await;
    for (method, suggestion) in [
        ("task.submitt", json!("task.submit")),
        ("task_claim", json!("task.claim")),
        ("Lease.Acquire", json!("lease.acquire")),
        ("qqqqq", Value::Null),
        ("", Value::Null),
    ] {
        let failure = client.call(method, json!({})).await.unwrap_err();
        failure.check("method_not_found", &[&format!("{method:?}")]);
        assert_eq!(failure.code, -32601);
        assert_eq!(failure.data["suggestion"], suggestion, "{method}");
        client.check_alive().await;
    }
    let long = "x".repeat(100_000);
    let failure = client.call(&long, json!({})).await.unwrap_err();
    assert!(failure.message.len() < 200, "an error repeats all of it");
}

/// Calls with wrong parameters; the error must name the path and say `words`.
async fn check(cases: &[(&str, Value, &str, &[&str])]) {
    let coordinator = Coordinator::start().await;
    let mut client = coordinator.agent("alice").await;
    for (method, params, path, words) in cases {
        let answer = client.call(method, params.clone()).await;
        let Err(failure) = answer else {
            panic!("{method} took {params}: {answer:?}");
        };
        failure.check("invalid_params", words);
        assert_eq!(
            failure.data["path"], *path,
            "{method} {params}: {failure:?}"
        );
        assert!(failure.message.contains(path), "{failure:?}");
        client.check_alive().await;
    }
}

#[tokio::test]
async fn wrong_types_of_tasks() {
    check(&[
        (
            "task.submit",
            json!({"title": 5}),
            "title",
            &["integer `5`", "string"],
        ),
        (
            "task.submit",
            json!({"title": "t", "priority": "high"}),
            "priority",
            &["i32"],
        ),
        (
            "task.submit",
            json!({"title": "t", "priority": 1.5}),
            "priority",
            &["1.5"],
        ),
        (
            "task.submit",
            json!({"title": "t", "priority": 1e300}),
            "priority",
            &["i32"],
        ),
        (
            "task.submit",
            json!({"title": "t", "delay_ms": -1}),
            "delay_ms",
            &["-1"],
        ),
        (
            "task.submit",
            json!({"title": "t", "after": [1, "2"]}),
            "after[1]",
            &["u64"],
        ),
        ("task.get", json!({"task": 1e300}), "task", &[]),
        (
            "task.submit_many",
            json!({"tasks": [{"task": {"title": "a"}}, {"task": {"title": []}}]}),
            "tasks[1].task.title",
            &["sequence"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn wrong_types_of_leases_messages_and_events() {
    check(&[
        (
            "lease.acquire",
            json!({"resources": "path:src"}),
            "resources",
            &["sequence"],
        ),
        (
            "lease.acquire",
            json!({"resources": ["file:ok", "path:a.ts,b.ts"], "ttl_ms": 60_000}),
            "resources[1]",
            &["`path:{a.ts,b.ts}`"],
        ),
        (
            "lease.check",
            json!({"resources": ["file:C:/x"]}),
            "resources[0]",
            &["drive"],
        ),
        (
            "lease.list",
            json!({"resource": "src/main.rs"}),
            "resource",
            &["`path:src/main.rs`"],
        ),
        (
            "message.send",
            json!({"to": "bob", "body": 1}),
            "to",
            &["bob"],
        ),
        (
            "message.send",
            json!({"to": {"agent": 1}, "body": 1}),
            "to.agent",
            &[],
        ),
        (
            "context.put",
            json!({"key": {}, "value": 1}),
            "key",
            &["map"],
        ),
        ("events.subscribe", json!({"from": "x"}), "from", &[]),
        ("events.subscribe", json!({"from": 17}), "from", &[]),
    ])
    .await;
}

#[tokio::test]
async fn missing_and_unknown_fields() {
    check(&[
        ("task.submit", json!({}), "params", &["title"]),
        ("task.get", json!({}), "params", &["task"]),
        (
            "task.submit",
            json!({"title": "t", "prio": 1}),
            "prio",
            &["prio", "priority"],
        ),
        ("ping", json!({"x": 1}), "x", &["unknown field"]),
        (
            "task.complete",
            json!({"task": 1, "fence": 1, "next": {"labels": {}, "lables": {}}}),
            "next.lables",
            &["labels"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn parameters_that_are_no_object() {
    check(&[
        ("ping", json!([]), "params", &["object"]),
        ("task.get", json!([1]), "params", &["object"]),
        ("ping", json!(1), "params", &[]),
        ("ping", json!("x"), "params", &[]),
        ("ping", json!(false), "params", &[]),
    ])
    .await;
}

#[tokio::test]
async fn names_that_are_none() {
    let long = "x".repeat(300);
    check(&[
        (
            "task.submit",
            json!({"title": ""}),
            "title",
            &["title", "empty"],
        ),
        (
            "task.submit",
            json!({"title": "a\nb"}),
            "title",
            &["control"],
        ),
        (
            "task.submit",
            json!({"title": long}),
            "title",
            &["300", "200"],
        ),
        (
            "agent.get",
            json!({"agent": "Not A Name"}),
            "agent",
            &["agent name"],
        ),
        (
            "agent.get",
            json!({"agent": "ünï"}),
            "agent",
            &["agent name"],
        ),
        (
            "context.get",
            json!({"key": "a\u{0}b"}),
            "key",
            &["context key"],
        ),
        (
            "task.submit",
            json!({"title": "t", "request_id": ""}),
            "request_id",
            &["empty"],
        ),
    ])
    .await;
}

/// Checks that each request is refused for the limit that it names.
async fn check_limits(requests: &[(&str, Value, &str)]) {
    let coordinator = Coordinator::start().await;
    let mut client = coordinator.agent("alice").await;
    for (method, params, limit) in requests {
        let answer = client.call(method, params.clone()).await;
        let Err(failure) = answer else {
            panic!("{method} passed {limit}");
        };
        failure.check("limit_exceeded", &[limit]);
        assert_eq!(failure.data["limit"], *limit);
        assert!(failure.data["max"].is_u64(), "{failure:?}");
        client.check_alive().await;
    }
    let listed = client.call("task.list", json!({})).await.unwrap();
    let tasks = &listed["tasks"];
    assert_eq!(*tasks, json!([]), "a refused request had an effect");
}

#[tokio::test]
async fn tasks_that_pass_a_limit() {
    let big = "x".repeat(65_536);
    let many: Vec<Value> = (0..300)
        .map(|n| json!({"task": {"title": n.to_string()}}))
        .collect();
    let after: Vec<u64> = (1..=65).collect();
    let labels: serde_json::Map<String, Value> =
        (0..17).map(|n| (format!("l{n}"), json!("v"))).collect();
    check_limits(&[
        (
            "task.submit",
            json!({"title": "t", "payload": big}),
            "payload_bytes_max",
        ),
        (
            "task.submit_many",
            json!({"tasks": many}),
            "tasks_per_submit_max",
        ),
        (
            "task.submit",
            json!({"title": "t", "after": after}),
            "dependencies_per_task_max",
        ),
        (
            "task.submit",
            json!({"title": "t", "labels": labels}),
            "labels_max",
        ),
        (
            "task.submit",
            json!({"title": "t", "attempts_max": 101}),
            "attempts_per_task_max",
        ),
        (
            "task.submit",
            json!({"title": "t", "delay_ms": u64::MAX}),
            "task_delay_ms_max",
        ),
        (
            "task.submit",
            json!({"title": "t", "backoff_ms": u64::MAX}),
            "backoff_ms_max",
        ),
        ("task.claim", json!({"wait_ms": u64::MAX}), "wait_ms_max"),
    ])
    .await;
}

#[tokio::test]
async fn values_that_pass_a_limit() {
    let big = "x".repeat(65_536);
    let resources: Vec<String> = (0..33).map(|n| format!("name:r{n}")).collect();
    let files: Vec<String> = (0..1_025).map(|n| format!("file:f{n}")).collect();
    let long = vec![format!("file:{}", "f".repeat(1_000)); 50];
    check_limits(&[
        (
            "lease.acquire",
            json!({"resources": resources, "ttl_ms": 60_000}),
            "resources_per_lease_max",
        ),
        (
            "lease.acquire",
            json!({"resources": files, "ttl_ms": 60_000}),
            "files_per_lease_max",
        ),
        (
            "lease.check",
            json!({"resources": long}),
            "file_bytes_per_lease_max",
        ),
        (
            "context.put",
            json!({"key": "k", "value": big}),
            "payload_bytes_max",
        ),
        (
            "message.send",
            json!({"to": {"agent": "bob"}, "body": big}),
            "payload_bytes_max",
        ),
        (
            "message.ack",
            json!({"messages": vec![1; 257]}),
            "messages_per_request_max",
        ),
        (
            "session.open",
            json!({"grace_ms": u64::MAX}),
            "session_grace_ms_max",
        ),
        (
            "events.subscribe",
            json!({"filters": vec![json!({}); 17]}),
            "filters_max",
        ),
    ])
    .await;
}
