//! A call that a client repeats, because its answer was lost, has one effect.

use serde_json::{Value, json};

use super::Agent;
use crate::support::Coordinator;

fn claude(id: &str) -> Value {
    json!({"claudecode/toolUseId": id, "progressToken": 1})
}

fn codex(id: &str) -> Value {
    json!({"callId": id, "x-codex-turn-metadata": {"session_id": "0199"}})
}

const ID: &str = "toolu_01A09q90qw90lq917835lq9";

async fn submitted(agent: &Agent, meta: Value, title: &str) -> Value {
    let agent = agent.saying(meta);
    let done = agent.done("submit_task", json!({ "title": title })).await;
    done["task"].clone()
}

#[tokio::test]
async fn a_repeated_call_has_one_effect() {
    let mut coordinator = Coordinator::start().await;
    let (ana, bob) = (
        Agent::new(&coordinator, "ana").await,
        Agent::new(&coordinator, "bob").await,
    );
    let first = submitted(&ana, claude(ID), "a").await;
    assert_eq!(submitted(&ana, claude(ID), "a").await, first);
    coordinator.kill().await;
    coordinator.restart().await;
    assert_eq!(submitted(&ana, claude(ID), "a").await, first);
    // The same id with other arguments, or of another agent, is another call.
    assert_ne!(submitted(&ana, claude(ID), "b").await, first);
    assert_ne!(submitted(&bob, claude(ID), "a").await, first);
    let of_codex = submitted(&ana, codex(ID), "c").await;
    assert_eq!(submitted(&ana, codex(ID), "c").await, of_codex);
    let page = ana.done("list_tasks", json!({})).await;
    assert_eq!(page["counts"]["ready"], 4, "{page}");

    let claiming = ana.saying(claude("toolu_01A09q90qw90lq9178claim"));
    let claimed = claiming.done("claim_task", json!({})).await;
    let again = claiming.done("claim_task", json!({})).await;
    assert_eq!(claimed["claimed"]["fence"], again["claimed"]["fence"]);
    let message = json!({"to": "bob", "text": "once"});
    let sending = ana.saying(claude("toolu_01A09q90qw90lq91789send"));
    let sent = sending.done("send_message", message.clone()).await;
    assert_eq!(sending.done("send_message", message).await, sent);
    let status = bob.done("status", json!({})).await;
    assert_eq!(status["unread_messages"], 1, "{status}");
    let end = json!({"task": claimed["claimed"]["task"], "outcome": "done",
        "fence": claimed["claimed"]["fence"]});
    let ending = ana.saying(claude("toolu_01A09q90qw90lq91789done"));
    ending.done("finish_task", end.clone()).await;
    ending.done("finish_task", end).await;
}

#[tokio::test]
async fn ids_that_begin_again_make_no_call_a_repeated_one() {
    let coordinator = Coordinator::start().await;
    let ana = Agent::new(&coordinator, "ana").await;
    let long = "x".repeat(300);
    for id in [
        json!("call_1"),
        json!(1),
        json!({"a": 1}),
        json!(long),
        Value::Null,
    ] {
        let meta = json!({ "callId": id });
        let first = submitted(&ana, meta.clone(), "a").await;
        assert_ne!(submitted(&ana, meta, "a").await, first, "{id}");
    }
}
