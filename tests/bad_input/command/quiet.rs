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

#[tokio::test]
async fn every_command_is_quiet() {
    let coordinator = Coordinator::start().await;
    let ann = Terminal::agent(&coordinator, "ann").await;
    let operator = Terminal::of(&coordinator);
    let steps: &[(&Terminal, &[&str], i32, Expected)] = &[
        (&ann, &["ping"], 0, Nothing),
        (&operator, &["status"], 0, Has("running")),
        (
            &operator,
            &["token", "create", "bob", "--out", "bob.token"],
            0,
            Has("t-"),
        ),
        (
            &operator,
            &["token", "create", "eve", "--print"],
            0,
            Has("coord_"),
        ),
        (&operator, &["token", "list"], 0, Has("bob")),
        (&operator, &["project", "create", "p"], 0, Nothing),
        (&operator, &["project", "list"], 0, Words("default\np\n")),
        (&operator, &["backup", "b"], 0, Has("backups/b\n")),
        (&ann, &["agent", "update", "--status", "busy"], 0, Nothing),
        (&ann, &["agent", "list"], 0, Has("ann")),
        (&ann, &["task", "claim"], 6, Nothing),
        (&ann, &["task", "list"], 0, Nothing),
        (&ann, &["task", "submit", "one"], 0, Words("1\n")),
        (&ann, &["task", "submit", "two"], 0, Words("2\n")),
        (&ann, &["task", "claim"], 0, Words("1 1\n")),
        (&ann, &["task", "progress", "1", "--fence", "1"], 0, Nothing),
        (
            &ann,
            &["task", "complete", "1", "--fence", "1", "--next"],
            0,
            Words("2 2\n"),
        ),
        (&ann, &["task", "release", "2", "--fence", "2"], 0, Nothing),
        (&ann, &["task", "work", "--once", "--", "true"], 0, Nothing),
        (
            &ann,
            &["task", "work", "--idle-exit", "10ms", "--", "true"],
            0,
            Nothing,
        ),
        (&ann, &["task", "submit", "three"], 0, Words("3\n")),
        (&ann, &["task", "cancel", "3"], 0, Nothing),
        (&ann, &["task", "retry", "3"], 0, Nothing),
        (&ann, &["lease", "acquire", "name:x"], 0, Has("1 ")),
        (&ann, &["lease", "list"], 0, Has("name:x")),
        (&ann, &["lease", "check", "name:y"], 0, Words("free\n")),
        (&operator, &["lease", "revoke", "1"], 0, Nothing),
        (
            &ann,
            &["lease", "run", "name:x", "--", "echo", "hi"],
            0,
            Words("hi\n"),
        ),
        (
            &ann,
            &["message", "send", "--to", "ann", "x"],
            0,
            Words("1\n"),
        ),
        (&ann, &["message", "inbox"], 0, Has("x")),
        (&ann, &["message", "ack", "1"], 0, Nothing),
        (&ann, &["message", "inbox"], 0, Nothing),
        (
            &ann,
            &["message", "send", "--to", "nobody", "x"],
            5,
            Nothing,
        ),
        (&ann, &["context", "put", "a", "1"], 0, Words("1\n")),
        (&ann, &["context", "get", "a"], 0, Words("1\n")),
        (&ann, &["context", "list"], 0, Has("a")),
        (&ann, &["context", "delete", "a"], 0, Nothing),
        (&ann, &["context", "list"], 0, Nothing),
        (
            &ann,
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
            &ann,
            &["ports", "lease", "--pool", "21000-21999"],
            0,
            Has("PORT=2"),
        ),
        (
            &ann,
            &["ports", "run", "--pool", "21000-21999", "--", "true"],
            0,
            Nothing,
        ),
        (&ann, &["ports", "free", "--from", "22000"], 0, Has("22")),
        (&ann, &["config", "show"], 0, Has("profile")),
        (&operator, &["agent", "remove", "ann"], 0, Nothing),
    ];
    for (terminal, words, code, expected) in steps {
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
