//! Well formed requests that ask for too much or for what is not theirs: globs, graphs, fences,
//! payloads, projects.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{Client, Coordinator, http};

#[tokio::test]
async fn hostile_globs_cost_bounded_work() {
    let coordinator = Coordinator::start().await;
    let mut alice = coordinator.agent("alice").await;
    let mut bob = coordinator.agent("bob").await;
    let globs = [
        "**/*".repeat(200),
        "*a".repeat(400),
        "{a,b}".repeat(150),
        "{a,b{c,d{e,f{g,h{i,j{k,l{m,n}}}}}}}".repeat(10),
        "[a-z]".repeat(150),
        "**/".repeat(300) + "x",
        "?*".repeat(400),
        "{".repeat(500),
        "[".repeat(500),
        "{".repeat(100) + &"}".repeat(100),
        "../../etc/passwd".to_owned(),
        "a\u{0}b".to_owned(),
        "x".repeat(10_000),
    ];
    for glob in &globs {
        let resource = format!("path:{glob}");
        for client in [&mut alice, &mut bob] {
            let params = json!({"resources": [resource], "ttl_ms": 60_000});
            check_glob(client, "lease.acquire", &params, glob).await;
            let params = json!({"resources": [resource, "path:**/*a*b*c*"]});
            check_glob(client, "lease.check", &params, glob).await;
            let params = json!({"resource": resource});
            check_glob(client, "lease.list", &params, glob).await;
        }
    }
    // What could be held is held: all of it against each other is still bounded.
    for glob in &globs {
        let params = json!({"resources": [format!("path:{glob}*")], "mode": "shared"});
        check_glob(&mut bob, "lease.acquire", &params, glob).await;
    }
}

/// A glob is answered, in a time that nobody mistakes for a hang, even from a debug build.
async fn check_glob(client: &mut Client, method: &str, params: &Value, glob: &str) {
    #[expect(
        clippy::disallowed_methods,
        reason = "how long it takes is what is checked"
    )]
    let begun = Instant::now();
    let answer = client.call(method, params.clone()).await;
    let took = begun.elapsed();
    let shown: String = glob.chars().take(40).collect();
    assert!(took.as_secs() < 10, "{method} {shown:?} took {took:?}");
    if let Err(failure) = answer {
        let known = ["invalid_params", "limit_exceeded", "conflict"];
        assert!(known.contains(&failure.kind.as_str()), "{failure:?}");
        assert!(failure.message.len() < 20_000, "an error without bound");
    }
    client.check_alive().await;
}

fn chain(length: u64, close: bool) -> Value {
    let task = |n: u64| {
        let before = if n == 0 {
            close.then_some(length - 1)
        } else {
            Some(n - 1)
        };
        let after: Vec<u64> = before.into_iter().collect();
        json!({"task": {"title": format!("t{n}")}, "after_index": after})
    };
    json!({"tasks": (0..length).map(task).collect::<Vec<_>>()})
}

#[tokio::test]
async fn cycles_are_named() {
    let coordinator = Coordinator::start().await;
    let mut client = coordinator.agent("alice").await;
    for (graph, words) in [
        (
            chain(3, true),
            vec!["wait for each other", "tasks[0]", "tasks[1]", "tasks[2]"],
        ),
        (chain(1, true), vec!["tasks[0] → tasks[0]"]),
        (chain(256, true), vec!["wait for each other", "tasks[255]"]),
    ] {
        let failure = client.call("task.submit_many", graph).await.unwrap_err();
        failure.check("invalid_params", &words);
        let path = failure.data["path"].as_str().unwrap();
        assert!(path.starts_with("tasks["), "{path}");
        client.check_alive().await;
    }
}

#[tokio::test]
async fn huge_dependency_graphs() {
    let coordinator = Coordinator::start().await;
    let mut client = coordinator.agent("alice").await;
    // The deepest and the widest that the limits allow are taken, and the next larger refused.
    client
        .call("task.submit_many", chain(256, false))
        .await
        .unwrap();
    let failure = client.call("task.submit_many", chain(257, false)).await;
    failure
        .unwrap_err()
        .check("limit_exceeded", &["tasks_per_submit_max", "256"]);
    let wide = |n: u32| {
        let after: Vec<u32> = (0..n.min(64)).collect();
        json!({"task": {"title": format!("w{n}")}, "after_index": after})
    };
    let graph = json!({"tasks": (0..256).map(wide).collect::<Vec<_>>()});
    client.call("task.submit_many", graph).await.unwrap();
    for (after_index, words) in [(vec![5], ["5"]), (vec![u32::MAX], ["4294967295"])] {
        let graph = json!({"tasks": [{"task": {"title": "t"}, "after_index": after_index}]});
        let failure = client.call("task.submit_many", graph).await.unwrap_err();
        assert!(
            ["invalid_params", "not_found"].contains(&failure.kind.as_str()),
            "{failure:?}"
        );
        assert!(failure.message.contains(words[0]), "{failure:?}");
    }
    let missing = client
        .call("task.submit", json!({"title": "t", "after": [987_654]}))
        .await;
    missing.unwrap_err().check("not_found", &["987654"]);
    client.check_alive().await;
}

