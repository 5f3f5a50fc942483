//! Holders that stand for something else or are more than the port, and supervisors: what `coord ports` says of them,
//! and leaves alone. Stand-ins bear the names and arguments of the real ones.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Output;

use serde_json::Value;

use super::namespace::{Namespace, Program};
use super::running::check;
use super::stop::check_runs;

const STOP: [&str; 4] = ["ports", "stop", "9091", "--yes"];

/// Python that listens on 9091 of loopback.
const LISTEN: &str = "import socket, time\n\
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n\
    s.bind(('127.0.0.1', 9091)); s.listen(); print('up', flush=True)\n\
    while True: time.sleep(60)\n";

/// Python under another name and with more arguments.
fn called(namespace: &Namespace, name: &str, arguments: &str) -> Program {
    let line = format!("exec -a \"$1\" python3 -c \"$2\" {arguments}");
    namespace.listener("bash", &["-c", &line, "bash", name, LISTEN])
}

fn stop(namespace: &Namespace, more: &[&str]) -> Output {
    namespace.coord(&[&STOP[..], more].concat())
}

#[track_caller]
fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// A name, arguments, and the words that a refusal says.
const STAND_INS: &[(&str, &str, &[&str])] = &[
    (
        "/usr/bin/docker-proxy",
        "-proto tcp -host-ip 0.0.0.0 -host-port 9091 -container-ip 172.17.0.2 -container-port 80",
        &[
            "172.17.0.2, port 80",
            "`docker ps --filter publish=9091`",
            "`docker stop CONTAINER`",
        ],
    ),
    (
        "web-forwarder",
        "-host-port 9091 -container-ip 172.17.0.2",
        &["`docker stop CONTAINER`"],
    ),
    (
        "rootlessport",
        "",
        &["`podman port --all`", "`podman stop CONTAINER`"],
    ),
    (
        "rootlesskit",
        "dockerd-rootless.sh",
        &["all its containers", "`docker stop CONTAINER`"],
    ),
    (
        "/usr/bin/slirp4netns",
        "--mtu=65520",
        &["`podman stop CONTAINER`"],
    ),
    (
        "/usr/bin/pasta",
        "--config-net -t 9091-9091:80-80",
        &["`podman stop CONTAINER`"],
    ),
    ("/usr/bin/conmon", "-u 0123 -n web", &["`podman stop web`"]),
    (
        "ssh",
        "-N -L 9091:localhost:80 ana@box",
        &["localhost:80", "`ssh ana@box coord ports stop 80`"],
    ),
    (
        "ssh: /home/ana/.ssh/box [mux]",
        "",
        &["stop the service on the other side"],
    ),
    ("sshd: ana@pts/0", "", &["ends that session", "ssh -R"]),
    (
        "kubectl",
        "port-forward pod/web 9091:80",
        &["`kubectl delete pod web`"],
    ),
    (
        "qemu-system-x86_64",
        "-nic user,hostfwd=tcp::9091-:80",
        &["ends the whole virtual machine"],
    ),
    (
        "/usr/lib/systemd/systemd",
        "--user",
        &["`systemctl --user list-sockets`"],
    ),
    ("supervisord", "", &["`supervisorctl stop NAME`"]),
    (
        "PM2 v5.3.0: God Daemon (/root/.pm2)",
        "",
        &["`pm2 stop NAME`"],
    ),
    (
        "/root/.vscode-server/bin/x/node",
        "/x/out/server-main.js",
        &["the editor's list of ports"],
    ),
];

#[test]
fn what_stands_for_something_else_is_left_alone() {
    let namespace = Namespace::new();
    for (name, arguments, words) in STAND_INS {
        let mut holder = called(&namespace, name, arguments);
        let pid = format!("process {}", holder.0.id());
        let said = [&[&*pid, "--anyway"], *words].concat();
        check(&stop(&namespace, &["--force", "--any-user"]), 4, &said);
        check_runs(&mut holder, true);
        check(&stop(&namespace, &["--anyway", "--settle", "0s"]), 0, &[]);
        check_runs(&mut holder, false);
    }
}

