//! What agents notice of a flood on the metrics port: guessed passwords, each worth a computation of bcrypt, and TLS
//! handshakes that are begun and never ended. Next to them the same flood without a password, whose cost is only that of
//! its connections: attacker and coordinator share this machine's processors.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};

use crate::support::options::Options;
use crate::support::quantile;
use crate::support::report::Report;
use crate::support::server::Server;
use crate::support::talk::payload;
use crate::support::ws::{Socket, request, text};

const THREADS: usize = 4;
/// The usual cost: 60 ms on a PC.
const BCRYPT_COST: u32 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attack {
    None,
    Bare,
    Guesses,
    Handshakes,
}

/// Threads that attack while told to.
struct Attackers {
    stop: Arc<AtomicBool>,
    tries: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

pub fn measure(options: &Options, report: &mut Report) {
    let folder = tempfile::tempdir_in(&options.folder).expect("the folder can be written to");
    let path = |name: &str| folder.path().join(name);
    let hash = bcrypt::hash("secret", BCRYPT_COST).expect("the cost is allowed");
    fs::write(path("users"), format!("ana:{hash}\n")).expect("it can be written");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("names fit");
    fs::write(path("cert.pem"), made.cert.pem()).expect("it can be written");
    fs::write(path("key.pem"), made.signing_key.serialize_pem()).expect("it can be written");
    let file = |name: &str| path(name).display().to_string();
    let passwords = [("COORD_METRICS_BASIC_AUTH_USERS_FILE", file("users"))];
    let tls = [
        ("COORD_METRICS_TLS_CERTIFICATE_FILE", file("cert.pem")),
        ("COORD_METRICS_TLS_KEY_FILE", file("key.pem")),
    ];
    let mut server = Server::spawn_with(options, &path("passwords"), &passwords);
    server.first_upgrade();
    let attacks = [Attack::None, Attack::Bare, Attack::Guesses];
    compare(options, report, &server, &attacks);
    let mut server = Server::spawn_with(options, &path("tls"), &tls);
    server.first_upgrade();
    compare(
        options,
        report,
        &server,
        &[Attack::None, Attack::Handshakes],
    );
}

/// Rounds of all attacks alternate, so that a busy machine slows each of them.
fn compare(options: &Options, report: &mut Report, server: &Server, attacks: &[Attack]) {
    let mut agent = server.session(&server.agent_tokens(1).remove(0));
    let params = format!(r#"{{"key":"bench","value":{}}}"#, payload());
    let frames = [
        text(&request("ping", "{}")),
        text(&request("context.put", &params)),
    ];
    let mut times = vec![[Vec::new(), Vec::new()]; attacks.len()];
    let mut tries = vec![0; attacks.len()];
    for _ in 0..options.rounds {
        for (index, attack) in attacks.iter().enumerate() {
            let attackers = Attackers::start(*attack, server.metrics);
            work(&mut agent, &frames, options.seconds, &mut times[index]);
            tries[index] += attackers.stop();
        }
    }
    let seconds = options.seconds * options.rounds as f64;
    for (index, attack) in attacks.iter().enumerate() {
        for (what, position) in [("ping", 0), ("durable operation", 1)] {
            let calm = quantile(&mut times[0][position], 0.99) * 1e6;
            let own = quantile(&mut times[index][position], 0.99) * 1e6;
            let figure = report.figure(&format!("{what} p99, {}", attack.name()), own, "µs");
            figure.peer(calm).note(format!(
                "peer: without; {:.0} attempts a second",
                tries[index] as f64 / seconds
            ));
        }
    }
}

pub fn work(agent: &mut Socket, frames: &[Vec<u8>; 2], seconds: f64, times: &mut [Vec<f64>; 2]) {
    let (begun, mut reply) = (Instant::now(), Vec::new());
    while begun.elapsed().as_secs_f64() < seconds {
        for (frame, times) in frames.iter().zip(times.iter_mut()) {
            let sent = Instant::now();
            agent.exchange(frame, &mut reply);
            times.push(sent.elapsed().as_secs_f64());
            // An agent thinks between two requests; a closed loop would hide a slow answer.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Attack {
    fn name(self) -> &'static str {
        match self {
            Self::None => "no flood",
            Self::Bare => "flood without passwords",
            Self::Guesses => "flood of guesses",
            Self::Handshakes => "flood of unended TLS handshakes",
        }
    }
}

impl Attackers {
    fn start(attack: Attack, target: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(attack == Attack::None));
        let tries = Arc::new(AtomicU64::new(0));
        let hello = Arc::new(hello());
        let threads = (0..THREADS).map(|_| {
            let (stop, tries, hello) = (Arc::clone(&stop), Arc::clone(&tries), Arc::clone(&hello));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    attempt(attack, target, &hello);
                    tries.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        Self {
            stop: Arc::clone(&stop),
            tries: Arc::clone(&tries),
            threads: threads.collect(),
        }
    }

    /// How many attempts there were.
    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("an attacker does not panic");
        }
        self.tries.load(Ordering::Relaxed)
    }
}

/// One attempt from a source of its own, so that no limit for one source ends the flood.
fn attempt(attack: Attack, target: SocketAddr, hello: &[u8]) {
    static SOURCE: AtomicU32 = AtomicU32::new(0);
    let source = SOURCE.fetch_add(1, Ordering::Relaxed);
    let Some(mut stream) = connected(source, target) else {
        return;
    };
    let guess = base64::engine::general_purpose::STANDARD.encode(format!("ana:{source}"));
    let shown = match attack {
        Attack::Guesses => format!("Authorization: Basic {guess}\r\n"),
        _ => String::new(),
    };
    let asked =
        format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{shown}Connection: close\r\n\r\n");
    let bytes = if attack == Attack::Handshakes {
        hello
    } else {
        asked.as_bytes()
    };
    // The other side may close at once; that is an attempt too.
    let wait = Some(Duration::from_millis(200));
    let _ = stream.set_read_timeout(wait);
    let _ = stream.write_all(bytes);
    let _ = stream.read(&mut [0; 4096]);
}

fn connected(source: u32, target: SocketAddr) -> Option<TcpStream> {
    let SocketAddr::V4(target) = target else {
        return None;
    };
    let [_, high, middle, low] = (source % 0x00ff_fff0 + 2).to_be_bytes();
    let own = SockaddrIn::new(127, high, middle, low, 0);
    let made = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .ok()?;
    bind(made.as_raw_fd(), &own).ok()?;
    connect(made.as_raw_fd(), &SockaddrIn::from(target)).ok()?;
    Some(made.into())
}

/// The first message of a TLS client: the server answers with its key and a signature.
fn hello() -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions();
    let config = builder
        .expect("ring has them")
        .with_root_certificates(rustls::RootCertStore::empty());
    let name = "localhost".try_into().expect("it is a name");
    let client = rustls::ClientConnection::new(Arc::new(config.with_no_client_auth()), name);
    let mut bytes = Vec::new();
    client
        .expect("the name fits")
        .write_tls(&mut bytes)
        .expect("memory takes it");
    bytes
}
