//! A working day as a model sees it: what it reads first, and the answers of the calls that it makes most. The
//! test prints all of it; run it alone with `--no-capture` to read it.

use serde_json::{Value, json};

use super::{Agent, PLAIN};
use crate::support::Coordinator;

/// English and JSON have about four characters a token. Models count differently; this is an estimate.
const CHARS_PER_TOKEN: usize = 4;
const FIRST_TOKENS_MAX: usize = 2_500;
const ANSWER_TOKENS_MAX: usize = 500;

fn tokens(text: &str) -> usize {
    text.chars().count() / CHARS_PER_TOKEN
}

/// Calls a tool as a model does, and prints what it shows to the model.
async fn show(agent: &Agent, tool: &str, arguments: Value) -> Value {
    let result = agent.call(tool, arguments.clone()).await;
    let text = result["content"][0]["text"].as_str().unwrap();
    let count = tokens(text);
    println!("### {tool} {arguments}: about {count} tokens\n\n{text}\n");
    assert!(count < ANSWER_TOKENS_MAX, "{tool}: about {count} tokens");
    result["structuredContent"].clone()
}

async fn first(agent: &Agent) {
    let ask = async |method: &str, params: Value| {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = agent.send("POST", PLAIN, &message.to_string()).await;
        answer.json()["result"].take()
    };
    let opening = json!({"protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "claude-code", "version": "2"}});
    let opened = ask("initialize", opening).await;
    let instructions = opened["instructions"].as_str().unwrap();
    let mut all = tokens(instructions);
    println!("### instructions: about {all} tokens\n\n{instructions}\n");
    let listed = ask("tools/list", json!({})).await;
    for tool in listed["tools"].as_array().unwrap() {
        let (name, about) = (tool["name"].as_str().unwrap(), &tool["description"]);
        let input = &tool["inputSchema"];
        let count = tokens(&format!("{name}{about}{input}"));
        println!("### {name}: about {count} tokens\n\n{about}\n\n{input}\n");
        all += count;
    }
    println!("instructions and tools: about {all} tokens\n");
    assert!(all < FIRST_TOKENS_MAX, "about {all} tokens");
}

/// What the others did before.
async fn morning(bob: &Agent, carl: &Agent) {
    for (title, details) in [
        (
            "Write the parser of the settings",
            "src/settings/parser.rs does not read lists yet.",
        ),
        (
            "Show the place of an error",
            "With line and column, as rustc does.",
        ),
        (
            "Write the page about settings",
            "docs/settings.md; the examples must be tested.",
        ),
    ] {
        let task = json!({"title": title, "details": details});
        bob.done("submit_task", task).await;
    }
    carl.done("claim_task", json!({"task": 3})).await;
    carl.done(
        "report_progress",
        json!({"task": 3, "percent": 30, "note": "examples first"}),
    )
    .await;
    let page = json!({"resources": ["docs/settings.md"], "note": "the page", "tree": "box:/home/carl/app"});
    carl.done("reserve", page).await;
    let tree = "box:/home/bob/app";
    let parser = json!({"resources": ["src/settings/parser.rs"], "note": "renames", "tree": tree});
    bob.done("reserve", parser).await;
    for (key, value) in [
        ("build", "make test, 40 s"),
        ("style/errors", "lower case, no full stop"),
    ] {
        bob.done("context", json!({"key": key, "value": value}))
            .await;
    }
    for text in [
        "I rename Value to Setting in the parser; wait with your lists until noon.",
        "Which file has the grammar?",
    ] {
        bob.done("send_message", json!({"to": "ana", "text": text}))
            .await;
    }
}

#[tokio::test]
async fn the_answers_of_a_working_day_are_short() {
    let coordinator = Coordinator::start().await;
    let ana = Agent::new(&coordinator, "ana").await;
    let bob = Agent::new(&coordinator, "bob").await;
    let carl = Agent::new(&coordinator, "carl").await;
    println!("Tokens are estimated: characters / {CHARS_PER_TOKEN}.\n");
    first(&ana).await;
    morning(&bob, &carl).await;
    show(&ana, "status", json!({})).await;
    show(&ana, "read_messages", json!({"acknowledge": true})).await;
    let answer = json!({"to": "bob", "text": "In src/settings/grammar.rs.", "reply_to": 2});
    show(&ana, "send_message", answer).await;
    show(&ana, "list_tasks", json!({})).await;
    let claimed = show(&ana, "claim_task", json!({})).await;
    let task = &claimed["claimed"]["task"];
    let tree = "box:/home/ana/app";
    let files = json!(["src/settings/parser.rs", "src/settings/tests/"]);
    let reserve = json!({"resources": files, "note": "lists", "tree": tree});
    show(&ana, "reserve", reserve).await;
    let taken = json!({"resources": ["docs/settings.md"], "tree": "box:/home/carl/app"});
    show(&ana, "reserve", taken).await;
    let progress = json!({"task": task, "percent": 60, "note": "lists are read"});
    show(&ana, "report_progress", progress).await;
    show(&ana, "context", json!({})).await;
    show(&ana, "context", json!({"key": "build"})).await;
    show(
        &ana,
        "submit_task",
        json!({"title": "Read lists in lists", "after": [task]}),
    )
    .await;
    let done = json!({"task": task, "outcome": "done", "text": "Lists are read, with 12 tests."});
    show(&ana, "finish_task", done).await;
    show(&ana, "release", json!({"resources": files, "tree": tree})).await;
    show(&ana, "wait", json!({"seconds": 1})).await;
    show(&ana, "status", json!({})).await;
}
