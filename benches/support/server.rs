//! A coordinator of our own: its process, its state, its tokens, its metrics.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::options::Options;
use super::process::Process;
use super::redis::Redis;
use super::ws::Socket;

const START_TIMEOUT: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub struct Server {
    pub process: Process,
    pub address: SocketAddr,
    pub metrics: SocketAddr,
    state_dir: PathBuf,
    started: Instant,
}

impl Server {
    /// Starts it on a state directory; does not wait for anything.
    pub fn spawn(options: &Options, state_dir: &Path) -> Self {
        Self::spawn_with(options, state_dir, &[])
    }

    /// The same, with more of its environment.
    pub fn spawn_with(options: &Options, state_dir: &Path, variables: &[(&str, String)]) -> Self {
        let (address, metrics) = (free_address(), free_address());
        let started = Instant::now();
        let mut command = Command::new(&options.server);
        command
            .arg("serve")
            .env_clear()
            .env("COORD_PROFILE", "testing")
            .env("COORD_STATE_DIR", state_dir)
            .env("WEBSOCKET_PORT", address.port().to_string())
            .env("METRICS_PORT", metrics.port().to_string())
            .env("COORD_CONNECTIONS_MAX", "12000")
            .env("COORD_LOG", "warn")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        Self {
            process: Process::start(&mut command),
            address,
            metrics,
            state_dir: state_dir.into(),
            started,
        }
    }

    /// Starts one on a shared journal and waits until it takes work.
    pub fn on_redis(options: &Options, state_dir: &Path, redis: &Redis, cluster: bool) -> Self {
        let variables = [
            ("REDIS_HOST", redis.address.ip().to_string()),
            ("REDIS_PORT", redis.address.port().to_string()),
            ("COORD_REDIS_CLUSTER", cluster.to_string()),
            // How Redis syncs is what is measured here, and no news.
            ("COORD_LOG", "error".to_owned()),
        ];
        let mut server = Self::spawn_with(options, state_dir, &variables);
        server.first_upgrade();
        server
    }

    /// Starts it with a certificate of its own, and waits until its port is open.
    pub fn with_tls(options: &Options, state_dir: &Path) -> Self {
        let variables = [("WEBSOCKET_SSL_ENABLED", "true".to_owned())];
        let mut server = Self::spawn_with(options, state_dir, &variables);
        server.first_connection();
        server
    }

    /// The SHA-256 of its certificate, by which clients know it.
    pub fn fingerprint(&self) -> String {
        let file = self.state_dir.join("tls/certificate.pem");
        let done = Command::new("openssl")
            .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
            .arg(file)
            .output();
        let text = String::from_utf8(done.expect("openssl is needed").stdout);
        let text = text.expect("it is text");
        let (_, digits) = text.split_once('=').expect("it is a fingerprint");
        digits.trim().replace(':', "").to_lowercase()
    }

    /// Starts it and waits until it takes connections.
    pub fn start(options: &Options, state_dir: &Path) -> Self {
        let mut server = Self::spawn(options, state_dir);
        server.first_upgrade();
        server
    }

    /// Seconds from the start to the first accepted connection.
    pub fn first_connection(&mut self) -> f64 {
        loop {
            if TcpStream::connect(self.address).is_ok() {
                return self.started.elapsed().as_secs_f64();
            }
            assert!(!self.process.has_ended(), "the coordinator ended at once");
            let waited = self.started.elapsed();
            assert!(waited < START_TIMEOUT, "the coordinator does not listen");
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// Seconds from the start to the first completed upgrade. The port takes connections earlier
    /// than that, before there is anyone to answer them.
    pub fn first_upgrade(&mut self) -> f64 {
        self.first_connection();
        let token = loop {
            if let Some(token) = self.read_token() {
                break token;
            }
            assert!(!self.process.has_ended(), "the coordinator ended at once");
            std::thread::sleep(Duration::from_micros(100));
        };
        Socket::connect(self.address, &token);
        self.started.elapsed().as_secs_f64()
    }

    pub fn operator_token_file(&self) -> PathBuf {
        self.state_dir.join("operator.token")
    }

    fn read_token(&self) -> Option<String> {
        let text = fs::read_to_string(self.operator_token_file());
        Some(text.ok()?.trim().to_owned())
    }

    pub fn operator_token(&self) -> String {
        self.read_token().expect("the first start wrote a token")
    }

    /// A connection of the operator's, who may do all.
    pub fn operator(&self) -> Socket {
        Socket::connect(self.address, &self.operator_token())
    }

    /// Makes a token for each of so many agents.
    pub fn agent_tokens(&self, count: usize) -> Vec<String> {
        self.tokens_of("bench", count)
    }

    /// The same for agents whose names begin so.
    pub fn tokens_of(&self, prefix: &str, count: usize) -> Vec<String> {
        let mut operator = self.operator();
        let tokens = (0..count).map(|index| {
            let params = format!(r#"{{"agent":"{prefix}-{index}"}}"#);
            let reply = operator.call("token.create", &params);
            let secret = reply["result"]["secret"].as_str();
            secret.expect("the answer has a secret").to_owned()
        });
        tokens.collect()
    }

    /// A connection with an open session.
    pub fn session(&self, token: &str) -> Socket {
        let mut socket = Socket::connect(self.address, token);
        open_session(&mut socket);
        socket
    }

    /// The same in another project.
    pub fn session_in(&self, project: &str, token: &str) -> Socket {
        let target = format!("/ws?project={project}");
        let mut socket = Socket::connect_to(self.address, &target, token);
        open_session(&mut socket);
        socket
    }

    /// The sum of all series of a metric.
    pub fn metric(&self, name: &str) -> f64 {
        let mut stream = TcpStream::connect(self.metrics).expect("the metrics port is open");
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("it is sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("it is answered");
        let named = text.lines().filter_map(|line| line.strip_prefix(name));
        let values = named
            .filter(|rest| rest.starts_with([' ', '{']))
            .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }
}

/// A project of a shared journal takes sessions once its line is read.
fn open_session(socket: &mut Socket) {
    let begun = Instant::now();
    loop {
        let reply = socket.ask("session.open", "{}");
        if reply["result"].is_object() {
            return;
        }
        let later = reply["error"]["data"]["kind"] == "unavailable";
        assert!(later && begun.elapsed() < START_TIMEOUT, "refused: {reply}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An address that was free a moment ago.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there are free ports");
    listener.local_addr().expect("a bound socket has one")
}
