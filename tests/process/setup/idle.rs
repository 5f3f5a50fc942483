//! What a project costs that nobody uses: there may be one for each repository.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::support::{Coordinator, http};

const PROJECTS: u64 = 250;
const PROJECT_BYTES_MAX: u64 = 64 * 1024;
/// More than a heartbeat of journal time.
const IDLE: Duration = Duration::from_secs(3);

fn resident_bytes(coordinator: &Coordinator) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", coordinator.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}

async fn counted(coordinator: &Coordinator, name: &str) -> u64 {
    let page = http::get(coordinator.metrics_port(), "/metrics")
        .await
        .unwrap();
    let line = page
        .rest
        .lines()
        .find_map(|line| line.strip_prefix(name).map(str::to_owned));
    line.unwrap_or_else(|| panic!("{name} is not counted"))
        .trim()
        .parse()
        .unwrap()
}

#[tokio::test]
async fn an_idle_project_costs_little_memory_and_no_writes() {
    let coordinator = Coordinator::start().await;
    let mut operator = coordinator.operator().await;
    let before = resident_bytes(&coordinator);
    for number in 0..PROJECTS {
        let params = json!({ "project": format!("p{number}") });
        operator.call("project.create", params).await.unwrap();
    }
    let after = resident_bytes(&coordinator);
    let each = after.saturating_sub(before) / PROJECTS;
    println!("{each} bytes of memory for an idle project");
    assert!(each <= PROJECT_BYTES_MAX, "{each}");
    let names = [
        "coord_journal_syncs_total ",
        "coord_journal_written_bytes_total ",
    ];
    let mut written = Vec::new();
    for _ in 0..2 {
        for name in names {
            written.push(counted(&coordinator, name).await);
        }
        tokio::time::sleep(IDLE).await;
    }
    assert_eq!(written[..2], written[2..], "an idle project writes");
    let left = 256 - 1 - PROJECTS;
    for number in 0..left {
        let params = json!({ "project": format!("q{number}") });
        operator.call("project.create", params).await.unwrap();
    }
    let full = operator
        .call("project.create", json!({ "project": "one-more" }))
        .await;
    let full = format!("{full:?}");
    assert!(
        full.contains("projects_max") && full.contains("256"),
        "{full}"
    );
}
