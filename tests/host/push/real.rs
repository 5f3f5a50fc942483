//! A real Prometheus takes what is pushed: the values are right, and an outage leaves no hole.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::UNIX_EPOCH;

use serde_json::Value;

use crate::host::metrics::authority::{Authority, hash};
use crate::host::render::tool::{self, Running};
use crate::support::coordinator::Start;
use crate::support::port::HeldPort;
use crate::support::{Coordinator, http, until};

struct Prometheus {
    folder: PathBuf,
    port: HeldPort,
    /// What curl and Prometheus are told for TLS.
    secured: bool,
    running: Option<Running>,
}

impl Prometheus {
    fn new(folder: &Path, secured: bool) -> Self {
        let config = "storage:\n  tsdb:\n    out_of_order_time_window: 1h\n";
        fs::write(folder.join("prometheus.yml"), config).unwrap();
        Self {
            folder: folder.to_owned(),
            port: HeldPort::take(),
            secured,
            running: None,
        }
    }

    fn start(&mut self) {
        let mut command = tool::program("prometheus");
        let file = |name: &str| self.folder.join(name).display().to_string();
        command
            .arg(format!("--config.file={}", file("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={}", file("data")))
            .arg(format!(
                "--web.listen-address=127.0.0.1:{}",
                self.port.number()
            ))
            .args(["--web.enable-remote-write-receiver", "--log.level=error"]);
        if self.secured {
            command.arg(format!("--web.config.file={}", file("receiver.yml")));
        }
        self.running = Some(Running::start(&mut command));
    }

    fn stop(&mut self) {
        self.running = None;
    }

    fn url(&self) -> String {
        let scheme = if self.secured { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port.number())
    }

    /// The result of a query; `None` without an answer.
    fn query(&self, query: &str) -> Option<Value> {
        let mut command = tool::program("curl");
        command.args(["-s", "--max-time", "10", "-G", "--data-urlencode"]);
        command.arg(format!("query={query}"));
        if self.secured {
            let file = |name: &str| self.folder.join(name);
            command.arg("--cacert").arg(file("ca.pem"));
            command
                .arg("--cert")
                .arg(file("box.pem"))
                .arg("--key")
                .arg(file("box.key"));
            command.args(["-u", "ana:secret"]);
        }
        let output = command
            .arg(format!("{}/api/v1/query", self.url()))
            .output()
            .unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
        Some(answer["data"]["result"].clone())
    }

    async fn first(&self, query: &str) -> Value {
        until(query, async || self.query(query)?.get(0).cloned()).await
    }

    /// The times of all samples, in milliseconds.
    async fn times(&self) -> Vec<u64> {
        let found = self.first("coord_build_info[30m]").await;
        let values = found["values"].as_array().unwrap().iter();
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "times of today"
        )]
        values
            .map(|pair| (pair[0].as_f64().unwrap() * 1e3) as u64)
            .collect()
    }
}

fn pushing(start: Start, prometheus: &Prometheus) -> Start {
    start
        .variable(
            "COORD_PUSH_URL",
            format!("{}/api/v1/write", prometheus.url()),
        )
        .variable("COORD_PUSH_INTERVAL_MS", 1_000)
        .variable("COORD_PUSH_LABELS", "site=north")
        .variable("COORD_NODE_NAME", "gateway-1")
}

async fn page(coordinator: &Coordinator, name: &str) -> f64 {
    http::metric(coordinator.metrics_port(), name).await
}

async fn reaches(coordinator: &Coordinator, name: &str, what: impl Fn(f64) -> bool) {
    until(name, async || {
        what(page(coordinator, name).await).then_some(())
    })
    .await;
}

const SENT: &str = "coord_push_records_total{outcome=\"sent\"}";
const WAITING: &str = "coord_push_backlog_records";

/// All records that were made are there: none is missing, and none is there twice.
async fn check_whole(coordinator: &Coordinator, prometheus: &Prometheus) {
    reaches(coordinator, WAITING, |waiting| waiting <= 1.0).await;
    let before = page(coordinator, SENT).await;
    let times = prometheus.times().await;
    let after = page(coordinator, SENT).await;
    #[allow(clippy::cast_precision_loss, reason = "some dozens")]
    let stored = times.len() as f64;
    assert!(
        before <= stored && stored <= after + 1.0,
        "{before} {stored} {after}"
    );
    for outcome in ["rejected", "expired", "clock", "poison", "overflow"] {
        let name = format!("coord_push_records_total{{outcome=\"{outcome}\"}}");
        assert!(page(coordinator, &name).await < 1.0, "{outcome}");
    }
    // A machine with much to do may be late, but an outage is longer than that.
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    let longest = gaps.max().unwrap_or(0);
    assert!(longest < 4_000, "a hole of {longest} ms: {times:?}");
}

