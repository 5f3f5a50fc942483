//! A box with a firewall, and a machine at the other end of the cable with many addresses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::space::{Space, assert_well};
use super::talker::{Connection, Talker};

/// The box, over IPv4 and IPv6.
pub(crate) const BOX_V4: &str = "10.77.0.1";
pub(crate) const BOX_V6: &str = "fd77::1";
/// Addresses of agents: within what the tests let in.
pub(crate) const AGENT_V4: &str = "10.77.0.2";
pub(crate) const AGENT_V6: &str = "fd77::2";
/// Another address of the agent's network, and one of another network that may come too.
pub(crate) const SAME_NETWORK_V6: &str = "fd77::3";
pub(crate) const OTHER_NETWORK_V6: &str = "fd77:0:0:1::2";
pub(crate) const OTHER_AGENT_V4: &str = "10.77.0.3";
pub(crate) const TRUSTED_V4: &str = "10.77.0.20";
pub(crate) const PROMETHEUS_V4: &str = "10.77.0.10";
pub(crate) const PROMETHEUS_V6: &str = "fd77::10";
/// Within the agents' network, but denied.
pub(crate) const DENIED_V4: &str = "10.77.0.66";
pub(crate) const DENIED_V6: &str = "fd77::66";
/// From elsewhere.
pub(crate) const STRANGER_V4: &str = "10.88.0.2";
pub(crate) const STRANGER_V6: &str = "fd88::2";

/// Production's ports.
pub(crate) const WEBSOCKET: u16 = 8766;
pub(crate) const METRICS: u16 = 9091;
pub(crate) const REDIS: u16 = 6380;

