//! A real coordinator process, which never outlives its test.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tempfile::TempDir;

use super::client::Client;
use super::http;
use super::port::HeldPort;
use super::redis::Redis;
use super::waiting::until;

/// How a coordinator is started.
#[derive(Debug)]
pub struct Start {
    folder: TempDir,
    state_dir: PathBuf,
    websocket: HeldPort,
    metrics: HeldPort,
    variables: Vec<(String, String)>,
    wrapper: Vec<String>,
    /// Where its journal is, if the run asks for a shared one.
    redis: Option<Redis>,
}

/// `redis`: coordinators whose test says nothing else have their journal in a Redis of their own.
const JOURNAL_VARIABLE: &str = "COORD_TEST_JOURNAL";

/// A running coordinator; killed when dropped.
#[derive(Debug)]
pub struct Coordinator {
    start: Start,
    child: Child,
}

/// A coordinator that ended by itself.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    /// What it said to the one who started it, and its log.
    pub said: String,
}

impl Start {
    /// A coordinator with an empty state directory and ports of its own.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            state_dir: folder.path().join("state"),
            folder,
            websocket: HeldPort::take(),
            metrics: HeldPort::take(),
            variables: Vec::new(),
            wrapper: Vec::new(),
            redis: None,
        }
    }

    /// Gives it a Redis if the run asks for one and the test did not speak of any.
    fn with_journal(mut self) -> Self {
        let asked = std::env::vars().any(|pair| pair == (JOURNAL_VARIABLE.into(), "redis".into()));
        let named = |name: &str| name.contains("REDIS");
        if asked && !self.variables.iter().any(|(name, _)| named(name)) {
            let redis = Redis::unready(&["--appendonly", "yes", "--appendfsync", "always"]);
            self = self
                .variable("REDIS_HOST", "127.0.0.1")
                .variable("REDIS_PORT", redis.port());
            self.redis = Some(redis);
        }
        self
    }

    pub fn state_dir(mut self, path: &Path) -> Self {
        path.clone_into(&mut self.state_dir);
        self
    }

    pub fn variable(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.variables.push((name.into(), value.to_string()));
        self
    }

    /// Runs it through another command, such as `setpriv`.
    pub fn wrapper(mut self, words: &[&str]) -> Self {
        self.wrapper = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// A folder for the test's own files; it goes with the coordinator.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn state(&self) -> &Path {
        &self.state_dir
    }

    pub fn websocket_port(&self) -> u16 {
        self.websocket.number()
    }

    pub fn metrics_port(&self) -> u16 {
        self.metrics.number()
    }

    fn spawn(&self) -> Child {
        let binary = env!("CARGO_BIN_EXE_coord");
        let mut words = self.wrapper.iter().map(String::as_str).chain([binary]);
        let mut command = Command::new(words.next().unwrap());
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.log())
            .unwrap();
        command
            .args(words)
            .arg("serve")
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.folder.path())
            .env("COORD_PROFILE", "testing")
            .env("COORD_STATE_DIR", &self.state_dir)
            .env("WEBSOCKET_PORT", self.websocket.number().to_string())
            .env("METRICS_PORT", self.metrics.number().to_string())
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        command.spawn().unwrap()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    pub async fn run(self) -> Coordinator {
        let mut coordinator = self.launch();
        coordinator.ready().await;
        coordinator
    }

    /// Starts one that nobody waits for.
    pub fn launch(self) -> Coordinator {
        let this = self.with_journal();
        let child = this.spawn();
        Coordinator { start: this, child }
    }

    /// Starts one that is expected to end by itself.
    pub async fn run_to_end(&self) -> Ended {
        let mut child = KillOnDrop(self.spawn());
        let look = async || child.0.try_wait().unwrap();
        let status = until("the coordinator's end", look).await;
        let said = fs::read_to_string(self.log()).unwrap();
        Ended { status, said }
    }
}

