//! What happens when it does not work: it hangs, its configuration is wrong, its journal is damaged.

use serde_json::json;

use super::{CONFIGURATION, METRICS, WEBSOCKET, operator, operator_token};
use crate::host::systemd::load;
use crate::host::systemd::machine::Machine;
use crate::support::http;

/// The exit codes that mean that trying again is of no use.
const WRONG_CONFIGURATION: &str = "78";
const DAMAGED: &str = "65";

pub fn the_watchdog_ends_what_hangs(machine: &Machine) {
    assert_eq!(
        machine.property("coord.service", "WatchdogUSec"),
        "1min 30s"
    );
    let drop_in = "/run/systemd/system/coord.service.d/watchdog.conf";
    machine.write(
        drop_in,
        "644",
        "[Service]\nWatchdogSec=2s\nRestartSec=100ms\n",
    );
    machine.shell("systemctl daemon-reload; systemctl restart coord.service");
    let pid = machine.property("coord.service", "MainPID");
    let token = operator_token(machine);
    machine.network(async || {
        let mut operator = operator(&token).await;
        let task = json!({"title": "before it hung"});
        operator.call("task.submit", task).await.unwrap();
        // The driver stands still, and so does everything else of it.
        machine.shell(&format!("kill -STOP {pid}"));
        // Somebody connects to a service that hangs, and is served by the next one.
        let health = http::get(WEBSOCKET, "/healthz").await;
        match health {
            Ok(reply) => assert_eq!(reply.status, 200),
            // It was let in by the process that was killed.
            Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::ConnectionRefused),
        }
        machine.service("NRestarts", |times| times == "1");
        machine.service("SubState", |state| state == "running");
        let titles = load::titles(&mut super::operator(&token).await).await;
        assert!(titles.contains("before it hung"), "{titles:?}");
    });
    assert_ne!(machine.property("coord.service", "MainPID"), pid);
    assert!(
        machine.log().contains("Watchdog timeout"),
        "{}",
        machine.log()
    );
    machine.shell(&format!(
        "rm {drop_in}; systemctl daemon-reload; systemctl restart coord.service"
    ));
}

/// It has failed with this code, is not tried again, and nobody can start it by connecting.
fn is_down(machine: &Machine, code: &str) {
    machine.service("ActiveState", |state| state == "failed");
    assert_eq!(machine.property("coord.service", "ExecMainStatus"), code);
    machine.until("the sockets to be closed", |it| {
        let state = it.property("coord-failed.target", "ActiveState");
        (state == "active").then_some(())
    });
    for unit in ["coord.socket", "coord-metrics.socket"] {
        machine.until("a socket to be closed", |it| {
            (it.property(unit, "ActiveState") == "inactive").then_some(())
        });
    }
    let pid = machine.property("coord.service", "ExecMainPID");
    machine.network(async || {
        for port in [WEBSOCKET, METRICS] {
            let refused = tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        }
    });
    assert_eq!(
        machine.property("coord.service", "ExecMainPID"),
        pid,
        "it was tried again"
    );
    assert_eq!(machine.property("coord.service", "NRestarts"), "0");
}

/// Starts it again, and with it everything that was closed.
fn comes_back(machine: &Machine) {
    machine.ok(&["systemctl", "start", "coord.service"]);
    machine.service("SubState", |state| state == "running");
    assert_eq!(machine.property("coord.socket", "ActiveState"), "active");
    assert_eq!(
        machine.property("coord-failed.target", "ActiveState"),
        "inactive"
    );
    let page = machine.network(async || http::get(METRICS, "/metrics").await.unwrap());
    assert_eq!(page.status, 200);
}

pub fn a_wrong_configuration_is_not_tried_again(machine: &Machine) {
    let wrong = "profile = \"production\"\n[websocket]\nport = 8800\n";
    machine.write(CONFIGURATION, "644", wrong);
    let started = machine
        .run(&["systemctl", "restart", "coord.service"])
        .unwrap();
    assert!(
        !started.status.success(),
        "the socket is another one than the configuration says"
    );
    is_down(machine, WRONG_CONFIGURATION);
    let log = machine.log();
    assert!(
        log.contains("systemd opened 127.0.0.1:8766") && log.contains("coord install"),
        "{log}"
    );
    machine.write(CONFIGURATION, "644", "profile = \"production\"\n");
    comes_back(machine);
}

/// Damage in the middle of the journal; somebody waits on the socket all the while.
pub fn a_damaged_journal_is_not_tried_again(machine: &Machine) {
    machine.ok(&["systemctl", "stop", "coord.service"]);
    let segment = machine
        .shell("ls /var/lib/coord/segment-* | head -n1")
        .trim()
        .to_owned();
    machine.ok(&["cp", "-a", &segment, "/root/segment"]);
    // The first records lie behind the head of the segment.
    let byte = "dd of=SEGMENT bs=1 seek=4200 conv=notrunc status=none";
    machine.shell(&format!("printf X | {}", byte.replace("SEGMENT", &segment)));
    machine.network(async || {
        // This connection is what starts it.
        let waiting = tokio::net::TcpStream::connect(("127.0.0.1", WEBSOCKET))
            .await
            .unwrap();
        machine.service("ActiveState", |state| state == "failed");
        drop(waiting);
    });
    is_down(machine, DAMAGED);
    let log = machine.log();
    assert!(log.contains("corrupt") && log.contains(&segment), "{log}");
    let coord = "/usr/local/bin/coord";
    // Whoever tries to start it by that is told why it cannot.
    let started = machine.run(&[coord, "install", "--now"]).unwrap();
    assert!(!started.status.success(), "{started:?}");
    let said = String::from_utf8_lossy(&started.stderr);
    assert!(
        said.contains("corrupt") && said.contains(&segment),
        "{said}"
    );
    is_down(machine, DAMAGED);
    // As root, of whom the service must not notice anything.
    let state = ["--state-dir", "/var/lib/coord"];
    machine.ok(&[&[coord, "journal", "repair"][..], &state[..]].concat());
    comes_back(machine);
    machine.ok(&["systemctl", "stop", "coord.service"]);
    let kept = machine.shell("find /var/lib/coord ! -user coord");
    assert_eq!(kept, "", "root has kept these");
    machine.shell("rm -r /var/lib/coord/damaged-*");
    machine.ok(&["cp", "-a", "/root/segment", &segment]);
    comes_back(machine);
}
