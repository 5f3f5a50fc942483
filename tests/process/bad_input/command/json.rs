//! `--json` means JSON: whatever becomes of a command, its stderr is lines of JSON, and a failure has one
//! shape.

use std::fs;

use serde_json::Value;

use super::{Done, Terminal};
use crate::support::Coordinator;

/// The last line is the error; it says what the exit code says.
#[track_caller]
fn error(done: &Done, code: i32, kind: &str) -> Value {
    done.check(code);
    let remarks = done.remarks();
    done.answers();
    let error = remarks
        .last()
        .map_or(Value::Null, |last| last["error"].clone());
    assert_eq!(error["kind"], kind, "{done:#?}");
    assert_eq!(error["exit_code"], code, "{done:#?}");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| !text.is_empty()),
        "{done:#?}"
    );
    error
}

#[tokio::test]
async fn misuse_and_configuration_without_a_coordinator() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = Terminal::at(folder.path()).with("COORD_URL", "ws://127.0.0.1:1/ws");
    for (words, code, kind) in [
        (&["--json"][..], 2, "usage"),
        (&["--json", "lease"], 2, "usage"),
        (&["tsak", "list", "--json"], 2, "usage"),
        (&["task", "list", "--json", "--statee", "x"], 2, "usage"),
        (&["lease", "acquire", "path:[", "--json"], 2, "usage"),
        (&["lease", "acquire", "--json"], 2, "usage"),
        (
            &["lease", "list", "--resource", "path:a[", "--json"],
            2,
            "usage",
        ),
        (&["task", "claim", "--wait", "soon", "--json"], 2, "usage"),
        (&["task", "work", "--json"], 2, "usage"),
        (
            &["ports", "run", "--pool", "9-1", "--json", "--", "true"],
            2,
            "usage",
        ),
        (&["ports", "who", "70000", "--json"], 2, "usage"),
        (&["--json=yes", "status"], 2, "usage"),
        (&["--json", "completions", "bash"], 2, "usage"),
        (&["--json", "man"], 2, "usage"),
        (&["--json", "config", "example"], 2, "usage"),
        (&["--json", "render", "nginx"], 2, "usage"),
        (&["--json", "health", "--timeout", "0"], 2, "usage"),
        (
            &["--json", "task", "submit", "t", "--payload", "{"],
            2,
            "input",
        ),
        (
            &["--json", "--token-file", "none", "status"],
            2,
            "configuration",
        ),
        (&["--json", "status"], 4, "no_token"),
        (
            &["--json", "config", "show", "--metrics-port", "x"],
            2,
            "configuration",
        ),
        (
            &["--json", "serve", "--metrics-port", "x"],
            78,
            "configuration",
        ),
        (
            &["--json", "serve", "--state-dir", "~/coord"],
            78,
            "configuration",
        ),
        (
            &["--json", "journal", "verify", "--state-dir", "none"],
            1,
            "failed",
        ),
        (
            &["--json", "journal", "dump", "--state-dir", "none"],
            1,
            "failed",
        ),
        (&["--json", "restore", "none"], 1, "failed"),
        (&["--json", "ports", "stop", "1"], 5, "not_found"),
    ] {
        error(&nobody.run(words).await, code, kind);
    }
    let told = nobody.clone().with("COORD_TOKEN", "x".repeat(20) + "y");
    let unreachable = error(&told.run(&["--json", "status"]).await, 3, "unreachable");
    assert!(unreachable["next"].is_string(), "{unreachable}");
    let problems = error(
        &nobody
            .run(&["--json", "serve", "--metrics-port", "x"])
            .await,
        78,
        "configuration",
    );
    assert!(
        problems["message"].as_str().unwrap().contains("metrics"),
        "{problems}"
    );
    // Text stays text: it was asked for.
    nobody.run(&["--json", "--help"]).await.check(0);
}

