//! What work costs beside others that hold and wait: the same load on a server without them, in turns, and both on
//! an older program (`--peer`) in the same rounds.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use crate::support::load::{Load, Talk};
use crate::support::median;
use crate::support::options::Options;
use crate::support::report::Report;
use crate::support::server::Server;
use crate::support::talk::{Cycle, Lock, Repeat};
use crate::support::ws::{Socket, request, text};

const CONNECTIONS: usize = 64;
/// Requests of one connection that wait, below the limit of a connection.
const WAITING_EACH: usize = 25;
/// Leases that one agent holds, below the limit of an agent's patterns.
const HELD_EACH: usize = 200;
const FILTERS: usize = 16;
const READY: usize = 9_800;

/// What is there beside the load; kept open while it runs.
type Company = Vec<Socket>;

#[derive(Debug, Clone, Copy)]
enum Work {
    Cycles,
    Locks,
    VainClaims,
    Status,
}

struct Row {
    what: &'static str,
    work: Work,
    count: usize,
    company: fn(&Server, usize) -> Company,
    /// The least part of the load alone that is left.
    target: f64,
}

const ROWS: &[Row] = &[
    row(
        "cycles beside claims for a label that none has, 9,800 tasks ready",
        Work::Cycles,
        64,
        label_waiters,
        0.9,
    ),
    row(
        "cycles beside claims for a label that none has, 9,800 tasks ready",
        Work::Cycles,
        1_000,
        label_waiters,
        0.9,
    ),
    row(
        "claims for a label that none has beside ready tasks",
        Work::VainClaims,
        READY,
        ready,
        0.67,
    ),
    row(
        "locks beside leases of folders",
        Work::Locks,
        1_000,
        folders,
        0.85,
    ),
    row(
        "locks beside leases of folders",
        Work::Locks,
        3_900,
        folders,
        0.85,
    ),
    row(
        "locks beside leases of names",
        Work::Locks,
        3_900,
        names,
        0.85,
    ),
    row(
        "locks beside leases of wildcards",
        Work::Locks,
        3_900,
        wildcards,
        0.6,
    ),
    row(
        "locks beside acquires that wait",
        Work::Locks,
        1_000,
        acquirers,
        0.85,
    ),
    row(
        "cycles beside subscribers that want nothing",
        Work::Cycles,
        100,
        subscribers,
        0.9,
    ),
    row(
        "cycles beside subscribers that want nothing",
        Work::Cycles,
        1_000,
        subscribers,
        0.8,
    ),
    row(
        "server.status beside ready tasks",
        Work::Status,
        READY,
        ready,
        0.9,
    ),
];

const fn row(
    what: &'static str,
    work: Work,
    count: usize,
    company: fn(&Server, usize) -> Company,
    target: f64,
) -> Row {
    Row {
        what,
        work,
        count,
        company,
        target,
    }
}

/// One server with its load, and what each round of it gave.
struct Side {
    server: Server,
    load: Load<Box<dyn Talk>>,
    _company: Company,
    per_second: Vec<f64>,
    cost: Vec<f64>,
}

pub fn measure(options: &Options, report: &mut Report) {
    for row in ROWS {
        let older = options.peer.iter().map(|peer| Options {
            server: peer.clone(),
            ..options.clone()
        });
        let programs: Vec<Options> = std::iter::once(options.clone()).chain(older).collect();
        let folder = tempfile::tempdir_in(&options.folder).expect("the folder can be written to");
        let folder = folder.path().canonicalize().expect("it exists");
        let mut sides: Vec<Side> = Vec::new();
        for (at, program) in programs.iter().enumerate() {
            for count in [0, row.count] {
                let state = folder.join(format!("{at}-{count}"));
                sides.push(Side::start(program, &state, row, count));
            }
        }
        let duration = Duration::from_secs_f64(options.seconds / 3.0);
        for _ in 0..options.rounds {
            for side in &mut sides {
                side.round(duration);
            }
        }
        tell(row, &sides, report);
    }
}

fn tell(row: &Row, sides: &[Side], report: &mut Report) {
    let part = |at: usize| median(&sides[at + 1].per_second) / median(&sides[at].per_second);
    let shown = |at: usize| {
        let [alone, beside] = [&sides[at], &sides[at + 1]];
        format!(
            "{:.0} of {:.0}/s, {:.1} of {:.1} µs of CPU",
            median(&beside.per_second),
            median(&alone.per_second),
            median(&beside.cost) * 1e6,
            median(&alone.cost) * 1e6
        )
    };
    let what = format!("{} ({})", row.what, row.count);
    report
        .figure(&what, part(0), "")
        .at_least(row.target)
        .note(shown(0));
    if sides.len() > 2 {
        let note = format!("{}; peer: {}", shown(0), shown(2));
        report.peer(part(2)).note(note);
    }
    eprintln!("  {what}: {:.3} ({})", part(0), shown(0));
}

