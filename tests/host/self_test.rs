//! `coord self-test`, as a process: it finds what is there, tells what is wrong, and leaves no trace.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::coordinator::Start;
use crate::support::port::HeldPort;

const CHECKS: &[&str] = &[
    "entropy",
    "clock",
    "timers",
    "permissions",
    "journal",
    "tls",
    "websocket",
    "redis",
    "ports",
    "nft",
];

/// The self-test in a folder, with a state directory and ports as given.
fn command(folder: &Path, ports: (u16, u16)) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coord"));
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("COORD_PROFILE", "testing")
        .env("COORD_STATE_DIR", folder.join("state"))
        .env("WEBSOCKET_PORT", ports.0.to_string())
        .env("METRICS_PORT", ports.1.to_string())
        .args(["--json", "self-test", "--dir"])
        .arg(folder);
    command
}

fn report(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap()
}

/// A folder to test in and two ports that no other test has.
struct Place {
    folder: TempDir,
    websocket: HeldPort,
    metrics: HeldPort,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            websocket: HeldPort::take(),
            metrics: HeldPort::take(),
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self) -> Command {
        command(
            self.path(),
            (self.websocket.number(), self.metrics.number()),
        )
    }
}

#[test]
fn every_part_works_here_and_nothing_is_left() {
    let folder = Place::new();
    let output = folder.command().output().unwrap();
    let report = report(&output);
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert_eq!(report["well"], true);
    let checks = report["checks"].as_array().unwrap();
    let names: Vec<&str> = checks
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, CHECKS);
    for it in checks {
        // Whether nft is installed here is no matter of the coordinator.
        let fine = it["state"] == "ok" || (it["name"] == "nft" && it["next"].is_string());
        assert!(fine, "{it:#}");
    }
    let journal = check(&report, "journal")["detail"].as_str().unwrap();
    assert!(
        journal.contains("written, synced and read back"),
        "{journal}"
    );
    let redis = check(&report, "redis")["detail"].as_str().unwrap();
    assert!(redis.contains("role master, stamped testing"), "{redis}");
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        0,
        "it left something"
    );
}

#[test]
fn it_tells_what_the_box_is() {
    let folder = Place::new();
    let output = folder.command().output().unwrap();
    let report = report(&output);
    let machine = &report["box"];
    assert_eq!(machine["version"], env!("CARGO_PKG_VERSION"));
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(machine["cores"], cores);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(machine["kernel"], release.trim());
    let memory = fs::read_to_string("/proc/meminfo").unwrap();
    let total = memory.lines().next().unwrap();
    let kib = machine["memory_bytes"].as_u64().unwrap() / 1024;
    assert!(total.contains(&kib.to_string()), "{kib} is not in {total}");
    let medium = &machine["medium"];
    assert_eq!(medium["folder"], folder.path().to_str().unwrap());
    assert!(medium["file_system"].is_string() && medium["free_bytes"].is_u64());
    let sync = &machine["sync"];
    assert!(
        sync["syncs"].as_u64() > Some(0) && sync["median_us"].as_u64() <= sync["max_us"].as_u64()
    );
    let features = machine["features"].as_array().unwrap();
    let ipv6 = features.iter().find(|it| it["name"] == "ipv6").unwrap();
    assert_eq!(ipv6["present"], Path::new("/proc/net/if_inet6").exists());
}

#[test]
fn people_get_lines_to_read() {
    let folder = Place::new();
    let json = folder.command();
    let mut plain = Command::new(json.get_program());
    plain.env_clear();
    plain.envs(
        json.get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    plain.args(json.get_args().filter(|word| *word != "--json"));
    let output = plain.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for words in [
        "cores",
        "memory",
        "flash",
        "sync latency",
        "kernel has",
        "all parts work",
    ] {
        assert!(text.contains(words), "{words:?} is not in:\n{text}");
    }
}

/// Every file below a folder, with its content and when it was changed.
fn contents(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let changed = entry.metadata().unwrap().modified().unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.extend(contents(&entry.path()));
            found.insert(entry.path(), (Vec::new(), changed));
        } else {
            found.insert(entry.path(), (fs::read(entry.path()).unwrap(), changed));
        }
    }
    found
}

