//! What a person, or a script, learns of tasks that do not run, and of submissions that were none.

use std::path::Path;

use serde_json::{Value, json};

use super::coord::Cli;
use crate::support::{Coordinator, until};

/// Submits a task; gives its number.
async fn submit(cli: &Cli, folder: &Path, words: &[&str]) -> String {
    let made = cli
        .json(folder, &[&["task", "submit"], words].concat())
        .await;
    made["task"].to_string()
}

async fn list(cli: &Cli, folder: &Path, words: &[&str]) -> Vec<Value> {
    let list = cli.json(folder, &[&["task", "list"], words].concat()).await;
    let tasks = list["tasks"].as_array().unwrap().iter();
    tasks.map(|task| task["task"].clone()).collect()
}

#[tokio::test]
async fn a_task_behind_a_cancelled_one_is_pointed_out_everywhere() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let ann = Cli::agent(&coordinator, "ann").await;
    let first = submit(&ann, folder, &["first"]).await;
    let second = submit(&ann, folder, &["second", "--after", &first]).await;
    let third = submit(&ann, folder, &["third", "--after", &second]).await;
    let words = ["task", "cancel", &first, "--reason", "no need"];
    ann.run(folder, &words).await.check(0);

    let view = ann.task(folder, &third).await;
    assert_eq!(view["state"], "blocked");
    assert_eq!(view["stuck"][0]["reason"], "dependency_cancelled");
    assert_eq!(view["stuck"][0]["root"].to_string(), first);
    let view = ann.task(folder, &first).await;
    assert_eq!(
        view["cancelled"],
        json!({ "by": "ann", "reason": "no need" })
    );

    let words = ["task", "submit", "fourth", "--after", &third];
    let done = ann.run(folder, &words).await;
    done.check(0)
        .says("task 4 cannot run now")
        .says("it waits for task 1, which was cancelled")
        .says("next: retry task 1, or cancel the tasks that wait for it: `coord task retry 1`");
    let words = [&words[..], &["--idempotency-key", "k"]].concat();
    let again = ann.json(folder, &words).await;
    assert_eq!(again["warnings"][0]["root"], 1, "{again}");

    let events = "events follow --from 0:0 --kind task.stuck --max 3 --json";
    let words: Vec<&str> = events.split(' ').collect();
    let told = ann.run(folder, &words).await.check(0).stdout.clone();
    let stuck: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .flat_map(|event| event["changes"].as_array().unwrap().clone())
        .filter(|change| change["kind"] == "task.stuck")
        .map(|change| json!([change["task"], change["root"], change["agent"]]))
        .collect();
    let expected = [2, 3, 4, 5].map(|task| json!([task, 1, "ann"]));
    assert_eq!(stuck, expected);

    let explained = ann.run(folder, &["task", "explain", &third]).await;
    let lines: Vec<&str> = explained.check(0).stdout.lines().collect();
    assert!(lines[0].starts_with("task 3 blocked"), "{lines:#?}");
    assert!(lines[2].starts_with("    task 2 blocked"), "{lines:#?}");
    assert!(
        explained
            .stdout
            .contains("it was cancelled by ann: no need")
            && explained.stdout.contains("`coord task retry 1`"),
        "{lines:#?}"
    );

    ann.run(folder, &["task", "retry", &first]).await.check(0);
    assert!(list(&ann, folder, &["--stuck"]).await.is_empty());
    ann.run(folder, &["task", "explain", "99"]).await.check(5);
}

#[tokio::test]
async fn the_list_leaves_out_what_is_finished_and_says_how_many_unless_asked() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let ann = Cli::agent(&coordinator, "ann").await;
    for title in ["done", "cancelled", "dead", "open"] {
        submit(&ann, folder, &[title, "--attempts", "1"]).await;
    }
    let behind = submit(&ann, folder, &["behind", "--after", "3"]).await;
    for (end, task) in [("complete", "1"), ("fail", "3")] {
        let claim = ann.json(folder, &["task", "claim", task]).await;
        let fence = claim["claim"]["fence"].to_string();
        let mut words = vec!["task", end, task, "--fence", &fence];
        words.extend((end == "fail").then_some("broken"));
        ann.run(folder, &words).await.check(0);
    }
    ann.run(folder, &["task", "cancel", "2"]).await.check(0);

    let shown = ann.run(folder, &["task", "list"]).await;
    shown.check(0).says("2 finished tasks not shown: --all");
    assert!(shown.stdout.contains("stuck: 3 is dead"), "{shown:#?}");
    assert_eq!(list(&ann, folder, &[]).await, [3, 4, 5]);
    assert_eq!(list(&ann, folder, &["--all"]).await, [1, 2, 3, 4, 5]);
    assert_eq!(list(&ann, folder, &["--state", "done"]).await, [1]);
    assert_eq!(list(&ann, folder, &["--stuck"]).await, [5]);
    assert_eq!(behind, "5");
    let words = ["task", "list", "--state", "dead"];
    let asked = ann.run(folder, &words).await;
    assert!(!asked.check(0).stderr.contains("not shown"), "{asked:#?}");
    let json = ann.json(folder, &["task", "list"]).await;
    let finished = json!({ "done": 1, "dead": 1, "cancelled": 1 });
    assert_eq!(json["finished"], finished);
}

