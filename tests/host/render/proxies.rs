//! The load balancers: each configuration is checked by its program, and carries real sessions.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::tool::{self, Running};
use crate::support::coordinator::Start;
use crate::support::port::HeldPort;
use crate::support::{Client, Coordinator, http, until};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Proxy {
    Haproxy,
    Nginx,
}

impl Proxy {
    fn name(self) -> &'static str {
        match self {
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
        }
    }

    /// Its command line for a rendered file; nginx gets the file a rendering is a part of.
    fn command(self, file: &Path) -> Command {
        let mut command = tool::program(self.name());
        match self {
            Self::Haproxy => command.arg("-f").arg(file),
            Self::Nginx => {
                let folder = file.parent().unwrap();
                let place = folder.display();
                let main = format!(
                    "pid {place}/pid;\nerror_log stderr warn;\nevents {{}}\nhttp {{\n\
                     access_log off;\nclient_body_temp_path {place}/body;\n\
                     proxy_temp_path {place}/proxy;\nfastcgi_temp_path {place}/fastcgi;\n\
                     uwsgi_temp_path {place}/uwsgi;\nscgi_temp_path {place}/scgi;\n\
                     include {};\n}}\n",
                    file.display()
                );
                let whole = folder.join("nginx.conf");
                fs::write(&whole, main).unwrap();
                command.arg("-p").arg(folder).arg("-c").arg(whole)
            }
        };
        command
    }

    /// Its own check of a configuration.
    #[track_caller]
    fn check(self, file: &Path) {
        let mut command = self.command(file);
        let output = command
            .arg(if self == Self::Haproxy { "-c" } else { "-t" })
            .output()
            .unwrap();
        let said = tool::said(&output);
        let text = fs::read_to_string(file).unwrap();
        assert!(output.status.success(), "{said}\n{text}");
        let complaints = ["[WARNING]", "[ALERT]", "[warn]", "deprecated"];
        let complaint = complaints.iter().find(|word| said.contains(**word));
        assert_eq!(complaint, None, "{said}\n{text}");
    }

    fn start(self, file: &Path) -> Running {
        let mut command = self.command(file);
        Running::start(match self {
            Self::Haproxy => command.arg("-db").arg("-q"),
            Self::Nginx => command.args(["-g", "daemon off;"]),
        })
    }
}

/// A load balancer in front of coordinators.
struct Front {
    _folder: tempfile::TempDir,
    _server: Running,
    port: HeldPort,
}

/// Renders, checks and starts one; `line` and `variables` are added to what its place needs.
fn front(proxy: Proxy, line: &[&str], variables: &[(&str, &str)]) -> Front {
    let (folder, port) = (tempfile::tempdir().unwrap(), HeldPort::take());
    let listen = format!("--listen=127.0.0.1:{}", port.number());
    let line = [&[proxy.name(), listen.as_str()], line].concat();
    let file = tool::render(folder.path(), "coord.conf", &line, variables);
    proxy.check(&file);
    Front {
        _server: proxy.start(&file),
        _folder: folder,
        port,
    }
}

impl Front {
    fn number(&self) -> u16 {
        self.port.number()
    }

    async fn status(&self, path: &str) -> Option<u16> {
        Some(http::get(self.number(), path).await.ok()?.status)
    }

    async fn ready(&self) {
        let look = async || (self.status("/readyz").await == Some(200)).then_some(());
        until("the load balancer to be ready", look).await;
    }
}

/// A piece of work from beginning to end, through the load balancer.
async fn check_session(proxy: Proxy) {
    let mut coordinator = Coordinator::start().await;
    let port = coordinator.port().to_string();
    let front = front(
        proxy,
        &[],
        &[("COORD_PROFILE", "testing"), ("WEBSOCKET_PORT", &port)],
    );
    front.ready().await;
    let token = coordinator.token("alice", "agent").await;
    let mut alice = Client::connect(front.number(), &token).await;
    alice
        .call("task.submit", json!({"title": "proxied"}))
        .await
        .unwrap();
    let claimed = alice
        .call("task.claim", json!({"ttl_ms": 60_000}))
        .await
        .unwrap();
    assert_eq!(claimed["claim"]["title"], "proxied", "{claimed}");
    // Only what agents use is passed on, and a stranger is refused by the coordinator itself.
    for path in [
        "/metrics",
        "/custom-metrics",
        "/ws/",
        "/other",
        "//",
        "/readyz/x",
    ] {
        assert_eq!(front.status(path).await, Some(404), "{path}");
    }
    assert_eq!(front.status("/healthz").await, Some(200));
    let refused = http::upgrade(front.number(), "/ws", &["Host: evil.example"]).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(refused.rest.contains("allowed_hosts"), "{refused:?}");
    let refused = http::upgrade(front.number(), "/ws", &["Host: 127.0.0.1"]).await;
    assert_eq!(refused.status, 401, "{refused:?}");
    drop(alice);
    coordinator.stop().await;
    let gone = async || matches!(front.status("/readyz").await, Some(502 | 503)).then_some(());
    until("the load balancer to say that nobody serves", gone).await;
}

