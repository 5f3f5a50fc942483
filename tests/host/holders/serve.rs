//! `coord serve` on ports that are not free.

use std::process::Stdio;

use super::namespace::{Namespace, Program};
use crate::support::until;

/// Checks that a start fails and says these words.
#[track_caller]
fn check(namespace: &Namespace, words: &[&str]) {
    let output = namespace.coord(&["serve"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in:\n{said}");
    }
}

#[test]
fn the_holder_of_a_taken_port_is_named() {
    let namespace = Namespace::new();
    let holder = namespace.listener(
        "python3",
        &["-u", "-m", "http.server", "--bind", "127.0.0.1", "9093"],
    );
    let pid = format!("process {}", holder.0.id());
    let words = [
        "127.0.0.1:9093 for metrics is in use",
        "python3",
        &pid,
        "coord ports who 9093",
    ];
    check(&namespace, &words);
}

#[test]
fn a_wildcard_is_in_the_way_of_every_address() {
    let namespace = Namespace::new();
    let holder = namespace.python("AF_INET", "0.0.0.0", 8768);
    let pid = format!("process {}", holder.0.id());
    check(
        &namespace,
        &["127.0.0.1:8768 for WebSocket is in use", &pid],
    );
}

#[tokio::test]
async fn connections_in_time_wait_do_not_keep_a_port() {
    let namespace = Namespace::new();
    // The side that closes first is left in TIME_WAIT: here that of the listening port.
    let script = "import socket\n\
        s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
        s.bind(('127.0.0.1', 8768)); s.listen()\n\
        c = socket.create_connection(('127.0.0.1', 8768)); a, _ = s.accept()\n\
        a.close(); c.recv(1); c.close(); s.close()\n\
        print(open('/proc/net/tcp').read())\n";
    let output = namespace
        .command("python3", &["-c", script])
        .output()
        .unwrap();
    let table = String::from_utf8_lossy(&output.stdout);
    let waiting = table
        .lines()
        .any(|line| line.contains(":2240 ") && line.contains(" 06 "));
    assert!(waiting, "nothing is in TIME_WAIT on 8768:\n{table}");
    let mut command = namespace.command(env!("CARGO_BIN_EXE_coord"), &["serve"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut serving = Program(child.unwrap());
    let token = namespace.folder().join("state/operator.token");
    until("the coordinator to serve", async || {
        assert_eq!(serving.0.try_wait().unwrap(), None, "it ended");
        let health = namespace.coord(&["health"]);
        (health.status.success() && token.exists()).then_some(())
    })
    .await;
}