#[tokio::test]
async fn it_touches_no_state() {
    let mut coordinator = Start::new().run().await;
    coordinator.stop().await;
    let state = coordinator.state_dir().to_owned();
    let before = contents(&state);
    assert!(before.len() > 2, "there is a journal and a token");
    let place = Place::new();
    let output = place
        .command()
        .env("COORD_STATE_DIR", &state)
        .output()
        .unwrap();
    let report = report(&output);
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    let permissions = check(&report, "permissions")["detail"].as_str().unwrap();
    assert!(permissions.contains("has mode 700"), "{permissions}");
    assert!(contents(&state) == before, "the state has changed");
}

#[tokio::test]
async fn beside_a_running_coordinator_its_ports_are_in_order() {
    let coordinator = Start::new().run().await;
    let folder = tempfile::tempdir().unwrap();
    let ports = (coordinator.port(), coordinator.metrics_port());
    let output = command(folder.path(), ports).output().unwrap();
    let report = report(&output);
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    let ports = check(&report, "ports");
    assert_eq!(ports["state"], "ok", "{ports:#}");
    let detail = ports["detail"].as_str().unwrap();
    assert!(
        detail.contains("has the coordinator") && detail.contains("the same process"),
        "{detail}"
    );
}

#[test]
fn a_port_that_a_stranger_has_is_told() {
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = stranger.local_addr().unwrap().port();
    let folder = Place::new();
    let ports = (folder.websocket.number(), port);
    let output = command(folder.path(), ports).output().unwrap();
    let report = report(&output);
    // The stranger is beside the coordinator: a warning, and no failure.
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    let ports = check(&report, "ports");
    assert_eq!(ports["state"], "warning");
    let detail = ports["detail"].as_str().unwrap();
    let own = format!("(process {}", std::process::id());
    assert!(
        detail.contains(&format!("{port} is taken by")) && detail.contains(&own),
        "{detail}"
    );
}

#[test]
fn a_state_that_others_can_read_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Place::new();
    let state = folder.path().join("state");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
    let output = folder.command().output().unwrap();
    let report = report(&output);
    let permissions = check(&report, "permissions");
    assert_eq!(permissions["state"], "warning", "{permissions:#}");
    let next = permissions["next"].as_str().unwrap();
    assert_eq!(next, format!("chmod 700 {}", state.display()));
}

/// A file system that is too small for a journal, in a mount namespace of its own.
#[test]
fn a_part_that_does_not_work_fails_the_test() {
    let folder = Place::new();
    let inner = folder.command();
    let mut outer = Command::new("unshare");
    let script = r#"mount -t tmpfs -o size=64k none "$0" && exec "$@""#;
    outer
        .args(["--mount", "sh", "-c", script])
        .arg(folder.path());
    outer
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_clear();
    outer.envs(
        inner
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let output = outer.output().unwrap();
    let report = report(&output);
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    assert_eq!(report["well"], false);
    let journal = check(&report, "journal");
    assert_eq!(journal["state"], "failed");
    let detail = journal["detail"].as_str().unwrap();
    assert!(detail.contains("has no space left"), "{detail}");
    assert!(
        journal["next"]
            .as_str()
            .unwrap()
            .contains("free space there"),
        "{journal:#}"
    );
    assert_eq!(report["box"]["medium"]["file_system"], "tmpfs");
    // What needs no room works on.
    assert_eq!(check(&report, "timers")["state"], "ok");
}

#[test]
fn without_a_folder_to_test_in_nothing_is_tested() {
    let nowhere = Path::new("/proc/nowhere");
    let place = Place::new();
    let ports = (place.websocket.number(), place.metrics.number());
    let output = command(nowhere, ports).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("cannot create a test folder in /proc/nowhere"),
        "{said}"
    );
}
