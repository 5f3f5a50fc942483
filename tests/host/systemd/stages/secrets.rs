//! Secrets that come as credentials: the operator's token, and key and certificate of TLS.

use serde_json::json;

use super::{CONFIGURATION, METRICS, WEBSOCKET, operator};
use crate::host::systemd::machine::Machine;
use crate::support::{http, until};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

pub fn come_as_credentials(machine: &Machine) {
    machine.write("/etc/credstore/coord.operator_token", "600", TOKEN);
    machine.ok(&["systemctl", "restart", "coord.service"]);
    machine.service("SubState", |state| state == "running");
    machine.network(async || operator(TOKEN).await.check_alive().await);
    assert!(
        machine
            .run(&["test", "-e", "/var/lib/coord/operator.token"])
            .is_ok_and(|it| !it.status.success())
    );

    let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    machine.write(
        "/etc/credstore/coord.tls_certificate",
        "644",
        &pair.cert.pem(),
    );
    machine.write(
        "/etc/credstore/coord.tls_key",
        "600",
        &pair.signing_key.serialize_pem(),
    );
    machine.write("/root/ca.pem", "644", &pair.cert.pem());
    let tls = "profile = \"production\"\n[websocket]\ntls = true\n";
    machine.write(CONFIGURATION, "644", tls);
    machine.ok(&["systemctl", "restart", "coord.service"]);
    machine.service("StatusText", |text| text.contains("wss://"));
    machine.write("/root/token", "600", TOKEN);
    let words = [
        "--tls-ca-file",
        "/root/ca.pem",
        "--token-file",
        "/root/token",
    ];
    let ping = [
        "/usr/local/bin/coord",
        "ping",
        "--url",
        "wss://127.0.0.1:8766/ws",
    ];
    machine.ok(&[&ping[..], &words[..]].concat());
    let page = machine.network(async || http::get(METRICS, "/metrics").await.unwrap());
    assert_eq!(page.status, 200);
    let secret = pair.signing_key.serialize_pem();
    let line = secret.lines().nth(1).unwrap();
    let log = machine.log();
    assert!(
        !log.contains(TOKEN) && !log.contains(line),
        "a secret is in the log"
    );

    machine.ok(&["sh", "-c", "rm /etc/credstore/coord.*"]);
    machine.write(CONFIGURATION, "644", "profile = \"production\"\n");
    machine.ok(&["systemctl", "restart", "coord.service"]);
    machine.service("StatusText", |text| text.contains("ws://"));
    assert!(
        machine
            .ok(&["cat", "/var/lib/coord/operator.token"])
            .starts_with("coord_")
    );
}

/// A Redis in the network of the machine, which lets nobody in without the password.
#[derive(Debug)]
struct Redis(std::process::Child);

impl Redis {
    fn of(machine: &Machine, folder: &std::path::Path) -> Self {
        let leader = machine.leader().to_string();
        let mut command = std::process::Command::new("nsenter");
        command
            .args(["--net", "--target", &leader, "redis-server"])
            .args(["--port", "6380", "--bind", "127.0.0.1", "--save", ""])
            .args(["--requirepass", PASSWORD, "--dir"])
            .arg(folder)
            .stdout(std::process::Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const PASSWORD: &str = "fedcba9876543210fedcba9876543210";

pub fn the_password_of_redis_is_one(machine: &Machine) {
    let folder = tempfile::tempdir().unwrap();
    let _redis = Redis::of(machine, folder.path());
    let config = "profile = \"production\"\n[redis]\nhost = \"127.0.0.1\"\n";
    machine.write(CONFIGURATION, "644", config);
    machine.write("/etc/credstore/coord.operator_token", "600", TOKEN);
    // Without the password Redis does not let it in.
    machine.ok(&["systemctl", "restart", "--no-block", "coord.service"]);
    machine.until("Redis to refuse it", |it| {
        it.log().contains("NOAUTH").then_some(())
    });
    machine.write("/etc/credstore/coord.redis_password", "600", PASSWORD);
    machine.ok(&["systemctl", "restart", "coord.service"]);
    machine.service("SubState", |state| state == "running");
    machine.network(async || {
        let health = http::get(WEBSOCKET, "/readyz").await.unwrap();
        assert!(
            health.rest.contains("\"journal\":\"redis\""),
            "{}",
            health.rest
        );
        let mut operator = operator(TOKEN).await;
        until("Redis to be reached", async || {
            let task = json!({"title": "kept in Redis"});
            operator.call("task.submit", task).await.ok()
        })
        .await;
    });
    let pid = machine.property("coord.service", "MainPID");
    for seen in [
        machine.log(),
        machine.ok(&["cat", &format!("/proc/{pid}/environ")]),
        machine.ok(&["cat", &format!("/proc/{pid}/cmdline")]),
        machine.ok(&["systemctl", "show", "coord.service"]),
    ] {
        assert!(!seen.contains(PASSWORD), "the password is in {seen}");
    }
    machine.ok(&["sh", "-c", "rm /etc/credstore/coord.*"]);
    machine.write(CONFIGURATION, "644", "profile = \"production\"\n");
    machine.ok(&["systemctl", "restart", "coord.service"]);
    machine.service("SubState", |state| state == "running");
}