#[tokio::test]
async fn haproxy_carries_a_session() {
    check_session(Proxy::Haproxy).await;
}

#[tokio::test]
async fn nginx_carries_a_session() {
    check_session(Proxy::Nginx).await;
}

/// The name that clients use reaches the coordinator, and is checked there.
async fn check_host(proxy: Proxy) {
    let coordinator = Start::new()
        .variable("COORD_ALLOWED_HOSTS", "agents.example")
        .run()
        .await;
    let port = coordinator.port().to_string();
    let front = front(proxy, &[], &[("WEBSOCKET_PORT", &port)]);
    front.ready().await;
    let host = format!("Host: agents.example:{}", front.number());
    let known = http::upgrade(front.number(), "/ws", &[&host]).await;
    assert_eq!(
        known.status, 401,
        "the host is served, a token is missing: {known:?}"
    );
    let unknown = http::upgrade(front.number(), "/ws", &["Host: other.example"]).await;
    assert_eq!(unknown.status, 403, "{unknown:?}");
}

#[tokio::test]
async fn both_pass_the_host_on() {
    check_host(Proxy::Haproxy).await;
    check_host(Proxy::Nginx).await;
}

/// One that stops gets no new agents. Which coordinator answers is told by its name.
async fn check_failover(proxy: Proxy) {
    let mut first = Start::new()
        .variable("COORD_NODE_NAME", "first")
        .run()
        .await;
    let second = Start::new()
        .variable("COORD_NODE_NAME", "second")
        .run()
        .await;
    let backend = |coordinator: &Coordinator| format!("--backend=127.0.0.1:{}", coordinator.port());
    let line = [backend(&first), backend(&second)];
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    // What they share is told to the renderer alone: this is about who is asked.
    let front = front(proxy, &line, &[("REDIS_HOST", "redis.example")]);
    front.ready().await;
    let who = async || {
        let reply = http::get(front.number(), "/readyz").await.ok()?;
        let answered = |name: &&str| reply.status == 200 && reply.rest.contains(*name);
        ["first", "second"].into_iter().find(answered)
    };
    until("the first to be asked", async || {
        (who().await? == "first").then_some(())
    })
    .await;
    until("the second to be asked", async || {
        (who().await? == "second").then_some(())
    })
    .await;
    first.kill().await;
    // Whatever the load balancer knows yet, each request finds the one that is left in the end.
    until("only the second to be asked", async || {
        for _ in 0..4 {
            if who().await? != "second" {
                return None;
            }
        }
        Some(())
    })
    .await;
}

#[tokio::test]
async fn haproxy_passes_over_a_coordinator_that_is_gone() {
    check_failover(Proxy::Haproxy).await;
}

#[tokio::test]
async fn nginx_passes_over_a_coordinator_that_is_gone() {
    check_failover(Proxy::Nginx).await;
}

/// Runs `coord` as the operator, through a load balancer, trusting the coordinator's certificate alone.
fn through(coordinator: &Coordinator, front: &Front, line: &[&str]) -> Command {
    let said = coordinator.said();
    let mut lines = said.lines();
    let pinned = lines.find_map(|line| line.strip_prefix("certificate SHA-256 "));
    let token_file = coordinator.state_dir().join("operator.token");
    let url = format!("wss://127.0.0.1:{}/ws", front.number());
    let variables = [
        ("COORD_URL", url.as_str()),
        ("COORD_TLS_FINGERPRINT", pinned.unwrap()),
        ("COORD_TOKEN_FILE", token_file.to_str().unwrap()),
        ("COORD_PROFILE", "testing"),
    ];
    tool::coord(coordinator.folder(), line, &variables)
}

async fn check_work_over_tls(coordinator: &Coordinator, front: &Front) {
    until("an answer through TLS", async || {
        let pinged = through(coordinator, front, &["ping"]).output().unwrap();
        pinged.status.success().then_some(())
    })
    .await;
    let line = ["task", "submit", "over TLS"];
    let submitted = tool::printed(&mut through(coordinator, front, &line));
    assert_eq!(submitted, "submitted task 1\n");
}

