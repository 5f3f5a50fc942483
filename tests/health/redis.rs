//! Redis in all its states, each a real server.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::command::Health;
use crate::support::port::HeldPort;
use crate::support::until;

/// A running Redis; killed when dropped.
struct Redis {
    child: Child,
    port: HeldPort,
    _folder: TempDir,
}

impl Redis {
    async fn start(arguments: &[&str]) -> Self {
        Self::start_on("--port", arguments).await
    }

    /// With its port given by another option, such as `--tls-port`.
    async fn start_on(option: &str, arguments: &[&str]) -> Self {
        let port = HeldPort::take();
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new("redis-server")
            .args([option, &port.number().to_string()])
            .args(["--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(folder.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed: apt-get install redis-server, or run tests/run");
        let redis = Self {
            child,
            port,
            _folder: folder,
        };
        until("Redis to listen", async || redis.connect().await.ok()).await;
        redis
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        TcpStream::connect(("127.0.0.1", self.port.number())).await
    }

    /// Sends a command as a person would and waits until the answer begins like this.
    async fn say(&self, command: &str, answer: &str) {
        until("Redis' answer", async || {
            let mut stream = self.connect().await.ok()?;
            stream.write_all(command.as_bytes()).await.ok()?;
            stream.write_all(b"\r\nQUIT\r\n").await.ok()?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await.ok()?;
            text.contains(answer).then_some(())
        })
        .await;
    }

    fn health(&self) -> Health {
        Health::nowhere().with("REDIS_PORT", self.port.number())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It is gone already when the test ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_redis_runs_with_its_role_and_stamp() {
    let redis = Redis::start(&[]).await;
    let words = ["role master", "no environment yet"];
    let reported = redis.health().run(&[]).await;
    reported.check("redis", "running", &words);
    redis.say("SET coord:environment testing", "+OK").await;
    let reported = redis.health().run(&[]).await;
    reported.check("redis", "running", &["stamped testing"]);
    redis.say("SET coord:environment production", "+OK").await;
    let reported = redis.health().run(&[]).await;
    reported
        .check(
            "redis",
            "wrong_environment",
            &["stamped production", "testing"],
        )
        .exits(1);
    redis.say("DEL coord:environment", ":1").await;
    redis.say("LPUSH coord:environment x", ":1").await;
    let reported = redis.health().run(&[]).await;
    reported.check("redis", "running", &["WRONGTYPE"]);
}

#[tokio::test]
async fn a_redis_with_a_password_lets_in_who_has_it() {
    const RIGHT: &str = "the-right-secret";
    const WRONG: &str = "some-wrong-secret";
    let redis = Redis::start(&["--requirepass", RIGHT]).await;
    let reported = redis.health().run(&[]).await;
    reported.check("redis", "unauthorised", &["NOAUTH", "REDIS_PASSWORD"]);
    let wrong = redis.health().with("REDIS_PASSWORD", WRONG).run(&[]).await;
    wrong.check("redis", "unauthorised", &["does not accept"]);
    assert!(!wrong.text.contains(WRONG), "{}", wrong.text);
    let right = redis.health().with("REDIS_PASSWORD", RIGHT).run(&[]).await;
    right.check("redis", "running", &["role master"]);
    assert!(!right.text.contains(RIGHT), "{}", right.text);
}

#[tokio::test]
async fn an_acl_user_needs_no_more_than_ping() {
    let user = "--user watcher on >some-secret +ping";
    let words: Vec<&str> = user.split(' ').collect();
    let redis = Redis::start(&words).await;
    let health = redis.health().with("REDIS_USER", "watcher");
    let health = health.with("REDIS_PASSWORD", "some-secret");
    let reported = health.run(&[]).await;
    reported.check("redis", "running", &["role is not told", "cannot be read"]);
}

#[tokio::test]
async fn a_replica_takes_no_writes() {
    let master = Redis::start(&[]).await;
    let of = format!("127.0.0.1 {}", master.port.number());
    let replica = Redis::start(&["--replicaof", &of]).await;
    let reported = replica.health().run(&[]).await;
    reported.check("redis", "not_ready", &["role replica", "master"]);
}

#[tokio::test]
async fn a_redis_with_tls_is_asked_with_tls() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(folder.path());
    let arguments = [
        "--port",
        "0",
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
    ];
    let redis = Redis::start_on("--tls-port", &arguments).await;
    let health = redis.health().with("SSL_CERT_FILE", &certificate);
    let plain = health.run(&[]).await;
    plain.check("redis", "wrong_service", &["protocol of Redis"]);
    let health = health.with("REDIS_TLS", "true");
    health
        .run(&[])
        .await
        .check("redis", "running", &["role master"]);
    let (other, _) = crate::redis::certificate(health.home());
    let health = health.with("SSL_CERT_FILE", other);
    let untrusted = health.run(&[]).await;
    untrusted.check("redis", "wrong_service", &["TLS handshake failed"]);
}

fn certificate(folder: &Path) -> (String, String) {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let pair = rcgen::generate_simple_self_signed(names).unwrap();
    let (certificate, key) = (folder.join("redis.pem"), folder.join("redis.key"));
    fs::write(&certificate, pair.cert.pem()).unwrap();
    fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    (certificate.display().to_string(), key.display().to_string())
}

#[tokio::test]
async fn a_redis_elsewhere_than_expected_is_a_wrong_service() {
    let redis = Redis::start(&[]).await;
    let health = Health::nowhere().with("WEBSOCKET_PORT", redis.port.number());
    let reported = health.run(&[]).await;
    reported.check("websocket", "wrong_service", &["WEBSOCKET_PORT"]);
}
