//! Installing, twice, and taking it back.

use super::CONFIGURATION;
use crate::host::systemd::machine::{Machine, PROGRAM};
use crate::support::http;

const UNITS: [&str; 3] = ["coord.service", "coord.socket", "coord-metrics.socket"];

pub fn into_a_fresh_system(machine: &Machine) {
    let before = machine.shell("find /usr/local /etc | sort");
    machine.ok(&[PROGRAM, "install", "--now", "--dry-run"]);
    assert_eq!(
        machine.shell("find /usr/local /etc | sort"),
        before,
        "--dry-run did something"
    );
    let said = machine.ok(&[PROGRAM, "install", "--now"]);
    assert!(
        said.contains("create    /usr/local/lib/systemd/system/coord.service"),
        "{said}"
    );
    machine.service("SubState", |state| state == "running");
    for unit in UNITS {
        assert_eq!(
            machine.ok(&["systemctl", "is-enabled", unit]).trim(),
            "enabled",
            "{unit}"
        );
        assert_eq!(machine.property(unit, "ActiveState"), "active", "{unit}");
    }
    assert_eq!(machine.property("coord.service", "Type"), "notify");
    let status = machine.property("coord.service", "StatusText");
    assert!(
        status.starts_with("serving agents on ws://127.0.0.1:8766/ws"),
        "{status}"
    );

    // As docs/service.md says that root speaks to it.
    let says = "export COORD_PROFILE=production COORD_STATE_DIR=/var/lib/coord; cd /root; \
                PATH=/usr/local/bin:$PATH; coord token create readme --out readme.token; \
                COORD_TOKEN_FILE=readme.token coord ping; rm readme.token";
    let said = machine.shell(says);
    assert!(said.contains("for readme: readme.token"), "{said}");
    assert!(said.contains("pong") || said.contains(" ms"), "{said}");

    // Once more: nothing is left to do, and the service is the same process.
    let pid = machine.property("coord.service", "MainPID");
    let said = machine.ok(&["/usr/local/bin/coord", "--json", "install"]);
    let done: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(done["commands"], serde_json::json!([]), "{done}");
    let changed = done["files"].as_array().unwrap().iter().find(|file| {
        let action = file["action"].as_str().unwrap();
        action != "unchanged"
    });
    assert_eq!(changed, None, "{done}");
    assert_eq!(machine.property("coord.service", "MainPID"), pid);
}

/// The addresses of the sockets follow the configuration.
pub fn follows_the_configuration(machine: &Machine) {
    let ports = "[websocket]\nport = 8800\n[metrics]\nport = 8801\n";
    machine.write(
        CONFIGURATION,
        "644",
        &format!("profile = \"production\"\n{ports}"),
    );
    machine.ok(&["/usr/local/bin/coord", "install", "--now"]);
    machine.service("SubState", |state| state == "running");
    let status = machine.property("coord.service", "StatusText");
    assert!(status.contains(":8800/ws"), "{status}");
    for (unit, port) in [("coord.socket", 8800), ("coord-metrics.socket", 8801)] {
        let listen = machine.property(unit, "Listen");
        assert_eq!(listen, format!("127.0.0.1:{port} (Stream)"), "{unit}");
    }
    let page = machine.network(async || http::get(8801, "/metrics").await.unwrap());
    assert_eq!(page.status, 200, "{}", page.rest);
    needs_no_masked_socket(machine);
    is_started_anew_later(machine);
}

/// A socket that somebody wants never to be opened: the service listens there itself.
fn needs_no_masked_socket(machine: &Machine) {
    machine.ok(&["systemctl", "mask", "--now", "coord-metrics.socket"]);
    machine.ok(&["systemctl", "stop", "coord.service"]);
    machine.ok(&["/usr/local/bin/coord", "install", "--now"]);
    machine.service("SubState", |state| state == "running");
    let page = machine.network(async || http::get(8801, "/metrics").await.unwrap());
    assert_eq!(page.status, 200, "{}", page.rest);
    // A unit that was started in the second in which its files were written may be older than they are.
    let second = |it: &Machine| it.shell("date +%s");
    let begun = second(machine);
    machine.until("another second", |it| (second(it) != begun).then_some(()));
    machine.ok(&["/usr/local/bin/coord", "install", "--now"]);
    machine.service("SubState", |state| state == "running");
    let pid = machine.property("coord.service", "MainPID");
    machine.ok(&["/usr/local/bin/coord", "install", "--now"]);
    assert_eq!(machine.property("coord.service", "MainPID"), pid);
    machine.ok(&["systemctl", "unmask", "coord-metrics.socket"]);
}

/// Files that an earlier run, or somebody, changed and nobody restarted anything for. The ports are such
/// as the service may not bind: systemd has.
fn is_started_anew_later(machine: &Machine) {
    let ports = "[websocket]\nport = 802\n[metrics]\nport = 803\n";
    let changed = format!("profile = \"production\"\n{ports}");
    machine.write(CONFIGURATION, "644", &changed);
    let said = machine.ok(&["/usr/local/bin/coord", "install"]);
    assert!(said.contains("replace"), "{said}");
    let before = machine.property("coord.service", "MainPID");
    machine.ok(&["/usr/local/bin/coord", "install", "--now"]);
    machine.service("SubState", |state| state == "running");
    assert_ne!(machine.property("coord.service", "MainPID"), before);
    let status = machine.property("coord.service", "StatusText");
    assert!(status.contains(":802/ws"), "{status}");
    let listen = machine.property("coord-metrics.socket", "Listen");
    assert_eq!(listen, "127.0.0.1:803 (Stream)");
    let page = machine.network(async || http::get(803, "/metrics").await.unwrap());
    assert_eq!(page.status, 200, "{}", page.rest);
    let reloads = |it: &Machine| it.log().matches("the configuration was reloaded").count();
    let before = reloads(machine);
    machine.ok(&["systemctl", "reload", "coord.service"]);
    machine.until("the reload to hold", |it| {
        (reloads(it) > before).then_some(())
    });
}

pub fn is_taken_back(machine: &Machine) {
    let said = machine.ok(&["/usr/local/bin/coord", "install", "--uninstall"]);
    assert!(said.contains("remove    /usr/local/bin/coord"), "{said}");
    let left = machine.shell("find /usr/local /etc -name '*coord*' | sort");
    assert_eq!(left, "/etc/coord\n/etc/coord/coord.toml\n");
    assert!(machine.ok(&["ls", "/var/lib"]).contains("coord"));
    for unit in UNITS {
        assert_eq!(machine.property(unit, "LoadState"), "not-found", "{unit}");
        assert_eq!(machine.property(unit, "ActiveState"), "inactive", "{unit}");
    }
    let again = machine.run(&[PROGRAM, "install", "--uninstall"]).unwrap();
    assert!(again.status.success(), "{again:?}");
    assert!(
        String::from_utf8_lossy(&again.stderr).contains("not installed"),
        "{again:?}"
    );
}
