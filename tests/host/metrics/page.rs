//! The page itself: how many series, under which names, in which form.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::process::Stdio;

use cli_coordinator::metrics::{Metrics, MetricsScope};
use flate2::read::GzDecoder;
use serde_json::json;

use crate::host::render::tool;
use crate::support::coordinator::Start;
use crate::support::{Coordinator, http};

/// What a fleet of a thousand boxes can afford.
const SERIES_MAX: usize = 300;

/// A box with a firewall, as its privileged helper tells it.
async fn start_box(detail: bool) -> Coordinator {
    let start = Start::new();
    let counters = [
        "websocket_accepted",
        "websocket_refused",
        "websocket_limited",
        "metrics_accepted",
        "metrics_refused",
        "metrics_limited",
        "redis_accepted",
        "redis_refused",
        "other_refused",
    ];
    let counters = counters.map(|name| json!({ "name": name, "packets": 7, "bytes": 420 }));
    let board = json!({
        "format": 1, "uptime_ms": 0, "state": "as_configured", "pending": false, "counters": counters,
    });
    let file = start.folder().join("firewall.json");
    fs::write(&file, board.to_string()).unwrap();
    let start = start
        .variable("COORD_FIREWALL_STATUS_FILE", file.display())
        .variable("COORD_METRICS_DETAIL", detail);
    start.run().await
}

async fn page(port: u16) -> String {
    let reply = http::get(port, "/metrics").await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.rest);
    let (_, page) = reply.rest.split_once("\r\n\r\n").unwrap();
    page.to_owned()
}

fn series(page: &str) -> Vec<&str> {
    let lines = page.lines();
    lines.filter(|line| !line.starts_with('#')).collect()
}

/// The name of a metric and its labels, without what belongs to histograms.
fn shape(series: &str) -> (String, BTreeSet<String>) {
    let (name, rest) = series.split_at(series.find([' ', '{']).unwrap());
    let labels = rest
        .strip_prefix('{')
        .and_then(|rest| rest.rsplit_once('}'));
    let labels = labels.map_or("", |(labels, _)| labels);
    let labels = labels
        .split("\",")
        .filter_map(|pair| pair.split_once("=\""));
    let labels = labels.map(|(label, _)| label.to_owned());
    let labels = labels.filter(|label| label != "le").collect();
    let endings = ["_bucket", "_sum", "_count"];
    let whole = endings.iter().find_map(|ending| name.strip_suffix(ending));
    (whole.unwrap_or(name).to_owned(), labels)
}

#[tokio::test]
async fn an_idle_box_has_few_series_and_all_are_in_the_list() {
    let coordinator = start_box(false).await;
    let page = page(coordinator.metrics_port()).await;
    let series = series(&page);
    assert!(series.len() <= SERIES_MAX, "{} series", series.len());
    assert!(page.contains("coord_firewall_packets_total{counter=\"redis_refused\"} 7"));
    let projects = series
        .iter()
        .filter(|line| line.starts_with("coord_tasks_done_total"));
    assert_eq!(
        projects.count(),
        2,
        "the figures are of a box with two projects"
    );
    let build = [("version", ""), ("environment", ""), ("journal", "")];
    let all = Metrics::new(&build, MetricsScope::default());
    for line in series {
        let (name, labels) = shape(line);
        let info = all.described().iter().find(|info| info.name == name);
        let info = info.unwrap_or_else(|| panic!("{name} is not in the list"));
        let listed: BTreeSet<String> = info.labels.iter().cloned().collect();
        assert_eq!(labels, listed, "{line}");
    }
    for value in ["coord_ready 1", "coord_metrics_web_config_ok 1"] {
        assert!(page.lines().any(|line| line == value), "{value}");
    }
    for name in [
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_open_fds",
    ] {
        assert!(
            http::metric(coordinator.metrics_port(), name).await > 0.0,
            "{name}"
        );
    }
}

#[tokio::test]
async fn each_operation_is_shown_where_it_is_asked_for() {
    let coordinator = start_box(true).await;
    let page = page(coordinator.metrics_port()).await;
    assert!(page.contains("coord_operation_seconds_bucket{operation=\"task.claim\""));
    assert!(page.contains("coord_operation_outcomes_total{operation=\"ping\",outcome=\"ok\"}"));
}

#[tokio::test]
async fn promtool_finds_no_fault_with_the_names() {
    let coordinator = start_box(true).await;
    let page = page(coordinator.metrics_port()).await;
    let mut command = tool::program("promtool");
    command.args(["check", "metrics"]);
    let piped = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(page.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", tool::said(&output));
    assert_eq!(tool::said(&output), "");
}

#[tokio::test]
async fn the_page_is_packed_for_those_who_take_it() {
    let coordinator = start_box(false).await;
    let port = coordinator.metrics_port();
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
    );
    let bytes = http::exchange_bytes(port, &request).await.unwrap();
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    assert!(head.contains("content-encoding: gzip"), "{head}");
    let mut unpacked = String::new();
    GzDecoder::new(&bytes[end + 4..])
        .read_to_string(&mut unpacked)
        .unwrap();
    assert!(unpacked.contains("coord_build_info"), "{unpacked}");
    assert!(bytes.len() * 3 < unpacked.len());
}
