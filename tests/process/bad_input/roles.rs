//! Who may not call what: every operation of the table, from every role below its own.

use cli_coordinator::engine::command::Role;
use cli_coordinator::protocol::operations::OPERATIONS;
use serde_json::{Value, json};

use crate::support::{Client, Coordinator};

/// Parameters that are well formed, so that nothing but the role can be the matter.
fn params(operation: &str) -> Value {
    match operation {
        "agent.remove" | "token.create" => json!({"agent": "bob"}),
        "task.submit" => json!({"title": "t"}),
        "task.submit_many" => json!({"tasks": [{"task": {"title": "t"}}]}),
        "task.progress" | "task.complete" | "task.release" => json!({"task": 1, "fence": 1}),
        "task.handoff" => json!({"task": 1, "fence": 1, "agent": "bob"}),
        "task.fail" => json!({"task": 1, "fence": 1, "error": "e"}),
        "task.cancel" | "task.retry" | "task.get" => json!({"task": 1}),
        "lease.acquire" | "lease.ensure" | "lease.check" => json!({"resources": ["name:a"]}),
        "lease.renew" | "lease.release" => json!({"lease": 1, "fence": 1}),
        "lease.revoke" => json!({"lease": 1}),
        "message.send" => json!({"to": {"agent": "bob"}, "body": 1}),
        "message.ack" => json!({"messages": [1]}),
        "message.thread" => json!({"message": 1}),
        "context.get" | "context.delete" => json!({"key": "k"}),
        "context.put" => json!({"key": "k", "value": 1}),
        "token.revoke" => json!({"token": "t-operator"}),
        "project.create" => json!({"project": "p"}),
        _ => json!({}),
    }
}

async fn connected(coordinator: &Coordinator, role: Role) -> Client {
    let name = format!("{}-1", role.as_str());
    let token = coordinator.token(&name, role.as_str()).await;
    Client::connect(coordinator.port(), &token).await
}

#[tokio::test]
async fn no_role_can_do_what_a_higher_one_may() {
    let coordinator = Coordinator::start().await;
    let mut operator = coordinator.operator().await;
    let mut checked = 0;
    for role in [Role::Observer, Role::Agent] {
        let mut client = connected(&coordinator, role).await;
        let before = operator.call("server.status", json!({})).await.unwrap();
        for info in OPERATIONS.iter().filter(|info| role < info.role) {
            let failure = client.call(info.name, params(info.name)).await.unwrap_err();
            let words = [info.name, role.as_str(), info.role.as_str()];
            failure.check("forbidden", &words);
            assert_eq!(failure.code, -32008);
            checked += 1;
        }
        let after = operator.call("server.status", json!({})).await.unwrap();
        assert_eq!(
            before["state_hash"], after["state_hash"],
            "something was changed"
        );
        client.check_alive().await;
    }
    assert!(checked > 25, "only {checked} operations were checked");
}

#[tokio::test]
async fn every_role_can_do_what_it_may() {
    let coordinator = Coordinator::start().await;
    for role in [Role::Observer, Role::Agent, Role::Operator] {
        let mut client = connected(&coordinator, role).await;
        for info in OPERATIONS.iter().filter(|info| role >= info.role) {
            // The first would end the very token that calls; the second asks for an operator when
            // the agent is another, which has its own test.
            if ["token.revoke", "agent.remove"].contains(&info.name) {
                continue;
            }
            // Things that do not exist are the request's matter, not the role's.
            if let Err(failure) = client.call(info.name, params(info.name)).await {
                let known = ["not_found", "conflict", "invalid_params", "stale_fence"];
                let role = role.as_str();
                assert!(
                    known.contains(&failure.kind.as_str()),
                    "{} as {role}: {failure:?}",
                    info.name
                );
            }
        }
    }
}

#[tokio::test]
async fn only_operators_may_touch_what_belongs_to_others() {
    let coordinator = Coordinator::start().await;
    let mut alice = coordinator.agent("alice").await;
    let mut bob = coordinator.agent("bob").await;
    alice
        .call("task.submit", json!({"title": "t"}))
        .await
        .unwrap();
    let lease = json!({"resources": ["name:slot"], "ttl_ms": 60_000});
    let lease = alice.call("lease.acquire", lease).await.unwrap();
    for (method, params) in [
        ("agent.remove", json!({"agent": "alice"})),
        ("task.cancel", json!({"task": 1})),
        ("lease.revoke", json!({"lease": lease["lease"]})),
        (
            "lease.release",
            json!({"lease": lease["lease"], "fence": lease["fence"]}),
        ),
    ] {
        let failure = bob.call(method, params).await.unwrap_err();
        assert!(
            ["forbidden", "stale_fence"].contains(&failure.kind.as_str()),
            "{failure:?}"
        );
        bob.check_alive().await;
    }
    let check = json!({"lease": lease["lease"], "fence": lease["fence"]});
    assert_eq!(alice.call("lease.check", check).await.unwrap()["ok"], true);
}

#[tokio::test]
async fn an_observer_learns_no_state_hash_and_no_mail_of_others() {
    let coordinator = Coordinator::start().await;
    let mut observer = connected(&coordinator, Role::Observer).await;
    let status = observer.call("server.status", json!({})).await.unwrap();
    assert_eq!(status["state_hash"], Value::Null);
    let refused = observer.call("message.inbox", json!({})).await.unwrap_err();
    refused.check("forbidden", &["message.inbox"]);
}

#[tokio::test]
async fn the_identity_comes_from_the_token_only() {
    let coordinator = Coordinator::start().await;
    let mut alice = coordinator.agent("alice").await;
    let mut bob = coordinator.agent("bob").await;
    let opened = alice.call("session.open", json!({})).await.unwrap();
    let resume = json!({"session": opened["session"], "secret": opened["resume_secret"]});
    let stolen = bob.call("session.open", json!({"resume": resume})).await;
    stolen.unwrap_err().check("not_found", &["session"]);
    let wrong = json!({"session": opened["session"], "secret": "guess"});
    let mut other = coordinator.agent("alice").await;
    let guessed = other.call("session.open", json!({"resume": wrong})).await;
    let guessed = guessed.unwrap_err();
    assert!(
        ["not_found", "forbidden"].contains(&guessed.kind.as_str()),
        "{guessed:?}"
    );
    alice.check_alive().await;
}
