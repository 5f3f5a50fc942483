//! Throughput of one, two and three coordinators on one Redis: 64 agents in all that submit, claim
//! and complete.

use std::net::TcpStream;
use std::path::Path;
use std::thread::available_parallelism;
use std::time::Duration;

use crate::support::load::{Load, Round, Talk};
use crate::support::options::Options;
use crate::support::process::{Process, own_cpu_seconds};
use crate::support::queue;
use crate::support::redis::Redis;
use crate::support::report::Report;
use crate::support::server::Server;
use crate::support::talk::{Cycle, payload};
use crate::support::{median, queue::QueueCycle};

const CONNECTIONS: usize = 64;
const COORDINATORS: [usize; 3] = [1, 2, 3];
const TARGET_TIMES_QUEUE: f64 = 0.7;
const WARM_UP: Duration = Duration::from_millis(500);

pub fn always(options: &Options, report: &mut Report) {
    measure(options, report, "always");
}

pub fn everysec(options: &Options, report: &mut Report) {
    measure(options, report, "everysec");
}

fn measure(options: &Options, report: &mut Report, fsync: &str) {
    let folder = tempfile::tempdir_in(&options.folder).expect("the folder can be written to");
    let folder = folder.path().canonicalize().expect("it exists");
    let mut plain = Side::queue(options, &folder.join("queue"), fsync);
    let mut ours: Vec<Side<Cycle>> = COORDINATORS
        .iter()
        .map(|&count| Side::coordinators(options, &folder.join(count.to_string()), fsync, count))
        .collect();
    let duration = Duration::from_secs_f64(options.seconds);
    for round in 0..options.rounds {
        let queue = plain.round(duration);
        let ours = ours.iter_mut().map(|side| side.round(duration));
        let ours: Vec<String> = ours.map(|rate| format!("{rate:.0}")).collect();
        eprintln!(
            "  round {round}: queue {queue:.0}, ours {}",
            ours.join(", ")
        );
    }
    let queue = median(&plain.rates);
    report
        .figure(&format!("plain queue, {fsync}"), queue, "/s")
        .note(plain.costs());
    for (side, count) in ours.iter().zip(COORDINATORS) {
        report
            .figure(
                &format!("cycles, {fsync}, {count} coordinators"),
                median(&side.rates),
                "/s",
            )
            .at_least(TARGET_TIMES_QUEUE * queue)
            .peer(queue)
            .note(side.costs());
    }
}

/// One of those that take turns.
struct Side<T> {
    load: Load<T>,
    servers: Vec<Measured<Server>>,
    stores: Vec<Measured<Redis>>,
    /// Processor time of the clients in its own rounds.
    client_seconds: f64,
    rates: Vec<f64>,
    units: u64,
}

/// A process, and the processor time that it took in its own rounds.
struct Measured<P> {
    of: P,
    seconds: f64,
}

trait HasProcess {
    fn process(&self) -> &Process;
}

impl HasProcess for Server {
    fn process(&self) -> &Process {
        &self.process
    }
}

impl HasProcess for Redis {
    fn process(&self) -> &Process {
        &self.process
    }
}

impl<P: HasProcess> Measured<P> {
    fn new(of: P) -> Self {
        Self { of, seconds: 0.0 }
    }

    fn add(&mut self, sign: f64) {
        self.seconds += sign * self.of.process().cpu_seconds();
    }
}

impl Side<QueueCycle> {
    fn queue(options: &Options, folder: &Path, fsync: &str) -> Self {
        let redis = Redis::start(options, folder, fsync);
        let load = Load::new(queue::conversations(&redis, CONNECTIONS));
        Self::new(load, Vec::new(), redis)
    }
}

impl Side<Cycle> {
    fn coordinators(options: &Options, folder: &Path, fsync: &str, count: usize) -> Self {
        let redis = Redis::start(options, &folder.join("redis"), fsync);
        let servers: Vec<Server> = (0..count)
            .map(|index| {
                let state = folder.join(format!("coord-{index}"));
                Server::on_redis(options, &state, &redis, false)
            })
            .collect();
        let load = Load::new(conversations(&servers));
        Self::new(load, servers, redis)
    }
}

impl<T: Talk> Side<T> {
    fn new(mut load: Load<T>, servers: Vec<Server>, redis: Redis) -> Self {
        load.run(WARM_UP);
        Self {
            load,
            servers: servers.into_iter().map(Measured::new).collect(),
            stores: vec![Measured::new(redis)],
            client_seconds: 0.0,
            rates: Vec::new(),
            units: 0,
        }
    }

    fn round(&mut self, duration: Duration) -> f64 {
        self.count(-1.0);
        let done: Round = self.load.run(duration);
        self.count(1.0);
        self.units += done.units;
        self.rates.push(done.per_second());
        done.per_second()
    }

    fn count(&mut self, sign: f64) {
        self.servers.iter_mut().for_each(|server| server.add(sign));
        self.stores.iter_mut().for_each(|store| store.add(sign));
        self.client_seconds += sign * own_cpu_seconds();
    }

    /// What one cycle took of the processors, and how many cycles they could do at the most if none
    /// of them ever waited.
    fn costs(&self) -> String {
        let servers: f64 = self.servers.iter().map(|server| server.seconds).sum();
        let stores: f64 = self.stores.iter().map(|store| store.seconds).sum();
        let each = |seconds: f64| seconds / self.units as f64 * 1e6;
        let all = each(servers + stores + self.client_seconds);
        let cores = available_parallelism().map_or(1, usize::from);
        format!(
            "coordinators {:.1}, Redis {:.1}, clients {:.1} µs/cycle: at most {:.0} /s on {cores} cores",
            each(servers),
            each(stores),
            each(self.client_seconds),
            cores as f64 / all * 1e6,
        )
    }
}

/// Sessions spread over the coordinators, and tasks ahead, so that nobody asks in vain.
fn conversations(servers: &[Server]) -> Vec<(TcpStream, Cycle)> {
    let tokens: Vec<Vec<String>> = servers
        .iter()
        .enumerate()
        .map(|(index, server)| {
            let count = CONNECTIONS.div_ceil(servers.len());
            server.tokens_of(&format!("bench-{index}"), count)
        })
        .collect();
    let mut first = servers[0].session(&tokens[0][0]);
    for _ in 0..2 * CONNECTIONS {
        let params = format!(r#"{{"title":"bench","payload":{}}}"#, payload());
        first.call("task.submit", &params);
    }
    let connected = (0..CONNECTIONS).map(|index| {
        let (at, place) = (index % servers.len(), index / servers.len());
        let socket = servers[at].session(&tokens[at][place]);
        (socket.stream, Cycle::new(false))
    });
    connected.collect()
}