#[tokio::test]
async fn an_outage_leaves_no_hole() {
    let start = Start::new();
    let mut prometheus = Prometheus::new(start.folder(), false);
    prometheus.start();
    // Debian's Prometheus knows only 1.0, and says 204 to 2.0.
    let start = pushing(start, &prometheus).variable("COORD_PUSH_PROTOCOL", "2.0");
    let mut coordinator = start.run().await;
    let found = prometheus.first("coord_build_info").await;
    for (label, value) in [
        ("job", "coord"),
        ("instance", "gateway-1"),
        ("environment", "testing"),
        ("node", "gateway-1"),
        ("site", "north"),
    ] {
        assert_eq!(found["metric"][label], value, "{found}");
    }
    let protocol = prometheus.first("coord_push_protocol == 1").await;
    assert_eq!(protocol["metric"]["site"], "north");
    let of_histogram = "coord_request_seconds_bucket{class=\"read\",le=\"+Inf\"}";
    prometheus.first(of_histogram).await;
    prometheus.stop();
    reaches(&coordinator, WAITING, |waiting| waiting >= 5.0).await;
    let mut operator = coordinator.operator().await;
    let status = operator
        .call("server.status", serde_json::json!({}))
        .await
        .unwrap();
    assert_eq!(status["push"]["state"], "retrying", "{status}");
    drop(operator);
    prometheus.start();
    check_whole(&coordinator, &prometheus).await;
    assert!(coordinator.stop().await.success());
}

/// A good link costs no flash. Without one, what left memory is there after kill -9, once.
#[tokio::test]
async fn a_killed_coordinator_sends_what_it_had_kept() {
    let start = Start::new();
    let mut prometheus = Prometheus::new(start.folder(), false);
    prometheus.start();
    let mut coordinator = pushing(start, &prometheus).run().await;
    reaches(&coordinator, SENT, |sent| sent >= 3.0).await;
    let spool = coordinator.state_dir().join("push");
    assert!(!spool.exists(), "written although all was sent");
    prometheus.stop();
    reaches(&coordinator, WAITING, |waiting| waiting >= 6.0).await;
    assert!(spool.exists());
    let (waiting, sent) = (
        page(&coordinator, WAITING).await,
        page(&coordinator, SENT).await,
    );
    coordinator.kill().await;
    let killed = UNIX_EPOCH.elapsed().unwrap().as_millis();
    coordinator.restart().await;
    // The two newest were in memory.
    reaches(&coordinator, WAITING, |found| found >= waiting - 2.0).await;
    let found = page(&coordinator, WAITING).await;
    prometheus.start();
    reaches(&coordinator, SENT, |sent| sent >= found + 2.0).await;
    let times = prometheus.times().await;
    let kept = times.iter().filter(|at| u128::from(**at) <= killed);
    #[allow(clippy::cast_precision_loss, reason = "some dozens")]
    let kept = kept.count() as f64;
    assert!(kept >= sent + waiting - 2.0, "{kept} {sent} {waiting}");
    let closest = times.windows(2).map(|pair| pair[1] - pair[0]).min();
    assert!(closest > Some(400), "one is there twice: {times:?}");
    for outcome in ["rejected", "expired", "clock", "poison", "overflow"] {
        let name = format!("coord_push_records_total{{outcome=\"{outcome}\"}}");
        assert!(page(&coordinator, &name).await < 1.0, "{outcome}");
    }
    assert!(coordinator.stop().await.success());
}

fn try_push(folder: &Path, variables: &[(&str, &str)]) -> (Output, Value) {
    let output = tool::coord(folder, &["health", "push", "--json"], variables)
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout);
    let report = report.unwrap_or_else(|error| panic!("{error}: {}", tool::said(&output)));
    (output, report)
}

