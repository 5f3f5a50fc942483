//! Ports that a coordinator gives for this machine: `coord ports lease`, and `coord ports run` where
//! there is a coordinator.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::namespace::{Namespace, Program};
use super::running::{Running, check};
use crate::support::until;

/// A coordinator of the development profile, and tokens for ann and bob.
struct Gateway {
    namespace: Namespace,
    _coordinator: Program,
}

impl Gateway {
    async fn start() -> Self {
        let namespace = Namespace::new();
        let mut command = namespace.command(env!("CARGO_BIN_EXE_coord"), &["serve"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut coordinator = Program(child.unwrap());
        until("the coordinator to serve", async || {
            assert_eq!(coordinator.0.try_wait().unwrap(), None, "it ended");
            namespace.coord(&["ping"]).status.success().then_some(())
        })
        .await;
        for agent in ["ann", "bob"] {
            let file = format!("{agent}.token");
            let output = namespace.coord(&["token", "create", agent, "--out", &file]);
            check(&output, 0, &[]);
        }
        Self {
            namespace,
            _coordinator: coordinator,
        }
    }

    fn command(&self, agent: &str, words: &[&str]) -> Command {
        let mut command = self.namespace.command(env!("CARGO_BIN_EXE_coord"), words);
        command.env("COORD_TOKEN_FILE", format!("{agent}.token"));
        command
    }

    fn json(&self, agent: &str, words: &[&str]) -> Value {
        let words = [&["--json"], words].concat();
        let output = self.command(agent, &words).output().unwrap();
        serde_json::from_str(&check(&output, 0, &[])).unwrap()
    }
}

#[tokio::test]
async fn what_a_foreign_program_has_is_passed_over_and_remembered() {
    let gateway = Gateway::start().await;
    let holder = gateway.namespace.python("AF_INET", "127.0.0.1", 3000);
    let words = ["ports", "lease", "--pool", "3000-3002", "--host", "box"];
    let given = gateway.json("ann", &words);
    assert_eq!(given["ports"][0]["port"], 3001, "{given}");
    assert_eq!(
        given["ports"][0]["resources"][0], "port:box:3001",
        "{given}"
    );
    assert!(given["ports"][0]["expires_at_ms"].is_u64(), "{given}");
    assert_eq!(given["passed_over"][0]["port"], 3000, "{given}");
    // Whoever comes next need not find out again.
    let given = gateway.json("bob", &words);
    assert_eq!(given["ports"][0]["port"], 3002, "{given}");
    assert_eq!(given["passed_over"], Value::Array(Vec::new()), "{given}");
    let leases = gateway.json("bob", &["lease", "list", "--resource", "port:box:3000"]);
    let note = leases["leases"][0]["note"].as_str().unwrap();
    assert!(
        note.contains(&format!("process {}", holder.0.id())),
        "{note}"
    );
    let full = gateway.command("bob", &words).output().unwrap();
    check(
        &full,
        6,
        &[
            "no port of 3000-3002 is free for PORT on box",
            "port:box:3001  leased by ann",
        ],
    );
    // Another machine has ports of its own.
    let other = ["ports", "lease", "--pool", "3001-3002", "--host", "other"];
    let given = gateway.json("bob", &other);
    assert_eq!(given["ports"][0]["port"], 3001, "{given}");
}

#[tokio::test]
async fn a_command_has_its_port_leased_while_it_runs() {
    let gateway = Gateway::start().await;
    let folder = gateway.namespace.folder();
    let script = "echo $PORT $COORD_RESOURCES > has; while [ -e has ]; do sleep 0.02; done";
    let words = [
        "ports",
        "run",
        "--pool",
        "3000-3001",
        "--host",
        "box",
        "--",
        "sh",
        "-c",
        script,
    ];
    let running = Running::start(gateway.command("ann", &words));
    let has = until("the command to have its port", async || {
        let has = std::fs::read_to_string(folder.join("has")).ok()?;
        has.ends_with('\n').then_some(has)
    })
    .await;
    let (port, resources) = has.trim_end().split_once(' ').unwrap();
    assert_eq!(resources, format!("port:box:{port}"));
    // Bob, who does not run it through `coord`, is told by the coordinator.
    let resource = format!("port:box:{port}");
    let output = gateway
        .command("bob", &["lease", "acquire", &resource])
        .output()
        .unwrap();
    check(&output, 6, &["held by ann"]);
    let revoke = ["lease", "revoke", "1", "--reason", "needed"];
    check(&gateway.namespace.coord(&revoke), 0, &[]);
    check(&running.done(), 7, &["the lease is lost", "needed"]);
}

#[tokio::test]
async fn without_a_coordinator_a_lease_is_insisted_on_or_done_without() {
    let namespace = Namespace::new();
    let run = |flags: &[&str], token: Option<&str>| {
        let words = [&["ports", "run", "--pool", "3000"], flags, &["--", "true"]].concat();
        let mut command = namespace.command(env!("CARGO_BIN_EXE_coord"), &words);
        command.envs(token.map(|token| ("COORD_TOKEN", token)));
        command.output().unwrap()
    };
    check(&run(&[], None), 0, &["PORT=3000"]);
    check(&run(&[], Some("secret")), 0, &["on this host only"]);
    check(&run(&["--lease"], Some("secret")), 3, &[]);
    let said = check(&run(&["--no-lease"], Some("secret")), 0, &[]);
    assert_eq!(said, "");
}
