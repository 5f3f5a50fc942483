//! `-q` prints only what was asked for: of what was made the number, of what was done nothing, no hints.

use super::Terminal;
use crate::support::Coordinator;

/// What a command may print with `-q`.
enum Expected {
    Nothing,
    /// These words and no more.
    Words(&'static str),
    /// What was asked for, with this in it.
    Has(&'static str),
}
use Expected::{Has, Nothing, Words};

/// Who runs a command.
enum Who {
    Ann,
    Operator,
}
use Who::{Ann, Operator};

/// In this order, for each builds on those before it.
const STEPS: &[(Who, &[&str], i32, Expected)] = &[
    (Ann, &["ping"], 0, Nothing),
    (Operator, &["status"], 0, Has("running")),
    (
        Operator,
        &["token", "create", "bob", "--out", "bob.token"],
        0,
        Has("t-"),
    ),
    (
        Operator,
        &["token", "create", "eve", "--print"],
        0,
        Has("coord_"),
    ),
    (Operator, &["token", "list"], 0, Has("bob")),
    (Operator, &["project", "create", "p"], 0, Nothing),
    (Operator, &["project", "list"], 0, Words("default\np\n")),
    (Operator, &["backup", "b"], 0, Has("backups/b\n")),
    (Ann, &["agent", "update", "--status", "busy"], 0, Nothing),
    (Ann, &["agent", "list"], 0, Has("ann")),
    (Ann, &["task", "claim"], 6, Nothing),
    (Ann, &["task", "list"], 0, Nothing),
    (Ann, &["task", "submit", "one"], 0, Words("1\n")),
    (Ann, &["task", "submit", "two"], 0, Words("2\n")),
    (Ann, &["task", "claim"], 0, Words("1 1\n")),
    (Ann, &["task", "progress", "1", "--fence", "1"], 0, Nothing),
    (
        Ann,
        &["task", "complete", "1", "--fence", "1", "--next"],
        0,
        Words("2 2\n"),
    ),
    (Ann, &["task", "release", "2", "--fence", "2"], 0, Nothing),
    (Ann, &["task", "work", "--once", "--", "true"], 0, Nothing),
    (
        Ann,
        &["task", "work", "--idle-exit", "10ms", "--", "true"],
        0,
        Nothing,
    ),
    (Ann, &["task", "submit", "three"], 0, Words("3\n")),
    (Ann, &["task", "cancel", "3"], 0, Nothing),
    (Ann, &["task", "retry", "3"], 0, Nothing),
    (Ann, &["lease", "acquire", "name:x"], 0, Has("1 ")),
    (Ann, &["lease", "list"], 0, Has("name:x")),
    (Ann, &["lease", "check", "name:y"], 0, Words("free\n")),
    (Operator, &["lease", "revoke", "1"], 0, Nothing),
    (
        Ann,
        &["lease", "run", "name:x", "--", "echo", "hi"],
        0,
        Words("hi\n"),
    ),
    (
        Ann,
        &["message", "send", "--to", "ann", "x"],
        0,
        Words("1\n"),
    ),
    (Ann, &["message", "inbox"], 0, Has("x")),
    (Ann, &["message", "ack", "1"], 0, Nothing),
    (Ann, &["message", "inbox"], 0, Nothing),
    (Ann, &["message", "send", "--to", "nobody", "x"], 5, Nothing),
    (Ann, &["context", "put", "a", "1"], 0, Words("1\n")),
    (Ann, &["context", "get", "a"], 0, Words("1\n")),
    (Ann, &["context", "list"], 0, Has("a")),
    (Ann, &["context", "delete", "a"], 0, Nothing),
    (Ann, &["context", "list"], 0, Nothing),
    (
        Ann,
        &[
            "events",
            "follow",
            "--from",
            "0:0",
            "--kind",
            "task.done",
            "--max",
            "1",
        ],
        0,
        Has("  task.done "),
    ),
    (
        Ann,
        &["ports", "lease", "--pool", "21000-21999"],
        0,
        Has("PORT=2"),
    ),
    (
        Ann,
        &["ports", "run", "--pool", "21000-21999", "--", "true"],
        0,
        Nothing,
    ),
    (Ann, &["ports", "free", "--from", "22000"], 0, Has("22")),
    (Ann, &["config", "show"], 0, Has("profile")),
    (Operator, &["agent", "remove", "ann"], 0, Nothing),
];

#[tokio::test]
async fn every_command_is_quiet() {
    let coordinator = Coordinator::start().await;
    let ann = Terminal::agent(&coordinator, "ann").await;
    let operator = Terminal::of(&coordinator);
    for (who, words, code, expected) in STEPS {
        let terminal = match who {
            Ann => &ann,
            Operator => &operator,
        };
        let done = terminal.run(&[&["-q"], *words].concat()).await;
        assert_eq!(done.check(*code).stderr, "", "{words:?}");
        let right = match expected {
            Nothing => done.stdout.is_empty(),
            Words(text) => done.stdout == *text,
            Has(part) => done.stdout.contains(part),
        };
        assert!(right, "{words:?}: {done:#?}");
    }
}

/// An error is no hint.
#[tokio::test]
async fn errors_are_told_all_the_same() {
    let coordinator = Coordinator::start().await;
    let ann = Terminal::agent(&coordinator, "ann").await;
    ann.run(&["-q", "task", "get", "9"])
        .await
        .check(5)
        .says("does not exist");
    ann.run(&["-q", "lease", "acquire", "path:["])
        .await
        .check(2)
        .says("path:[");
    ann.run(&["-q", "lease", "run", "name:x", "--", "/nowhere/none"])
        .await
        .check(127)
        .says("cannot run");
}
