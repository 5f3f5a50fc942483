//! `coord task work`: claim, run, keep alive, report.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::coord::Cli;
use crate::support::coordinator::Start;
use crate::support::{Coordinator, until};

/// Submits a task; gives its number.
async fn submit(cli: &Cli, folder: &Path, words: &[&str]) -> String {
    let made = cli
        .json(folder, &[&["task", "submit"], words].concat())
        .await;
    made["task"].to_string()
}

async fn file_with(path: &Path, lines: usize) -> Vec<String> {
    until(
        &format!("{lines} lines in {}", path.display()),
        async || {
            let text = fs::read_to_string(path).ok()?;
            let found: Vec<String> = text.lines().map(str::to_owned).collect();
            (found.len() >= lines).then_some(found)
        },
    )
    .await
}

#[tokio::test]
async fn a_command_gets_its_task_and_its_output_becomes_the_result() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let (ann, bob) = (
        Cli::agent(&coordinator, "ann").await,
        Cli::agent(&coordinator, "bob").await,
    );
    let words = ["lint", "--payload", r#"{"file":"a b.rs"}"#];
    let labelled = ["--label", "area/core=x y"];
    let task = submit(&ann, folder, &[&words[..], &labelled].concat()).await;
    let script = r#"printf '%s|' "$COORD_TASK_ID" "$COORD_TASK_TITLE" "$COORD_TASK_ATTEMPT" \
        "$COORD_TASK_SUBMITTED_BY" "$COORD_LABEL_AREA_CORE"; cat"#;
    let done = bob
        .run(
            folder,
            &["task", "work", "--once", "--", "sh", "-c", script],
        )
        .await;
    let expected = format!(r#"{task}|lint|1|ann|x y|{{"file":"a b.rs"}}"#);
    assert_eq!(done.check(0).stdout.trim_end(), expected);
    let view = ann.task(folder, &task).await;
    assert_eq!(view["state"], "done");
    assert_eq!(view["result"]["exit_code"], 0);
    let stdout = view["result"]["stdout"].as_str().unwrap();
    assert_eq!(stdout.trim_end(), expected);
}

#[tokio::test]
async fn with_nothing_to_claim_once_ends_when_it_was_idle_long_enough() {
    let coordinator = Coordinator::start().await;
    let bob = Cli::agent(&coordinator, "bob").await;
    let words = [
        "task",
        "work",
        "--once",
        "--idle-exit",
        "50ms",
        "--",
        "true",
    ];
    bob.run(coordinator.folder(), &words)
        .await
        .check(6)
        .says("nothing to claim");
}

#[tokio::test]
async fn a_failing_command_is_tried_again_and_its_task_dies_at_last() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let bob = Cli::agent(&coordinator, "bob").await;
    let words = ["break", "--attempts", "2", "--backoff", "1ms"];
    let task = submit(&bob, folder, &words).await;
    let script = r#"echo "last: $COORD_TASK_LAST_ERROR"; echo boom >&2; exit 3"#;
    let words = ["task", "work", "--once", "--", "sh", "-c", script];
    bob.run(folder, &words).await.check(3).says("failed");
    let view = bob.task(folder, &task).await;
    assert_eq!(view["failures"], 1);
    assert_eq!(view["last_error"], "exit code 3: boom");
    let second = bob.run(folder, &words).await;
    second.check(3).says("dead");
    assert_eq!(second.stdout.trim_end(), "last: exit code 3: boom");
    assert_eq!(bob.task(folder, &task).await["state"], "dead");
}

#[tokio::test]
async fn a_command_that_does_not_exist_gives_the_task_back() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let bob = Cli::agent(&coordinator, "bob").await;
    let task = submit(&bob, folder, &["x"]).await;
    let words = ["task", "work", "--once", "--", "/nowhere/such-a-command"];
    bob.run(folder, &words).await.check(127);
    let view = bob.task_in(folder, &task, "ready").await;
    assert_eq!(view["failures"], 0, "{view}");
}

#[tokio::test]
async fn workers_side_by_side_never_get_the_same_task() {
    const TASKS: usize = 24;
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let ann = Cli::agent(&coordinator, "ann").await;
    for number in 0..TASKS {
        submit(&ann, folder, &[&format!("task {number}")]).await;
    }
    let script = "echo $COORD_TASK_ID $COORD_TASK_ATTEMPT >> taken";
    let words = [
        "task",
        "work",
        "--idle-exit",
        "100ms",
        "--",
        "sh",
        "-c",
        script,
    ];
    let mut workers = Vec::new();
    for name in ["w1", "w2", "w3"] {
        let cli = Cli::agent(&coordinator, name).await;
        workers.push(cli.start(folder, &words));
    }
    for worker in workers {
        worker.done().await.check(0);
    }
    let mut taken = file_with(&folder.join("taken"), TASKS).await;
    taken.sort_by_key(|line| line.split(' ').next().unwrap().parse::<u64>().unwrap());
    let expected: Vec<String> = (1..=TASKS).map(|n| format!("{n} 1")).collect();
    assert_eq!(taken, expected);
}

