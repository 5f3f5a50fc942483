//! The service at work: scraped, restarted, reloaded, stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::json;
use tokio::sync::watch;

use super::{CONFIGURATION, METRICS, WEBSOCKET, operator, operator_token};
use crate::host::systemd::load;
use crate::host::systemd::machine::Machine;
use crate::support::{Client, http, until, within};

/// Restarts while somebody connects all the time.
const RESTARTS: usize = 3;
/// Agents that submit when it is stopped.
const AGENTS: usize = 4;
const RELOAD_OK: &str = "coord_config_last_reload_successful";

pub fn is_scraped(machine: &Machine) {
    let page = machine.network(async || http::get(METRICS, "/metrics").await.unwrap());
    assert_eq!(page.status, 200, "{}", page.rest);
    assert!(
        page.rest.contains("environment=\"production\""),
        "{}",
        page.rest
    );
    let health = machine.network(async || http::get(WEBSOCKET, "/readyz").await.unwrap());
    assert_eq!(health.status, 200, "{}", health.rest);
    // Its name is that of the machine, which the sandbox does not keep from it.
    let name = machine.ok(&["hostname"]);
    let node = format!("\"node\":\"{}-", name.trim());
    assert!(health.rest.contains(&node), "{node}: {}", health.rest);
}

/// Says that it is over, however it ends: the other side would wait for ever.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

pub fn a_restart_refuses_nobody(machine: &Machine) {
    let (over, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let knock = async || {
        while !over.load(Ordering::SeqCst) {
            // Each is a connection of its own; a refused or a dropped one is an error.
            let reply = http::get(WEBSOCKET, "/healthz").await.unwrap();
            assert_eq!(reply.status, 200, "{}", reply.rest);
            answered.fetch_add(1, Ordering::SeqCst);
        }
    };
    machine.beside(knock, || {
        let _over = Over(&over);
        for _ in 0..RESTARTS {
            let pid = machine.property("coord.service", "MainPID");
            machine.ok(&["systemctl", "restart", "coord.service"]);
            machine.service("MainPID", |now| now != pid && now != "0");
            // Somebody has been answered by the new one.
            let seen = answered.load(Ordering::SeqCst);
            machine.until("an answer after a restart", |_| {
                (answered.load(Ordering::SeqCst) > seen + 1).then_some(())
            });
        }
    });
    assert_eq!(machine.property("coord.service", "Result"), "success");
}

pub fn a_reload_drops_nothing(machine: &Machine) {
    let token = operator_token(machine);
    let pid = machine.property("coord.service", "MainPID");
    let reload = |more: &str| {
        machine.write(
            CONFIGURATION,
            "644",
            &format!("profile = \"production\"\n{more}"),
        );
        machine.ok(&["systemctl", "reload", "coord.service"]);
    };
    machine.network(async || {
        let mut before = operator(&token).await;
        reload("[websocket]\nallowed_hosts = [\"gateway.example\"]\n");
        // The host is let in now, and then asked who it is.
        until("the new host to be served", async || served(401).await).await;
        before.check_alive().await;

        reload("[websocket]\nport = 9999\nnonsense = 1\n");
        let status = machine.service("StatusText", |text| text.contains("the old one stays"));
        assert!(status.contains("nonsense"), "{status}");
        assert!(served(401).await.is_some(), "the old configuration is gone");
        assert!(http::metric(METRICS, RELOAD_OK).await < 0.5);
        before.check_alive().await;

        reload("[websocket]\nport = 9999\n");
        let status = machine.service("StatusText", |text| text.contains("restart needed"));
        assert!(status.contains("websocket.port"), "{status}");
        before.check_alive().await;

        reload("");
        until("the host to be a stranger again", async || {
            served(403).await
        })
        .await;
        assert!(http::metric(METRICS, RELOAD_OK).await > 0.5);
        before.check_alive().await;
    });
    assert_eq!(machine.property("coord.service", "MainPID"), pid);
    let log = machine.log();
    assert!(
        log.contains("the new configuration is refused, the old one stays"),
        "{log}"
    );
    assert!(log.contains("Reloading coord.service"), "{log}");
}

/// Whether a request to another host name is answered with this status.
async fn served(status: u16) -> Option<()> {
    let request = "GET /ws HTTP/1.1\r\nHost: gateway.example\r\nConnection: Upgrade, close\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let reply = http::exchange(WEBSOCKET, request).await.unwrap();
    (reply.status == status).then_some(())
}

pub fn a_stop_under_load_loses_nothing(machine: &Machine) {
    let token = operator_token(machine);
    let told = machine.network(async || {
        let mut operator = operator(&token).await;
        let (counted, mut count) = watch::channel(0);
        let counted = Arc::new(counted);
        let mut agents = Vec::new();
        for number in 0..AGENTS {
            let params = json!({"agent": format!("load-{number}"), "role": "agent"});
            let made = operator.call("token.create", params).await.unwrap();
            let client = Client::connect(WEBSOCKET, made["secret"].as_str().unwrap()).await;
            agents.push(tokio::spawn(load::submit(
                client,
                number,
                Arc::clone(&counted),
            )));
        }
        within("some load", count.wait_for(|count| *count >= 100))
            .await
            .unwrap();
        drop(operator);
        let stop = [
            "systemctl",
            "stop",
            "coord.socket",
            "coord-metrics.socket",
            "coord.service",
        ];
        let mut stopping = machine.command(&stop).spawn().unwrap();
        let mut all = Vec::new();
        for agent in agents {
            all.extend(within("an agent's end", agent).await.unwrap().acknowledged);
        }
        let stopped = until("systemctl to end", async || stopping.try_wait().unwrap()).await;
        assert!(stopped.success(), "{}", machine.log());
        all
    });
    assert_eq!(machine.property("coord.service", "Result"), "success");
    assert_eq!(machine.property("coord.service", "ExecMainStatus"), "0");
    machine.ok(&["systemctl", "start", "coord.service"]);
    assert_eq!(machine.property("coord.socket", "ActiveState"), "active");
    let titles = machine.network(async || load::titles(&mut operator(&token).await).await);
    let lost: Vec<&String> = told
        .iter()
        .filter(|title| !titles.contains(*title))
        .collect();
    assert!(
        told.len() >= 100 && lost.is_empty(),
        "{} acknowledged, lost: {lost:?}",
        told.len()
    );
}
