//! A real Mosquitto on a port of the loopback address, and subscribers of its own package.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::port::HeldPort;
use crate::support::until;

/// Where all topics of the tests' box begin.
pub(super) const ROOT: &str = "coord/v1/default/box";

/// A running broker; killed when dropped.
pub(super) struct Mosquitto {
    port: HeldPort,
    folder: TempDir,
    child: Child,
}

/// One message as a subscriber got it.
#[derive(Debug, Clone)]
pub(super) struct Got {
    pub(super) retained: bool,
    pub(super) topic: String,
    pub(super) payload: Value,
}

/// `mosquitto_sub`, and all that it got.
pub(super) struct Subscriber {
    child: Child,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Mosquitto {
    /// Anybody may connect; `lines` are of the listener.
    pub(super) async fn start(lines: &str) -> Self {
        let (port, folder) = (HeldPort::take(), tempfile::tempdir().unwrap());
        let (number, here) = (port.number(), folder.path().display());
        let text = format!(
            "user root\npersistence true\npersistence_location {here}/\nlistener {number} 127.0.0.1\n{}\n",
            lines.replace("HERE", &here.to_string())
        );
        std::fs::write(folder.path().join("mosquitto.conf"), text).unwrap();
        let child = spawn(folder.path());
        let broker = Self {
            port,
            folder,
            child,
        };
        broker.listens().await;
        broker
    }

    pub(super) async fn open() -> Self {
        Self::start("allow_anonymous true").await
    }

    async fn listens(&self) {
        let address = ("127.0.0.1", self.port.number());
        until("Mosquitto to listen", async || {
            tokio::net::TcpStream::connect(address).await.ok()
        })
        .await;
    }

    pub(super) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port.number())
    }

    pub(super) fn port(&self) -> u16 {
        self.port.number()
    }

    pub(super) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    pub(super) fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it in order, so that it stores what it has for sessions.
    pub(super) async fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        until("Mosquitto's end", async || self.child.try_wait().unwrap()).await;
    }

    /// Starts it again, with what it stored.
    pub(super) async fn again(&mut self) {
        self.child = spawn(self.folder.path());
        self.listens().await;
    }

    /// Everything below a topic, as another client gets it.
    pub(super) fn subscribe(&self, topic: &str, more: &[&str]) -> Subscriber {
        let port = self.port.number().to_string();
        let mut command = Command::new("mosquitto_sub");
        command
            .args(["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", topic])
            .args(["-F", "%r %t %p"])
            .args(more);
        Subscriber::of(command)
    }

    /// The same with paho, whose session outlives its connection.
    pub(super) fn paho(&self, topic: &str) -> Subscriber {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(root.join("target/foreign/bin/python3"));
        command
            .arg(root.join("tests/host/mqtt/reader.py"))
            .args([&self.port.number().to_string(), topic]);
        Subscriber::of(command)
    }

    pub(super) fn publish(&self, topic: &str, arguments: &[&str]) {
        let port = self.port.number().to_string();
        let status = Command::new("mosquitto_pub")
            .args(["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", topic])
            .args(arguments)
            .status()
            .unwrap();
        assert!(status.success());
    }
}

impl Subscriber {
    /// Starts a program that prints what it gets, as `retained topic payload`.
    fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let (lines, kept) = (
            BufReader::new(child.stdout.take().unwrap()),
            Arc::clone(&got),
        );
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut parts = line.splitn(3, ' ');
                let mut part = || parts.next().unwrap_or_default().to_owned();
                let (retained, topic) = (part() == "1", part());
                let payload = serde_json::from_str(&part()).unwrap_or_default();
                kept.lock().unwrap().push(Got {
                    retained,
                    topic,
                    payload,
                });
            }
        });
        Self { child, got }
    }
}

fn spawn(folder: &Path) -> Child {
    let log = std::fs::File::options()
        .append(true)
        .create(true)
        .open(folder.join("log"))
        .unwrap();
    Command::new("/usr/sbin/mosquitto")
        .arg("-c")
        .arg(folder.join("mosquitto.conf"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Subscriber {
    pub(super) fn all(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// Waits for a message.
    pub(super) async fn gets(&self, what: &str, wanted: impl Fn(&Got) -> bool) -> Got {
        until(what, async || {
            self.all().into_iter().find(|got| wanted(got))
        })
        .await
    }

    /// Waits for a status that says this.
    pub(super) async fn status(&self, state: &str) -> Got {
        self.gets(state, |got| got.says(state)).await
    }
}

impl Got {
    pub(super) fn says(&self, state: &str) -> bool {
        self.topic.ends_with("/status") && self.payload["state"] == state
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
