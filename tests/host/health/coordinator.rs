//! Real coordinators: running, closed to us, of another environment, behind TLS.

use serde_json::{Value, json};

use super::command::Health;
use crate::support::Coordinator;
use crate::support::coordinator::Start;
use crate::support::http;

#[tokio::test]
async fn a_coordinator_runs() {
    let coordinator = Coordinator::start().await;
    let health = Health::of(&coordinator);
    let reported = health.run(&[]).await;
    reported
        .check("redis", "not_used", &["embedded"])
        .check("websocket", "running", &["coord ", "node ", "testing"])
        .check("metrics", "running", &["coord ", "testing"])
        .exits(0);
    let status = reported.said["services"][1]["identity"].clone();
    assert_eq!(status["environment"], "testing");
    assert_eq!(
        status["port_fingerprint"],
        reported.said["port_fingerprint"]
    );
    assert!(
        reported.said["services"][1]["latency_us"]
            .as_u64()
            .is_some()
    );

    let table = health.output(&["health"]).await;
    let text = String::from_utf8(table.stdout).unwrap();
    for word in [
        "SERVICE",
        "ADDRESS",
        "LATENCY",
        "not used",
        "running",
        " ms",
        "testing profile",
    ] {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
    assert_eq!(table.status.code(), Some(0), "{text}");
}

#[tokio::test]
async fn a_coordinator_that_refuses_the_token_runs_all_the_same() {
    let coordinator = Coordinator::start().await;
    let health = Health::of(&coordinator).with("COORD_TOKEN", "wrong-secret");
    let reported = health.run(&[]).await;
    let words = ["testing", "refuses the token", "COORD_TOKEN_FILE"];
    reported.check("websocket", "unauthorised", &words).exits(1);
    assert!(!reported.text.contains("wrong-secret"), "{}", reported.text);
    // Another user's: no token at all.
    let elsewhere = tempfile::tempdir().unwrap();
    let health = Health::of(&coordinator).with("COORD_STATE_DIR", elsewhere.path().display());
    let reported = health.run(&[]).await;
    let words = ["testing", "no token"];
    reported.check("websocket", "unauthorised", &words).exits(1);
}

#[tokio::test]
async fn a_token_for_one_project_enters_that_one() {
    let coordinator = Coordinator::start().await;
    let mut operator = coordinator.operator().await;
    for project in ["one", "two"] {
        let params = json!({"project": project});
        operator.call("project.create", params).await.unwrap();
    }
    let params = json!({"agent": "alice", "role": "observer", "projects": ["one", "two"]});
    let made = operator.call("token.create", params).await.unwrap();
    let health = Health::of(&coordinator).with("COORD_TOKEN", made["secret"].as_str().unwrap());
    let reported = health.run(&[]).await;
    let words = ["does not allow project", "COORD_PROJECT"];
    reported.check("websocket", "unauthorised", &words);
    let reported = health.with("COORD_PROJECT", "two").run(&[]).await;
    reported.check("websocket", "running", &["testing"]);
}

#[tokio::test]
async fn a_coordinator_of_another_environment_is_told_apart() {
    let coordinator = Coordinator::start().await;
    let health = Health::of(&coordinator);
    let reported = health.run(&["--profile", "staging"]).await;
    let words = ["testing", "staging"];
    reported
        .check("websocket", "wrong_environment", &words)
        .check("metrics", "wrong_environment", &words)
        .exits(1);
}

#[tokio::test]
async fn ports_that_differ_are_told() {
    let coordinator = Coordinator::start().await;
    let health = Health::of(&coordinator).with("METRICS_PORT", coordinator.port());
    let health = health.with("WEBSOCKET_PORT", coordinator.metrics_port());
    // The two swapped: a coordinator answers on each, and on neither what is expected there.
    let reported = health.run(&[]).await;
    reported
        .check("websocket", "wrong_service", &["HTTP 404 from coord/"])
        .check(
            "metrics",
            "wrong_service",
            &["HTTP 404 from coord/", "METRICS_PATH"],
        )
        .exits(1);
    let health = Health::of(&coordinator).with("METRICS_PORT", 1);
    let reported = health.run(&[]).await;
    reported.check(
        "websocket",
        "running",
        &["its ports", "differ from this configuration"],
    );
}

#[tokio::test]
async fn a_wildcard_is_asked_on_loopback() {
    let start = Start::new()
        .variable("WEBSOCKET_HOST", "0.0.0.0")
        .variable("COORD_ALLOW_PLAINTEXT", "true");
    let coordinator = start.run().await;
    let health = Health::of(&coordinator)
        .with("WEBSOCKET_HOST", "0.0.0.0")
        .with("COORD_ALLOW_PLAINTEXT", "true");
    let reported = health.run(&[]).await;
    reported.check("websocket", "running", &[]).exits(0);
    let address = format!("127.0.0.1:{}", coordinator.port());
    assert_eq!(reported.said["services"][1]["address"], address.as_str());
}

#[tokio::test]
async fn its_own_certificate_is_trusted_and_no_other() {
    let start = Start::new().variable("WEBSOCKET_SSL_ENABLED", "true");
    let coordinator = start.run().await;
    let plain = Health::of(&coordinator).run(&[]).await;
    plain.check("websocket", "wrong_service", &[]).exits(1);
    let health = Health::of(&coordinator).with("WEBSOCKET_SSL_ENABLED", "true");
    health
        .run(&[])
        .await
        .check("websocket", "running", &["testing"])
        .exits(0);
    let health = health.with("COORD_TLS_FINGERPRINT", "00".repeat(32));
    let reported = health.run(&[]).await;
    let words = ["TLS handshake failed", "--tls-fingerprint"];
    reported
        .check("websocket", "wrong_service", &words)
        .exits(1);
}

#[tokio::test]
async fn the_pages_say_the_same_and_no_more() {
    let coordinator = Coordinator::start().await;
    for path in ["/healthz", "/readyz"] {
        let reply = http::get(coordinator.port(), path).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.rest);
        let head = reply.rest.to_ascii_lowercase();
        assert!(head.contains("server: coord/"), "{head}");
        let (_, body) = reply.rest.split_once("\r\n\r\n").unwrap();
        let page: Value = serde_json::from_str(body).unwrap();
        let names: Vec<&str> = page
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let expected = [
            "certificate",
            "clock",
            "connections_port_mismatch",
            "coordinators_port_mismatch",
            "draining",
            "durability_warnings",
            "environment",
            "journal",
            "node",
            "port_fingerprint",
            "service",
            "status",
            "storage_full",
            "uptime_ms",
            "version",
        ];
        let mut names = names;
        names.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!(page["journal"], "embedded");
        assert_eq!(page["environment"], "testing");
        assert_eq!(page["status"], "ready");
        assert_eq!(page["clock"], "right");
        assert_eq!(page["certificate"], "none");
        assert_eq!(page["draining"], false);
        assert_eq!(page["storage_full"], false);
        assert_eq!(page["connections_port_mismatch"], 0);
        assert_eq!(page["coordinators_port_mismatch"], 0);
    }
}

#[tokio::test]
async fn bounds_and_wrong_settings_are_the_callers_mistake() {
    let health = Health::nowhere();
    for arguments in [
        &["health", "--timeout", "0"][..],
        &["health", "--timeout", "2m"],
        &["health", "--watch", "--interval", "1ms"],
        &["health", "--interval", "1s"],
        &["health", "--url", "ws://127.0.0.1:1/ws"],
        &["health", "--profile", "nonsense"],
    ] {
        let output = health.output(arguments).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    }
}
