//! What agents notice of an MQTT broker: one that takes everything, one that is away, one that stops reading, and one
//! that floods the box. Next to them a coordinator without a broker. The broker is a small one of our own, so that all
//! of this machine's time but that of two threads is the coordinator's.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::flood;
use crate::support::options::Options;
use crate::support::quantile;
use crate::support::report::Report;
use crate::support::server::Server;
use crate::support::talk::payload;
use crate::support::ws::{request, text};

const MIB: f64 = 1024.0 * 1024.0;
/// Accepted, without properties.
const CONNACK: &[u8] = &[0x20, 3, 0, 0, 0];
const NODE: &str = "bench";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broker {
    None,
    Takes,
    Away,
    Stalls,
    Floods,
}

const BROKERS: [Broker; 5] = [
    Broker::None,
    Broker::Takes,
    Broker::Away,
    Broker::Stalls,
    Broker::Floods,
];

/// Rounds of all brokers alternate, so that a busy machine slows each of them.
pub fn measure(options: &Options, report: &mut Report) {
    let folder = tempfile::tempdir_in(&options.folder).expect("the folder can be written to");
    let servers = BROKERS.map(|broker| {
        let taken = Arc::new(AtomicU64::new(0));
        let mut variables = vec![("COORD_NODE_NAME", NODE.to_owned())];
        if let Some(url) = broker.start(&taken) {
            variables.push(("COORD_MQTT_URL", url));
        }
        let state = folder.path().join(broker.name());
        let mut server = Server::spawn_with(options, &state, &variables);
        server.first_upgrade();
        (server, taken)
    });
    let mut agents = Vec::new();
    for (server, _) in &servers {
        agents.push(server.session(&server.agent_tokens(1).remove(0)));
    }
    let params = format!(r#"{{"key":"bench","value":{}}}"#, payload());
    let frames = [
        text(&request("ping", "{}")),
        text(&request("context.put", &params)),
    ];
    let mut times = vec![[Vec::new(), Vec::new()]; BROKERS.len()];
    let before = servers
        .each_ref()
        .map(|(server, _)| server.process.cpu_seconds());
    for _ in 0..options.rounds {
        for (agent, times) in agents.iter_mut().zip(&mut times) {
            flood::work(agent, &frames, options.seconds, times);
        }
    }
    for (index, broker) in BROKERS.iter().enumerate() {
        let (server, taken) = &servers[index];
        let operations = times[index][1].len() as f64;
        for (what, position) in [("ping", 0), ("durable operation", 1)] {
            let calm = quantile(&mut times[0][position], 0.99) * 1e6;
            let own = quantile(&mut times[index][position], 0.99) * 1e6;
            let figure = report.figure(&format!("{what} p99, {}", broker.words()), own, "µs");
            let taken = taken.load(Ordering::Relaxed);
            let note =
                format!("peer: without; {operations} events, the broker took {taken} publishes");
            figure.peer(calm).note(note);
        }
        let cpu = (server.process.cpu_seconds() - before[index]) / operations * 1e6;
        let title = format!(
            "processor time of a ping and an operation, {}",
            broker.words()
        );
        report.figure(&title, cpu, "µs");
        let memory = server.process.rss_bytes() as f64 / MIB;
        let title = format!("resident memory, {}", broker.words());
        report.figure(&title, memory, "MiB");
    }
}

impl Broker {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Takes => "takes",
            Self::Away => "away",
            Self::Stalls => "stalls",
            Self::Floods => "floods",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::None => "no broker configured",
            Self::Takes => "broker that takes everything",
            Self::Away => "broker that is away",
            Self::Stalls => "broker that stops reading",
            Self::Floods => "broker that floods",
        }
    }

    /// Its address, if there is one. It runs until the benchmark ends.
    fn start(self, taken: &Arc<AtomicU64>) -> Option<String> {
        if self == Self::None {
            return None;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let taken = Arc::clone(taken);
        if self != Self::Away {
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let taken = Arc::clone(&taken);
                    // The coordinator may hang up on it at any time.
                    std::thread::spawn(move || self.serve(stream, &taken).is_ok());
                }
            });
        }
        Some(format!("mqtt://{address}"))
    }

    fn serve(self, mut stream: TcpStream, taken: &AtomicU64) -> std::io::Result<()> {
        packet(&mut stream)?;
        stream.write_all(CONNACK)?;
        if self == Self::Stalls {
            std::thread::sleep(Duration::from_hours(1));
        }
        if self == Self::Floods {
            let mut stream = stream.try_clone()?;
            std::thread::spawn(move || while stream.write_all(&flood_of_publishes()).is_ok() {});
        }
        loop {
            let (kind, body) = packet(&mut stream)?;
            match kind >> 4 {
                3 => {
                    taken.fetch_add(1, Ordering::Relaxed);
                    let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
                    stream.write_all(&[0x40, 2, body[2 + length], body[3 + length]])?;
                }
                // Both topics, with QoS 1.
                8 => stream.write_all(&[0x90, 5, body[0], body[1], 0, 1, 1])?,
                12 => stream.write_all(&[0xd0, 0])?,
                _ => {}
            }
        }
    }
}

/// A thousand requests for the health.
fn flood_of_publishes() -> Vec<u8> {
    let topic = format!("coord/v1/default/{NODE}/cmd/health");
    let length = u8::try_from(topic.len()).expect("it is short");
    let mut one = vec![0x30, length + 3, 0, length];
    one.extend(topic.as_bytes());
    one.push(0);
    one.repeat(1_000)
}

/// The first byte and the body of the next packet.
fn packet(stream: &mut TcpStream) -> std::io::Result<(u8, Vec<u8>)> {
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    let (kind, mut length) = (byte[0], 0);
    for place in 0..4 {
        stream.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 0x7f) << (7 * place);
        if byte[0] < 0x80 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((kind, body))
}
