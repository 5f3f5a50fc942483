//! What agents write reaches a terminal as text that can be seen, and as nothing else.

use super::{Done, Terminal};
use crate::support::Coordinator;

/// Reorders, hides, is nothing: all that a title may have in it.
const HOSTILE: &str = "safe\u{202e}txt.exe\u{2066}\u{200b}\u{200d}\u{ad}\u{feff}\u{2028}\u{2029}\u{e0061}\u{3164}\u{115f}\u{2800}\u{180e}end";

#[track_caller]
fn check(done: &Done) {
    let hidden = |c: char| {
        c != '\n' && c != '\t' && (c.is_control() || HOSTILE.contains(c) && !c.is_ascii())
    };
    for text in [&done.stdout, &done.stderr] {
        assert!(!text.contains(hidden), "{done:#?}");
    }
}

#[tokio::test]
async fn whatever_is_written_is_escaped_wherever_it_is_read() {
    let coordinator = Coordinator::start().await;
    let ann = Terminal::agent(&coordinator, "ann").await;
    let heap = format!("{HOSTILE} z{}", "\u{301}".repeat(40));
    let glob = format!(
        "path:src/{}/**",
        HOSTILE.replace(['\u{2028}', '\u{2029}'], "")
    );
    let payload = format!("{{\"a\":\"{HOSTILE}\"}}");
    for words in [
        &["task", "submit", &heap, "--payload", &payload][..],
        &["task", "submit", "plain", "--payload-text", HOSTILE],
        &["agent", "update", "--note", HOSTILE],
        &["lease", "acquire", &glob, "--note", HOSTILE],
        &[
            "message",
            "send",
            "--to",
            "ann",
            "--subject",
            HOSTILE,
            HOSTILE,
        ],
        &["context", "put", "a", "--text", HOSTILE],
    ] {
        let done = ann.run(words).await;
        check(done.check(0));
    }
    let bob = Terminal::agent(&coordinator, "bob").await;
    let mut escaped = 0;
    for (words, code) in [
        (&["task", "get", "1"][..], 0),
        (&["task", "list"], 0),
        (&["task", "claim"], 0),
        (&["task", "claim"], 0),
        (&["agent", "list"], 0),
        (&["agent", "get", "ann"], 0),
        (&["lease", "list"], 0),
        (&["lease", "check", "path:src/**"], 6),
        (&["lease", "acquire", "path:src/**"], 6),
        (&["lease", "acquire", "--wait", "10ms", "path:src/**"], 124),
        (
            &["lease", "run", "--no-wait", "path:src/**", "--", "true"],
            6,
        ),
        (
            &[
                "lease",
                "run",
                "--wait",
                "10ms",
                "path:src/**",
                "--",
                "true",
            ],
            124,
        ),
        (&["context", "get", "a"], 0),
        (&["context", "list", "--values"], 0),
        // What was typed may come from elsewhere.
        (&["lease", "acquire", &format!("path:{HOSTILE}[")], 2),
        (&["task", "get", HOSTILE], 2),
        (&["context", "put", "b", HOSTILE], 2),
        (&["--token-file", HOSTILE, "status"], 2),
        (&["journal", "verify", "--state-dir", HOSTILE], 1),
        (&["call", HOSTILE], 2),
    ] {
        let done = bob.run(words).await;
        check(done.check(code));
        escaped += usize::from(format!("{done:?}").contains("u{202e}"));
    }
    assert!(escaped >= 15, "only {escaped} showed what was written");
    check(ann.run(&["message", "inbox"]).await.check(0));
    check(ann.run(&["message", "thread", "1"]).await.check(0));
    check(
        ann.run(&["events", "follow", "--from", "0:0", "--max", "1"])
            .await
            .check(0),
    );
    let state = coordinator.state_dir().display().to_string();
    check(
        ann.run(&["journal", "dump", "--state-dir", &state])
            .await
            .check(0),
    );
    assert!(!coordinator.said().contains('\u{202e}'), "its log has it");
}

/// With colours, ours are the only escape sequences.
#[tokio::test]
async fn colours_are_ours_alone() {
    let coordinator = Coordinator::start().await;
    let ann = Terminal::agent(&coordinator, "ann").await;
    ann.run(&["context", "put", "a", "--text", "\u{1b}[31mred\u{1b}[2J"])
        .await
        .check(0);
    ann.run(&[
        "message",
        "send",
        "--to",
        "ann",
        "\u{1b}]0;title\u{7}\u{1b}[8mhidden",
    ])
    .await
    .check(0);
    for words in [
        &["context", "get", "a"][..],
        &["message", "inbox"],
        &["context", "list", "--values"],
    ] {
        let done = ann.run(&[&["--color", "always"], words].concat()).await;
        let ours = ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[32m"];
        let rest = ours
            .iter()
            .fold(done.check(0).stdout.clone(), |text, ours| {
                text.replace(ours, "")
            });
        assert!(!rest.contains('\u{1b}'), "{done:#?}");
    }
}

#[tokio::test]
async fn wide_characters_keep_the_columns() {
    let coordinator = Coordinator::start().await;
    let ann = Terminal::agent(&coordinator, "ann").await;
    for key in ["wide", "x"] {
        ann.run(&["context", "put", key, "1"]).await.check(0);
    }
    ann.run(&["agent", "update", "--note", "漢字🦀"])
        .await
        .check(0);
    let done = ann.run(&["context", "list", "--values"]).await;
    let columns: Vec<Option<usize>> = done.stdout.lines().map(|line| line.find("ann")).collect();
    assert_eq!(columns[1], columns[2], "{done:#?}");
}