/// The kernel's short name of it, and what it was called by, come from the link.
#[test]
fn a_link_under_such_a_name_is_left_alone() {
    let namespace = Namespace::new();
    let link = namespace.folder().join("docker-proxy");
    symlink("/usr/bin/python3", &link).unwrap();
    let mut holder = namespace.listener(link.to_str().unwrap(), &["-c", LISTEN]);
    check(&stop(&namespace, &[]), 4, &["`docker stop CONTAINER`"]);
    check_runs(&mut holder, true);
}

#[test]
fn what_is_behind_a_port_is_told_wherever_its_holder_is_named() {
    let namespace = Namespace::new();
    let arguments = "-host-port 9091 -container-ip 172.17.0.2 -container-port 80";
    let _holder = called(&namespace, "docker-proxy", arguments);
    let command = "`docker ps --filter publish=9091`, then `docker stop CONTAINER`";
    check(&namespace.coord(&["ports", "who", "9091"]), 0, &[command]);
    let found = json(&namespace.coord(&["--json", "ports", "who", "9091"]));
    let behind = &found[0]["processes"][0]["behind"];
    assert_eq!(behind["kind"], "docker-proxy", "{found}");
    assert_eq!(behind["stop"][1], "docker stop CONTAINER", "{found}");
    assert_eq!(behind["refused"], true, "{found}");
    let table = check(
        &namespace.coord(&["ports", "check", "--profile", "production"]),
        6,
        &[],
    );
    assert!(table.contains("Docker's proxy for a container"), "{table}");
    let words = ["serve", "--metrics-port", "9091"];
    let said = [
        "9091 for metrics is in use",
        "Docker's proxy",
        "stop what is behind it",
        command,
    ];
    check(&namespace.coord(&words), 78, &said);
}

