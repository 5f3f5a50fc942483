//! Latency: one connection, one durable operation after the other, next to the bare system calls,
//! and next to a TCP echo that makes the same system calls before it answers: no server whose
//! client is another process can be faster than that.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use crate::echo;
use crate::support::median;
use crate::support::options::Options;
use crate::support::report::{Report, bare_commit, preallocated};
use crate::support::server::Server;
use crate::support::talk::payload;
use crate::support::ws::{request, text};

const TARGET_RATIO: f64 = 1.25;
const ROUNDS: usize = 40;
const OPERATIONS_PER_ROUND: usize = 50;

pub fn measure(options: &Options, report: &mut Report) {
    let folder = tempfile::tempdir_in(&options.folder).expect("the folder can be written to");
    let server = Server::start(options, &folder.path().join("coord"));
    let token = server.agent_tokens(1).remove(0);
    let mut socket = server.session(&token);
    let params = format!(r#"{{"key":"bench","value":{}}}"#, payload());
    let put = text(&request("context.put", &params));
    let ping = text(&request("ping", "{}"));
    let mut reply = Vec::new();
    let one = |socket: &mut crate::support::ws::Socket, frame: &[u8], reply: &mut Vec<u8>| {
        let begun = Instant::now();
        socket.exchange(frame, reply);
        begun.elapsed().as_secs_f64()
    };
    for _ in 0..OPERATIONS_PER_ROUND {
        one(&mut socket, &put, &mut reply);
    }
    let names = [
        "coord_journal_written_bytes_total",
        "coord_journal_sync_seconds_sum",
        "coord_journal_sync_seconds_count",
    ];
    let before = names.map(|name| server.metric(name));
    for _ in 0..OPERATIONS_PER_ROUND {
        one(&mut socket, &put, &mut reply);
    }
    let written = server.metric(names[0]) - before[0];
    let bytes = (written / OPERATIONS_PER_ROUND as f64).round();
    // The journal now and then writes a step of its reserve; what is left is the record itself.
    let record = 8 * ((params.len() + 200) / 8);
    let bytes = if bytes > 2.0 * record as f64 {
        record
    } else {
        bytes as usize
    };
    let reply_bytes = reply.len();
    let (_echo, address) = echo::start(put.len(), reply_bytes, Some((bytes, folder.path())));
    let mut committing = TcpStream::connect(address).expect("the echo server listens");
    committing.set_nodelay(true).expect("it is a TCP socket");
    let mut echoed = |frame: &[u8]| {
        let mut answer = vec![0; reply_bytes];
        let begun = Instant::now();
        committing.write_all(frame).expect("the echo server reads");
        committing.read_exact(&mut answer).expect("it answers");
        begun.elapsed().as_secs_f64()
    };
    let file = preallocated(folder.path());
    let (mut ours, mut bare, mut pings) = (Vec::new(), Vec::new(), Vec::new());
    let (mut ratios, mut floors, mut over_floor) = (Vec::new(), Vec::new(), Vec::new());
    let before = names.map(|name| server.metric(name));
    for round in 0..ROUNDS {
        let operations = 0..OPERATIONS_PER_ROUND;
        let a: Vec<f64> = operations
            .clone()
            .map(|_| one(&mut socket, &put, &mut reply))
            .collect();
        let b: Vec<f64> = operations
            .clone()
            .map(|index| bare_commit(&file, bytes, round * OPERATIONS_PER_ROUND + index))
            .collect();
        pings.extend(operations.map(|_| one(&mut socket, &ping, &mut reply)));
        let c: Vec<f64> = (0..OPERATIONS_PER_ROUND).map(|_| echoed(&put)).collect();
        ratios.push(median(&a) / median(&b));
        over_floor.push(median(&a) / median(&c));
        floors.extend(c);
        ours.extend(a);
        bare.extend(b);
    }
    let spent = server.metric(names[1]) - before[1];
    let syncs = server.metric(names[2]) - before[2];
    report
        .figure("lone durable operation (median)", median(&ours) * 1e6, "µs")
        .at_most(TARGET_RATIO * median(&bare) * 1e6)
        .peer(median(&bare) * 1e6)
        .note(format!("peer: bare write and fdatasync of {bytes} bytes"));
    report
        .figure("lone operation over bare, by rounds", median(&ratios), "×")
        .at_most(TARGET_RATIO);
    report
        .figure("bare commit behind a TCP echo", median(&floors) * 1e6, "µs")
        .peer(median(&bare) * 1e6)
        .note("what the two processes and the loopback cost any server");
    report.figure(
        "lone operation over that, by rounds",
        median(&over_floor),
        "×",
    );
    report.figure("of it inside the journal (mean)", spent / syncs * 1e6, "µs");
    report.figure("lone ping (median)", median(&pings) * 1e6, "µs");
}