#[tokio::test]
async fn a_secured_receiver_that_forgets_a_password_for_a_while() {
    let start = Start::new();
    let folder = start.folder().to_owned();
    let authority = Authority::new(&folder, "ca");
    authority.sign("receiver");
    authority.sign("box");
    let secured = |password: &str| {
        let text = format!(
            "tls_server_config:\n  cert_file: receiver.pem\n  key_file: receiver.key\n  client_ca_file: ca.pem\n  \
             client_auth_type: RequireAndVerifyClientCert\nbasic_auth_users:\n  ana: {}\n",
            hash(password)
        );
        fs::write(folder.join("receiver.yml"), text).unwrap();
    };
    secured("secret");
    fs::write(folder.join("password"), "secret\n").unwrap();
    let mut prometheus = Prometheus::new(&folder, true);
    prometheus.start();
    let file = |name: &str| folder.join(name).display().to_string();
    let (password, ca, certificate, key) = (
        file("password"),
        file("ca.pem"),
        file("box.pem"),
        file("box.key"),
    );
    let start = pushing(start, &prometheus)
        .variable("COORD_PUSH_USER", "ana")
        .variable("COORD_PUSH_PASSWORD_FILE", &password)
        .variable("COORD_PUSH_CA_FILE", &ca)
        .variable("COORD_PUSH_CERTIFICATE_FILE", &certificate)
        .variable("COORD_PUSH_KEY_FILE", &key);
    let mut coordinator = start.run().await;
    prometheus.first("coord_build_info").await;

    let url = format!("{}/api/v1/write", prometheus.url());
    let mut variables = vec![
        ("COORD_PUSH_URL", url.as_str()),
        ("COORD_PUSH_USER", "ana"),
        ("COORD_PUSH_PASSWORD_FILE", &password),
        ("COORD_PUSH_CA_FILE", &ca),
    ];
    let check = |variables: &[(&str, &str)], state: &str, code: i32| {
        let (output, report) = try_push(&folder, variables);
        assert_eq!(report["state"], state, "{report}");
        assert_eq!(output.status.code(), Some(code), "{report}");
        assert_eq!(report["next"].is_string(), code != 0, "{report}");
    };
    check(&variables, "unauthorised", 1);
    variables.extend([
        ("COORD_PUSH_CERTIFICATE_FILE", certificate.as_str()),
        ("COORD_PUSH_KEY_FILE", &key),
    ]);
    check(&variables, "running", 0);
    let untrusting: Vec<_> = variables
        .iter()
        .copied()
        .filter(|(name, _)| !name.contains("CA_FILE"))
        .collect();
    check(&untrusting, "untrusted", 1);

    secured("another");
    reaches(
        &coordinator,
        "coord_push_failures_total{reason=\"unauthorised\"}",
        |count| count >= 2.0,
    )
    .await;
    check(&variables, "unauthorised", 1);
    secured("secret");
    check_whole(&coordinator, &prometheus).await;
    assert!(coordinator.stop().await.success());
}

#[test]
fn what_is_wrong_is_told_without_a_receiver() {
    let folder = tempfile::tempdir().unwrap();
    let held = HeldPort::take();
    let url = format!("http://127.0.0.1:{}/api/v1/write", held.number());
    let (output, report) = try_push(folder.path(), &[("COORD_PUSH_URL", &url)]);
    assert_eq!(report["state"], "unreachable", "{report}");
    assert_eq!(output.status.code(), Some(1));
    let (_, report) = try_push(
        folder.path(),
        &[("COORD_PUSH_URL", "https://no.such.name.invalid/w")],
    );
    assert!(
        report["next"].as_str().unwrap().contains("name servers"),
        "{report}"
    );
    let nothing = tool::coord(folder.path(), &["health", "push"], &[])
        .output()
        .unwrap();
    assert_eq!(nothing.status.code(), Some(2), "{}", tool::said(&nothing));
    let refused = [
        (
            "COORD_PUSH_URL",
            "http://prometheus.example/api/v1/write",
            "would not be encrypted",
        ),
        (
            "COORD_PUSH_HEADERS",
            "Content-Type: text/plain",
            "is not for you to set",
        ),
        (
            "COORD_PUSH_HEADERS",
            "Authorization: Basic eDp5",
            "is not for you to set",
        ),
        (
            "COORD_PUSH_HEADERS",
            "X Y: 1",
            "is not the name of a header",
        ),
        (
            "COORD_PUSH_LABELS",
            "__name__=x",
            "is not the name of a label",
        ),
    ];
    for (variable, value, words) in refused {
        let output = tool::coord(folder.path(), &["config", "show"], &[(variable, value)])
            .output()
            .unwrap();
        assert!(
            tool::said(&output).contains(words),
            "{variable}={value}: {}",
            tool::said(&output)
        );
    }
}
