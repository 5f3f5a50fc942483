//! What is compared when somebody connects: another environment is refused, other ports are told.

use serde_json::{Value, json};

use super::command::Health;
use crate::support::{Client, Coordinator, http, until};

const OTHER_PORTS: &str = "0123456789abcdef";

async fn state_hash(operator: &mut Client) -> Value {
    let status = operator.call("server.status", json!({})).await.unwrap();
    status["state_hash"].clone()
}

async fn mismatches(coordinator: &Coordinator) -> u64 {
    let page = http::get(coordinator.port(), "/readyz").await.unwrap();
    let (_, body) = page.rest.split_once("\r\n\r\n").unwrap();
    let page: Value = serde_json::from_str(body).unwrap();
    page["connections_port_mismatch"].as_u64().unwrap()
}

async fn metric(coordinator: &Coordinator, name: &str) -> f64 {
    http::metric(coordinator.metrics_port(), name).await
}

#[tokio::test]
async fn a_session_of_another_environment_is_refused() {
    let coordinator = Coordinator::start().await;
    let mut operator = coordinator.operator().await;
    let mut agent = coordinator.agent("alice").await;
    let before = state_hash(&mut operator).await;
    let params = json!({"environment": "production"});
    let refused = agent.call("session.open", params).await.unwrap_err();
    refused.check("conflict", &["production", "testing"]);
    assert_eq!(refused.data["path"], "environment");
    assert_eq!(
        state_hash(&mut operator).await,
        before,
        "something was recorded"
    );
    // The connection is as good as before.
    let params = json!({"environment": "testing"});
    let opened = agent.call("session.open", params).await.unwrap();
    assert_eq!(opened["warnings"], Value::Null);
    drop(agent);

    // Whoever resumes says it too.
    let token = coordinator.token("alice", "agent").await;
    let mut again = Client::connect(coordinator.port(), &token).await;
    let resume = json!({"session": opened["session"], "secret": opened["resume_secret"]});
    let params = json!({"resume": resume, "environment": "staging"});
    let refused = again.call("session.open", params).await.unwrap_err();
    refused.check("conflict", &["staging", "testing"]);
    let params = json!({"resume": resume, "environment": "testing"});
    let resumed = again.call("session.open", params).await.unwrap();
    assert_eq!(resumed["resumed"], true);

    let bad = json!({"environment": "not a name"});
    let refused = coordinator
        .agent("bob")
        .await
        .call("session.open", bad)
        .await;
    refused
        .unwrap_err()
        .check("invalid_params", &["environment"]);
}

#[tokio::test]
async fn other_ports_are_let_in_and_reported() {
    let coordinator = Coordinator::start().await;
    let mut operator = coordinator.operator().await;
    let status = operator.call("server.status", json!({})).await.unwrap();
    let ours = status["port_fingerprint"].as_str().unwrap().to_owned();
    let mut same = coordinator.agent("alice").await;
    let params = json!({"port_fingerprint": ours});
    let opened = same.call("session.open", params).await.unwrap();
    assert_eq!(opened["warnings"], Value::Null);
    assert_eq!(opened["port_fingerprint"], ours.as_str());
    assert_eq!(mismatches(&coordinator).await, 0);

    let mut other = coordinator.agent("bob").await;
    let params = json!({"port_fingerprint": OTHER_PORTS});
    let opened = other.call("session.open", params).await.unwrap();
    let warning = &opened["warnings"][0];
    assert_eq!(warning["kind"], "port_fingerprint");
    for word in [OTHER_PORTS, ours.as_str()] {
        assert!(
            warning["message"].as_str().unwrap().contains(word),
            "{warning}"
        );
    }
    let target = format!("/ws?port_fingerprint={OTHER_PORTS}&environment=testing");
    let token = coordinator.operator_token();
    let third = Client::try_connect(coordinator.port(), &target, &token).await;
    let third = third.unwrap();
    assert_eq!(mismatches(&coordinator).await, 2);
    assert!((metric(&coordinator, "coord_connections_port_mismatch").await - 2.0).abs() < 0.1);
    drop((other, third));
    let gone = async || (mismatches(&coordinator).await == 0).then_some(());
    until("the connections to be gone", gone).await;
    assert!((metric(&coordinator, "coord_port_mismatches_total").await - 2.0).abs() < 0.1);
}

#[tokio::test]
async fn an_upgrade_for_another_environment_is_refused() {
    let coordinator = Coordinator::start().await;
    let bearer = format!("Authorization: Bearer {}", coordinator.operator_token());
    let host = format!("Host: 127.0.0.1:{}", coordinator.port());
    let headers = [host.as_str(), bearer.as_str()];
    let refused = http::upgrade(coordinator.port(), "/ws?environment=staging", &headers).await;
    assert_eq!(refused.status, 409, "{}", refused.rest);
    for word in ["conflict", "staging", "testing"] {
        assert!(refused.rest.contains(word), "{}", refused.rest);
    }
    let refused = http::upgrade(coordinator.port(), "/ws?port_fingerprint=XYZ", &headers).await;
    assert_eq!(refused.status, 400, "{}", refused.rest);
    let name = "coord_connections_refused_total{reason=\"environment\"}";
    assert!((metric(&coordinator, name).await - 1.0).abs() < 0.1);
}

/// The command line says which environment it was told, and nothing when it was told none.
#[tokio::test]
async fn the_command_line_keeps_to_its_environment() {
    let coordinator = Coordinator::start().await;
    let url = format!("ws://127.0.0.1:{}/ws", coordinator.port());
    let health = Health::of(&coordinator).with("COORD_URL", &url);
    let wrong = health.with("COORD_PROFILE", "staging");
    let output = wrong.output(&["ping"]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(6), "{said}");
    for word in ["staging", "testing", "COORD_PROFILE"] {
        assert!(said.contains(word), "{word:?} is not in {said}");
    }
    // Not told, though the fallback is development.
    let untold = wrong.with("COORD_PROFILE", "");
    let output = untold.output(&["ping"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told = untold.with("COORD_PROFILE", "testing");
    let output = told.output(&["lease", "run", "name:a", "--", "true"]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("warning"), "{said}");
    let other = told.with("METRICS_PORT", 9094);
    let output = other
        .output(&["lease", "run", "name:a", "--", "true"])
        .await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("port configuration"), "{said}");
}