#[tokio::test]
async fn what_a_coordinator_refuses_and_waits_that_time_out() {
    let coordinator = Coordinator::start().await;
    let ann = Terminal::agent(&coordinator, "ann").await;
    let bob = Terminal::agent(&coordinator, "bob").await;
    ann.run(&["lease", "acquire", "path:src/**"]).await.check(0);
    let wanted = "path:src/a.rs";
    for (words, code, kind) in [
        (&["lease", "acquire", wanted][..], 6, "conflict"),
        (
            &["lease", "acquire", "--wait", "20ms", wanted],
            124,
            "timed_out",
        ),
        (
            &["lease", "run", "--no-wait", wanted, "--", "true"],
            6,
            "conflict",
        ),
        (
            &["lease", "run", "--wait", "20ms", wanted, "--", "true"],
            124,
            "timed_out",
        ),
    ] {
        let words = [&["--json"], words].concat();
        let error = error(&bob.run(&words).await, code, kind);
        let conflict = &error["conflicts"][0];
        assert_eq!(conflict["holder"], "ann", "{error}");
        assert!(error["next"].is_string(), "{error}");
    }
    for (words, code, kind) in [
        (&["task", "claim"][..], 6, "conflict"),
        (&["task", "claim", "--wait", "20ms"], 124, "timed_out"),
        (
            &[
                "task",
                "work",
                "--once",
                "--idle-exit",
                "20ms",
                "--",
                "true",
            ],
            6,
            "conflict",
        ),
        (&["task", "get", "999"], 5, "not_found"),
        (
            &["lease", "release", "999", "--fence", "1"],
            7,
            "stale_fence",
        ),
        (&["token", "list"], 4, "forbidden"),
        (&["call", "no.such"], 2, "method_not_found"),
        (
            &["lease", "run", "name:y", "--", "/nowhere/none"],
            127,
            "command_not_found",
        ),
        (
            &["lease", "run", "name:y", "--", "/"],
            126,
            "cannot_execute",
        ),
        (&["context", "put", "a", "{"], 2, "input"),
    ] {
        let words = [&["--json"], words].concat();
        error(&bob.run(&words).await, code, kind);
    }
    // An idle end is no failure; the remark is JSON all the same.
    let words = [
        "--json",
        "task",
        "work",
        "--idle-exit",
        "20ms",
        "--",
        "true",
    ];
    let done = bob.run(&words).await;
    let remarks = done.check(0).remarks();
    assert_eq!(remarks[0]["message"], "nothing to claim", "{done:#?}");
    let words = ["--json", "events", "follow", "--max", "1", "--from", "0:0"];
    let done = bob.run(&words).await;
    assert!(
        done.code == Some(0) || !done.remarks().is_empty(),
        "{done:#?}"
    );
    done.remarks();
    done.answers();
}

#[tokio::test]
async fn nothing_in_json_acts_on_a_terminal() {
    let coordinator = Coordinator::start().await;
    let ann = Terminal::agent(&coordinator, "ann").await;
    let hostile = "\u{7f}\u{9b}31m\u{202e}\u{2028}\u{feff}\u{e0041}é漢";
    ann.run(&["context", "put", "a", "--text", hostile])
        .await
        .check(0);
    ann.run(&["message", "send", "--to", "ann", hostile])
        .await
        .check(0);
    let raw_payload = "{\n  \"a\": 1\n}";
    ann.run(&["task", "submit", "t", "--payload", raw_payload])
        .await
        .check(0);
    for words in [
        &["context", "get", "a"][..],
        &["context", "list", "--values"],
        &["message", "inbox"],
        &["call", "context.get", "{\"key\":\"a\"}"],
        &["events", "follow", "--from", "0:0", "--max", "1"],
        &["task", "get", "1"],
    ] {
        let done = ann.run(&[&["--json"], words].concat()).await;
        let acts = |c: char| {
            c.is_control() && c != '\n' || "\u{202e}\u{2028}\u{feff}\u{e0041}".contains(c)
        };
        assert!(!done.stdout.contains(acts), "{done:#?}");
        let answers = done.answers();
        assert!(answers.len() <= 1, "one value a line: {done:#?}");
        if words[..2] == ["context", "get"] {
            assert_eq!(answers[0]["value"], hostile);
        }
    }
}

#[tokio::test]
async fn a_coordinator_that_is_asked_for_json_says_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    fs::write(state.join("segment-0000000001"), "no journal").unwrap();
    let terminal = Terminal::at(folder.path())
        .with("COORD_STATE_DIR", state.display())
        .with(
            "WEBSOCKET_PORT",
            crate::support::port::HeldPort::take().number(),
        )
        .with(
            "METRICS_PORT",
            crate::support::port::HeldPort::take().number(),
        );
    let done = terminal.run(&["--json", "serve"]).await;
    let code = done.code.unwrap();
    let remarks = done.remarks();
    let last = &remarks.last().unwrap()["error"];
    assert_eq!(last["exit_code"], code, "{done:#?}");
    assert_ne!(code, 0);
    done.answers();
}
