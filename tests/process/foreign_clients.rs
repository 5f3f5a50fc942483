//! Clients that are not ours speak to the real binary: Python's `websockets` and its SDK of MCP, and Node's
//! own `WebSocket`. The sessions are written as their users would write them, in `tests/process/foreign`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::support::coordinator::Start;
use crate::support::{Coordinator, PATIENCE};
use tokio::process::Command;

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/process/foreign")
        .join(name)
}

/// The interpreter with the pinned `websockets`, which `tests/run` installs.
fn python() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/foreign/bin/python3");
    assert!(
        installed.exists(),
        "{} is missing: run tests/run once",
        installed.display()
    );
    installed
}

/// Runs a client against a coordinator and expects it to be content.
async fn check(coordinator: &Coordinator, command: &mut Command, variables: &[(&str, String)]) {
    let operator = coordinator.operator_token();
    let child = command
        .env("COORD_PORT", coordinator.port().to_string())
        .env("COORD_OPERATOR", operator)
        .envs(
            variables
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let output = tokio::time::timeout(PATIENCE * 2, child.wait_with_output()).await;
    let output = output.expect("the client to end").unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    println!("{said}");
}

#[tokio::test]
async fn python_websockets() {
    let coordinator = Coordinator::start().await;
    let mut command = Command::new(python());
    check(&coordinator, command.arg(script("session.py")), &[]).await;
}

#[tokio::test]
async fn python_websockets_over_tls() {
    let coordinator = Start::new()
        .variable("WEBSOCKET_SSL_ENABLED", "true")
        .run()
        .await;
    let said = coordinator.said();
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix("certificate SHA-256 "));
    let fingerprint = line
        .unwrap_or_else(|| panic!("no fingerprint in {said}"))
        .to_owned();
    let variables = [("COORD_FINGERPRINT", fingerprint)];
    let mut command = Command::new(python());
    check(&coordinator, command.arg(script("tls.py")), &variables).await;
}

#[tokio::test]
async fn python_mcp_sdk() {
    let coordinator = Coordinator::start().await;
    let variables = [
        ("COORD_BINARY", env!("CARGO_BIN_EXE_coord").to_owned()),
        ("COORD_METRICS", coordinator.metrics_port().to_string()),
    ];
    let mut command = Command::new(python());
    check(
        &coordinator,
        command.arg(script("mcp_tools.py")),
        &variables,
    )
    .await;
}

/// Node's own `WebSocket`, which older versions hide behind a flag, or else the one of the package
/// `ws`, which behaves the same.
async fn node() -> Command {
    let flag = "--experimental-websocket";
    let probe = Command::new("node")
        .args([flag, "-e", ""])
        .stderr(Stdio::null())
        .status()
        .await;
    let mut command = Command::new("node");
    if probe
        .expect("node is installed: tests/run does it")
        .success()
    {
        command.arg(flag);
    } else {
        let installed = "target/foreign-node/node_modules/ws/wrapper.mjs";
        let module = Path::new(env!("CARGO_MANIFEST_DIR")).join(installed);
        command.env("COORD_WS_MODULE", module);
    }
    command
}

#[tokio::test]
async fn node_websocket_as_in_a_browser() {
    let coordinator = Coordinator::start().await;
    let mut command = node().await;
    check(&coordinator, command.arg(script("browser.mjs")), &[]).await;
}
