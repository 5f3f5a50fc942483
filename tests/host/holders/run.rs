//! `coord ports run`: ports that nobody else has, for as long as a command runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;

use super::namespace::Namespace;
use super::running::{Running, check};
use crate::support::until;

/// How many run side by side.
const PARALLEL: usize = 50;
/// The least of the testing profile's ranges: no more tests than that can have ports.
const TESTS_MAX: usize = 7;

/// Takes a place of its own for each port, which fails if another has it at the same time; stays
/// until the file `go` is there; and gives the places back.
const HOLD: &str = r#"
    for port in $PORTS; do mkdir "in/$port" || exit 99; done
    echo $PORTS >> log
    while [ -d in ] && ! [ -e go ]; do sleep 0.02; done
    for port in $PORTS; do rmdir "in/$port"; done
"#;

fn hold(ports: &str) -> String {
    HOLD.replace("$PORTS", ports)
}

fn run(namespace: &Namespace, words: &[&str], script: &str) -> Command {
    let words = [&["ports", "run"], words, &["--", "sh", "-c", script]].concat();
    namespace.command(env!("CARGO_BIN_EXE_coord"), &words)
}

/// The ports of each command that has had some so far.
fn had(folder: &Path) -> Vec<Vec<u16>> {
    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
    let ports = |line: &str| line.split(' ').map(|port| port.parse().unwrap()).collect();
    log.lines().map(ports).collect()
}

async fn wait_for(folder: &Path, count: usize) {
    let what = format!("{count} commands to have ports");
    until(&what, async || (had(folder).len() == count).then_some(())).await;
}

#[test]
fn a_test_finds_its_ports_in_its_environment_and_has_them_again() {
    let namespace = Namespace::new();
    let script = "echo $COORD_PROFILE $REDIS_PORT $WEBSOCKET_PORT $METRICS_PORT; exit 42";
    for _ in 0..2 {
        let output = run(&namespace, &["--id", "test_login"], script).output();
        let printed = check(&output.unwrap(), 42, &[]);
        assert_eq!(printed, "testing 6390 8772 9096\n");
    }
    let missing = ["ports", "run", "--id", "x", "--", "/nowhere/such-a-command"];
    check(&namespace.coord(&missing), 127, &[]);
    check(
        &namespace.coord(&["ports", "run", "--", "true"]),
        2,
        &["--id"],
    );
}

#[tokio::test]
async fn fifty_tests_at_once_never_share_a_port() {
    let namespace = Namespace::new();
    let folder = namespace.folder();
    fs::create_dir(folder.join("in")).unwrap();
    let script = hold("$REDIS_PORT $WEBSOCKET_PORT $METRICS_PORT");
    let start = |i: usize| {
        let id = format!("test_{i}");
        Running::start(run(&namespace, &["--id", &id, "--wait", "5m"], &script))
    };
    let running: Vec<Running> = (0..PARALLEL).map(start).collect();
    wait_for(folder, TESTS_MAX).await;
    // No room is left, and each of those in the way is named.
    let late = run(&namespace, &["--id", "late"], "true").output().unwrap();
    check(
        &late,
        6,
        &[
            "no port of 9094-9100 is free",
            "9094  reserved by",
            "9100  reserved by",
            "--id test_",
        ],
    );
    let late = run(&namespace, &["--id", "late", "--wait", "150ms"], "true").output();
    check(&late.unwrap(), 124, &["waited 150ms", "METRICS_PORT"]);
    assert_eq!(had(folder).len(), TESTS_MAX);
    fs::write(folder.join("go"), "").unwrap();
    for one in running {
        check(&one.done(), 0, &[]);
    }
    let had = had(folder);
    assert_eq!(had.len(), PARALLEL);
    for ports in &had {
        let [redis, websocket, metrics] = ports[..] else {
            panic!("{ports:?}");
        };
        assert!((6383..=6390).contains(&redis), "{ports:?}");
        assert!((8769..=8780).contains(&websocket), "{ports:?}");
        assert!((9094..=9100).contains(&metrics), "{ports:?}");
    }
    assert_eq!(fs::read_dir(folder.join("in")).unwrap().count(), 0);
}

