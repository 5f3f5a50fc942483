//! State directories that cannot be used: taken, no directory, read-only, newer, damaged.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use serde_json::json;

use crate::support::Coordinator;
use crate::support::coordinator::Start;

/// Somebody with no rights at all.
const NOBODY: u32 = 65_534;

#[tokio::test]
async fn a_second_coordinator() {
    let first = Coordinator::start().await;
    let state = first.state_dir().display().to_string();
    let second = Start::new().state_dir(first.state_dir()).run_to_end().await;
    let holder = format!("process {}", first.pid());
    second.check(1, &[&state, "in use by another coordinator", &holder]);
    first.operator().await.check_alive().await;
}

#[tokio::test]
async fn a_port_that_is_taken() {
    let first = Coordinator::start().await;
    let second = Start::new()
        .variable("WEBSOCKET_PORT", first.port())
        .run_to_end()
        .await;
    let holder = format!("process {}", first.pid());
    let words = [
        &first.port().to_string(),
        "in use",
        "WebSocket",
        &holder,
        "which is the coordinator",
        "of the testing environment",
    ];
    second.check(78, &words);
    let third = Start::new()
        .variable("METRICS_PORT", first.port())
        .run_to_end()
        .await;
    let words = [&first.port().to_string(), "in use", "metrics", &holder];
    third.check(78, &words);
    first.operator().await.check_alive().await;
}

#[tokio::test]
async fn a_file_in_its_place() {
    let start = Start::new();
    fs::write(start.state(), "not a folder").unwrap();
    let path = start.state().display().to_string();
    start.run_to_end().await.check(78, &[&path]);
    assert_eq!(fs::read_to_string(start.state()).unwrap(), "not a folder");
}

/// Runs as somebody who may not write, whoever runs the test.
fn powerless(start: Start) -> Start {
    if !geteuid().is_root() {
        return start;
    }
    // The folders above are the test's own; nobody else could even look into them.
    fs::set_permissions(start.folder(), Permissions::from_mode(0o755)).unwrap();
    let id = NOBODY.to_string();
    let words = ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"];
    start.wrapper(&words)
}