#[tokio::test]
async fn stale_fences() {
    let coordinator = Coordinator::start().await;
    let mut alice = coordinator.agent("alice").await;
    let mut bob = coordinator.agent("bob").await;
    alice
        .call("task.submit", json!({"title": "t"}))
        .await
        .unwrap();
    let held = json!({"ttl_ms": 60_000});
    let first = alice.call("task.claim", held.clone()).await.unwrap()["claim"].take();
    let given = json!({"task": first["task"], "fence": first["fence"]});
    alice.call("task.release", given).await.unwrap();
    let second = bob.call("task.claim", held).await.unwrap()["claim"].take();
    assert!(second["fence"].as_u64() > first["fence"].as_u64());
    for method in [
        "task.progress",
        "task.complete",
        "task.fail",
        "task.release",
        "task.handoff",
    ] {
        let mut params = json!({"task": first["task"], "fence": first["fence"]});
        match method {
            "task.fail" => params["error"] = json!("e"),
            "task.handoff" => params["agent"] = json!("bob"),
            _ => {}
        }
        for client in [&mut alice, &mut bob] {
            let failure = client.call(method, params.clone()).await.unwrap_err();
            failure.check(
                "stale_fence",
                &[&first["fence"].to_string(), "stop working"],
            );
            assert_eq!(
                failure.data["current_fence"], second["fence"],
                "{failure:?}"
            );
        }
    }
    let done = json!({"task": second["task"], "fence": second["fence"]});
    bob.call("task.complete", done.clone()).await.unwrap();
    let again = bob.call("task.complete", done).await.unwrap_err();
    assert!(
        ["stale_fence", "conflict"].contains(&again.kind.as_str()),
        "{again:?}"
    );
}

#[tokio::test]
async fn stale_fences_of_leases() {
    let coordinator = Coordinator::start().await;
    let mut alice = coordinator.agent("alice").await;
    let lease = json!({"resources": ["name:slot"], "ttl_ms": 60_000});
    let first = alice.call("lease.acquire", lease.clone()).await.unwrap();
    let given = json!({"lease": first["lease"], "fence": first["fence"]});
    for method in ["lease.renew", "lease.release"] {
        for fence in [0, 999_999, u64::MAX] {
            let wrong = json!({"lease": first["lease"], "fence": fence});
            let failure = alice.call(method, wrong).await.unwrap_err();
            failure.check("stale_fence", &[&fence.to_string()]);
        }
    }
    alice.call("lease.release", given.clone()).await.unwrap();
    let second = alice.call("lease.acquire", lease).await.unwrap();
    assert!(second["fence"].as_u64() > first["fence"].as_u64());
    let gone = alice.call("lease.release", given).await.unwrap_err();
    assert!(
        ["stale_fence", "not_found"].contains(&gone.kind.as_str()),
        "{gone:?}"
    );
}

#[tokio::test]
async fn unknown_and_foreign_projects() {
    let coordinator = Coordinator::start().await;
    let mut operator = coordinator.operator().await;
    operator
        .call("project.create", json!({"project": "other"}))
        .await
        .unwrap();
    let params = json!({"agent": "alice", "projects": ["default"]});
    let made = operator.call("token.create", params).await.unwrap();
    let bearer = format!("Authorization: Bearer {}", made["secret"].as_str().unwrap());
    let host = format!("Host: 127.0.0.1:{}", coordinator.port());
    let ask =
        async |target: &str| http::upgrade(coordinator.port(), target, &[&host, &bearer]).await;
    // One answer for both, so that names cannot be probed.
    let foreign = ask("/ws?project=other").await;
    let unknown = ask("/ws?project=nowhere").await;
    assert_eq!((foreign.status, unknown.status), (403, 403));
    assert!(
        unknown.rest.contains("does not allow project nowhere"),
        "{unknown:?}"
    );
    assert!(
        foreign.rest.contains("does not allow project other"),
        "{foreign:?}"
    );
    for bad in [
        "/ws?project=",
        "/ws?project=%2e%2e",
        "/ws?project=A%20B",
        "/ws?project=_system",
    ] {
        let reply = ask(bad).await;
        assert!(matches!(reply.status, 400 | 403), "{bad}: {reply:?}");
    }
    let secret = coordinator.operator_token();
    let hidden = Client::try_connect(coordinator.port(), "/ws?project=_system", &secret).await;
    assert!(hidden.is_err(), "the coordinator's own project was opened");
}

#[tokio::test]
async fn payloads_are_kept_as_they_came_and_survive_a_restart() {
    let mut coordinator = Coordinator::start().await;
    let mut client = coordinator.agent("alice").await;
    let deep = "[".repeat(20_000) + &"]".repeat(20_000);
    let payloads = [
        deep.as_str(),
        r#"{"a": 1, "a": 2}"#,
        "1.000000000000000000000000000000000000000001",
        "123456789012345678901234567890",
        r#""\ud83d\ude00 \u0000""#,
        "null",
    ];
    let mut tasks = Vec::new();
    for payload in payloads {
        let request = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"task.submit","params":{{"title":"t","payload":{payload}}}}}"#
        );
        match client.raw(&request).await {
            Ok(made) => tasks.push(made["task"].clone()),
            Err(failure) => {
                failure.check("invalid_params", &["payload"]);
            }
        }
        client.check_alive().await;
    }
    assert!(tasks.len() >= 4, "{tasks:?}");
    coordinator.kill().await;
    coordinator.restart().await;
    let mut operator = coordinator.operator().await;
    let listed = operator.call("task.list", json!({})).await.unwrap();
    assert_eq!(listed["tasks"].as_array().unwrap().len(), tasks.len());
}
