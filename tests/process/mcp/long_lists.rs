//! Answers stay short, however much there is: a model pays for each character.

use serde_json::{Value, json};

use super::Agent;
use crate::support::{Client, Coordinator};

/// About 500 tokens.
const CHARS_MAX: usize = 2_000;

async fn short(agent: &Agent, tool: &str, arguments: Value) -> Value {
    let answer = agent.done(tool, arguments).await;
    let text = answer.to_string();
    let chars = text.chars().count();
    assert!(chars <= CHARS_MAX, "{tool}: {chars} characters: {text}");
    assert!(!text.contains(['\u{202e}', '\u{1b}']), "{text}");
    answer
}

/// Goes through a list to its end, and counts what it showed.
async fn all_pages(agent: &Agent, tool: &str, list: &str) -> usize {
    let (mut count, mut after) = (0, json!({}));
    loop {
        let page = short(agent, tool, after).await;
        count += page[list].as_array().unwrap().len();
        match page.get("next_after") {
            Some(next) => after = json!({ "after": next }),
            None => return count,
        }
    }
}

async fn fill(client: &mut Client, method: &str, count: usize, params: impl Fn(usize) -> Value) {
    let mut asked = Vec::new();
    for number in 0..count {
        asked.push(client.ask(method, params(number)).await.unwrap());
        // The coordinator takes some requests of a connection at once, and refuses more.
        if asked.len() == 16 {
            for id in asked.drain(..) {
                client.answer(id).await.unwrap();
            }
        }
    }
    for id in asked {
        client.answer(id).await.unwrap();
    }
}

#[tokio::test]
async fn a_thousand_tasks() {
    let coordinator = Coordinator::start().await;
    let (ana, mut bob) = (
        Agent::new(&coordinator, "ana").await,
        coordinator.agent("bob").await,
    );
    for _ in 0..4 {
        let task = json!({"task": {"title": "\u{202e}".repeat(60), "payload": "p".repeat(500)}});
        let tasks = vec![task; 250];
        bob.call("task.submit_many", json!({ "tasks": tasks }))
            .await
            .unwrap();
    }
    let page = short(&ana, "list_tasks", json!({})).await;
    assert_eq!(page["counts"]["ready"], 1_000, "{page}");
    assert_eq!(all_pages(&ana, "list_tasks", "tasks").await, 1_000);
    for _ in 0..30 {
        ana.done("claim_task", json!({})).await;
    }
    let status = short(&ana, "status", json!({})).await;
    let shown = status["tasks"].as_array().unwrap().len() as u64;
    assert_eq!(shown + status["more_tasks"].as_u64().unwrap(), 30);
}

#[tokio::test]
async fn a_thousand_messages() {
    let coordinator = Coordinator::start().await;
    let ana = Agent::new(&coordinator, "ana").await;
    short(&ana, "status", json!({})).await;
    for sender in ["bob", "carl", "dora", "emil", "fay"] {
        let mut sender = coordinator.agent(sender).await;
        let note = json!({"note": "n\u{202e}".repeat(200)});
        sender.call("agent.update", note).await.unwrap();
        let body = "w\u{202e}\u{1b}[31m".repeat(70);
        let message = |_| json!({"to": {"agent": "ana"}, "subject": "s".repeat(200), "body": body});
        fill(&mut sender, "message.send", 200, message).await;
    }
    let mail = short(&ana, "read_messages", json!({})).await;
    let shown = mail["messages"].as_array().unwrap().len() as u64;
    let all = shown + mail["left"].as_u64().unwrap();
    // A fifth of a mailbox is kept for senders of few messages.
    assert!(all >= 800, "{mail}");
    short(&ana, "wait", json!({"seconds": 1, "work": true})).await;
    let status = short(&ana, "status", json!({})).await;
    assert_eq!(status["unread_messages"], all, "{status}");
    // What was cut is not acknowledged: it was not read.
    let read = ana
        .done("read_messages", json!({"acknowledge": true}))
        .await;
    let first = read["messages"][0]["message"].clone();
    assert_eq!(
        (&read["messages"][0]["cut"], &read["acknowledged"]),
        (&json!(true), &json!(0))
    );
    let whole = ana
        .done(
            "read_messages",
            json!({"message": first, "acknowledge": true}),
        )
        .await;
    assert_eq!(
        (&whole["acknowledged"], &whole["left"]),
        (&json!(1), &json!(all)),
        "{whole}"
    );
}

#[tokio::test]
async fn a_thousand_facts() {
    let coordinator = Coordinator::start().await;
    let (ana, mut bob) = (
        Agent::new(&coordinator, "ana").await,
        coordinator.agent("bob").await,
    );
    let long = "k".repeat(240);
    let fact = |number| json!({"key": format!("{long}{number:04}"), "value": "v".repeat(100)});
    fill(&mut bob, "context.put", 1_000, fact).await;
    assert_eq!(all_pages(&ana, "context", "facts").await, 1_000);
}

#[tokio::test]
async fn a_thousand_files_and_recipients() {
    let coordinator = Coordinator::start().await;
    let ana = Agent::new(&coordinator, "ana").await;
    let bob = Agent::new(&coordinator, "bob").await;
    let mut at_socket = Client::connect(coordinator.port(), &bob.token).await;
    at_socket.call("session.open", json!({})).await.unwrap();
    let names: Vec<String> = (0..1_000)
        .map(|number| format!("file:src/a-file-with-a-long-name-{number}.rs"))
        .collect();
    let params = json!({"resources": names, "note": "n".repeat(1_000), "tree": "t".repeat(500)});
    at_socket.call("lease.ensure", params).await.unwrap();
    short(&ana, "status", json!({})).await;
    let own = short(&bob, "status", json!({})).await;
    assert_eq!(own["reserved"][0]["resources"][10], "and 990 more", "{own}");
    let some: Vec<&String> = names.iter().take(100).collect();
    let refusal = ana.call("reserve", json!({ "resources": some })).await;
    let text = refusal["content"][0]["text"].as_str().unwrap();
    assert!(
        refusal["isError"] == true && text.chars().count() <= CHARS_MAX,
        "{text}"
    );
    let elsewhere = json!({"resources": some, "tree": "other"});
    let reserved = short(&ana, "reserve", elsewhere).await;
    assert!(reserved["more_also"].as_u64().unwrap() > 50, "{reserved}");
    // Each token is an agent that a message to all waits for.
    for number in 0..60 {
        let name = format!("an-agent-with-a-rather-long-name-{number}");
        let token = coordinator.token(&name, "agent").await;
        let mut client = Client::connect(coordinator.port(), &token).await;
        client.call("agent.update", json!({})).await.unwrap();
    }
    let sent = short(&ana, "send_message", json!({"to": "all", "text": "hi"})).await;
    assert!(sent["more"].as_u64().unwrap() > 20, "{sent}");
}