/// With the coordinator's own certificate at the front, whoever pinned it notices no difference.
async fn check_tls(proxy: Proxy) {
    let tls = || Start::new().variable("WEBSOCKET_SSL_ENABLED", "true").run();
    let (coordinator, other) = (tls().await, tls().await);
    let port = coordinator.port().to_string();
    let variables = [
        ("WEBSOCKET_PORT", port.as_str()),
        ("WEBSOCKET_SSL_ENABLED", "true"),
        ("COORD_STATE_DIR", coordinator.state_dir().to_str().unwrap()),
    ];
    let kept = coordinator.state_dir().join("tls");
    let shown = shown(proxy, &kept.join("certificate.pem"), &kept.join("key.pem"));
    let mut line: Vec<&str> = shown.iter().map(String::as_str).collect();
    let right = front(proxy, &line, &variables);
    check_work_over_tls(&coordinator, &right).await;
    // A coordinator with another certificate is not believed.
    let backend = format!("--backend=127.0.0.1:{}", other.port());
    line.push(&backend);
    let wrong = front(proxy, &line, &variables);
    until("the wrong coordinator to be refused", async || {
        let output = through(&coordinator, &wrong, &["ping"]).output().unwrap();
        let said = tool::said(&output);
        assert!(!output.status.success(), "{said}");
        (said.contains("502") || said.contains("503")).then_some(())
    })
    .await;
}

/// With certificate files, the coordinator is recognised by the name that its clients use.
async fn check_tls_files(proxy: Proxy) {
    let folder = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(vec!["agents.example".to_owned()]).unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let certificate = file("certificate.pem", &pair.cert.pem());
    let key = file("key.pem", &pair.signing_key.serialize_pem());
    let tls = [
        ("WEBSOCKET_SSL_ENABLED", "true"),
        ("COORD_TLS_CERTIFICATE_FILE", certificate.to_str().unwrap()),
        ("COORD_TLS_KEY_FILE", key.to_str().unwrap()),
        ("COORD_ALLOWED_HOSTS", "agents.example"),
    ];
    let start = tls.iter().fold(Start::new(), |start, (name, value)| {
        start.variable(name, value)
    });
    let coordinator = start.run().await;
    let port = coordinator.port().to_string();
    let variables = [tls.as_slice(), &[("WEBSOCKET_PORT", port.as_str())]].concat();
    let mut line = shown(proxy, &certificate, &key);
    line.push(format!("--backend-ca={}", certificate.display()));
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    let front = front(proxy, &line, &variables);
    check_work_over_tls(&coordinator, &front).await;
}

/// What a load balancer needs to be told to show a certificate: nginx knows, `HAProxy` wants one file,
/// made as the comment in its rendering says.
fn shown(proxy: Proxy, certificate: &Path, key: &Path) -> Vec<String> {
    if proxy == Proxy::Nginx {
        return Vec::new();
    }
    let part = |path: &Path| fs::read_to_string(path).unwrap();
    let combined = certificate.with_extension("combined");
    fs::write(&combined, part(certificate) + &part(key)).unwrap();
    vec![format!("--certificate={}", combined.display())]
}

#[tokio::test]
async fn both_recognise_a_coordinator_by_its_name() {
    check_tls_files(Proxy::Haproxy).await;
    check_tls_files(Proxy::Nginx).await;
}

#[tokio::test]
async fn haproxy_speaks_tls_on_both_sides() {
    check_tls(Proxy::Haproxy).await;
}

#[tokio::test]
async fn nginx_speaks_tls_on_both_sides() {
    check_tls(Proxy::Nginx).await;
}

/// Their own checks of configurations that are not started: names, several, IPv6, every profile.
/// nginx binds what it checks, so the port is one of ours.
#[test]
fn both_accept_what_else_can_be_rendered() {
    let folder = tempfile::tempdir().unwrap();
    let port = HeldPort::take();
    let listen = |host: &str| format!("--listen={host}:{}", port.number());
    for proxy in [Proxy::Haproxy, Proxy::Nginx] {
        for profile in ["production", "staging", "development", "testing"] {
            let line = [proxy.name(), &listen("127.0.0.1")];
            let variables = [("COORD_PROFILE", profile)];
            proxy.check(&tool::render(
                folder.path(),
                "coord.conf",
                &line,
                &variables,
            ));
        }
        let listen = listen("[::1]");
        let far = [
            "--backend=localhost:1",
            "--backend=[::1]:2",
            "--backend=10.0.0.1:3",
        ];
        let line = [&[proxy.name(), listen.as_str()], far.as_slice()].concat();
        let variables = [
            ("REDIS_HOST", "redis.example"),
            ("COORD_ALLOW_PLAINTEXT", "true"),
            ("COORD_PING_INTERVAL_MS", "300000"),
        ];
        proxy.check(&tool::render(
            folder.path(),
            "coord.conf",
            &line,
            &variables,
        ));
    }
}