#[tokio::test]
async fn a_cancelled_task_stops_its_command_and_the_worker_goes_on() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let (ann, bob) = (
        Cli::agent(&coordinator, "ann").await,
        Cli::agent(&coordinator, "bob").await,
    );
    let first = submit(&ann, folder, &["long"]).await;
    // What the command itself started must end with it.
    let script =
        r#"if [ "$COORD_TASK_TITLE" = long ]; then sleep 600 & echo $! > started; wait; fi"#;
    let words = ["task", "work", "--max", "2", "--", "sh", "-c", script];
    let mut worker = bob.start(folder, &words);
    let grandchild = file_with(&folder.join("started"), 1).await.remove(0);
    ann.run(folder, &["task", "cancel", &first]).await.check(0);
    worker.says("the attempt is lost").await;
    worker.says("lost").await;
    until("the command's own child to end", async || {
        let state = fs::read_to_string(format!("/proc/{grandchild}/stat"));
        state.is_err().then_some(())
    })
    .await;
    let second = submit(&ann, folder, &["short"]).await;
    worker.done().await.check(0);
    assert_eq!(ann.task(folder, &first).await["state"], "cancelled");
    assert_eq!(ann.task(folder, &second).await["state"], "done");
}

#[tokio::test]
async fn term_hands_the_task_back_and_ends_in_order() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let bob = Cli::agent(&coordinator, "bob").await;
    let task = submit(&bob, folder, &["long"]).await;
    let script = "echo up > started; exec sleep 600";
    let worker = bob.start(folder, &["task", "work", "--", "sh", "-c", script]);
    file_with(&folder.join("started"), 1).await;
    worker.signal(Signal::SIGTERM);
    worker.done().await.check(0).says("given back");
    let view = bob.task(folder, &task).await;
    assert_eq!(
        (&view["state"], &view["failures"]),
        (&json!("ready"), &json!(0))
    );
}

#[tokio::test]
async fn a_worker_that_is_killed_loses_its_task_after_the_grace() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let (ann, bob) = (
        Cli::agent(&coordinator, "ann").await,
        Cli::agent(&coordinator, "bob").await,
    );
    let task = submit(&ann, folder, &["long"]).await;
    let script = "echo up > started; exec sleep 600";
    let words = ["task", "work", "--grace", "50ms", "--", "sh", "-c", script];
    let worker = bob.start(folder, &words);
    file_with(&folder.join("started"), 1).await;
    worker.signal(Signal::SIGKILL);
    let view = ann.task_in(folder, &task, "ready").await;
    assert_eq!(view["offered_to"], "bob", "{view}");
    // Killed means that nobody stopped the command; the test does.
    drop(worker);
    stop_sleepers(folder);
}

#[tokio::test]
async fn a_worker_keeps_its_task_while_the_coordinator_restarts() {
    let mut coordinator = Start::new()
        .variable("COORD_SESSION_GRACE_MS", 30_000)
        .run()
        .await;
    let folder = coordinator.folder().to_owned();
    let bob = Cli::agent(&coordinator, "bob").await;
    let task = submit(&bob, &folder, &["long"]).await;
    let script = r#"echo up > started; while [ -d "$HOME" ] && ! [ -e go ]; do sleep 0.02; done; echo finished"#;
    let words = ["task", "work", "--once", "--", "sh", "-c", script];
    let worker = bob.start(&folder, &words);
    file_with(&folder.join("started"), 1).await;
    coordinator.kill().await;
    coordinator.restart().await;
    fs::write(folder.join("go"), "").unwrap();
    worker.done().await.check(0);
    let view = bob.task(&folder, &task).await;
    assert_eq!(view["state"], "done", "{view}");
    assert_eq!(view["attempts"], 1, "{view}");
    let stdout: &Value = &view["result"]["stdout"];
    assert_eq!(stdout.as_str().unwrap().trim_end(), "finished");
}

/// Ends the commands of this test, which are known by the folder they work in.
fn stop_sleepers(folder: &Path) {
    for entry in fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Ok(pid) = name.parse::<i32>() else {
            continue;
        };
        let works_here = fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd == folder);
        let sleeps = fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm == "sleep\n");
        if works_here && sleeps {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        }
    }
}
