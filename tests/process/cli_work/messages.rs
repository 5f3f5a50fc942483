//! `coord message` and who is known: agents that have a token and never wrote, mailboxes that one
//! sender cannot fill, and what exit codes say.

use serde_json::{Value, json};

use super::coord::{Cli, Done};
use crate::support::{Coordinator, until};

fn names(list: &Value) -> Vec<&str> {
    let agents = list["agents"].as_array().unwrap().iter();
    agents
        .map(|agent| agent["name"].as_str().unwrap())
        .collect()
}

/// What is told of the only recipient.
fn told(done: &Done) -> Value {
    let said: Value = serde_json::from_str(&done.stdout).unwrap();
    said["recipients"][0].clone()
}

#[tokio::test]
async fn a_token_makes_its_agent_known() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let alice = Cli::agent(&coordinator, "alice").await;
    let carol = Cli::agent(&coordinator, "carol").await;
    // She has only read so far, and is there for everybody.
    let empty = carol.json(folder, &["message", "inbox"]).await;
    assert_eq!(empty["messages"], json!([]));
    let list = alice.json(folder, &["agent", "list"]).await;
    assert_eq!(names(&list), ["alice", "carol", "operator"]);
    let page = alice
        .json(folder, &["agent", "list", "--max", "1", "--after", "alice"])
        .await;
    assert_eq!(
        (names(&page), &page["next_after"]),
        (vec!["carol"], &json!("carol"))
    );
    let view = alice.json(folder, &["agent", "get", "carol"]).await;
    assert_eq!(
        (&view["presence"], &view["reason"]),
        (&json!("gone"), &json!("no session yet"))
    );
    let none = alice.json(folder, &["agent", "list", "--present"]).await;
    assert_eq!(none["agents"], json!([]));
    let status = alice.json(folder, &["status"]).await;
    assert_eq!(status["project"]["agents"], 3, "{status}");

    alice
        .run(folder, &["message", "send", "--to", "carol", "hello"])
        .await
        .check(0);
    let all = alice
        .json(folder, &["message", "send", "--all", "to all"])
        .await;
    let reached = all["recipients"].as_array().unwrap();
    let reached: Vec<&str> = reached
        .iter()
        .map(|r| r["agent"].as_str().unwrap())
        .collect();
    assert_eq!(reached, ["carol", "operator"]);
    let inbox = carol.json(folder, &["message", "inbox"]).await;
    let bodies = inbox["messages"].as_array().unwrap().iter();
    let bodies: Vec<&str> = bodies.map(|m| m["body"].as_str().unwrap()).collect();
    assert_eq!(bodies, ["hello", "to all"]);
    // She answers before she did anything else.
    let words = ["message", "send", "--to", "alice", "--reply-to", "1", "hi"];
    carol.run(folder, &words).await.check(0);
}

#[tokio::test]
async fn a_task_is_handed_to_an_agent_that_never_wrote() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let alice = Cli::agent(&coordinator, "alice").await;
    let carol = Cli::agent(&coordinator, "carol").await;
    alice
        .run(folder, &["task", "submit", "work"])
        .await
        .check(0);
    let claimed = alice.json(folder, &["task", "claim", "--ttl", "1m"]).await;
    let fence = claimed["claim"]["fence"].to_string();
    let handoff = |to: &'static str| {
        ["task", "handoff", "1", "--fence", &fence, "--to", to].map(str::to_owned)
    };
    let words = handoff("carl");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    alice
        .run(folder, &words)
        .await
        .check(5)
        .says("did you mean carol?");
    let words = handoff("carol");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    alice.run(folder, &words).await.check(0);
    let hers = carol.json(folder, &["task", "claim", "--ttl", "1m"]).await;
    assert_eq!(hers["claim"]["task"], 1, "{hers}");
}

#[tokio::test]
async fn only_a_token_that_holds_and_may_work_makes_known() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let alice = Cli::agent(&coordinator, "alice").await;
    let mut operator = coordinator.operator().await;
    coordinator.token("watcher", "observer").await;
    operator
        .call("project.create", json!({"project": "other"}))
        .await
        .unwrap();
    let elsewhere = json!({"agent": "erin", "projects": ["other"]});
    operator.call("token.create", elsewhere).await.unwrap();
    let made = operator
        .call("token.create", json!({"agent": "carol"}))
        .await
        .unwrap();
    operator
        .call("token.revoke", json!({"token": made["token"]}))
        .await
        .unwrap();
    let short = json!({"agent": "dora", "ttl_ms": 1});
    operator.call("token.create", short).await.unwrap();
    until("the token to run out", async || {
        let list = operator.call("agent.list", json!({})).await.unwrap();
        (names(&list) == ["alice", "operator"]).then_some(())
    })
    .await;
    for nobody in ["watcher", "erin", "carol", "dora"] {
        let words = ["--json", "message", "send", "--to", nobody, "hi"];
        let done = alice.run(folder, &words).await;
        assert_eq!(told(done.check(5))["delivery"], "unknown", "{nobody}");
        alice.run(folder, &["agent", "get", nobody]).await.check(5);
    }
}

