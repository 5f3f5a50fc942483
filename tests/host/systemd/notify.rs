//! What a coordinator tells its service manager, message by message.

use std::fs;
use std::path::Path;

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use serde_json::json;

use super::manager::Manager;
use crate::support::coordinator::Start;
use crate::support::{Coordinator, http, until};

/// Short, so that three signs of life a period do not take long.
const WATCHDOG_MS: u64 = 600;

async fn managed() -> (Manager, Coordinator) {
    let (manager, start) = Manager::of(Start::new(), WATCHDOG_MS);
    (manager, start.run().await)
}

#[tokio::test]
async fn it_is_ready_after_recovery_and_says_what_it_does() {
    let (mut manager, mut coordinator) = managed().await;
    assert_eq!(manager.next().await, "STATUS=recovering the journal");
    let ready = manager.next().await;
    let url = format!("ws://127.0.0.1:{}/ws", coordinator.port());
    assert_eq!(ready, format!("READY=1\nSTATUS=serving agents on {url}"));
    manager.alive(3).await;
    let client = coordinator.operator().await;
    manager.until(&["STATUS=serving", "1 connections"]).await;
    drop(client);
    manager.until(&["STATUS=serving", "0 connections"]).await;
    coordinator.stop().await;
    let stopping = manager.until(&["STOPPING=1"]).await;
    assert!(stopping.contains("STATUS=stopping"), "{stopping}");
}

#[tokio::test]
async fn why_a_start_failed_is_told() {
    let first = Coordinator::start().await;
    let second = Start::new().variable("WEBSOCKET_PORT", first.port());
    let (mut manager, second) = Manager::of(second, WATCHDOG_MS);
    second.run_to_end().await.check(78, &["in use"]);
    manager.until(&["STATUS=failed", "in use"]).await;
    let (mut manager, third) =
        Manager::of(Start::new().variable("METRICS_PORT", "none"), WATCHDOG_MS);
    third.run_to_end().await.check(78, &["METRICS_PORT"]);
    manager.until(&["STATUS=failed", "METRICS_PORT"]).await;
}

/// The thread of a process that has this name.
fn thread(pid: u32, name: &str) -> Pid {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let task = tasks.map(|task| task.unwrap().path()).find(|task| {
        let comm = fs::read_to_string(task.join("comm")).unwrap_or_default();
        comm.trim() == name
    });
    let id = task
        .unwrap()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    Pid::from_raw(id.parse().unwrap())
}

/// Holds one thread still, as a medium that never answers would. The calls of ptrace must all come
/// from one thread, so this test has no runtime with several.
#[tokio::test]
async fn no_sign_of_life_while_the_journal_does_not_answer() {
    let (mut manager, coordinator) = managed().await;
    manager.alive(1).await;
    let journal = thread(coordinator.pid(), "journal");
    ptrace::seize(journal, ptrace::Options::empty()).unwrap();
    ptrace::interrupt(journal).unwrap();
    waitpid(journal, Some(WaitPidFlag::__WALL)).unwrap();
    // One look may have been answered already when the thread stopped.
    manager.until(&["STATUS=unhealthy", "the journal"]).await;
    let label = "coord_self_checks_failed_total{part=\"the journal\"}";
    let failed = until("more looks", async || {
        let failed = http::metric(coordinator.metrics_port(), label).await;
        (failed >= 3.0).then_some(failed)
    })
    .await;
    assert!(failed >= 3.0);
    let mut since = Vec::new();
    while let Some(message) = manager.waiting() {
        since.push(message);
    }
    assert!(!since.iter().any(|it| it.contains("WATCHDOG")), "{since:?}");
    ptrace::detach(journal, None).unwrap();
    manager.until(&["WATCHDOG=1"]).await;
    manager.until(&["STATUS=serving"]).await;
}

fn written_bytes(pid: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn looking_at_itself_writes_nothing_to_the_medium() {
    let (mut manager, coordinator) = managed().await;
    manager.alive(2).await;
    let syncs = http::metric(coordinator.metrics_port(), "coord_journal_syncs_total").await;
    let before = written_bytes(coordinator.pid());
    manager.alive(6).await;
    assert_eq!(written_bytes(coordinator.pid()), before);
    let after = http::metric(coordinator.metrics_port(), "coord_journal_syncs_total").await;
    assert!((after - syncs).abs() < 0.5, "{syncs} and {after}");
    let refused = http::get(coordinator.metrics_port(), "/metrics")
        .await
        .unwrap();
    assert!(
        !refused.rest.contains("coord_connections_refused_total{"),
        "{}",
        refused.rest
    );
}

/// A certificate and its key, for localhost.
fn certificate(folder: &Path, name: &str) -> String {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("certificate.pem"), pair.cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), pair.signing_key.serialize_pem()).unwrap();
    let copy = folder.join(name);
    fs::write(&copy, pair.cert.pem()).unwrap();
    copy.display().to_string()
}

