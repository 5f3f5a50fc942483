//! Projects spread over a Cluster of one and of three nodes.
//!
//! Two processors cannot show three nodes at work at once. What they show is what each node has to
//! do for a cycle: the busiest one decides how far a Cluster of as many machines would go.

use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use crate::support::load::Load;
use crate::support::median;
use crate::support::options::Options;
use crate::support::redis::Redis;
use crate::support::report::Report;
use crate::support::server::Server;
use crate::support::talk::{Cycle, payload};

const NODES: [usize; 2] = [1, 3];
/// As many for each of three nodes.
const PROJECTS: usize = 6;
const CONNECTIONS: usize = 66;
const FSYNC: &str = "everysec";
const SLOTS: usize = 16_384;
const WARM_UP: Duration = Duration::from_millis(500);

pub fn measure(options: &Options, report: &mut Report) {
    let folder = tempfile::tempdir_in(&options.folder).expect("the folder can be written to");
    let folder = folder.path().canonicalize().expect("it exists");
    let mut sides = NODES.map(|count| Side::start(options, &folder.join(count.to_string()), count));
    let duration = Duration::from_secs_f64(options.seconds);
    for round in 0..options.rounds {
        let rates = sides.iter_mut().map(|side| side.round(duration));
        let rates: Vec<String> = rates.map(|rate| format!("{rate:.0}")).collect();
        eprintln!("  round {round}: {}", rates.join(", "));
    }
    for (side, count) in sides.iter().zip(NODES) {
        let costs: Vec<f64> = side.store_seconds.iter().map(|s| side.cost(*s)).collect();
        let busiest = costs.iter().copied().fold(0.0, f64::max);
        report
            .figure(
                &format!("cycles in {PROJECTS} projects, {count} Cluster nodes"),
                median(&side.rates),
                "/s",
            )
            .note(format!(
                "coordinator {:.1}, Redis in all {:.1} µs/cycle",
                side.cost(side.server_seconds),
                costs.iter().sum::<f64>()
            ));
        report.figure(
            &format!("busiest of {count} Cluster nodes, per cycle"),
            busiest,
            "µs",
        );
    }
}

struct Side {
    load: Load<Cycle>,
    server: Server,
    nodes: Vec<Redis>,
    server_seconds: f64,
    store_seconds: Vec<f64>,
    rates: Vec<f64>,
    units: u64,
}

impl Side {
    fn start(options: &Options, folder: &Path, count: usize) -> Self {
        let nodes = Redis::cluster(options, folder, FSYNC, count);
        let server = Server::on_redis(options, &folder.join("coord"), &nodes[0], true);
        let mut load = Load::new(conversations(&server, &projects(&nodes[0])));
        load.run(WARM_UP);
        Self {
            load,
            server,
            store_seconds: vec![0.0; nodes.len()],
            nodes,
            server_seconds: 0.0,
            rates: Vec::new(),
            units: 0,
        }
    }

    fn round(&mut self, duration: Duration) -> f64 {
        self.count(-1.0);
        let done = self.load.run(duration);
        self.count(1.0);
        self.units += done.units;
        self.rates.push(done.per_second());
        done.per_second()
    }

    fn count(&mut self, sign: f64) {
        self.server_seconds += sign * self.server.process.cpu_seconds();
        for (node, seconds) in self.nodes.iter().zip(&mut self.store_seconds) {
            *seconds += sign * node.process.cpu_seconds();
        }
    }

    fn cost(&self, seconds: f64) -> f64 {
        seconds / self.units as f64 * 1e6
    }
}

/// Names whose slots fall evenly on three nodes, whatever number there is.
fn projects(redis: &Redis) -> Vec<String> {
    let mut chosen: [Vec<String>; 3] = Default::default();
    for number in 0.. {
        let name = format!("bench-{number}");
        let said = redis.ask(&["CLUSTER", "KEYSLOT", &name]);
        let slot: usize = said
            .trim_matches([':', '\r', '\n'])
            .parse()
            .expect("a slot");
        let third = &mut chosen[(slot * 3 / SLOTS).min(2)];
        if third.len() < PROJECTS / 3 {
            third.push(name);
        }
        if chosen.iter().all(|third| third.len() == PROJECTS / 3) {
            break;
        }
    }
    chosen.concat()
}

fn conversations(server: &Server, projects: &[String]) -> Vec<(TcpStream, Cycle)> {
    let mut operator = server.operator();
    for project in projects {
        operator.call("project.create", &format!(r#"{{"project":"{project}"}}"#));
    }
    let tokens = server.agent_tokens(CONNECTIONS);
    let sockets = tokens.iter().enumerate().map(|(index, token)| {
        let mut socket = server.session_in(&projects[index % projects.len()], token);
        for _ in 0..2 {
            let params = format!(r#"{{"title":"bench","payload":{}}}"#, payload());
            socket.call("task.submit", &params);
        }
        (socket.stream, Cycle::new(false))
    });
    sockets.collect()
}
