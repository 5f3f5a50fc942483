//! Holders of another user, with real users: root and nobody.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use serde_json::Value;

use super::namespace::Namespace;
use super::running::check;

const NOBODY: &str = "65534";
const AS_NOBODY: [&str; 5] = ["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"];

fn namespace() -> Namespace {
    let namespace = Namespace::of_many_users();
    fs::set_permissions(namespace.folder(), Permissions::from_mode(0o755)).unwrap();
    namespace
}

fn coord_as_nobody(namespace: &Namespace, words: &[&str]) -> Output {
    let binary = [env!("CARGO_BIN_EXE_coord")];
    let words = [&AS_NOBODY[..], &binary[..], words].concat();
    namespace.command("setpriv", &words).output().unwrap()
}

#[test]
fn root_sees_and_stops_another_users_holder() {
    let namespace = namespace();
    let script = "import socket, time\n\
        s = socket.socket(); s.bind(('127.0.0.1', 9091)); s.listen(); print('up', flush=True)\n\
        while True: time.sleep(60)\n";
    let words = [&AS_NOBODY[..], &["python3", "-c", script]].concat();
    let mut holder = namespace.listener("setpriv", &words);
    let output = namespace.coord(&["--json", "ports", "who", "9091"]);
    let found: Value = serde_json::from_str(&check(&output, 0, &[])).unwrap();
    assert_eq!(found[0]["user_id"], 65_534, "{found}");
    assert_eq!(found[0]["user"], "nobody", "{found}");
    let process = &found[0]["processes"][0];
    assert_eq!(process["pid"], holder.0.id(), "{found}");
    assert_eq!(process["user_id"], 65_534, "{found}");
    // It is not root's own.
    let stop = ["ports", "stop", "9091", "--yes"];
    check(
        &namespace.coord(&stop),
        4,
        &["runs as user 65534", "--any-user"],
    );
    assert_eq!(holder.0.try_wait().unwrap(), None);
    let stop = [&stop[..], &["--any-user"]].concat();
    check(&namespace.coord(&stop), 0, &[]);
    holder.0.wait().unwrap();
}

#[test]
fn an_ordinary_user_is_told_whose_roots_holder_is_and_cannot_stop_it() {
    let namespace = namespace();
    // No port of another test's stand-in, whose arguments everybody can read.
    let mut holder = namespace.python("AF_INET", "127.0.0.1", 9095);
    let output = coord_as_nobody(&namespace, &["--json", "ports", "who", "9095"]);
    let found: Value = serde_json::from_str(&check(&output, 0, &["as root"])).unwrap();
    assert_eq!(found[0]["user"], "root", "{found}");
    assert_eq!(found[0]["processes"], Value::Array(Vec::new()), "{found}");
    for more in [&[][..], &["--any-user"]] {
        let words = [&["ports", "stop", "9095", "--yes"], more].concat();
        let said = ["127.0.0.1:9095", "user root", "only that user and root"];
        check(&coord_as_nobody(&namespace, &words), 4, &said);
    }
    assert_eq!(holder.0.try_wait().unwrap(), None);
}

/// What another user has locked is locked, and its command is named all the same.
#[test]
fn locks_hold_between_users() {
    let namespace = namespace();
    let binary = env!("CARGO_BIN_EXE_coord");
    let inner = format!(
        "setpriv {} {binary} ports run --pool 4000 -- true",
        AS_NOBODY.join(" ")
    );
    let words = [
        "ports", "run", "--id", "ours", "--pool", "4000", "--", "sh", "-c", &inner,
    ];
    let said = ["no port of 4000 is free", "--id ours", "user root"];
    check(&namespace.coord(&words), 6, &said);
}

/// Everybody sees the arguments of Docker's proxies, which are root's.
#[test]
fn an_ordinary_user_is_told_of_a_proxy_of_roots() {
    let namespace = namespace();
    let script = "import socket, time\n\
        s = socket.socket(); s.bind(('127.0.0.1', 9091)); s.listen(); print('up', flush=True)\n\
        while True: time.sleep(60)\n";
    let line = "exec -a docker-proxy python3 -c \"$1\" -host-port 9091 -container-ip 172.17.0.2";
    let mut holder = namespace.listener("bash", &["-c", line, "bash", script]);
    let pid = format!("process {}", holder.0.id());
    let said = [
        &*pid,
        "may not see",
        "by its arguments",
        "`docker stop CONTAINER`",
    ];
    check(
        &coord_as_nobody(&namespace, &["ports", "stop", "9091", "--yes"]),
        4,
        &said,
    );
    check(
        &coord_as_nobody(&namespace, &["ports", "who", "9091"]),
        0,
        &[&pid, "`docker stop CONTAINER`"],
    );
    let output = coord_as_nobody(&namespace, &["--json", "ports", "who", "9091"]);
    let found: Value = serde_json::from_str(&check(&output, 0, &[])).unwrap();
    assert_eq!(found[0]["processes"], Value::Array(Vec::new()), "{found}");
    assert_eq!(
        found[0]["presumed"]["behind"]["kind"], "docker-proxy",
        "{found}"
    );
    // As root it is refused for what it is, and not for whose it is.
    check(
        &namespace.coord(&["ports", "stop", "9091", "--yes"]),
        4,
        &["`docker stop CONTAINER`", "--anyway"],
    );
    assert_eq!(holder.0.try_wait().unwrap(), None);
}
