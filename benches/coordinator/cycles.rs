//! Throughput: 64 agents that submit, claim and complete, every acknowledged change synced.

use std::net::TcpStream;
use std::time::Duration;

use crate::support::load::{Load, Talk};
use crate::support::median;
use crate::support::nats::Nats;
use crate::support::options::Options;
use crate::support::report::Report;
use crate::support::server::Server;
use crate::support::talk::{Cycle, payload};

const CONNECTIONS: usize = 64;
const TARGET_PER_SECOND: f64 = 20_000.0;
const TARGET_TIMES_NATS: f64 = 8.0;
const WARM_UP: Duration = Duration::from_millis(500);

pub fn measure(options: &Options, report: &mut Report) {
    let folder = tempfile::tempdir_in(&options.folder).expect("the folder can be written to");
    let folder = folder.path().canonicalize().expect("it exists");
    let server = Server::start(options, &folder.join("coord"));
    let tokens = server.agent_tokens(CONNECTIONS);
    fill(&server, &tokens[0]);
    let mut plain = Load::new(conversations(&server, &tokens, false));
    let mut chained = Load::new(conversations(&server, &tokens, true));
    let nats = Nats::start(options, &folder);
    let mut peer = nats
        .as_ref()
        .map(|nats| Load::new(nats.conversations(CONNECTIONS)));
    plain.run(WARM_UP);
    let duration = Duration::from_secs_f64(options.seconds);
    let (mut ours, mut with_next, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    let counters = [
        "coord_journal_syncs_total",
        "coord_journal_written_bytes_total",
    ];
    let (mut used, mut cost) = (0.0, [0.0; 2]);
    let mut units = 0;
    for round in 0..options.rounds {
        let before = (
            server.process.cpu_seconds(),
            counters.map(|name| server.metric(name)),
        );
        let done = plain.run(duration);
        units += done.units;
        used += server.process.cpu_seconds() - before.0;
        for (index, name) in counters.iter().enumerate() {
            cost[index] += server.metric(name) - before.1[index];
        }
        ours.push(done.per_second());
        with_next.push(chained.run(duration).per_second());
        if let Ok(peer) = &mut peer {
            theirs.push(peer.run(duration).per_second());
        }
        eprintln!(
            "  round {round}: {:.0} cycles/s, {:.0} with next, NATS {:.0}",
            ours[round],
            with_next[round],
            theirs.get(round).copied().unwrap_or(f64::NAN)
        );
    }
    let per_second = median(&ours);
    let target = match &peer {
        Ok(_) => TARGET_PER_SECOND.min(TARGET_TIMES_NATS * median(&theirs)),
        Err(_) => TARGET_PER_SECOND,
    };
    report
        .figure("cycles, 64 connections", per_second, "/s")
        .at_least(target);
    match &peer {
        Ok(_) => report
            .peer(median(&theirs))
            .note("peer: NATS JetStream, sync_interval always"),
        Err(why) => report.note(format!("no peer: {why}")),
    };
    report.figure("cycles with complete{next}", median(&with_next), "/s");
    if peer.is_ok() {
        report.peer(median(&theirs));
    }
    let units = units as f64;
    report
        .figure(
            "server's processor time per cycle",
            used / units * 1e6,
            "µs",
        )
        .figure("journal syncs per cycle", cost[0] / units, "")
        .figure("bytes to the medium per cycle", cost[1] / units, "B");
}

/// Tasks ahead of the workers: without them, a worker that claims its next task while completing
/// one takes what another has just submitted, and that one asks in vain.
fn fill(server: &Server, token: &str) {
    let mut socket = server.session(token);
    for _ in 0..2 * CONNECTIONS {
        socket.call(
            "task.submit",
            &format!(r#"{{"title":"bench","payload":{}}}"#, payload()),
        );
    }
}

fn conversations(server: &Server, tokens: &[String], chained: bool) -> Vec<(TcpStream, impl Talk)> {
    let sockets = tokens.iter().map(|token| server.session(token));
    sockets
        .map(|socket| (socket.stream, Cycle::new(chained)))
        .collect()
}
