//! The load balancers: each configuration is checked by its program, and carries real sessions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::coordinator::Start;
use crate::support::port::HeldPort;
use crate::support::{Client, Coordinator, http, until};
use crate::tool::{self, Running};

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

/// With the coordinator's own certificate at the front, whoever pinned it notices no difference.
async fn check_tls(proxy: Proxy) {
    let coordinator = Start::new()
        .variable("WEBSOCKET_SSL_ENABLED", "true")
        .run()
        .await;
    let said = coordinator.said();
    let pinned = said
        .lines()
        .find_map(|line| line.strip_prefix("certificate SHA-256 "));
    let port = coordinator.port().to_string();
    let state_dir = coordinator.state_dir().to_str().unwrap();
    let variables = [
        ("WEBSOCKET_PORT", port.as_str()),
        ("WEBSOCKET_SSL_ENABLED", "true"),
        ("COORD_STATE_DIR", state_dir),
    ];
    let combined = combined(coordinator.folder(), coordinator.state_dir());
    let certificate = format!("--certificate={}", combined.display());
    let line: &[&str] = match proxy {
        Proxy::Haproxy => &[&certificate],
        Proxy::Nginx => &[],
    };
    let front = front(proxy, line, &variables);
    let url = format!("wss://127.0.0.1:{}/ws", front.number());
    let token_file = coordinator.state_dir().join("operator.token");
    let client = [
        ("COORD_URL", url.as_str()),
        ("COORD_TLS_FINGERPRINT", pinned.unwrap()),
        ("COORD_TOKEN_FILE", token_file.to_str().unwrap()),
        ("COORD_PROFILE", "testing"),
    ];
    let ping = || {
        tool::coord(coordinator.folder(), &["ping"], &client)
            .output()
            .unwrap()
    };
    until("an answer through TLS", async || {
        ping().status.success().then_some(())
    })
    .await;
    let submitted = tool::printed(&mut tool::coord(
        coordinator.folder(),
        &["task", "submit", "over TLS"],
        &client,
    ));
    assert_eq!(submitted, "submitted task 1\n");
    // A coordinator with another certificate is not believed.
    let other = Start::new()
        .variable("WEBSOCKET_SSL_ENABLED", "true")
        .run()
        .await;
    let backend = format!("--backend=127.0.0.1:{}", other.port());
    let line = [line, &[&backend]].concat();
    let front = self::front(proxy, &line, &variables);
    let url = format!("wss://127.0.0.1:{}/ws", front.number());
    let mut client = client;
    client[0].1 = &url;
    let refused = async || {
        let said = tool::said(
            &tool::coord(coordinator.folder(), &["ping"], &client)
                .output()
                .unwrap(),
        );
        assert!(!said.contains("node"), "{said}");
        (said.contains("502") || said.contains("503")).then_some(())
    };
    until("the wrong coordinator to be refused", refused).await;
}

/// As the comment in the rendering says.
fn combined(folder: &Path, state_dir: &Path) -> PathBuf {
    let part = |name: &str| fs::read_to_string(state_dir.join("tls").join(name)).unwrap();
    let file = folder.join("coord.pem");
    fs::write(&file, part("certificate.pem") + &part("key.pem")).unwrap();
    file
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
