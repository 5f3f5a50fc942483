//! A disk that is full, small enough to fill: a tmpfs in a mount namespace of the coordinator's own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::coordinator::Start;
use crate::support::{Client, Coordinator, http, until};

/// Mounts a tmpfs of `$SIZE` as the state directory, seen by nobody else, and runs the rest.
const MOUNTED: &str = r#"mkdir -p "$COORD_STATE_DIR" &&
mount -t tmpfs -o size="$SIZE",mode=700 tmpfs "$COORD_STATE_DIR" && exec "$0" "$@""#;

/// Whether this machine lets us; says so when it does not.
fn may_mount() -> bool {
    let script = "mount -t tmpfs tmpfs /mnt";
    let tried = Command::new("unshare")
        .args(["-m", "sh", "-c", script])
        .status();
    let may = tried.is_ok_and(|status| status.success());
    if !may {
        eprintln!("SKIPPED: a mount namespace is needed, and only root may make one here");
    }
    may
}

fn on_disk_of(size: &str) -> Start {
    Start::new()
        .wrapper(&["unshare", "-m", "sh", "-c", MOUNTED])
        .variable("SIZE", size)
        .variable("COORD_JOURNAL_SEGMENT_BYTES", 262_144)
        .variable("COORD_JOURNAL_RESERVE_BYTES", 262_144)
        .variable("COORD_JOURNAL_LIVE_BYTES_MAX", 524_288)
        .variable("COORD_MESSAGE_BYTES_MAX", 16_384)
}

/// The state directory as the coordinator sees it.
fn state_of(coordinator: &Coordinator) -> PathBuf {
    let root = format!("/proc/{}/root", coordinator.pid());
    let path = coordinator.state_dir().strip_prefix("/").unwrap();
    PathBuf::from(root).join(path)
}

async fn submit(client: &mut Client, number: u64) -> Result<Value, crate::support::RpcFailure> {
    let params = json!({"title": format!("task {number}"), "payload": "x".repeat(8_000)});
    client.call("task.submit", params).await
}

#[tokio::test]
async fn a_disk_without_room_for_a_journal() {
    if !may_mount() {
        return;
    }
    let ended = on_disk_of("32k").run_to_end().await;
    assert!(
        matches!(ended.status.code(), Some(1 | 70 | 78)),
        "{ended:?}"
    );
    assert!(
        ended.said.contains("No space left") || ended.said.contains("no space left"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_disk_that_fills_up() {
    if !may_mount() {
        return;
    }
    let coordinator = on_disk_of("2m").run().await;
    let token = fs::read_to_string(state_of(&coordinator).join("operator.token")).unwrap();
    let mut operator = Client::connect(coordinator.port(), token.trim()).await;
    for number in 0..5 {
        submit(&mut operator, number).await.unwrap();
    }
    let held = json!({"ttl_ms": 600_000});
    let claim = operator.call("task.claim", held).await.unwrap()["claim"].take();
    let lease = json!({"resources": ["name:slot"], "ttl_ms": 600_000});
    let lease = operator.call("lease.acquire", lease).await.unwrap();

    let mut acknowledged = 5;
    let refusal = loop {
        match submit(&mut operator, acknowledged).await {
            Ok(_) => acknowledged += 1,
            Err(failure) => break failure,
        }
        assert!(acknowledged < 1_000, "2 MiB take more than 8 MB");
    };
    refusal.check("storage_full", &["disk is full", "finish or release"]);
    until("readiness to say it", async || {
        let ready = http::get(coordinator.port(), "/readyz").await.unwrap();
        (ready.status == 503 && ready.rest.contains("storage_full")).then_some(())
    })
    .await;
    assert_eq!(
        http::get(coordinator.port(), "/healthz")
            .await
            .unwrap()
            .status,
        200
    );

    let health = Command::new(env!("CARGO_BIN_EXE_coord"))
        .args(["health", "--json"])
        .env_clear()
        .env("COORD_PROFILE", "testing")
        .env("COORD_STATE_DIR", coordinator.state_dir())
        .env("COORD_TOKEN", token.trim())
        .env("WEBSOCKET_PORT", coordinator.port().to_string())
        .env("METRICS_PORT", coordinator.metrics_port().to_string())
        .output();
    let health = health.unwrap();
    let said: Value = serde_json::from_slice(&health.stdout).unwrap();
    assert_eq!(health.status.code(), Some(1), "{said}");
    assert_eq!(said["services"][1]["state"], "not_ready", "{said}");
    assert_eq!(said["services"][2]["state"], "running", "{said}");

    let explained = operator.call("task.explain", json!({"task": 2})).await;
    let explained = explained.unwrap();
    assert_eq!(
        explained["coordinator"][0]["kind"], "storage_full",
        "{explained}"
    );

    // Work that is under way can be finished, and reads go on.
    let done = json!({"task": claim["task"], "fence": claim["fence"]});
    operator.call("task.complete", done).await.unwrap();
    let release = json!({"lease": lease["lease"], "fence": lease["fence"]});
    operator.call("lease.release", release).await.unwrap();
    let status = operator.call("server.status", json!({})).await.unwrap();
    assert_eq!(status["project"]["tasks_ready"], acknowledged - 1);

    // With room again, so is work.
    let pid = coordinator.pid().to_string();
    let script = format!(
        "mount -o remount,size=16m '{}'",
        coordinator.state_dir().display()
    );
    let grown = Command::new("nsenter")
        .args(["-t", &pid, "-m", "sh", "-c", &script])
        .status();
    assert!(grown.unwrap().success());
    until("new work to be taken again", async || {
        submit(&mut operator, acknowledged).await.ok()
    })
    .await;
    assert_eq!(
        http::get(coordinator.port(), "/readyz")
            .await
            .unwrap()
            .status,
        200
    );
}
