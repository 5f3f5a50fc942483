//! NATS `JetStream` as a peer: its server, and the same work in its own protocol.
//!
//! The client is written by hand for the same reason as the coordinator's: both sides run on the
//! same loop at the same cost, so that the servers are what is compared.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::load::{Step, Talk};
use super::options::Options;
use super::process::Process;
use super::server::free_address;
use super::talk::PAYLOAD_BYTES;

const START_TIMEOUT: Duration = Duration::from_secs(10);
const STREAM: &str = r#"{"name":"BENCH","subjects":["work"],"retention":"workqueue","storage":"file","num_replicas":1}"#;
const CONSUMER: &str = r#"{"stream_name":"BENCH","config":{"durable_name":"PULL","ack_policy":"explicit","deliver_policy":"all","max_ack_pending":10000}}"#;

#[derive(Debug)]
pub struct Nats {
    /// Held, so that it ends with this.
    process: Process,
    address: SocketAddr,
}

impl Nats {
    /// Starts a server that syncs every write; `Err` says why there is none to compare with.
    pub fn start(options: &Options, folder: &Path) -> Result<Self, String> {
        let address = free_address();
        let config = folder.join("nats.conf");
        let text = format!(
            "listen: \"{address}\"\njetstream {{ store_dir: \"{}\", sync_interval: always }}\n",
            folder.display()
        );
        fs::write(&config, text).map_err(|error| error.to_string())?;
        let mut command = Command::new(&options.nats);
        command.arg("-c").arg(&config).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let found = Command::new(&options.nats).arg("--version").output();
        let found = found.map_err(|error| format!("{}: {error}", options.nats.display()))?;
        let version = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        let mut process = Process::start(&mut command);
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if process.has_ended() {
                return Err(format!(
                    "{version} has no sync_interval: 2.10 or newer does"
                ));
            }
            if begun.elapsed() > START_TIMEOUT {
                return Err(format!("{version} does not listen"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let nats = Self { process, address };
        let mut stream = nats.connect("_INBOX.setup");
        for (subject, body) in [
            ("$JS.API.STREAM.CREATE.BENCH", STREAM),
            ("$JS.API.CONSUMER.DURABLE.CREATE.BENCH.PULL", CONSUMER),
        ] {
            let request = format!("PUB {subject} _INBOX.setup {}\r\n{body}\r\n", body.len());
            stream
                .write_all(request.as_bytes())
                .map_err(|e| e.to_string())?;
            let reply = read_until(&mut stream, "}\r\n");
            if reply.contains("\"error\"") {
                return Err(format!("{version} refused {subject}: {reply}"));
            }
        }
        Ok(nats)
    }

    /// Connections ready to work.
    pub fn conversations(&self, count: usize) -> Vec<(TcpStream, NatsCycle)> {
        let inboxes = (0..count).map(|index| format!("_INBOX.{index}"));
        inboxes
            .map(|inbox| (self.connect(&inbox), NatsCycle::new(&inbox)))
            .collect()
    }

    fn connect(&self, inbox: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).expect("nats-server takes connections");
        stream.set_nodelay(true).expect("it is a TCP socket");
        read_until(&mut stream, "\r\n");
        let options = r#"{"verbose":false,"pedantic":false,"headers":true,"no_responders":true}"#;
        let hello = format!("CONNECT {options}\r\nSUB {inbox} 1\r\nPING\r\n");
        stream.write_all(hello.as_bytes()).expect("it is sent");
        read_until(&mut stream, "PONG\r\n");
        stream
    }
}

fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let (mut text, mut chunk) = (Vec::new(), [0; 4096]);
    while !text.ends_with(end.as_bytes()) {
        let count = stream.read(&mut chunk).expect("the connection holds");
        assert!(count > 0, "nats-server closed the connection");
        text.extend_from_slice(&chunk[..count]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Publishing,
    Fetching,
    Acking,
}

/// Publish and await the acknowledgement, fetch one, acknowledge it and await that this is done.
#[derive(Debug)]
pub struct NatsCycle {
    inbox: Vec<u8>,
    publish: Vec<u8>,
    fetch: Vec<u8>,
    stage: Stage,
}

impl NatsCycle {
    fn new(inbox: &str) -> Self {
        let payload = "p".repeat(PAYLOAD_BYTES);
        let fetch = r#"{"batch":1,"expires":10000000000}"#;
        let next = "$JS.API.CONSUMER.MSG.NEXT.BENCH.PULL";
        Self {
            inbox: inbox.into(),
            publish: format!("PUB work {inbox} {PAYLOAD_BYTES}\r\n{payload}\r\n").into(),
            fetch: format!("PUB {next} {inbox} {}\r\n{fetch}\r\n", fetch.len()).into(),
            stage: Stage::Publishing,
        }
    }
}

impl Talk for NatsCycle {
    fn begin(&mut self, out: &mut Vec<u8>) {
        self.stage = Stage::Publishing;
        out.extend_from_slice(&self.publish);
    }

    fn take(&mut self, input: &[u8], out: &mut Vec<u8>) -> Step {
        let Some(end) = input.windows(2).position(|two| two == b"\r\n") else {
            return Step::Incomplete;
        };
        let line = &input[..end];
        if line == b"PING" {
            out.extend_from_slice(b"PONG\r\n");
            return Step::Within(end + 2);
        }
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let bytes = words
            .last()
            .and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
        let Some(bytes) = bytes.filter(|_: &usize| line.starts_with(b"MSG ")) else {
            panic!("nats-server said {}", String::from_utf8_lossy(line));
        };
        let used = end + 2 + bytes + 2;
        let Some(body) = input.get(end + 2..end + 2 + bytes) else {
            return Step::Incomplete;
        };
        if input.len() < used {
            return Step::Incomplete;
        }
        match self.stage {
            Stage::Publishing => {
                let stored = body.windows(5).any(|window| window == b"\"seq\"");
                assert!(stored, "not stored: {}", String::from_utf8_lossy(body));
                self.stage = Stage::Fetching;
                out.extend_from_slice(&self.fetch);
                Step::Within(used)
            }
            Stage::Fetching => {
                assert_eq!(
                    words.len(),
                    5,
                    "a delivered message says where to acknowledge it"
                );
                self.stage = Stage::Acking;
                for part in [b"PUB ", words[3], b" ", &self.inbox, b" 4\r\n+ACK\r\n"] {
                    out.extend_from_slice(part);
                }
                Step::Within(used)
            }
            Stage::Acking => Step::Finished(used),
        }
    }
}
