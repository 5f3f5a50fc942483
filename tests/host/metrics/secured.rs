//! A secured port: who gets the page, what changes without a signal, and that guessing costs the agents nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::authority::{Authority, Pair, hash};
use crate::host::health::command::Health;
use crate::host::render::tool;
use crate::support::coordinator::Start;
use crate::support::{Coordinator, until, within};

/// Starts one whose web-config file has this text.
async fn start(start: Start, text: &str) -> Coordinator {
    let file = start.folder().join("web.yml");
    fs::write(&file, text).unwrap();
    let start = start.variable("COORD_METRICS_WEB_CONFIG_FILE", file.display());
    start.run().await
}

/// Asks with curl; 0: there was no answer at all. Then the page.
fn ask(coordinator: &Coordinator, scheme: &str, arguments: &[&str]) -> (u16, String) {
    let url = format!(
        "{scheme}://127.0.0.1:{}/metrics",
        coordinator.metrics_port()
    );
    let mut command: Command = tool::program("curl");
    command.args(["-s", "-i", "--max-time", "30", "-w", "\n%{http_code}"]);
    let output = command.args(arguments).arg(url).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (page, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), page.to_owned())
}

fn users(users: &[(&str, &str)]) -> String {
    let lines = users
        .iter()
        .map(|(user, password)| format!("  {user}: {}\n", hash(password)));
    format!("basic_auth_users:\n{}", lines.collect::<String>())
}