impl Side {
    fn start(options: &Options, state: &std::path::Path, row: &Row, count: usize) -> Self {
        let server = Server::start(options, state);
        let company = (row.company)(&server, count);
        let tokens = server.tokens_of("load", CONNECTIONS);
        let talks = tokens.iter().enumerate().map(|(at, token)| {
            let talk: Box<dyn Talk> = match row.work {
                Work::Cycles => Box::new(Cycle::new(false)),
                Work::Locks => Box::new(Lock::new(&format!("file:own/{at}/a.rs"))),
                Work::VainClaims => Box::new(Repeat(text(&request(
                    "task.claim",
                    r#"{"labels":{"kind":"none"}}"#,
                )))),
                Work::Status => Box::new(Repeat(text(&request("server.status", "{}")))),
            };
            (server.session(token).stream, talk)
        });
        let talks: Vec<(TcpStream, Box<dyn Talk>)> = talks.collect();
        Self {
            load: Load::new(talks),
            _company: company,
            server,
            per_second: Vec::new(),
            cost: Vec::new(),
        }
    }

    fn round(&mut self, duration: Duration) {
        let before = self.server.process.cpu_seconds();
        let done = self.load.run(duration);
        let used = self.server.process.cpu_seconds() - before;
        self.per_second.push(done.per_second());
        self.cost.push(used / done.units as f64);
    }
}

/// Sends a request that is answered much later, or never.
fn send(socket: &mut Socket, method: &str, params: &str) {
    let frame = text(&request(method, params));
    socket.stream.write_all(&frame).expect("it is sent");
}

/// Connections that each have so many requests waiting, all of them in place.
fn waiters(server: &Server, count: usize, ask: impl Fn(&mut Socket, usize)) -> Company {
    let tokens = server.tokens_of("wait", count.div_ceil(WAITING_EACH));
    let company: Company = tokens
        .iter()
        .enumerate()
        .map(|(at, token)| {
            let mut socket = server.session(token);
            let first = at * WAITING_EACH;
            (first..count.min(first + WAITING_EACH)).for_each(|n| ask(&mut socket, n));
            socket
        })
        .collect();
    while (server.metric("coord_requests_waiting") as usize) < count {
        std::thread::sleep(Duration::from_millis(10));
    }
    company
}

fn label_waiters(server: &Server, count: usize) -> Company {
    ready(server, READY);
    waiters(server, count, |socket, _| {
        let params = r#"{"labels":{"kind":"none"},"wait_ms":3600000}"#;
        send(socket, "task.claim", params);
    })
}

/// Ready tasks that no claim of the load is for.
fn ready(server: &Server, count: usize) -> Company {
    let token = server.tokens_of("submit", 1).remove(0);
    let mut socket = server.session(&token);
    for _ in 0..count / 100 {
        let task = r#"{"task":{"title":"t","priority":-1,"labels":{"kind":"some"}}}"#;
        let tasks = vec![task; 100].join(",");
        socket.call("task.submit", &format!(r#"{{"tasks":[{tasks}]}}"#));
    }
    vec![socket]
}

fn held(server: &Server, count: usize, form: impl Fn(usize) -> String) -> Company {
    let tokens = server.tokens_of("hold", count.div_ceil(HELD_EACH));
    let mut company: Company = tokens.iter().map(|token| server.session(token)).collect();
    for n in 0..count {
        let params = format!(r#"{{"resources":["{}"]}}"#, form(n));
        company[n / HELD_EACH].call("lease.acquire", &params);
    }
    company
}

fn folders(server: &Server, count: usize) -> Company {
    held(server, count, |n| format!("path:d{n}/**"))
}

fn names(server: &Server, count: usize) -> Company {
    held(server, count, |n| format!("name:n{n}"))
}

fn wildcards(server: &Server, count: usize) -> Company {
    held(server, count, |n| format!("path:**/*.x{n}"))
}

fn acquirers(server: &Server, count: usize) -> Company {
    let mut company = held(server, count.min(1), |_| "name:held".to_owned());
    company.extend(waiters(server, count, |socket, n| {
        let params = format!(r#"{{"resources":["name:held","name:w{n}"],"wait_ms":3600000}}"#);
        send(socket, "lease.acquire", &params);
    }));
    company
}

fn subscribers(server: &Server, count: usize) -> Company {
    let tokens = server.tokens_of("watch", count.min(16));
    let filters: Vec<String> = (0..FILTERS)
        .map(|n| format!(r#"{{"kinds":["context.put"],"key_prefix":"never/{n}"}}"#))
        .collect();
    let params = format!(r#"{{"filters":[{}]}}"#, filters.join(","));
    let sockets = (0..count).map(|n| {
        let mut socket = Socket::connect(server.address, &tokens[n % tokens.len()]);
        socket.call("events.subscribe", &params);
        socket
    });
    sockets.collect()
}