#[tokio::test]
async fn a_read_only_state_directory() {
    let start = powerless(Start::new());
    fs::create_dir(start.state()).unwrap();
    fs::set_permissions(start.state(), Permissions::from_mode(0o555)).unwrap();
    let path = start.state().display().to_string();
    let ended = start.run_to_end().await;
    assert_ne!(ended.status.code(), Some(0));
    ended.check(78, &[&path, "denied"]);
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_made() {
    let start = powerless(Start::new());
    let parent = start.folder().join("closed");
    fs::create_dir(&parent).unwrap();
    fs::set_permissions(&parent, Permissions::from_mode(0o555)).unwrap();
    let state = parent.join("state");
    let path = state.display().to_string();
    start
        .state_dir(&state)
        .run_to_end()
        .await
        .check(78, &[&path, "denied"]);
}

/// Shells replace `~`; nothing else does, and a folder of that name is nobody's wish.
#[tokio::test]
async fn a_path_that_no_shell_has_replaced() {
    for (text, part) in [
        ("~/coord", "only a shell replaces ~"),
        ("~", "only a shell replaces ~"),
        ("$HOME/coord", "contains $HOME"),
        ("%h/coord", "specifier"),
        ("\"/tmp/coord\"", "quotes"),
        ("state ", "blank"),
    ] {
        let start = Start::new().state_dir(Path::new(text));
        let ended = start.run_to_end().await;
        ended.check(78, &["COORD_STATE_DIR", part]);
        assert!(!Path::new(text).exists(), "{text}");
    }
}

/// Whoever may write there could put a journal and a token of their own.
#[tokio::test]
async fn a_directory_that_everybody_may_write() {
    for mode in [0o777, 0o1777, 0o702] {
        let start = Start::new();
        fs::create_dir(start.state()).unwrap();
        fs::set_permissions(start.state(), Permissions::from_mode(mode)).unwrap();
        let path = start.state().display().to_string();
        let advice = format!("chmod go-w {path}");
        start
            .run_to_end()
            .await
            .check(78, &[&path, "everybody", &advice]);
        let left = fs::read_dir(start.state()).unwrap().count();
        assert_eq!(left, 0, "something was trusted to it");
        fs::set_permissions(start.state(), Permissions::from_mode(mode & 0o755)).unwrap();
        start.run().await.operator().await.check_alive().await;
    }
}

/// Volumes of containers are often their group's; they are told of, and used.
#[tokio::test]
async fn a_directory_that_its_group_may_write() {
    let start = Start::new();
    fs::create_dir(start.state()).unwrap();
    // Of a group that has a number and no name, and so no other members.
    if geteuid().is_root() {
        std::os::unix::fs::chown(start.state(), None, Some(61_234)).unwrap();
    }
    fs::set_permissions(start.state(), Permissions::from_mode(0o770)).unwrap();
    let coordinator = start.run().await;
    let said = coordinator.said();
    assert!(said.contains("is writable by group"), "{said}");
    let token = coordinator.state_dir().join("operator.token");
    assert_eq!(
        fs::metadata(token).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[tokio::test]
async fn a_link_that_somebody_else_could_turn() {
    if !geteuid().is_root() {
        // Only root can make a link that belongs to another user.
        return;
    }
    let start = Start::new();
    let real = start.folder().join("real");
    fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, start.state()).unwrap();
    std::os::unix::fs::lchown(start.state(), Some(NOBODY), None).unwrap();
    start.run_to_end().await.check(
        78,
        &[
            "is a link of user",
            "set the directory itself, not the link",
        ],
    );
    std::os::unix::fs::lchown(start.state(), Some(0), None).unwrap();
    start.run().await.operator().await.check_alive().await;
}

/// A coordinator that has written something and stopped, without a snapshot.
async fn with_records() -> Coordinator {
    let mut coordinator = Coordinator::start().await;
    let mut client = coordinator.agent("alice").await;
    for number in 0..50 {
        let params = json!({"title": format!("task {number}"), "payload": "x".repeat(200)});
        client.call("task.submit", params).await.unwrap();
    }
    coordinator.kill().await;
    coordinator
}

fn segment(state: &Path) -> PathBuf {
    state.join("segment-0000000001")
}

#[tokio::test]
async fn a_state_of_a_newer_version() {
    for (file, at) in [("segment-0000000001", 8), ("floor", 8), ("floor", 4096 + 8)] {
        let stopped = with_records().await.into_start();
        let path = stopped.state().join(file);
        let mut bytes = fs::read(&path).unwrap();
        if bytes[at..at + 4] == [0; 4] {
            // The slot of the floor that was never written.
            continue;
        }
        bytes[at..at + 4].copy_from_slice(&2_u32.to_le_bytes());
        let block = &mut bytes[at - 8..at - 8 + 64];
        let sum = crc32c::crc32c_append(crc32c::crc32c(&block[..12]), &block[16..]);
        block[12..16].copy_from_slice(&sum.to_le_bytes());
        fs::write(&path, &bytes).unwrap();
        let ended = stopped.run_to_end().await;
        ended.check(
            65,
            &[&path.display().to_string(), "format 2", "formats up to 1"],
        );
        assert_eq!(
            fs::read(&path).unwrap(),
            bytes,
            "a refused state was changed"
        );
    }
}

#[tokio::test]
async fn a_journal_damaged_in_the_middle() {
    let stopped = with_records().await.into_start();
    let path = segment(stopped.state());
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes
        .windows(7)
        .position(|window| window == b"task 20")
        .unwrap();
    bytes[middle] ^= 0x20;
    fs::write(&path, &bytes).unwrap();
    let ended = stopped.run_to_end().await;
    ended.check(65, &[&path.display().to_string(), "corrupt at byte"]);
    // It says where, to the frame.
    let told: usize = ended
        .said
        .split("at byte ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(
        told <= middle && middle - told < 1000,
        "byte {told} is told, {middle} was damaged"
    );
    assert_eq!(
        fs::read(&path).unwrap(),
        bytes,
        "a damaged state was changed"
    );
}

#[tokio::test]
async fn a_journal_cut_off_in_its_last_record() {
    let mut coordinator = with_records().await;
    let path = segment(coordinator.state_dir());
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes
        .windows(7)
        .rposition(|window| window == b"task 49")
        .unwrap();
    bytes[last..].fill(0);
    fs::write(&path, &bytes).unwrap();
    coordinator.restart().await;
    let mut operator = coordinator.operator().await;
    let tasks = operator.call("task.list", json!({})).await.unwrap();
    assert_eq!(tasks["tasks"].as_array().unwrap().len(), 49);
    assert!(
        coordinator.said().contains("incomplete write"),
        "{}",
        coordinator.said()
    );
}

#[tokio::test]
async fn a_journal_that_has_lost_a_segment() {
    let mut coordinator = Start::new()
        .variable("COORD_JOURNAL_SEGMENT_BYTES", 262_144)
        .variable("COORD_MESSAGE_BYTES_MAX", 65_536)
        .run()
        .await;
    let mut client = coordinator.agent("alice").await;
    for number in 0..40 {
        let params = json!({"title": format!("task {number}"), "payload": "x".repeat(20_000)});
        client.call("task.submit", params).await.unwrap();
    }
    coordinator.kill().await;
    let stopped = coordinator.into_start();
    let lost = stopped.state().join("segment-0000000002");
    fs::remove_file(&lost).unwrap();
    stopped.run_to_end().await.check(65, &["segment"]);
}

/// Another box's journal was restored beside it: the operator is let in all the same.
#[tokio::test]
async fn a_token_that_is_not_the_journals() {
    let mut coordinator = Coordinator::start().await;
    let token = coordinator.operator_token();
    coordinator.stop().await;
    coordinator.restart().await;
    assert_eq!(coordinator.operator_token(), token);
    coordinator.stop().await;
    fs::write(
        coordinator.state_dir().join("operator.token"),
        "coord_of-another-box\n",
    )
    .unwrap();
    coordinator.restart().await;
    let made = coordinator.operator_token();
    assert!(made != token && made != "coord_of-another-box", "{made}");
    coordinator.operator().await.check_alive().await;
}