impl Ended {
    /// Checks the exit code, and that each of `words` is told.
    #[track_caller]
    pub fn check(&self, code: i32, words: &[&str]) {
        assert_eq!(self.status.code(), Some(code), "{}", self.said);
        assert_eq!(self.status.signal(), None, "{}", self.said);
        for word in words {
            assert!(
                self.said.contains(word),
                "{word:?} is not in:\n{}",
                self.said
            );
        }
        assert!(!self.said.contains("panicked"), "{}", self.said);
    }
}

struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // It is gone already when all went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Coordinator {
    /// One with an empty state directory and defaults.
    pub async fn start() -> Self {
        Start::new().run().await
    }

    /// Waits until it takes work; fails at once when it has ended.
    pub async fn ready(&mut self) {
        let scheme_is_tls = self.start.variables.iter().any(|(name, value)| {
            name == "WEBSOCKET_SSL_ENABLED" && (value == "true" || value == "1")
        });
        let (port, path) = if scheme_is_tls {
            // The health page is behind TLS then; the metrics are served last, and in clear.
            (self.metrics_port(), "/metrics")
        } else {
            (self.port(), "/readyz")
        };
        until("the coordinator to be ready", async || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the coordinator ended with {status}:\n{}", self.said());
            }
            let reply = http::get(port, path).await.ok()?;
            (reply.status == 200).then_some(())
        })
        .await;
    }

    pub fn port(&self) -> u16 {
        self.start.websocket.number()
    }

    pub fn metrics_port(&self) -> u16 {
        self.start.metrics.number()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn state_dir(&self) -> &Path {
        &self.start.state_dir
    }

    pub fn folder(&self) -> &Path {
        self.start.folder.path()
    }

    /// Whether its journal is on its own disk, as it is unless the run asks for Redis.
    pub fn has_embedded_journal(&self) -> bool {
        self.start.redis.is_none()
    }

    /// All it has said so far, over all its runs.
    pub fn said(&self) -> String {
        fs::read_to_string(self.start.log()).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let look = async || self.child.try_wait().unwrap();
        until("the coordinator's end", look).await
    }

    /// Ends it as a power cut would, as far as a process can.
    pub async fn kill(&mut self) {
        self.child.kill().unwrap();
        self.ended().await;
    }

    /// Ends it in order.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.ended().await
    }

    /// Starts it again on the same state and ports.
    pub async fn restart(&mut self) {
        self.child = self.start.spawn();
        self.ready().await;
    }

    /// What is left of a coordinator that has ended: its state and its ports.
    pub fn into_start(self) -> StoppedStart {
        StoppedStart(self)
    }

    pub fn operator_token(&self) -> String {
        let file = self.start.state_dir.join("operator.token");
        fs::read_to_string(file).unwrap().trim().to_owned()
    }

    /// Connects as the operator.
    pub async fn operator(&self) -> Client {
        Client::connect(self.port(), &self.operator_token()).await
    }

    /// Makes a token and gives its secret.
    pub async fn token(&self, agent: &str, role: &str) -> String {
        let mut operator = self.operator().await;
        let params = json!({"agent": agent, "role": role});
        let made = operator.call("token.create", params).await.unwrap();
        made["secret"].as_str().unwrap().to_owned()
    }

    /// Connects as a new agent.
    pub async fn agent(&self, name: &str) -> Client {
        let token = self.token(name, "agent").await;
        Client::connect(self.port(), &token).await
    }
}

/// A stopped coordinator that is to be started once more and to fail.
#[derive(Debug)]
pub struct StoppedStart(Coordinator);

impl StoppedStart {
    pub fn state(&self) -> &Path {
        self.0.state_dir()
    }

    /// Only what this run says is in the answer.
    pub async fn run_to_end(&self) -> Ended {
        let before = self.0.said().len();
        let mut ended = self.0.start.run_to_end().await;
        ended.said = ended.said.split_off(before);
        ended
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        // Already gone after `kill` or `stop`; then both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the coordinator said:\n{}", self.said());
        }
    }
}
