//! Others on our ports, and nobody.

use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::command::Health;
use crate::support::port::HeldPort;
use crate::support::{http, until};

/// Python's web server, killed when dropped.
struct Python {
    child: Child,
    port: HeldPort,
    _folder: tempfile::TempDir,
}

impl Python {
    async fn start() -> Self {
        let port = HeldPort::take();
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new("python3")
            .args(["-m", "http.server", "--bind", "127.0.0.1"])
            .arg(port.number().to_string())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 is installed: apt-get install python3, or run tests/run");
        let python = Self {
            child,
            port,
            _folder: folder,
        };
        let answers = async || http::get(python.port.number(), "/").await.ok();
        until("Python to serve", answers).await;
        python
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It is gone already when the test ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that gives each request for `path` its answer, and everything else a 404; all that it was
/// sent is kept.
struct Fake {
    port: u16,
    requests: Arc<Mutex<String>>,
}

impl Fake {
    async fn start(path: &'static str, body: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(String::new()));
        let hears = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 4096];
                let Ok(count) = stream.read(&mut request).await else {
                    continue;
                };
                let request = String::from_utf8_lossy(&request[..count]).into_owned();
                let wanted = request.starts_with(&format!("GET {path} "));
                hears.lock().unwrap().push_str(&request);
                let answer = if wanted {
                    format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}")
                } else {
                    "HTTP/1.1 404 Not Found\r\nServer: fake/1\r\nContent-Length: 0\r\n\r\n"
                        .to_owned()
                };
                // The probe hangs up when it has seen enough.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { port, requests }
    }
}

#[tokio::test]
async fn nobody_listens() {
    let reported = Health::nowhere().run(&[]).await;
    reported
        .check("redis", "not_used", &["embedded"])
        .check("websocket", "not_running", &["coord serve"])
        .check("metrics", "not_running", &["METRICS_PORT"])
        .exits(1);
    let redis = HeldPort::take();
    let health = Health::nowhere().with("REDIS_PORT", redis.number());
    let reported = health.run(&[]).await;
    reported.check("redis", "not_running", &["start Redis"]);
}

#[tokio::test]
async fn a_listener_that_never_answers_is_unreachable() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    for (variable, service) in [
        ("REDIS_PORT", "redis"),
        ("WEBSOCKET_PORT", "websocket"),
        ("METRICS_PORT", "metrics"),
    ] {
        let health = Health::nowhere().with(variable, port);
        let reported = health.run(&["--timeout", "200ms"]).await;
        let words = ["it accepts connections", "200 ms"];
        reported.check(service, "unreachable", &words).exits(1);
    }
}

#[tokio::test]
async fn a_name_that_leads_nowhere_is_unreachable() {
    let health = Health::nowhere().with("REDIS_HOST", "nowhere.invalid");
    let reported = health.run(&[]).await;
    reported.check("redis", "unreachable", &["check the host"]);
}

#[tokio::test]
async fn pythons_web_server_is_a_wrong_service_on_every_port() {
    let python = Python::start().await;
    for (variable, service, words) in [
        ("REDIS_PORT", "redis", &["protocol of Redis"][..]),
        (
            "WEBSOCKET_PORT",
            "websocket",
            &["SimpleHTTP", "WEBSOCKET_PORT"],
        ),
        (
            "METRICS_PORT",
            "metrics",
            &["HTTP 404", "SimpleHTTP", "METRICS_PORT"],
        ),
    ] {
        let health = Health::nowhere().with(variable, python.port.number());
        let reported = health.run(&[]).await;
        reported.check(service, "wrong_service", words).exits(1);
    }
}

#[tokio::test]
async fn metrics_of_another_program_are_not_ours() {
    let page = "# TYPE up gauge\nup{job=\"x\"} 1\n".to_owned();
    let fake = Fake::start("/metrics", page).await;
    let health = Health::nowhere().with("METRICS_PORT", fake.port);
    let reported = health.run(&[]).await;
    reported.check(
        "metrics",
        "wrong_service",
        &["another program", "coord_build_info"],
    );
    let fake = Fake::start("/metrics", "<html>\n".to_owned()).await;
    let health = health.with("METRICS_PORT", fake.port);
    let reported = health.run(&[]).await;
    reported.check("metrics", "wrong_service", &["line 1"]);
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let page = "up 1\n".repeat(2_000_000);
    let fake = Fake::start("/metrics", page).await;
    let health = Health::nowhere().with("METRICS_PORT", fake.port);
    let reported = health.run(&["--timeout", "30s"]).await;
    reported.check("metrics", "wrong_service", &["was incomplete"]);
}

#[tokio::test]
async fn a_token_is_shown_to_no_stranger() {
    const TOKEN: &str = "a-token-that-is-nobodys-business";
    let fake = Fake::start("/", String::new()).await;
    let health = Health::nowhere().with("WEBSOCKET_PORT", fake.port);
    let health = health.with("COORD_TOKEN", TOKEN);
    let reported = health.run(&[]).await;
    reported.check("websocket", "wrong_service", &["HTTP 404 from fake/1"]);
    assert!(!fake.requests.lock().unwrap().contains(TOKEN));
    assert!(!reported.text.contains(TOKEN), "{}", reported.text);
}

/// Who imitates the health page still has to take a WebSocket.
#[tokio::test]
async fn a_health_page_alone_is_no_coordinator() {
    let page = r#"{"service":"cli-coordinator","status":"ready","version":"9","node":"n",
        "environment":"testing"}"#;
    let fake = Fake::start("/readyz", page.to_owned()).await;
    let health = Health::nowhere().with("WEBSOCKET_PORT", fake.port);
    let reported = health.run(&[]).await;
    reported.check("websocket", "wrong_service", &["HTTP 404 from fake/1"]);
}