/// Lets in whom the names above promise.
pub(crate) const LISTS: &str = "\
websocket_from = [\"10.77.0.0/24\", \"fd77::/32\"]
metrics_from = [\"10.77.0.10\", \"fd77::10\"]
deny = [\"10.77.0.66\", \"fd77::66\"]
trusted = [\"10.77.0.20\"]
";

/// Longer than anything that works takes.
const LOOKS_MAX: u32 = 6_000;
const POLL: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(crate) struct Bed {
    pub(crate) folder: TempDir,
    pub(crate) gateway: Space,
    pub(crate) outside: Space,
}

impl Bed {
    /// With the settings of `[firewall]` that are given, and nothing applied yet.
    pub(crate) fn new(settings: &str) -> Self {
        let gateway = Space::new();
        let outside = Space::beside(&gateway);
        gateway.cable(
            "wan",
            &[
                "10.77.0.1/24",
                "10.88.0.1/24",
                "fd77::1/64",
                "fd77:0:0:1::1/64",
                "fd88::1/64",
            ],
            &outside,
            &[
                "10.77.0.2/24",
                "10.77.0.3/24",
                "10.77.0.10/24",
                "10.77.0.20/24",
                "10.77.0.66/24",
                "10.88.0.2/24",
                "fd77::2/64",
                "fd77::3/64",
                "fd77::10/64",
                "fd77::66/64",
                "fd77:0:0:1::2/64",
                "fd88::2/64",
            ],
        );
        let folder = tempfile::tempdir().unwrap();
        let bed = Self {
            folder,
            gateway,
            outside,
        };
        bed.configure(settings);
        bed
    }

    /// Settings of `[firewall]` in place of those before.
    pub(crate) fn configure(&self, settings: &str) {
        let status = self.status_file();
        let status = status.display();
        let text = format!(
            "profile = \"production\"\n[websocket]\nhost = \"0.0.0.0\"\nallow_plaintext = true\n\
             [metrics]\nhost = \"0.0.0.0\"\nallow_plaintext = true\n\
             [firewall]\nstatus_file = \"{status}\"\n{settings}"
        );
        fs::write(self.folder.path().join("coord.toml"), text).unwrap();
    }

    pub(crate) fn status_file(&self) -> PathBuf {
        self.folder.path().join("board/status.json")
    }

    pub(crate) fn runtime_dir(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// Where the rules last confirmed are kept.
    pub(crate) fn kept_dir(&self) -> PathBuf {
        self.folder.path().join("kept")
    }

    /// `coord` on the box.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        self.command_in(&self.gateway, words)
    }

    /// `coord` on either machine.
    pub(crate) fn command_in(&self, space: &Space, words: &[&str]) -> Command {
        let mut command = space.command(env!("CARGO_BIN_EXE_coord"), words);
        command
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("COORD_CONFIG", self.folder.path().join("coord.toml"))
            .env("COORD_STATE_DIR", self.folder.path().join("state"))
            .env("RUNTIME_DIRECTORY", self.runtime_dir())
            .env("STATE_DIRECTORY", self.kept_dir());
        command
    }

    pub(crate) fn coord(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs `coord firewall apply`, which must succeed; what it said.
    #[track_caller]
    pub(crate) fn apply(&self, more: &[&str]) -> String {
        let mut words = vec!["firewall", "apply"];
        words.extend(more);
        let output = self.coord(&words);
        assert_well(&output, "coord firewall apply");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Cuts the power: what the kernel had loaded, and what was in memory, is gone.
    pub(crate) fn lose_power(&self) {
        self.gateway
            .run("nft", &["delete", "table", "inet", "coord"]);
        fs::remove_dir_all(self.runtime_dir()).unwrap();
    }

    /// Runs what the box runs when it starts, which must succeed; what it said.
    #[track_caller]
    pub(crate) fn boot(&self) -> String {
        let output = self.coord(&["firewall", "boot"]);
        assert_well(&output, "coord firewall boot");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Runs a command that must fail in this way, and say so.
    #[track_caller]
    pub(crate) fn check_fails(mut command: Command, code: i32, words: &[&str]) {
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        for word in words {
            assert!(said.contains(word), "{word:?} is not in {said}");
        }
    }

    /// What `coord firewall status` says.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        let output = self.coord(&["firewall", "status", "--json"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    #[track_caller]
    pub(crate) fn check_state(&self, expected: &str) {
        assert_eq!(self.status()["state"], expected);
    }

    /// Packets that a counter counted so far.
    #[track_caller]
    pub(crate) fn counted(&self, counter: &str) -> u64 {
        let status = self.status();
        let counters = status["counters"].as_array().unwrap();
        let found = counters.iter().find(|it| it["name"] == counter);
        found.map_or(0, |it| it["packets"].as_u64().unwrap())
    }

    /// Our table with its handles, or nothing: a table that was loaded anew has other handles.
    pub(crate) fn table(&self) -> Option<String> {
        let list = ["-a", "list", "table", "inet", "coord"];
        let output = self.gateway.command("nft", &list).output().unwrap();
        output
            .status
            .success()
            .then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// Connects in vain: the counter counts the packet, and there is no connection.
    #[track_caller]
    pub(crate) fn drops(
        &self,
        talker: &mut Talker,
        (source, to, port): (&str, &str, u16),
        counter: &str,
    ) -> Connection {
        let before = self.counted(counter);
        let connection = talker.connect(source, to, port);
        let what = format!("{counter} to count a packet of {source} to {to} port {port}");
        until(&what, || (self.counted(counter) > before).then_some(()));
        assert!(
            !talker.is_connected(connection),
            "{source} reaches {to} port {port}"
        );
        connection
    }
}

/// Looks again and again until `look` finds something.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..LOOKS_MAX {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(POLL);
    }
    panic!("looked {LOOKS_MAX} times in vain for {what}");
}

/// A file of the sources.
pub(crate) fn source_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A program that is ended with the test.
#[derive(Debug)]
pub(crate) struct Program(pub(crate) std::process::Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Bed {
    /// A coordinator on the box that serves.
    pub(crate) fn serve(&self) -> Program {
        use std::io::{BufRead, BufReader};
        let mut command = self.command(&["serve"]);
        command.stdout(std::process::Stdio::piped());
        command.stderr(fs::File::create(self.folder.path().join("log")).unwrap());
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert!(line.starts_with("coord "), "it serves: {line:?}");
        // What it says later goes nowhere, and must not stop it.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Program(child)
    }
}
