//! What cannot be rendered is told, with what to do.

use super::tool;

#[track_caller]
fn check(line: &[&str], variables: &[(&str, &str)], parts: &[&str]) {
    let line = [&["render"], line].concat();
    let folder = tempfile::tempdir().unwrap();
    let output = tool::coord(folder.path(), &line, variables)
        .output()
        .unwrap();
    let said = tool::said(&output);
    assert_eq!(output.status.code(), Some(2), "{line:?}: {said}");
    assert!(output.stdout.is_empty(), "{said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
}

#[test]
fn load_balancers() {
    for form in ["haproxy", "nginx"] {
        let two = [form, "--backend=127.0.0.1:1", "--backend=127.0.0.1:2"];
        check(
            &two,
            &[],
            &["do not share tasks", "next: let them share a Redis"],
        );
        let twice = [form, "--backend=127.0.0.1:1", "--backend=127.0.0.1:1"];
        check(&twice, &[("REDIS_HOST", "redis.example")], &["given twice"]);
        check(
            &[form, "--listen=127.0.0.1:8768"],
            &[],
            &[
                "is the address of",
                "next: set another address or port with --listen",
            ],
        );
        check(
            &[form, "--listen=0.0.0.0:8768"],
            &[],
            &["is the address of"],
        );
        check(
            &[form, "--listen=0.0.0.0:80"],
            &[],
            &[
                "connections would not be encrypted",
                "WEBSOCKET_SSL_ENABLED",
            ],
        );
        check(
            &[form, "--backend=10.0.0.1:80"],
            &[],
            &["10.0.0.1:80 is not loopback"],
        );
        let itself = [form, "--backend=0.0.0.0:9000", "--listen=127.0.0.1:9000"];
        check(&itself, &[], &["is the address of 127.0.0.1:9000"]);
        check(
            &[form, "--backend=host"],
            &[],
            &["has no port", "write host:port"],
        );
        check(&[form, "--backend=host:0"], &[], &["port 0"]);
        check(&[form, "--backend=a b:1"], &[], &["is not a host"]);
        let tls = [("WEBSOCKET_SSL_ENABLED", "true")];
        check(&[form, "--backend=10.0.0.1:1"], &tls, &["--backend-ca"]);
        check(
            &[form, "--backend-ca=a;b"],
            &tls,
            &["give the file another name"],
        );
        check(&[form, "--json"], &[], &["this file cannot be JSON"]);
    }
}

#[test]
fn a_certificate_whose_name_nobody_knows() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    let tls = [
        ("WEBSOCKET_SSL_ENABLED", "true"),
        ("COORD_TLS_CERTIFICATE_FILE", path),
        ("COORD_TLS_KEY_FILE", path),
    ];
    check(
        &["nginx"],
        &tls,
        &[
            "the name in the coordinators' certificate",
            "COORD_ALLOWED_HOSTS",
        ],
    );
}

#[test]
fn compose_files() {
    let tls = [("REDIS_HOST", "localhost"), ("REDIS_TLS", "true")];
    check(
        &["compose"],
        &tls,
        &["has no certificate", "next: set redis.tls to false"],
    );
    let user = [
        ("REDIS_HOST", "localhost"),
        ("REDIS_USER", "a b\n"),
        ("REDIS_PASSWORD", "hush-hush"),
    ];
    check(&["compose"], &user, &["redis.user", "letters, digits"]);
    let name = [
        ("WEBSOCKET_HOST", "gateway.example"),
        ("COORD_ALLOW_PLAINTEXT", "true"),
    ];
    check(
        &["compose"],
        &name,
        &["ports can be published only on addresses"],
    );
    check(
        &["compose", "--image", "a b"],
        &[],
        &["not the name of an image"],
    );
    check(&["compose", "--json"], &[], &["this file cannot be JSON"]);
}

#[test]
fn a_configuration_that_is_wrong() {
    check(
        &["env"],
        &[("METRICS_PORT", "abc")],
        &["METRICS_PORT", "abc"],
    );
    check(&["env", "--profile=prod"], &[], &["prod"]);
}
