//! `coord lease run`: as flock(1), for all agents.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;

use super::coord::{Cli, Running};
use crate::support::{Coordinator, until};

/// Says where it is, and stays until the file `go` is there.
const HOLD: &str = r#"echo in >> steps; while [ -d "$HOME" ] && ! [ -e go ]; do sleep 0.02; done; echo out >> steps"#;

fn steps(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("steps")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Starts a holder and waits until its command runs.
async fn holder(cli: &Cli, folder: &Path, resource: &str) -> Running {
    let running = cli.start(folder, &["lease", "run", resource, "--", "sh", "-c", HOLD]);
    until("the holder's command", async || {
        (!steps(folder).is_empty()).then_some(())
    })
    .await;
    running
}

async fn two(coordinator: &Coordinator) -> (Cli, Cli) {
    (
        Cli::agent(coordinator, "ann").await,
        Cli::agent(coordinator, "bob").await,
    )
}

#[tokio::test]
async fn the_commands_code_is_passed_on_and_it_knows_its_lease() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let ann = Cli::agent(&coordinator, "ann").await;
    let script = r#"echo "$COORD_LEASE $COORD_FENCE $COORD_RESOURCES"; exit 42"#;
    let words = ["lease", "run", "name:build", "--", "sh", "-c", script];
    let done = ann.run(folder, &words).await;
    assert_eq!(done.check(42).stdout.trim_end(), "1 1 name:build");
    let words = [
        "lease",
        "run",
        "name:build",
        "--",
        "/nowhere/such-a-command",
    ];
    ann.run(folder, &words).await.check(127);
    let left = ann.json(folder, &["lease", "list"]).await;
    assert_eq!(left["leases"].as_array().map(Vec::len), Some(0), "{left}");
}

#[tokio::test]
async fn others_are_refused_time_out_or_wait() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let (ann, bob) = two(&coordinator).await;
    let holder = holder(&ann, folder, "path:src/**").await;
    // The same files by another name.
    let other = "path:src/*.rs";
    let words = ["lease", "run", "--no-wait", other, "--", "true"];
    bob.run(folder, &words).await.check(6).says("held by ann");
    let words = ["lease", "run", "--wait", "50ms", other, "--", "true"];
    bob.run(folder, &words).await.check(124);
    let next = [
        "lease",
        "run",
        other,
        "--",
        "sh",
        "-c",
        "echo next >> steps",
    ];
    let mut waiting = bob.start(folder, &next);
    waiting.says("waiting").await;
    fs::write(folder.join("go"), "").unwrap();
    holder.done().await.check(0);
    waiting.done().await.check(0);
    assert_eq!(steps(folder), ["in", "out", "next"]);
}

#[tokio::test]
async fn shared_holders_go_side_by_side() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let (ann, bob) = two(&coordinator).await;
    let words = [
        "lease",
        "run",
        "--shared",
        "name:docs",
        "--",
        "sh",
        "-c",
        HOLD,
    ];
    let running = [ann.start(folder, &words), bob.start(folder, &words)];
    until("both to be in", async || {
        (steps(folder).len() == 2).then_some(())
    })
    .await;
    fs::write(folder.join("go"), "").unwrap();
    for holder in running {
        holder.done().await.check(0);
    }
    assert_eq!(steps(folder), ["in", "in", "out", "out"]);
}

#[tokio::test]
async fn many_at_once_never_overlap() {
    const HOLDERS: usize = 12;
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let ann = Cli::agent(&coordinator, "ann").await;
    // A folder can be made only once: whoever finds it there was not alone.
    let script = "mkdir inside && echo one >> steps && rmdir inside";
    let words = ["lease", "run", "name:merge", "--", "sh", "-ec", script];
    let holders: Vec<Running> = (0..HOLDERS).map(|_| ann.start(folder, &words)).collect();
    for holder in holders {
        holder.done().await.check(0);
    }
    assert_eq!(steps(folder).len(), HOLDERS);
}

#[tokio::test]
async fn a_revoked_lease_stops_the_command() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let ann = Cli::agent(&coordinator, "ann").await;
    let holder = holder(&ann, folder, "name:build").await;
    let mut operator = coordinator.operator().await;
    let params = serde_json::json!({ "lease": 1 });
    operator.call("lease.revoke", params).await.unwrap();
    holder.done().await.check(7).says("lease is lost");
    assert_eq!(steps(folder), ["in"]);
}

#[tokio::test]
async fn a_signal_reaches_the_command_and_frees_the_lease() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let (ann, bob) = two(&coordinator).await;
    let holder = holder(&ann, folder, "name:build").await;
    holder.signal(Signal::SIGTERM);
    holder.done().await.check(143);
    let words = ["lease", "run", "--no-wait", "name:build", "--", "true"];
    bob.run(folder, &words).await.check(0);
}

/// Says who it is, and who works for it; both stay.
const STAY: &str = "sleep 1000 & echo $! >> steps; echo $$ >> steps; wait";

fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    // Nobody may be there to bury it.
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn a_holder_that_is_killed_takes_its_command_along() {
    let coordinator = Coordinator::start().await;
    let folder = coordinator.folder();
    let (ann, bob) = two(&coordinator).await;
    let deaf = format!("trap '' TERM; {STAY}; sleep 1000");
    // The last one would lead a group of its own, if it did not lead one already.
    let commands: [&[&str]; 3] = [
        &["sh", "-c", STAY],
        &["sh", "-c", &deaf],
        &["timeout", "1000", "sh", "-c", STAY],
    ];
    for command in commands {
        let _ = fs::remove_file(folder.join("steps"));
        let words = ["--grace", "1s", "--kill-after", "200ms", "name:build"];
        let words = [&["lease", "run"], &words[..], &["--"], command].concat();
        let holder = ann.start(folder, &words);
        until("the command to run", async || {
            (steps(folder).len() == 2).then_some(())
        })
        .await;
        until("the holder to have nothing to do", async || {
            holder.is_asleep().then_some(())
        })
        .await;
        holder.signal(Signal::SIGKILL);
        until("the command to end", async || {
            (!steps(folder).iter().any(|pid| lives(pid))).then_some(())
        })
        .await;
        let words = ["lease", "run", "name:build", "--", "true"];
        bob.run(folder, &words).await.check(0);
    }
}