#[tokio::test]
async fn a_submission_that_finds_another_or_an_ended_task_is_told_apart() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let ann = Cli::agent(&coordinator, "ann").await;
    let words = ["task", "submit", "t", "--idempotency-key", "k", "--payload"];
    let same = [&words[..], &[r#"{"a":1,"b":2}"#]].concat();
    let other = [&words[..], &["3"]].concat();
    ann.run(folder, &same).await.check(0);

    let repeated = [&words[..], &[r#"{ "b": 2, "a": 1 }"#]].concat();
    let done = ann.run(folder, &repeated).await;
    assert!(
        done.check(0).stdout.contains("submitted before"),
        "{done:#?}"
    );
    let done = ann.run(folder, &other).await;
    assert!(
        done.check(6).stdout.contains("with another payload"),
        "{done:#?}"
    );
    let done = ann.run(folder, &[&["--json"], &other[..]].concat()).await;
    let result: Value = serde_json::from_str(&done.check(6).stdout).unwrap();
    assert_eq!(result["differs"], json!(["payload"]));
    assert_eq!(
        (&result["existing"], &result["state"]),
        (&json!(true), &json!("ready"))
    );
    assert!(done.stderr.is_empty(), "{done:#?}");

    let claim = ann.json(folder, &["task", "claim"]).await;
    let fence = claim["claim"]["fence"].to_string();
    let words = ["task", "fail", "1", "--fence", &fence, "boom", "--no-retry"];
    ann.run(folder, &words).await.check(0);
    let done = ann.run(folder, &same).await;
    done.check(6).says("`coord task retry 1`");
    assert!(
        done.stdout.contains("is dead (last error: boom)"),
        "{done:#?}"
    );
    ann.run(folder, &["task", "retry", "1"]).await.check(0);
    ann.run(folder, &same).await.check(0);
}

#[tokio::test]
async fn several_of_one_key_in_one_submission_are_told_apart() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let ann = Cli::agent(&coordinator, "ann").await;
    let tasks = json!([
        { "title": "a", "idempotency_key": "k" },
        { "title": "b", "idempotency_key": "k" },
    ]);
    std::fs::write(folder.join("tasks"), tasks.to_string()).unwrap();
    let words = ["task", "submit-many", "tasks"];
    let done = ann.run(folder, &words).await;
    assert!(
        done.check(6).stdout.contains("with another title"),
        "{done:#?}"
    );
}

#[tokio::test]
async fn an_explanation_tells_who_could_do_it_and_who_waits_for_something_else() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let (ann, bob) = (
        Cli::agent(&coordinator, "ann").await,
        Cli::agent(&coordinator, "bob").await,
    );
    let words = ["task", "submit", "render", "--requires", "gpu"];
    ann.run(folder, &words)
        .await
        .check(0)
        .says("no known agent has gpu");
    let kinds = async |task: &str| -> Vec<String> {
        let explained = ann.json(folder, &["task", "explain", task]).await;
        let reasons = explained["tasks"][0]["reasons"].as_array().unwrap().iter();
        reasons
            .map(|reason| reason["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(kinds("1").await, ["no_agent_with_capability"]);
    let words = ["agent", "update", "--capability", "gpu"];
    bob.run(folder, &words).await.check(0);
    assert_eq!(kinds("1").await, ["agents_gone", "nobody_waits"]);
    let words = ["task", "claim", "--label", "a=b", "--wait", "60s"];
    let claim = bob.start(folder, &words);
    until("a claim for something else to wait", async || {
        (kinds("1").await[1] == "claims_do_not_match").then_some(())
    })
    .await;
    drop(claim);
    let empty = ann.run(folder, &["task", "claim", "1"]).await;
    empty.check(6).says("`coord task explain 1`");
}
