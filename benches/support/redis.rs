//! A Redis of our own, and the least of its protocol.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::options::Options;
use super::process::Process;
use super::server::free_address;

const START_TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub struct Redis {
    pub process: Process,
    pub address: SocketAddr,
    /// Where the other nodes of a Cluster reach it.
    bus: SocketAddr,
}

impl Redis {
    /// Starts one that appends every write to its file and syncs it as `fsync` says.
    pub fn start(options: &Options, folder: &Path, fsync: &str) -> Self {
        Self::start_with(options, folder, &["--appendfsync", fsync])
    }

    /// Starts the nodes of a Cluster, each with an equal share of the slots.
    pub fn cluster(options: &Options, folder: &Path, fsync: &str, count: usize) -> Vec<Self> {
        let nodes: Vec<Self> = (0..count)
            .map(|index| {
                let bus = free_address();
                let port = bus.port().to_string();
                let folder = folder.join(format!("node-{index}"));
                let arguments = ["--cluster-enabled", "yes", "--cluster-port", &port];
                let arguments = [&arguments[..], &["--appendfsync", fsync]].concat();
                let node = Self::start_with(options, &folder, &arguments);
                Self { bus, ..node }
            })
            .collect();
        join(&nodes);
        nodes
    }

    fn start_with(options: &Options, folder: &Path, arguments: &[&str]) -> Self {
        std::fs::create_dir_all(folder).expect("the folder can be written to");
        let address = free_address();
        let mut command = Command::new(&options.redis);
        command
            .args(["--bind", &address.ip().to_string()])
            .args(["--port", &address.port().to_string()])
            .args(["--save", "", "--appendonly", "yes", "--dir"])
            .arg(folder)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let redis = Self {
            process: Process::start(&mut command),
            address,
            bus: address,
        };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < START_TIMEOUT, "Redis does not listen");
            std::thread::sleep(PAUSE);
        }
        redis
    }

    /// Sends one command and gives the raw answer; a refusal is the end.
    pub fn ask(&self, words: &[&str]) -> String {
        let mut stream = TcpStream::connect(self.address).expect("Redis takes connections");
        stream.write_all(&command(words)).expect("it is sent");
        let (mut input, mut chunk) = (Vec::new(), [0; 4096]);
        while reply(&input).is_none() {
            let count = stream.read(&mut chunk).expect("the connection holds");
            assert!(count > 0, "Redis closed the connection");
            input.extend_from_slice(&chunk[..count]);
        }
        String::from_utf8_lossy(&input).into_owned()
    }
}

/// Makes one Cluster of them and waits until each knows all.
fn join(nodes: &[Redis]) {
    let share = 16_384 / nodes.len();
    for (index, node) in nodes.iter().enumerate() {
        let first = index * share;
        let last = if index + 1 == nodes.len() {
            16_383
        } else {
            first + share - 1
        };
        let (first, last) = (first.to_string(), last.to_string());
        node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
        node.ask(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
    }
    for node in &nodes[1..] {
        let (ip, port) = (node.address.ip().to_string(), node.address.port());
        let bus = node.bus.port().to_string();
        nodes[0].ask(&["CLUSTER", "MEET", &ip, &port.to_string(), &bus]);
    }
    let known = format!("cluster_known_nodes:{}\r\n", nodes.len());
    let begun = Instant::now();
    for node in nodes {
        loop {
            let said = node.ask(&["CLUSTER", "INFO"]);
            if said.contains("cluster_state:ok") && said.contains(&known) {
                break;
            }
            assert!(begun.elapsed() < START_TIMEOUT, "no Cluster: {said}");
            std::thread::sleep(PAUSE);
        }
    }
}

/// A command as an array of strings.
pub fn command(words: &[&str]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    out
}

/// The strings of the first answer in `input`, and its length, if it is complete.
pub fn reply(input: &[u8]) -> Option<(Vec<&[u8]>, usize)> {
    let mut strings = Vec::new();
    let used = walk(input, 0, &mut strings)?;
    Some((strings, used))
}

/// Where the value that begins at `at` ends.
fn walk<'a>(input: &'a [u8], at: usize, strings: &mut Vec<&'a [u8]>) -> Option<usize> {
    let rest = input.get(at..)?;
    let line = rest.windows(2).position(|two| two == b"\r\n")?;
    let (head, body) = (&rest[..line], at + line + 2);
    let number = || std::str::from_utf8(&head[1..]).ok()?.parse::<i64>().ok();
    match head.first()? {
        b'+' | b':' => Some(body),
        b'$' => {
            let Ok(bytes) = usize::try_from(number()?) else {
                return Some(body);
            };
            strings.push(input.get(body..body + bytes)?);
            let end = body + bytes + 2;
            (input.len() >= end).then_some(end)
        }
        b'*' => {
            let mut at = body;
            for _ in 0..number()? {
                at = walk(input, at, strings)?;
            }
            Some(at)
        }
        _ => panic!("Redis said {}", String::from_utf8_lossy(head)),
    }
}