/// The pool has just as many ports as there are commands, and two more that programs hold.
#[tokio::test]
async fn fifty_development_servers_at_once_fill_a_pool() {
    let namespace = Namespace::new();
    let folder = namespace.folder();
    fs::create_dir(folder.join("in")).unwrap();
    let _holders = [
        namespace.python("AF_INET", "127.0.0.1", 3007),
        namespace.python("AF_INET6", "::1", 3033),
    ];
    let script = hold("$PORT");
    let start = |i: usize| {
        let id = format!("agent-{i}");
        Running::start(run(
            &namespace,
            &["--id", &id, "--pool", "3000-3051"],
            &script,
        ))
    };
    let running: Vec<Running> = (0..PARALLEL).map(start).collect();
    wait_for(folder, PARALLEL).await;
    let had: BTreeSet<u16> = had(folder).into_iter().flatten().collect();
    let expected: BTreeSet<u16> = (3000..=3051)
        .filter(|port| ![3007, 3033].contains(port))
        .collect();
    assert_eq!(had, expected);
    fs::write(folder.join("go"), "").unwrap();
    for one in running {
        check(&one.done(), 0, &[]);
    }
}

#[test]
fn pools_have_names_and_pass_over_what_profiles_own() {
    let namespace = Namespace::new();
    let words = [
        "--pool",
        "8760-8790",
        "--pool",
        "API_PORT=6378-6391",
        "--id",
    ];
    for id in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let words = [&words[..], &[id]].concat();
        let output = run(&namespace, &words, "echo $PORT $API_PORT $COORD_PROFILE").output();
        let printed = check(&output.unwrap(), 0, &[]);
        let ports: Vec<u16> = printed
            .split_whitespace()
            .map(|it| it.parse().unwrap())
            .collect();
        let owned = |port| (8765..=8780).contains(&port) || (6379..=6390).contains(&port);
        assert!(
            ports.len() == 2 && !ports.iter().any(|port| owned(*port)),
            "{printed}"
        );
    }
    let twice = [
        "ports", "run", "--pool", "3000", "--pool", "3001", "--", "true",
    ];
    check(&namespace.coord(&twice), 2, &["two pools are called PORT"]);
}

#[test]
fn a_foreign_program_is_named_and_waited_for() {
    let namespace = Namespace::new();
    let holder = namespace.python("AF_INET", "0.0.0.0", 5000);
    let pid = format!("process {}", holder.0.id());
    let output = run(&namespace, &["--pool", "5000"], "true")
        .output()
        .unwrap();
    check(&output, 6, &["5000  used by python3", &pid]);
    let words = ["--pool", "5000", "--wait", "5m"];
    let mut waiting = Running::start(run(&namespace, &words, "echo $PORT"));
    waiting.says("waiting: no port of 5000 is free");
    drop(holder);
    assert_eq!(check(&waiting.done(), 0, &[]), "5000\n");
}

#[tokio::test]
async fn signals_are_passed_on() {
    let namespace = Namespace::new();
    let folder = namespace.folder();
    let script = "trap 'exit 33' TERM; echo $PORT >> log; while [ -e log ]; do sleep 0.02; done";
    let running = Running::start(run(&namespace, &["--pool", "3000"], script));
    wait_for(folder, 1).await;
    running.signal(Signal::SIGTERM);
    check(&running.done(), 33, &[]);
}

/// The port is the command's: it keeps it when only `coord` is killed, and no longer than it runs.
#[tokio::test]
async fn a_command_that_outlives_coord_keeps_its_port() {
    let namespace = Namespace::new();
    let folder = namespace.folder();
    fs::create_dir(folder.join("in")).unwrap();
    // What ends at the first signal is gone before anybody could ask who has the port.
    let script = format!("trap '' TERM\n{}", hold("$PORT"));
    let words = ["--pool", "3000", "--kill-after", "5m"];
    let running = Running::start(run(&namespace, &words, &script));
    wait_for(folder, 1).await;
    running.signal(Signal::SIGKILL);
    let refused = run(&namespace, &["--pool", "3000"], "true")
        .output()
        .unwrap();
    check(&refused, 6, &["3000  reserved by `"]);
    fs::write(folder.join("go"), "").unwrap();
    let words = ["--pool", "3000", "--wait", "5m"];
    let output = run(&namespace, &words, "echo $PORT").output().unwrap();
    assert_eq!(check(&output, 0, &[]), "3000\n");
}
