//! TLS with a client certificate, passwords and their reload, and `coord health mqtt`.

use nix::sys::signal::Signal;

use super::mosquitto::{Mosquitto, ROOT};
use super::start;
use crate::host::health::command::Health;
use crate::host::metrics::authority::Authority;
use crate::support::{Coordinator, http, until};

async fn connected(coordinator: &Coordinator) {
    until("the broker to accept it", async || {
        let page = http::get(coordinator.metrics_port(), "/metrics")
            .await
            .ok()?;
        page.rest.contains("coord_mqtt_connected 1").then_some(())
    })
    .await;
}

#[tokio::test]
async fn tls_with_a_client_certificate_works() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ca");
    let server = authority.sign("broker.example");
    let client = authority.sign("box");
    let broker = Mosquitto::start(&format!(
        "allow_anonymous true\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true",
        authority.file.display(),
        server.certificate.display(),
        server.key.display()
    ))
    .await;
    let url = format!("mqtts://127.0.0.1:{}", broker.port());
    let coordinator = start(&broker)
        .variable("COORD_MQTT_URL", &url)
        .variable("COORD_MQTT_CA_FILE", authority.file.display())
        .variable("COORD_MQTT_CERTIFICATE_FILE", client.certificate.display())
        .variable("COORD_MQTT_KEY_FILE", client.key.display())
        .run()
        .await;
    connected(&coordinator).await;
    let tried = |health: Health| async move {
        let health = health
            .with("COORD_NODE_NAME", "box")
            .with("COORD_MQTT_URL", &url);
        health.output(&["health", "mqtt"]).await
    };
    let right = Health::of(&coordinator)
        .with("COORD_MQTT_CA_FILE", authority.file.display())
        .with("COORD_MQTT_CERTIFICATE_FILE", client.certificate.display())
        .with("COORD_MQTT_KEY_FILE", client.key.display());
    let answer = tried(right).await;
    let text = String::from_utf8_lossy(&answer.stdout);
    assert!(text.contains("its status is online"), "{text}");
    assert_eq!(answer.status.code(), Some(0));
}

#[tokio::test]
async fn a_password_is_taken_up_by_a_reload_and_health_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    let made = std::process::Command::new("mosquitto_passwd")
        .args(["-b", "-c", &users.display().to_string(), "box", "right"])
        .status()
        .unwrap();
    assert!(made.success());
    let lines = format!("allow_anonymous false\npassword_file {}", users.display());
    let broker = Mosquitto::start(&lines).await;
    let password = folder.path().join("password");
    std::fs::write(&password, "wrong").unwrap();
    let coordinator = start(&broker)
        .variable("COORD_MQTT_USER", "box")
        .variable("COORD_MQTT_PASSWORD_FILE", password.display())
        .run()
        .await;
    let health = Health::of(&coordinator)
        .with("COORD_NODE_NAME", "box")
        .with("COORD_MQTT_URL", broker.url())
        .with("COORD_MQTT_USER", "box")
        .with("COORD_MQTT_PASSWORD_FILE", password.display());
    until("the refusal", async || {
        coordinator
            .said()
            .contains("refuses the connection")
            .then_some(())
    })
    .await;
    let answer = health.output(&["health", "mqtt"]).await;
    let text = String::from_utf8_lossy(&answer.stdout);
    assert!(text.contains("check mqtt.user and mqtt.password"), "{text}");
    assert_eq!(answer.status.code(), Some(1));

    std::fs::write(&password, "right").unwrap();
    coordinator.signal(Signal::SIGHUP);
    let live = broker.subscribe(&format!("{ROOT}/status"), &["-u", "box", "-P", "right"]);
    live.status("online").await;
    let answer = health.output(&["health", "mqtt"]).await;
    assert_eq!(answer.status.code(), Some(0));
    // Nobody may find the password in the log.
    let said = coordinator.said();
    assert!(!said.contains("wrong") && !said.contains("right"), "{said}");
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_told() {
    let mut broker = Mosquitto::open().await;
    let coordinator = start(&broker).run().await;
    broker.end();
    let health = Health::of(&coordinator).with("COORD_MQTT_URL", broker.url());
    let answer = health.output(&["health", "mqtt"]).await;
    let text = String::from_utf8_lossy(&answer.stdout);
    assert!(
        text.contains("unreachable") && text.contains("next for MQTT"),
        "{text}"
    );
    assert_eq!(answer.status.code(), Some(1));
}
