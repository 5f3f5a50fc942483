//! Secrets that come as credentials: the operator's token, and key and certificate of TLS.

use super::{CONFIGURATION, METRICS, operator};
use crate::machine::Machine;
use crate::support::http;

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