/// The arguments that show a certificate, and more.
fn with<'a>(pair: &'a Pair, more: &[&'a str]) -> Vec<&'a str> {
    let shown = ["--cert", path(&pair.certificate), "--key", path(&pair.key)];
    [&shown[..], more].concat()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn gauge(page: &str, name: &str) -> u64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{name} is not in {page}"))
        .trim()
        .parse()
        .unwrap()
}

#[tokio::test]
async fn only_who_shows_what_is_asked_gets_the_page() {
    let begun = Start::new();
    let folder = begun.folder().to_owned();
    let authority = Authority::new(&folder, "ca");
    let server = authority.sign("server");
    let prometheus = authority.sign("prometheus.example");
    let colleague = authority.sign("colleague.example");
    let stranger = Authority::new(&folder, "other").sign("prometheus.example.other");
    fs::write(folder.join("users"), format!("ana:{}\n", hash("secret"))).unwrap();
    let token = "t".repeat(40);
    let coordinator = begun
        .variable(
            "COORD_METRICS_TLS_CERTIFICATE_FILE",
            server.certificate.display(),
        )
        .variable("COORD_METRICS_TLS_KEY_FILE", server.key.display())
        .variable("COORD_METRICS_CLIENT_CA_FILE", authority.file.display())
        .variable("COORD_METRICS_CLIENT_ALLOWED_NAMES", "prometheus.example")
        .variable(
            "COORD_METRICS_BASIC_AUTH_USERS_FILE",
            folder.join("users").display(),
        )
        .variable("COORD_METRICS_TOKEN", &token)
        .run()
        .await;
    let trust = ["--cacert", path(&authority.file)];
    let check = |shown: &[&str], expected: u16| {
        let (status, page) = ask(&coordinator, "https", &[&trust[..], shown].concat());
        assert_eq!(status, expected, "{shown:?}\n{page}");
        assert_eq!(
            page.contains("coord_build_info"),
            expected == 200,
            "{shown:?}"
        );
        page
    };
    let bearer = format!("Authorization: Bearer {token}");
    let operator = format!("Authorization: Bearer {}", coordinator.operator_token());
    check(&with(&prometheus, &["-u", "ana:secret"]), 200);
    check(&with(&prometheus, &["-H", &bearer]), 200);
    // From this machine a certificate may be missing, but then only the operator's token counts.
    check(&["-H", &operator], 200);
    check(&["-u", "ana:secret"], 401);
    check(&["-H", &bearer], 401);
    check(&[], 401);
    let refusal = check(&with(&prometheus, &[]), 401);
    assert!(refusal.contains("Basic realm"), "{refusal}");
    assert!(
        refusal.to_ascii_lowercase().contains("server: coord/"),
        "{refusal}"
    );
    check(&with(&prometheus, &["-u", "ana:Secret"]), 401);
    check(&with(&prometheus, &["-u", "bob:secret"]), 401);
    check(&with(&colleague, &["-u", "ana:secret"]), 0);
    check(&with(&stranger, &["-u", "ana:secret"]), 0);
    assert_eq!(ask(&coordinator, "http", &["-u", "ana:secret"]).0, 0);
    let page = check(&["-H", &operator], 200);
    assert!(page.contains("coord_connections_refused_total{reason=\"client_name\"} 1"));
    assert!(page.contains("coord_certificate_not_after_seconds{use=\"metrics\"}"));
}

#[tokio::test]
async fn files_are_read_again_without_a_signal_and_a_bad_one_changes_nothing() {
    let begun = Start::new();
    let folder = begun.folder().to_owned();
    let authority = Authority::new(&folder, "ca");
    authority.sign("server");
    let tls = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n";
    let write = |text: &str| fs::write(folder.join("web.yml"), text).unwrap();
    let coordinator = start(begun, &(tls.to_owned() + &users(&[("ana", "old")]))).await;
    let ask = |password: &str, ca: &Path| {
        let user = format!("ana:{password}");
        ask(&coordinator, "https", &["--cacert", path(ca), "-u", &user])
    };
    assert_eq!(ask("old", &authority.file).0, 200);
    write(&(tls.to_owned() + &users(&[("ana", "new")])));
    assert_eq!(ask("old", &authority.file).0, 401);
    assert_eq!(ask("new", &authority.file).0, 200);
    for bad in [
        "basic_auth_users: {",
        "junk: 1\n",
        "tls_server_config: {cert_file: server.pem}\n",
    ] {
        write(bad);
        let (status, page) = ask("new", &authority.file);
        assert_eq!(status, 200, "{bad}");
        assert_eq!(gauge(&page, "coord_metrics_web_config_ok"), 0, "{bad}");
        assert_eq!(gauge(&page, "coord_ready"), 1, "{bad}");
    }
    assert!(coordinator.said().contains("the last good one stays"));
    // A certificate of another authority; it takes two steps, and in between the pair does not fit.
    write(&(tls.to_owned() + &users(&[("ana", "new")])));
    let other = Authority::new(&folder, "other");
    let pair = other.sign("replaced");
    fs::rename(&pair.certificate, folder.join("server.pem")).unwrap();
    assert_eq!(ask("new", &authority.file).0, 200);
    fs::rename(&pair.key, folder.join("server.key")).unwrap();
    let (status, page) = ask("new", &other.file);
    assert_eq!(status, 200);
    assert_eq!(gauge(&page, "coord_metrics_web_config_ok"), 1);
    assert_eq!(ask("new", &authority.file).0, 0);
}

#[tokio::test]
async fn what_is_wrong_at_a_start_is_told_with_the_file() {
    let start = Start::new();
    let file = start.folder().join("web.yml");
    fs::write(&file, "basic_auth_users:\n  ana: secret\n").unwrap();
    let start = start.variable("COORD_METRICS_WEB_CONFIG_FILE", file.display());
    let words = [
        "COORD_METRICS_WEB_CONFIG_FILE",
        "\"ana\" is not a bcrypt hash",
    ];
    start.run_to_end().await.check(78, &words);
    // Plain text beyond loopback stays refused if the file has only passwords.
    fs::write(&file, users(&[("ana", "secret")])).unwrap();
    let start = start.variable("COORD_METRICS_HOST", "0.0.0.0");
    start
        .run_to_end()
        .await
        .check(78, &["0.0.0.0 is not loopback"]);
}

#[tokio::test]
async fn health_tells_running_from_unauthorised() {
    let begun = Start::new();
    let authority = Authority::new(begun.folder(), "ca");
    authority.sign("server");
    let text = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n  client_ca_file: ca.pem\n  \
                client_auth_type: RequireAndVerifyClientCert\n";
    let coordinator = start(begun, &(text.to_owned() + &users(&[("ana", "secret")]))).await;
    let file = coordinator.folder().join("web.yml");
    let health = || Health::of(&coordinator).with("COORD_METRICS_WEB_CONFIG_FILE", file.display());
    health()
        .run(&[])
        .await
        .check("metrics", "running", &["testing"])
        .exits(0);
    // An agent's token opens the agents' port, and not the metrics.
    let token = coordinator.token("ana", "agent").await;
    let agents = health().with("COORD_TOKEN", token).run(&[]).await;
    agents
        .check("websocket", "running", &[])
        .check(
            "metrics",
            "unauthorised",
            &["HTTP 401 from coord", "operator's token"],
        )
        .exits(1);
    let other = tempfile::tempdir().unwrap();
    let nobody = health().with("COORD_STATE_DIR", other.path().display());
    nobody
        .run(&[])
        .await
        .check("metrics", "unauthorised", &["HTTP 401"])
        .exits(1);
}

/// Counted, not timed: what a flood makes the coordinator compute, and that agents are served meanwhile.
#[tokio::test]
async fn guessing_and_slow_handshakes_leave_the_agents_alone() {
    let begun = Start::new();
    let authority = Authority::new(begun.folder(), "ca");
    authority.sign("server");
    let text = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n";
    let coordinator = start(begun, &(text.to_owned() + &users(&[("ana", "secret")]))).await;
    let mut agent = coordinator.agent("worker").await;
    let scrape = || {
        let trust = ["--cacert", path(&authority.file), "-u", "ana:secret"];
        ask(&coordinator, "https", &trust)
    };
    assert_eq!(scrape().0, 200);
    // Guesses: five computations, then none; the scraper that is known goes on.
    let mut answers = Vec::new();
    for number in 0..30 {
        let user = format!("ana:{number}");
        let trust = ["--cacert", path(&authority.file), "-u", &user];
        answers.push(ask(&coordinator, "https", &trust).0);
        agent.call("ping", json!({})).await.unwrap();
    }
    assert_eq!(
        answers.iter().filter(|status| **status == 401).count(),
        5,
        "{answers:?}"
    );
    assert!(
        answers[5..].iter().all(|status| [0, 429].contains(status)),
        "{answers:?}"
    );
    let page = until("a scrape", async || {
        let (status, page) = scrape();
        (status == 200).then_some(page)
    });
    let page = page.await;
    assert_eq!(gauge(&page, "coord_metrics_passwords_checked_total"), 6);
    // Handshakes that never end: they have places of their own, and what is beyond is closed at once.
    let mut idle = Vec::new();
    for _ in 0..40 {
        let stream = TcpStream::connect(("127.0.0.1", coordinator.metrics_port())).await;
        idle.push(stream.unwrap());
    }
    let mut beyond = idle.pop().unwrap();
    let read = within("the end of a connection", beyond.read(&mut [0])).await;
    assert!(!matches!(read, Ok(1..)), "{read:?}");
    for _ in 0..100 {
        agent.call("ping", json!({})).await.unwrap();
    }
    coordinator
        .agent("another")
        .await
        .call("ping", json!({}))
        .await
        .unwrap();
    // They keep none of another source out.
    let other = [
        "--cacert",
        path(&authority.file),
        "-u",
        "ana:secret",
        "--interface",
        "127.0.0.2",
    ];
    assert_eq!(ask(&coordinator, "https", &other).0, 200);
    drop(idle);
    until("a scrape", async || (scrape().0 == 200).then_some(())).await;
}

/// With the job that `coord render prometheus` makes.
#[tokio::test]
async fn a_real_prometheus_scrapes_a_secured_port() {
    let begun = Start::new();
    let folder = begun.folder().to_owned();
    let authority = Authority::new(&folder, "ca");
    authority.sign("server");
    let client = authority.sign("client");
    fs::write(folder.join("password"), "secret").unwrap();
    let text = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n  client_ca_file: ca.pem\n  \
                client_auth_type: RequireAndVerifyClientCert\n";
    let coordinator = start(begun, &(text.to_owned() + &users(&[("ana", "secret")]))).await;
    assert!(client.key.ends_with("client.key"));
    let (file, port) = (
        folder.join("web.yml"),
        coordinator.metrics_port().to_string(),
    );
    let variables = [
        ("COORD_PROFILE", "testing"),
        ("METRICS_PORT", port.as_str()),
        ("COORD_NODE_NAME", "gateway-1"),
        ("COORD_METRICS_WEB_CONFIG_FILE", path(&file)),
    ];
    let line = ["prometheus", "--secrets", path(&folder)];
    let job = tool::render(&folder, "prometheus.yml", &line, &variables);
    let said = tool::printed(
        tool::program("promtool")
            .args(["check", "config"])
            .arg(&job),
    );
    assert!(said.contains("SUCCESS"), "{said}");
    crate::host::render::prometheus::check_scrape(&job).await;
}