/// A ping as the command line sends it, over TLS, trusting one certificate.
fn ping(coordinator: &Coordinator, ca: &str) -> std::process::Output {
    let url = format!("wss://localhost:{}/ws", coordinator.port());
    std::process::Command::new(env!("CARGO_BIN_EXE_coord"))
        .args(["ping", "--url", &url, "--tls-ca-file", ca])
        .env_clear()
        .env("COORD_TOKEN", coordinator.operator_token())
        .output()
        .unwrap()
}

#[tokio::test]
async fn a_reload_takes_up_what_is_new_and_refuses_what_is_wrong() {
    let start = Start::new();
    let folder = start.folder().to_owned();
    let file = folder.join("coord.toml");
    let config = "[websocket]\ntls = true\ntls_certificate_file = \"certificate.pem\"\n\
                  tls_key_file = \"key.pem\"\n";
    fs::write(&file, config).unwrap();
    let first = certificate(&folder, "first.pem");
    // Never looked at by the health page: the port speaks TLS.
    let start = start
        .variable("COORD_CONFIG", file.display())
        .variable("WEBSOCKET_SSL_ENABLED", "true");
    let (mut manager, start) = Manager::of(start, WATCHDOG_MS);
    let coordinator = start.run().await;
    assert!(ping(&coordinator, &first).status.success());
    // What it started with was not refused.
    let ok = "coord_config_last_reload_successful";
    assert!(http::metric(coordinator.metrics_port(), ok).await > 0.5);

    let second = certificate(&folder, "second.pem");
    let more = format!("{config}allowed_hosts = [\"gateway.example\"]\nconnections_max = 7\n");
    fs::write(&file, more).unwrap();
    manager.forget();
    coordinator.signal(Signal::SIGHUP);
    let reloading = manager.until(&["RELOADING=1"]).await;
    assert!(reloading.contains("\nMONOTONIC_USEC="), "{reloading}");
    let ready = manager.until(&["READY=1"]).await;
    assert!(
        ready.ends_with("restart needed for websocket.connections_max"),
        "{ready}"
    );
    assert!(ping(&coordinator, &second).status.success());
    assert!(!ping(&coordinator, &first).status.success());

    // A key of another certificate; then no certificate at all; then a wrong setting.
    let foreign = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let right = fs::read_to_string(folder.join("key.pem")).unwrap();
    let refusals = [
        (
            "key.pem",
            foreign.as_str(),
            right.as_str(),
            "cannot use the certificate",
        ),
        (
            "coord.toml",
            "[websocket]\nnonsense = 1\n",
            config,
            "websocket.nonsense",
        ),
    ];
    for (name, wrong, right, words) in refusals {
        fs::write(folder.join(name), wrong).unwrap();
        coordinator.signal(Signal::SIGHUP);
        manager
            .until(&["READY=1", "the old one stays", words])
            .await;
        assert!(ping(&coordinator, &second).status.success());
        assert!(http::metric(coordinator.metrics_port(), ok).await < 0.5);
        assert!(coordinator.said().contains("the old one stays"));
        fs::write(folder.join(name), right).unwrap();
    }
    coordinator.signal(Signal::SIGHUP);
    let ready = manager.until(&["READY=1"]).await;
    assert!(ready.ends_with("/ws"), "{ready}");
    for (outcome, times) in [("applied", 1.0), ("restart_needed", 1.0), ("refused", 2.0)] {
        let name = format!("coord_config_reloads_total{{outcome=\"{outcome}\"}}");
        let counted = http::metric(coordinator.metrics_port(), &name).await;
        assert!((counted - times).abs() < 0.5, "{outcome}: {counted}");
    }
}

#[tokio::test]
async fn a_reload_drops_no_connection_and_changes_the_operators_token() {
    let start = Start::new();
    let file = start.folder().join("token");
    let secret = "0123456789abcdef0123456789abcdef";
    fs::write(&file, secret).unwrap();
    let start = start.variable("COORD_OPERATOR_TOKEN_FILE", file.display());
    let (mut manager, start) = Manager::of(start, WATCHDOG_MS);
    let coordinator = start.run().await;
    assert!(!coordinator.state_dir().join("operator.token").exists());
    let connect = async |token: &str| {
        crate::support::Client::try_connect(coordinator.port(), "/ws", token).await
    };
    let mut operator = connect(secret).await.unwrap();
    let params = json!({"agent": "alice", "role": "agent"});
    let made = operator.call("token.create", params).await.unwrap();
    let mut alice = connect(made["secret"].as_str().unwrap()).await.unwrap();

    let another = secret.replace('0', "f");
    fs::write(&file, &another).unwrap();
    coordinator.signal(Signal::SIGHUP);
    manager.until(&["READY=1"]).await;
    manager.until(&["READY=1"]).await;
    let mut operator = until("the new token to hold", async || {
        connect(&another).await.ok()
    })
    .await;
    operator.check_alive().await;
    assert!(
        connect(secret).await.is_err(),
        "the old token is still good"
    );
    // The agent's connection is the one from before.
    alice.check_alive().await;
    assert!(!coordinator.said().contains(&another));
}