/// What others put into their arguments is neither shown to a terminal nor offered as a command.
#[test]
fn hostile_arguments_are_not_passed_on() {
    let namespace = Namespace::new();
    let arguments = "-n '$(reboot)' -L '9091:localhost:80;reboot' \"$(printf 'x\\033[2Jy')\"";
    for name in ["conmon", "ssh"] {
        let _holder = called(&namespace, name, arguments);
        let output = stop(&namespace, &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(
            !said.contains("reboot") && !said.contains('\u{1b}'),
            "{said}"
        );
    }
}

#[test]
fn who_started_this_command_is_left_alone() {
    let namespace = Namespace::new();
    let binary = env!("CARGO_BIN_EXE_coord");
    let script = "import socket, subprocess, sys\n\
        s = socket.socket(); s.bind(('127.0.0.1', 9091)); s.listen()\n\
        sys.exit(subprocess.run(sys.argv[1:]).returncode)\n";
    let run = |more: &[&str]| {
        let words = [
            &["-c", script, "sh", "-c", "\"$@\"; exit $?", "sh", binary],
            &STOP[..],
            more,
        ]
        .concat();
        namespace.command("python3", &words).output().unwrap()
    };
    check(&run(&[]), 4, &["started this command", "--anyway"]);
    // It ends by the signal that it was sent.
    let ended = run(&["--anyway"]);
    assert_eq!(ended.status.code(), None, "{ended:?}");
}

/// The server's own way to listen for a program that comes later: nothing else is behind it.
#[test]
fn a_socket_that_waits_for_its_program_is_ordinary() {
    let namespace = Namespace::new();
    let line = "exec systemd-socket-activate --listen 127.0.0.1:9091 cat 2>&1";
    let mut holder = namespace.listener("sh", &["-c", line]);
    check(&stop(&namespace, &[]), 0, &[]);
    check_runs(&mut holder, false);
}

/// A shell that starts `script` again whenever it ends, as long as a file is there.
fn supervisor(namespace: &Namespace, script: &str) -> Program {
    fs::write(namespace.folder().join("run"), "").unwrap();
    let line = "while [ -e run ]; do python3 -c \"$1\"; done";
    namespace.listener("sh", &["-c", line, "sh", script])
}

/// Lets the supervisor go, and its program: nobody starts that again.
fn end_supervisor(namespace: &Namespace, mut supervisor: Program) {
    fs::remove_file(namespace.folder().join("run")).unwrap();
    check(&stop(namespace, &[]), 0, &[]);
    check_runs(&mut supervisor, false);
}

#[test]
fn a_supervisor_that_starts_it_again_is_named() {
    let namespace = Namespace::new();
    let supervisor = supervisor(&namespace, LISTEN);
    let parent = format!("sh (process {})", supervisor.0.id());
    let said = ["taken again", "python3", &parent, "stop that first"];
    let printed = check(&stop(&namespace, &[]), 6, &said);
    assert!(printed.contains("stopped python3"), "{printed}");
    let output = namespace.coord(&[&["--json"], &STOP[..]].concat());
    check(&output, 6, &[]);
    let stopped = json(&output);
    let again = &stopped["restarted_by"];
    assert_eq!(again["started_by"]["who"], parent, "{stopped}");
    let (old, new) = (
        &stopped["stopped"][0]["processes"][0]["pid"],
        &again["process"]["pid"],
    );
    assert!(new.is_u64() && old != new, "{stopped}");
    assert_eq!(
        again["holders"][0]["address"], "127.0.0.1:9091",
        "{stopped}"
    );
    end_supervisor(&namespace, supervisor);
}

/// By its name a supervisor is known, and so is the command that it takes.
#[test]
fn a_known_supervisor_has_its_own_command() {
    let namespace = Namespace::new();
    fs::write(namespace.folder().join("run"), "").unwrap();
    let line = "exec -a runsv sh -c 'while [ -e run ]; do python3 -c \"$1\"; done' web \"$1\"";
    let supervisor = namespace.listener("bash", &["-c", line, "bash", LISTEN]);
    let said = ["taken again", "`sv down web` keeps it stopped"];
    check(&stop(&namespace, &[]), 6, &said);
    end_supervisor(&namespace, supervisor);
}

/// It takes longer to come up than anybody wants to look at a free port.
#[test]
fn one_that_comes_up_slowly_is_waited_for() {
    let namespace = Namespace::new();
    let slow = format!(
        "import os, time\n\
         if os.path.exists('second'): time.sleep(1.5)\n\
         open('second', 'w').close()\n\
         {LISTEN}"
    );
    let supervisor = supervisor(&namespace, &slow);
    let output = stop(&namespace, &["--settle", "500ms"]);
    check(&output, 6, &["taken again"]);
    end_supervisor(&namespace, supervisor);
}

#[test]
fn one_that_was_started_again_and_does_not_listen_is_told() {
    let namespace = Namespace::new();
    let hangs = format!(
        "import os, time\n\
         if os.path.exists('second'): open('run.pid', 'w').write(str(os.getpid())); time.sleep(600)\n\
         open('second', 'w').close()\n\
         {LISTEN}"
    );
    let mut supervisor = supervisor(&namespace, &hangs);
    let output = namespace.coord(&[&["--json"], &STOP[..], &["--settle", "100ms"]].concat());
    check(
        &output,
        6,
        &["was restarted", "does not listen on port 9091 yet"],
    );
    let pid = json(&output)["restarted_by"]["process"]["pid"].to_string();
    assert_eq!(
        fs::read_to_string(namespace.folder().join("run.pid")).unwrap(),
        pid
    );
    fs::remove_file(namespace.folder().join("run")).unwrap();
    assert!(
        namespace
            .command("kill", &[&pid])
            .status()
            .unwrap()
            .success()
    );
    check_runs(&mut supervisor, false);
}

#[test]
fn a_stop_that_lasts_has_nobody_to_tell_of() {
    let namespace = Namespace::new();
    let _holder = namespace.python("AF_INET", "127.0.0.1", 9091);
    let output = namespace.coord(&[&["--json"], &STOP[..]].concat());
    check(&output, 0, &[]);
    assert_eq!(json(&output)["restarted_by"], Value::Null);
}
