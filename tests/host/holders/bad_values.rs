//! Everything that can be wrong with ports, in one report of the real binary, run by nobody.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::namespace::Namespace;

const FILE: &str = "\
[websocket]
port = 65536

[metrics]
port = \"9100-9094\"
prot = 9000

[redis]
port = 0
pasword = \"x\"

[promethus]
port = 1
";

const SAID: &[&str] = &[
    "coord.toml:2 websocket.port: 65536 is not a port; use a port from 1 to 65535",
    "coord.toml:5 metrics.port: it is a range, not a port, and the range 9100-9094 is reversed: \
     write 9094-9100; use a port from 1 to 65535; `coord ports run` can choose one from a range",
    "coord.toml:6 metrics.prot: this key does not exist; did you mean metrics.port?",
    "coord.toml:9 redis.port: port 0 means \"any port\", so clients could not find it; use a port \
     from 1 to 65535",
    "coord.toml:10 redis.pasword: this key does not exist; did you mean redis.password?",
    "coord.toml:12 promethus: this key does not exist; keys of this section:",
    "METRICS_PORT: \"abc\" is not a port number; use a port from 1 to 65535",
    "COORD_PROFILE: \"prodution\" is not an allowed value; did you mean production?",
    "REDIS_PASSWORD_FILE: cannot read secret: Permission denied (os error 13)",
    "--websocket-port: port 80 is below 1024 and user 65534 may not bind it",
    "REDIS_PORT: port 80 is already used by websocket.port (--websocket-port); give each service its own port",
];

#[test]
fn all_bad_values_are_one_report() {
    let namespace = Namespace::of_many_users();
    let folder = namespace.folder();
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.join("coord.toml"), FILE).unwrap();
    fs::write(folder.join("secret"), "s3cret").unwrap();
    fs::set_permissions(folder.join("secret"), Permissions::from_mode(0o600)).unwrap();
    for command in [
        &["config", "show"][..],
        &["serve"],
        &["--json", "config", "show"],
    ] {
        let words = [
            &["--reuid", "65534", "--regid", "65534", "--clear-groups"][..],
            &[env!("CARGO_BIN_EXE_coord")],
            command,
            &["--config", "coord.toml", "--websocket-port", "80"],
        ];
        let output = namespace
            .command("setpriv", &words.concat())
            .env("COORD_PROFILE", "prodution")
            .env("METRICS_PORT", "abc")
            .env("REDIS_PORT", "80")
            .env("REDIS_PASSWORD_FILE", "secret")
            .output()
            .unwrap();
        let code = if command == ["serve"] { 78 } else { 2 };
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(!said.contains("s3cret"), "{said}");
        let said = match serde_json::from_str::<Value>(&said) {
            Ok(json) => json["error"]["message"].as_str().unwrap().to_owned(),
            Err(_) => said.into_owned(),
        };
        for part in SAID {
            assert!(said.contains(part), "{part:?} is not in:\n{said}");
        }
    }
}

#[test]
fn a_bad_pool_is_named_with_its_flag() {
    let namespace = Namespace::new();
    for (pool, why) in [
        ("3999-3000", "write 3000-3999"),
        ("0-10", "port 0"),
        ("1-65536", "65536"),
        ("abc", "not a port number"),
        ("6383-6390", "belong to profiles"),
    ] {
        let output = namespace.coord(&["ports", "run", "--pool", pool, "--", "true"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("--pool") && said.contains(why), "{said}");
    }
}
