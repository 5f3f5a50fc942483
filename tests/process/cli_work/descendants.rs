//! What a command started ends with it, wherever it went.

use nix::sys::signal::Signal;
use serde_json::json;

use super::beats::{BEATS, Beats};
use super::coord::Cli;
use crate::support::{Client, Coordinator};

async fn operator(coordinator: &Coordinator) -> Client {
    let token = coordinator.token("root", "operator").await;
    Client::connect(coordinator.port(), &token).await
}

#[tokio::test]
async fn a_revoked_lease_ends_everything_that_its_command_started() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let ann = Cli::agent(&coordinator, "ann").await;
    let mut operator = operator(&coordinator).await;
    let deaf = BEATS.replace("trap '' HUP", "trap '' HUP TERM INT");
    for script in [BEATS, &deaf] {
        Beats::clear(folder);
        let words = [
            "lease",
            "run",
            "--kill-after",
            "100ms",
            "name:x",
            "--",
            "sh",
            "-c",
            script,
        ];
        let holder = ann.start(folder, &words);
        let beats = Beats::in_folder(folder).await;
        let leases = ann.json(folder, &["lease", "list"]).await;
        let revoke = json!({ "lease": leases["leases"][0]["lease"] });
        operator.call("lease.revoke", revoke).await.unwrap();
        holder.done().await.check(7);
        // Not a moment later: the next holder may be at work already.
        beats.end().await;
    }
}

#[tokio::test]
async fn a_cancelled_task_and_one_out_of_time_end_everything_that_was_started() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let ann = Cli::agent(&coordinator, "ann").await;
    let bob = Cli::agent(&coordinator, "bob").await;
    for timeout in [None, Some("2s")] {
        Beats::clear(folder);
        let mut submit = vec!["task", "submit", "x", "--attempts", "1"];
        submit.extend(timeout.map(|_| "--timeout").into_iter().chain(timeout));
        let task = ann.json(folder, &submit).await["task"].to_string();
        let words = [
            "task",
            "work",
            "--once",
            "--kill-after",
            "100ms",
            "--",
            "sh",
            "-c",
            BEATS,
        ];
        let worker = bob.start(folder, &words);
        let beats = Beats::in_folder(folder).await;
        if timeout.is_none() {
            ann.run(folder, &["task", "cancel", &task]).await.check(0);
        }
        worker.done().await.check(7);
        beats.end().await;
    }
}

#[tokio::test]
async fn term_to_any_wrapper_ends_everything_that_was_started() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let ann = Cli::agent(&coordinator, "ann").await;
    ann.run(folder, &["task", "submit", "x"]).await.check(0);
    let wrappers: [&[&str]; 3] = [
        &[
            "ports",
            "run",
            "--no-lease",
            "--pool",
            "22000-22999",
            "--id",
            "x",
        ],
        &["lease", "run", "name:x"],
        &["task", "work"],
    ];
    for wrapper in wrappers {
        Beats::clear(folder);
        let words = [wrapper, &["--kill-after", "100ms", "--", "sh", "-c", BEATS]].concat();
        let running = ann.start(folder, &words);
        let beats = Beats::in_folder(folder).await;
        running.signal(Signal::SIGTERM);
        running.done().await;
        beats.end().await;
    }
}

/// The command ends by itself and leaves something in the background.
#[tokio::test]
async fn what_is_left_in_the_background_is_ended_and_named_unless_it_is_to_stay() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let ann = Cli::agent(&coordinator, "ann").await;
    let script = format!(
        "{}\nuntil [ -s beat ]; do sleep 0.02; done",
        BEATS.replace("wait", "")
    );
    let words = ["--kill-after", "100ms", "name:x", "--", "sh", "-c", &script];
    let done = ann
        .run(folder, &[&["lease", "run"], &words[..]].concat())
        .await;
    done.check(0).says("left background processes");
    let beats = Beats::in_folder_ended(folder);
    beats.end().await;

    Beats::clear(folder);
    // What stays must not keep this test's pipes open.
    let script = format!("exec > out 2>&1\n{script}");
    let words = ["--kill-after", "100ms", "name:x", "--", "sh", "-c", &script];
    let words = [&["lease", "run", "--keep-background"], &words[..]].concat();
    let done = ann.run(folder, &words).await;
    done.check(0);
    assert!(
        !done.stderr.contains("left background processes"),
        "{}",
        done.stderr
    );
    let beats = Beats::in_folder(folder).await;
    assert!(beats.are_there());
    beats.kill();
    beats.end().await;
}

/// A reader of a pipe ends by itself a moment later, and is no leftover.
#[tokio::test]
async fn what_ends_by_itself_is_not_hurried() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let ann = Cli::agent(&coordinator, "ann").await;
    let script = "(sleep 0.1; echo written > late) & echo done";
    let words = ["lease", "run", "name:x", "--", "sh", "-c", script];
    let done = ann.run(folder, &words).await;
    done.check(0);
    assert!(
        !done.stderr.contains("left background processes"),
        "{}",
        done.stderr
    );
    assert!(folder.join("late").exists(), "it was waited for");
}

#[tokio::test]
async fn a_worker_whose_command_only_fails_ends_before_the_queue_is_empty() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let ann = Cli::agent(&coordinator, "ann").await;
    for _ in 0..8 {
        ann.run(folder, &["task", "submit", "x", "--attempts", "1"])
            .await
            .check(0);
    }
    let words = ["task", "work", "--idle-exit", "100ms", "--", "false"];
    ann.run(folder, &words)
        .await
        .check(1)
        .says("5 failures in a row");
    // A success in between begins the count anew.
    let script = "[ $((COORD_TASK_ID % 2)) = 1 ]";
    let words = [
        "task",
        "work",
        "--failures-max",
        "2",
        "--idle-exit",
        "100ms",
        "--",
        "sh",
        "-c",
        script,
    ];
    ann.run(folder, &words).await.check(0);
    let submit = ["task", "submit", "x", "--attempts", "1"];
    ann.run(folder, &submit).await.check(0);
    let words = [
        "task",
        "work",
        "--failures-max",
        "0",
        "--idle-exit",
        "100ms",
        "--",
        "false",
    ];
    ann.run(folder, &words).await.check(0);
    let tasks = ann.json(folder, &["task", "list", "--state", "dead"]).await;
    assert_eq!(tasks["tasks"].as_array().unwrap().len(), 8);
}
