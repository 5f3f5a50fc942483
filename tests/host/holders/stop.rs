//! `coord ports stop`.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use super::namespace::{Namespace, Program};
use super::running::check;

/// Checks whether the program still runs, which nobody has awaited yet.
#[track_caller]
pub(crate) fn check_runs(program: &mut Program, runs: bool) {
    if runs {
        assert_eq!(program.0.try_wait().unwrap(), None);
    } else {
        program.0.wait().unwrap();
    }
}

/// Python that does something on TERM, listening on 9091 of loopback.
fn on_term(namespace: &Namespace, on_term: &str) -> Program {
    let script = format!(
        "import os, signal, socket, time\n\
         s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n\
         t = socket.socket(); t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n\
         s.bind(('127.0.0.1', 9091)); t.bind(('127.0.0.1', 9091)); s.listen()\n\
         signal.signal(signal.SIGTERM, {on_term})\n\
         print('up', flush=True)\n\
         while True: time.sleep(60)\n"
    );
    namespace.listener("python3", &["-c", &script])
}

#[test]
fn a_holder_is_stopped_and_named() {
    let namespace = Namespace::new();
    let mut holder = namespace.python("AF_INET", "0.0.0.0", 9091);
    let pid = format!("process {}", holder.0.id());
    let printed = check(
        &namespace.coord(&["ports", "stop", "9091", "--yes"]),
        0,
        &[],
    );
    assert!(
        printed.contains(&pid) && printed.contains("TERM"),
        "{printed}"
    );
    check_runs(&mut holder, false);
    let output = namespace.coord(&["ports", "stop", "9091", "--yes"]);
    check(&output, 5, &["no process listens on port 9091"]);
    check(&namespace.coord(&["ports", "who", "9091"]), 5, &[]);
}

#[test]
fn all_who_share_a_socket_are_stopped() {
    let namespace = Namespace::new();
    let script = "import os, socket, time\n\
        s = socket.socket(socket.AF_INET6); s.bind(('::', 8766)); s.listen()\n\
        os.fork(); os.fork()\n\
        print('up', flush=True)\n\
        while True: time.sleep(60)\n";
    let _holder = namespace.listener("python3", &["-c", script]);
    let output = namespace.coord(&["--json", "ports", "stop", "8766", "--yes"]);
    let stopped: Value = serde_json::from_str(&check(&output, 0, &[])).unwrap();
    assert_eq!(stopped["signal"], "TERM");
    assert_eq!(stopped["stopped"][0]["address"], "[::]:8766");
    check(&namespace.coord(&["ports", "who", "8766"]), 5, &[]);
}

#[test]
fn one_that_ignores_term_is_only_killed_by_force() {
    let namespace = Namespace::new();
    let mut holder = on_term(&namespace, "signal.SIG_IGN");
    let pid = format!("process {}", holder.0.id());
    let words = ["ports", "stop", "9091", "--yes", "--wait", "100ms"];
    let words_said = [&*pid, "still listens", "--force"];
    check(&namespace.coord(&words), 124, &words_said);
    check_runs(&mut holder, true);
    let forced = [&words[..], &["--force"]].concat();
    let printed = check(&namespace.coord(&forced), 0, &[]);
    assert!(printed.contains("KILL"), "{printed}");
    check_runs(&mut holder, false);
}

/// As a service manager does it: there is somebody else at once.
#[test]
fn a_port_that_is_taken_again_is_told() {
    let namespace = Namespace::new();
    let mut holder = on_term(&namespace, "lambda *_: (t.listen(), s.close())");
    let output = namespace.coord(&["ports", "stop", "9091", "--yes"]);
    let pid = format!("process {}", holder.0.id());
    check(&output, 6, &["taken again", &pid]);
    check_runs(&mut holder, true);
}

#[test]
fn without_a_terminal_nothing_is_stopped_unasked() {
    let namespace = Namespace::new();
    let mut holder = namespace.python("AF_INET", "127.0.0.1", 9091);
    let pid = format!("process {}", holder.0.id());
    let output = namespace.coord(&["ports", "stop", "9091"]);
    check(&output, 2, &[&pid, "nothing was stopped", "--yes"]);
    check_runs(&mut holder, true);
}

/// Answers the question on a terminal; what the terminal showed, and the exit code.
fn answered(namespace: &Namespace, answer: &str) -> (String, Option<i32>) {
    let binary = env!("CARGO_BIN_EXE_coord");
    let line = format!("{binary} ports stop 9091");
    let mut command = namespace.command("script", &["-qec", &line, "/dev/null"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{answer}").unwrap();
    // The terminal stays until the question has been answered and the command has ended.
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    (shown, output.status.code())
}

#[test]
fn at_a_terminal_it_asks() {
    let namespace = Namespace::new();
    let mut holder = namespace.python("AF_INET", "127.0.0.1", 9091);
    let pid = format!("process {}", holder.0.id());
    for no in ["n", "", "what?"] {
        let (shown, code) = answered(&namespace, no);
        assert!(shown.contains(&pid) && shown.contains("[y/N]"), "{shown}");
        assert_eq!(code, Some(1), "{shown}");
        check_runs(&mut holder, true);
    }
    let (shown, code) = answered(&namespace, "y");
    assert_eq!(code, Some(0), "{shown}");
    check_runs(&mut holder, false);
}
