//! Processor time of a request that needs no durability, next to a raw TCP echo of the same sizes.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::echo;
use crate::support::load::{Load, Talk};
use crate::support::median;
use crate::support::options::Options;
use crate::support::process::Process;
use crate::support::report::Report;
use crate::support::server::Server;
use crate::support::talk::{Bytes, Repeat};
use crate::support::ws::{Socket, request, text};

const TARGET_RATIO: f64 = 2.0;
const FRAME_HEAD_BYTES: usize = 2;
const LONG_FRAME_HEAD_BYTES: usize = 4;
const SHORT_FRAME_BYTES_MAX: usize = 125;

pub fn measure(options: &Options, report: &mut Report) {
    let folder = tempfile::tempdir_in(&options.folder).expect("the folder can be written to");
    let server = Server::start(options, &folder.path().join("coord"));
    let token = server.agent_tokens(1).remove(0);
    // So that there is one agent to list.
    let _agent = server.session(&token);
    for connections in [1, 64] {
        for (method, params) in [("ping", "{}"), ("agent.list", r#"{"count_max":1}"#)] {
            compare(
                options,
                report,
                &server,
                &token,
                (method, params),
                connections,
            );
        }
    }
}

fn compare(
    options: &Options,
    report: &mut Report,
    server: &Server,
    token: &str,
    (method, params): (&str, &str),
    connections: usize,
) {
    let frame = text(&request(method, params));
    let mut reply = Vec::new();
    let mut sockets: Vec<_> = (0..connections)
        .map(|_| Socket::connect(server.address, token))
        .collect();
    sockets[0].exchange(&frame, &mut reply);
    let head = if reply.len() > SHORT_FRAME_BYTES_MAX {
        LONG_FRAME_HEAD_BYTES
    } else {
        FRAME_HEAD_BYTES
    };
    let reply_bytes = reply.len() + head;
    let ours = sockets
        .into_iter()
        .map(|socket| (socket.stream, Repeat(frame.clone())));
    let mut ours = Load::new(ours.collect());
    let (echo, address) = echo::start(frame.len(), reply_bytes, None);
    let mut theirs = Load::new(
        (0..connections)
            .map(|_| plain(address, &frame, reply_bytes))
            .collect(),
    );
    let duration = Duration::from_secs_f64(options.seconds / 3.0);
    let (mut us, mut them, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let a = cost(&server.process, &mut ours, duration);
        let b = cost(&echo, &mut theirs, duration);
        us.push(a);
        them.push(b);
        ratios.push(a / b);
    }
    let what = format!("{method}, {connections} connections: processor time");
    eprintln!(
        "  {what}: {:.2} µs, echo {:.2} µs",
        median(&us) * 1e6,
        median(&them) * 1e6
    );
    report
        .figure(&what, median(&us) * 1e6, "µs")
        .at_most(TARGET_RATIO * median(&them) * 1e6)
        .peer(median(&them) * 1e6)
        .note(format!(
            "peer: TCP echo, {} bytes in, {reply_bytes} out",
            frame.len()
        ));
}

fn plain(address: SocketAddr, frame: &[u8], reply_bytes: usize) -> (TcpStream, Bytes) {
    let stream = TcpStream::connect(address).expect("the echo server takes connections");
    stream.set_nodelay(true).expect("it is a TCP socket");
    let request = frame.to_vec();
    (
        stream,
        Bytes {
            request,
            reply_bytes,
        },
    )
}

/// Processor seconds of the server per request.
fn cost<T: Talk>(server: &Process, load: &mut Load<T>, duration: Duration) -> f64 {
    let before = server.cpu_seconds();
    let round = load.run(duration);
    (server.cpu_seconds() - before) / round.units as f64
}
