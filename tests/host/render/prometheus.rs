//! The scrape job, checked by promtool and used by a real Prometheus.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::tool::{self, Running};
use crate::support::coordinator::Start;
use crate::support::port::HeldPort;
use crate::support::{http, until};

fn check(line: &[&str], variables: &[(&str, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let line = [&["prometheus"], line].concat();
    let file = tool::render(folder.path(), "prometheus.yml", &line, variables);
    let said = tool::printed(
        tool::program("promtool")
            .args(["check", "config"])
            .arg(&file),
    );
    assert!(said.contains("SUCCESS"), "{said}");
    // The targets alone, referred to as docs/render.md shows.
    let line = [line.as_slice(), &["--file-sd"]].concat();
    tool::render(folder.path(), "coord.json", &line, variables);
    let main = "scrape_configs:\n- job_name: coord\n  file_sd_configs:\n  - files: [coord.json]\n";
    fs::write(&file, main).unwrap();
    let said = tool::printed(
        tool::program("promtool")
            .args(["check", "config"])
            .arg(&file),
    );
    assert!(said.contains("SUCCESS"), "{said}");
}

#[test]
fn promtool_accepts_it() {
    for profile in ["production", "staging", "development", "testing"] {
        check(&[], &[("COORD_PROFILE", profile)]);
    }
    let custom = [
        ("METRICS_PORT", "8080"),
        ("METRICS_PATH", "/custom-metrics"),
        ("COORD_METRICS_HOST", "::"),
        ("COORD_METRICS_ALLOW_PLAINTEXT", "true"),
    ];
    check(&[], &custom);
    check(
        &["--target=gateway-1.example:8080", "--target=[fd00::2]:8080"],
        &custom,
    );
}

#[test]
fn a_list_of_boxes_is_sorted_and_names_each_once() {
    let folder = tempfile::tempdir().unwrap();
    let boxes = "# The boxes of the plant.\nb.example:9091\n\n10.0.0.7:9091 press-7 # new\nb.example:9091\n";
    fs::write(folder.path().join("boxes"), boxes).unwrap();
    let line = [
        "prometheus",
        "--file-sd",
        "--targets-file=boxes",
        "--target=a.example:9091",
    ];
    let file = tool::render(folder.path(), "coord.json", &line, &[]);
    let list: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let list = list.as_array().unwrap().iter();
    let list = list.map(|group| format!("{} {}", group["targets"][0], group["labels"]["node"]));
    let expected = [
        r#""a.example:9091" "a.example""#,
        r#""b.example:9091" "b.example""#,
        r#""10.0.0.7:9091" "press-7""#,
    ];
    assert_eq!(list.collect::<Vec<_>>(), expected);
    let wrong = [
        ("", "names no coordinator"),
        ("a.example:9091 a b", "boxes line 1 has too many words"),
        ("x:1\na.example", "cannot use boxes line 2"),
    ];
    for (text, what) in wrong {
        fs::write(folder.path().join("boxes"), text).unwrap();
        let line = [&["render"], &line[..3]].concat();
        let output = tool::coord(folder.path(), &line, &[]).output().unwrap();
        assert!(!output.status.success());
        assert!(
            tool::said(&output).contains(what),
            "{}",
            tool::said(&output)
        );
    }
}

/// Both forms, each with a Prometheus of its own: the coordinator is up, under its labels.
#[tokio::test]
async fn a_prometheus_scrapes_with_it() {
    let coordinator = Start::new()
        .variable("METRICS_PATH", "/custom-metrics")
        .run()
        .await;
    let metrics = coordinator.metrics_port().to_string();
    let variables = [
        ("COORD_PROFILE", "testing"),
        ("METRICS_PORT", metrics.as_str()),
        ("METRICS_PATH", "/custom-metrics"),
        ("COORD_NODE_NAME", "gateway-1"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let whole = tool::render(folder.path(), "whole.yml", &["prometheus"], &variables);
    tool::render(
        folder.path(),
        "coord.json",
        &["prometheus", "--file-sd"],
        &variables,
    );
    let parts = folder.path().join("parts.yml");
    let main = "global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: coord\n  \
                file_sd_configs:\n  - files: [coord.json]\n";
    fs::write(&parts, main).unwrap();
    for file in [whole, parts] {
        check_scrape(&file).await;
    }
}

pub(crate) async fn check_scrape(file: &Path) {
    let port = HeldPort::take();
    let mut command = tool::program("prometheus");
    let _server = Running::start(
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                file.with_extension("data").display()
            ))
            .arg(format!("--web.listen-address=127.0.0.1:{}", port.number()))
            .arg("--log.level=error"),
    );
    let query = "/api/v1/query?query=coord_build_info";
    let series = until("a scrape", async || {
        let reply = http::get(port.number(), query).await.ok()?;
        let (_, body) = reply.rest.split_once("\r\n\r\n")?;
        let answer: Value = serde_json::from_str(body).ok()?;
        answer["data"]["result"].get(0).cloned()
    })
    .await;
    let labels = &series["metric"];
    assert_eq!(labels["job"], "coord", "{labels}");
    assert_eq!(labels["environment"], "testing", "{labels}");
    assert_eq!(labels["node"], "gateway-1", "{labels}");
}
