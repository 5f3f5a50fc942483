//! A wall clock that begins in 1970 and jumps. What reads it is the real program, under faketime; its
//! monotonic clock is the true one.

use std::fs;
use std::process::{Command, Output};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::{Value, json};

use crate::support::coordinator::Start;
use crate::support::{Coordinator, http, until};

/// Runs with the time that stands in a file, read anew each time somebody asks for it.
fn with_clock(start: Start, time: &str) -> Start {
    let file = start.folder().join("clock");
    fs::write(&file, time).unwrap();
    let found = Command::new("sh")
        .args(["-c", "ls /usr/lib/*/faketime/libfaketimeMT.so.1"])
        .output()
        .unwrap();
    let library = String::from_utf8(found.stdout).unwrap();
    assert!(
        !library.is_empty(),
        "libfaketime is not installed: tests/run does that"
    );
    start
        .variable("LD_PRELOAD", library.trim())
        .variable("FAKETIME_TIMESTAMP_FILE", file.display())
        .variable("FAKETIME_NO_CACHE", 1)
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", 1)
}

fn set_clock(coordinator: &Coordinator, time: &str) {
    let file = coordinator.folder().join("clock");
    let new = file.with_extension("new");
    fs::write(&new, time).unwrap();
    fs::rename(new, file).unwrap();
}

async fn wrong(coordinator: &Coordinator) -> bool {
    http::metric(coordinator.metrics_port(), "coord_wall_clock_wrong").await > 0.5
}

/// What the health page of a coordinator with TLS says, by a client that looks at no dates.
fn health(coordinator: &Coordinator) -> Value {
    let port = coordinator.port();
    let output = Command::new("curl")
        .args([
            "--silent",
            "--insecure",
            &format!("https://127.0.0.1:{port}/readyz"),
        ])
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The command line at the true time, trusting what the coordinator said at its start.
fn pinned(coordinator: &Coordinator, words: &[&str]) -> Output {
    let said = coordinator.said();
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix("certificate SHA-256 "));
    Command::new(env!("CARGO_BIN_EXE_coord"))
        .args(words)
        .env_clear()
        .env(
            "COORD_URL",
            format!("wss://127.0.0.1:{}/ws", coordinator.port()),
        )
        .env("COORD_TLS_FINGERPRINT", line.unwrap().trim())
        .env("COORD_TOKEN", coordinator.operator_token())
        .output()
        .unwrap()
}

#[track_caller]
fn ok(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_box_that_wakes_up_in_1970_serves_and_says_so() {
    let start = Start::new().variable("WEBSOCKET_SSL_ENABLED", "true");
    // A watchdog makes it look at its clock often.
    let (mut manager, start) = super::manager::Manager::of(start, 600);
    let coordinator = with_clock(start, "1970-01-01 00:01:00").run().await;
    manager
        .until(&["STATUS=serving", "the clock or the certificate is wrong"])
        .await;
    assert!(
        coordinator.said().contains("it reads 1970-01-01"),
        "{}",
        coordinator.said()
    );
    let page = health(&coordinator);
    // The certificate was made in 1970, and is valid there and today.
    assert_eq!(
        (&page["clock"], &page["certificate"]),
        (&json!("behind"), &json!("valid")),
        "{page}"
    );
    assert_eq!(page["status"], "ready", "{page}");
    let acquire = ["--json", "lease", "acquire", "name:slot", "--ttl", "1h"];
    let lease = ok(&pinned(&coordinator, &acquire));
    let token = ["--json", "token", "create", "alice", "--ttl", "1h"];
    let token = ok(&pinned(&coordinator, &token));
    assert!(token["secret"].is_string(), "{token}");

    // The network is there: 56 years in a moment, and further, and back again.
    for (time, now_wrong) in [
        ("2026-11-24 12:00:00", false),
        ("2100-01-01 00:00:00", false),
        ("1999-01-01 00:00:00", true),
        ("2026-11-24 12:00:00", false),
    ] {
        set_clock(&coordinator, time);
        manager.alive(2).await;
        until("the clock to be noticed", async || {
            (wrong(&coordinator).await == now_wrong).then_some(())
        })
        .await;
        let leases = ok(&pinned(&coordinator, &["--json", "lease", "list"]));
        let held = leases["leases"].as_array().unwrap().iter();
        assert!(
            held.clone().any(|it| it["fence"] == lease["fence"]),
            "{time}: {leases}"
        );
        let tokens = ok(&pinned(&coordinator, &["--json", "token", "list"]));
        assert!(tokens.to_string().contains("alice"), "{time}: {tokens}");
    }
    let alice = token["secret"].as_str().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_coord"));
    let said = coordinator.said();
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix("certificate SHA-256 "));
    let pinged = command
        .arg("ping")
        .env_clear()
        .env(
            "COORD_URL",
            format!("wss://127.0.0.1:{}/ws", coordinator.port()),
        )
        .env("COORD_TLS_FINGERPRINT", line.unwrap().trim())
        .env("COORD_TOKEN", alice)
        .output()
        .unwrap();
    assert!(pinged.status.success(), "{pinged:?}");
}

/// A certificate for localhost with these years, and its key, in the folder of a start.
fn with_certificate(start: Start, from: i32, to: i32) -> Start {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let (certificate_file, key_file) = (start.folder().join("c.pem"), start.folder().join("k.pem"));
    fs::write(&certificate_file, certificate.pem()).unwrap();
    fs::write(&key_file, key.serialize_pem()).unwrap();
    start
        .variable("WEBSOCKET_SSL_ENABLED", "true")
        .variable("COORD_TLS_CERTIFICATE_FILE", certificate_file.display())
        .variable("COORD_TLS_KEY_FILE", key_file.display())
}

async fn check(from: i32, to: i32, clock: &str, certificate: &str, said: &str) {
    let coordinator = with_certificate(Start::new(), from, to).run().await;
    let page = health(&coordinator);
    assert_eq!(
        (&page["clock"], &page["certificate"]),
        (&json!(clock), &json!(certificate))
    );
    let log = until("the first look at the clock", async || {
        let log = coordinator.said();
        log.contains(said).then_some(log)
    })
    .await;
    assert!(log.contains("WARN"), "{log}");
    assert!(wrong(&coordinator).await);
    // It serves all the same: whoever pins the certificate need not care.
    ok(&pinned(&coordinator, &["--json", "ping"]));
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_yet_is_a_matter_of_the_clock() {
    check(
        2300,
        2400,
        "behind",
        "not_yet_valid",
        "the clock of this machine seems to be behind",
    )
    .await;
}

#[tokio::test]
async fn a_certificate_that_has_run_out_is_told() {
    let clock = "ahead_or_certificate_expired";
    check(
        2001,
        2002,
        clock,
        "expired",
        "the certificate expired on 2002-01-01",
    )
    .await;
}
