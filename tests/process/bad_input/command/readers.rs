//! Commands that print as things happen end when their reader has gone, though nothing happens.

use std::process::ExitStatus;

use tokio::io::{AsyncBufReadExt, BufReader};

use super::Terminal;
use crate::support::{Coordinator, within};

/// Starts a command, reads so many lines of it, and goes.
async fn left(terminal: &Terminal, words: &[&str], lines: usize) -> ExitStatus {
    let mut child = terminal.command(words).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..lines {
        let line = within("a line", stdout.next_line()).await.unwrap();
        assert!(line.is_some(), "it ended before its reader did");
    }
    drop(stdout);
    within("a command without a reader to end", child.wait())
        .await
        .unwrap()
}

#[tokio::test]
async fn followers_end_with_their_reader() {
    let coordinator = Coordinator::start().await;
    let ann = Terminal::agent(&coordinator, "ann").await;
    ann.run(&["context", "put", "a", "1"]).await.check(0);
    for words in [
        &["events", "follow"][..],
        &["--json", "events", "follow"],
        &["events", "follow", "--kind", "task.*"],
        &["context", "watch"],
        &["health", "--watch", "--interval", "1h"],
        &["--json", "health", "--watch", "--interval", "1h"],
    ] {
        assert_eq!(left(&ann, words, 0).await.code(), Some(0), "{words:?}");
    }
    for words in [
        &["events", "follow", "--from", "0:0"][..],
        &["--json", "events", "follow", "--from", "0:0"],
        &["health", "--watch", "--interval", "1h"],
    ] {
        assert_eq!(left(&ann, words, 1).await.code(), Some(0), "{words:?}");
    }
    // A journal in Redis cannot be dumped from a state directory.
    if coordinator.has_embedded_journal() {
        let state = coordinator.state_dir().display().to_string();
        let dump = ["journal", "dump", "--state-dir", &state];
        assert_eq!(left(&ann, &dump, 1).await.code(), Some(0));
    }
}

/// Without its coordinator a follower tries to reach it again; its reader need not wait for that.
#[tokio::test]
async fn a_follower_that_lost_its_coordinator_too() {
    let mut coordinator = Coordinator::start().await;
    let ann = Terminal::agent(&coordinator, "ann").await;
    let mut child = ann.command(&["events", "follow"]).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = within("it to follow", stderr.next_line())
        .await
        .unwrap()
        .unwrap();
    assert!(line.contains("following from"), "{line}");
    coordinator.kill().await;
    drop(child.stdout.take());
    let status = within("it to end", child.wait()).await.unwrap();
    assert!(status.code().is_some(), "{status}");
}

/// A file and a closed stdout have no reader who could go.
#[tokio::test]
async fn what_goes_to_a_file_goes_on() {
    let coordinator = Coordinator::start().await;
    let ann = Terminal::agent(&coordinator, "ann").await;
    let file = std::fs::File::create(coordinator.folder().join("events")).unwrap();
    let mut command = ann.command(&["events", "follow", "--kind", "context.*", "--max", "1"]);
    let mut child = command.stdout(file).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    within("it to follow", stderr.next_line())
        .await
        .unwrap()
        .unwrap();
    assert!(child.try_wait().unwrap().is_none());
    ann.run(&["context", "put", "a", "1"]).await.check(0);
    let status = within("it to end", child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    let text = std::fs::read_to_string(coordinator.folder().join("events")).unwrap();
    assert!(text.contains("context"), "{text}");
}