#[tokio::test]
async fn a_misspelt_recipient_is_unknown_and_near_names_are_told() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let alice = Cli::agent(&coordinator, "alice").await;
    Cli::agent(&coordinator, "carol").await;
    let done = alice
        .run(folder, &["message", "send", "--to", "carl", "hi"])
        .await;
    let text = &done.check(5).stdout;
    assert!(
        text.contains("no such agent; did you mean carol?"),
        "{text}"
    );
    let words = ["--json", "message", "send", "--to", "carl", "hi"];
    let done = alice.run(folder, &words).await;
    assert_eq!(told(done.check(5))["similar"], json!(["carol"]));
    alice
        .run(folder, &["agent", "get", "carl"])
        .await
        .check(5)
        .says("did you mean carol?");
}

#[tokio::test]
async fn an_agent_that_is_removed_stays_known_by_its_token() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let carol = Cli::agent(&coordinator, "carol").await;
    // Nothing is there to remove: her token is what makes her known.
    carol
        .run(folder, &["agent", "remove", "carol"])
        .await
        .check(6)
        .says("token");
    carol
        .run(folder, &["agent", "update", "--note", "here"])
        .await
        .check(0);
    let removed = carol.run(folder, &["agent", "remove", "carol"]).await;
    removed.check(0).says("a token still names");
    let view = carol.json(folder, &["agent", "get"]).await;
    assert_eq!(
        (&view["presence"], view.get("note")),
        (&json!("gone"), None)
    );
}

#[tokio::test]
async fn a_full_mailbox_is_a_limit_and_not_a_missing_agent() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let alice = Cli::agent(&coordinator, "alice").await;
    let bob = Cli::agent(&coordinator, "bob").await;
    let mut eve = coordinator.agent("eve").await;
    let broadcast = json!({"to": {"all": true}, "body": "spam"});
    let share = 200;
    for _ in 0..share {
        let sent = eve.call("message.send", broadcast.clone()).await.unwrap();
        assert!(sent["message"].is_u64(), "{sent}");
    }
    let sent = eve.call("message.send", broadcast).await.unwrap();
    assert_eq!(sent["message"], Value::Null, "{sent}");
    for recipient in sent["recipients"].as_array().unwrap() {
        let told = (&recipient["delivery"], &recipient["limit"]);
        assert_eq!(
            told,
            (&json!("full"), &json!("mailbox_messages_per_sender_max"))
        );
    }
    let token = coordinator.token("eve", "agent").await;
    let eve = Cli::with_token(&coordinator, token);
    let done = eve
        .run(folder, &["message", "send", "--to", "bob", "more"])
        .await;
    let text = &done.check(8).stdout;
    assert!(text.contains("mailbox_messages_per_sender_max"), "{text}");
    eve.run(folder, &["message", "send", "--all", "more"])
        .await
        .check(8);
    // The others' messages arrive all the same.
    alice
        .run(folder, &["message", "send", "--to", "bob", "important"])
        .await
        .check(0);

    // Those that were seen are gone at once, and nothing else.
    let inbox = bob.json(folder, &["message", "inbox", "--max", "10"]).await;
    let seen = inbox["messages"][9]["message"].to_string();
    let done = bob.run(folder, &["message", "ack", "--up-to", &seen]).await;
    assert_eq!(done.check(0).stdout, "acknowledged 10\n");
    let acked = bob.json(folder, &["message", "ack", "--all"]).await;
    assert_eq!(acked["count"], share + 1 - 10, "{acked}");
    let left = bob.json(folder, &["message", "inbox"]).await;
    assert_eq!(left["waiting"], 0, "{left}");
    eve.run(folder, &["message", "send", "--to", "bob", "again"])
        .await
        .check(0);
}

#[tokio::test]
async fn what_is_not_in_the_mailbox_is_told_and_not_found() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let alice = Cli::agent(&coordinator, "alice").await;
    let bob = Cli::agent(&coordinator, "bob").await;
    alice
        .run(folder, &["message", "send", "--to", "bob", "one"])
        .await
        .check(0);
    let done = bob.run(folder, &["message", "ack", "1", "77"]).await;
    done.check(5).says("message 77 is not in the mailbox");
    assert_eq!(done.stdout, "acknowledged 1\n");
    let done = bob.run(folder, &["--json", "message", "ack", "1"]).await;
    let said: Value = serde_json::from_str(&done.check(5).stdout).unwrap();
    assert_eq!((&said["unknown"], &said["count"]), (&json!([1]), &json!(0)));
    bob.run(folder, &["message", "ack"]).await.check(2);
    bob.run(folder, &["message", "ack", "1", "--all"])
        .await
        .check(2);
    let mut bob = coordinator.agent("bob").await;
    for params in [json!({}), json!({"all": true, "up_to": 3})] {
        let refused = bob.call("message.ack", params).await.unwrap_err();
        refused.check("invalid_params", &["messages, up_to and all"]);
    }
}
