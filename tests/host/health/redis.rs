//! Redis in all its states, each a real server.

use std::fs;
use std::path::Path;

use super::command::Health;
use crate::support::redis::Redis;

fn health_of(redis: &Redis) -> Health {
    Health::nowhere().with("REDIS_PORT", redis.port())
}

#[tokio::test]
async fn a_redis_runs_with_its_role_and_stamp() {
    let redis = Redis::start(&[]).await;
    let words = ["role master", "not yet marked with an environment"];
    let reported = health_of(&redis).run(&[]).await;
    reported.check("redis", "running", &words);
    redis.say("SET coord:environment testing", "+OK").await;
    let reported = health_of(&redis).run(&[]).await;
    reported.check("redis", "running", &["stamped testing"]);
    redis.say("SET coord:environment production", "+OK").await;
    let reported = health_of(&redis).run(&[]).await;
    reported
        .check(
            "redis",
            "wrong_environment",
            &["stamped production", "testing"],
        )
        .exits(1);
    redis.say("DEL coord:environment", ":1").await;
    redis.say("LPUSH coord:environment x", ":1").await;
    let reported = health_of(&redis).run(&[]).await;
    reported.check("redis", "running", &["WRONGTYPE"]);
}

#[tokio::test]
async fn a_redis_with_a_password_lets_in_who_has_it() {
    const RIGHT: &str = "the-right-secret";
    const WRONG: &str = "some-wrong-secret";
    let redis = Redis::start(&["--requirepass", RIGHT]).await;
    let reported = health_of(&redis).run(&[]).await;
    reported.check("redis", "unauthorised", &["NOAUTH", "REDIS_PASSWORD"]);
    let wrong = health_of(&redis)
        .with("REDIS_PASSWORD", WRONG)
        .run(&[])
        .await;
    wrong.check("redis", "unauthorised", &["does not accept"]);
    assert!(!wrong.text.contains(WRONG), "{}", wrong.text);
    let right = health_of(&redis)
        .with("REDIS_PASSWORD", RIGHT)
        .run(&[])
        .await;
    right.check("redis", "running", &["role master"]);
    assert!(!right.text.contains(RIGHT), "{}", right.text);
}

#[tokio::test]
async fn an_acl_user_needs_no_more_than_ping() {
    let user = "--user watcher on >some-secret +ping";
    let words: Vec<&str> = user.split(' ').collect();
    let redis = Redis::start(&words).await;
    let health = health_of(&redis).with("REDIS_USER", "watcher");
    let health = health.with("REDIS_PASSWORD", "some-secret");
    let reported = health.run(&[]).await;
    reported.check(
        "redis",
        "running",
        &["role is unknown", "cannot read its environment"],
    );
}

#[tokio::test]
async fn a_replica_takes_no_writes() {
    let master = Redis::start(&[]).await;
    let of = format!("127.0.0.1 {}", master.port());
    let replica = Redis::start(&["--replicaof", &of]).await;
    let reported = health_of(&replica).run(&[]).await;
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
    let health = health_of(&redis).with("SSL_CERT_FILE", &certificate);
    let plain = health.run(&[]).await;
    plain.check("redis", "wrong_service", &["protocol of Redis"]);
    let health = health.with("REDIS_TLS", "true");
    health
        .run(&[])
        .await
        .check("redis", "running", &["role master"]);
    let (other, _) = super::redis::certificate(health.home());
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
    let health = Health::nowhere().with("WEBSOCKET_PORT", redis.port());
    let reported = health.run(&[]).await;
    reported.check("websocket", "wrong_service", &["WEBSOCKET_PORT"]);
}
