//! A tool of `/mcp` and of `coord mcp`, next to the same operation on `/ws`.
//!
//! The three take turns. A lookup writes nothing: what is reserved is held already. A change is one record.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::mcp::{HttpTools, StdioTools};
use crate::support::options::Options;
use crate::support::quantile;
use crate::support::report::Report;
use crate::support::server::Server;
use crate::support::ws::{request, text};

const ROUNDS: usize = 40;
const CALLS_PER_ROUND: usize = 50;

pub fn measure(options: &Options, report: &mut Report) {
    let folder = tempfile::tempdir_in(&options.folder).expect("the folder can be written to");
    let server = Server::start(options, &folder.path().join("coord"));
    let tokens = server.agent_tokens(3);
    let mut socket = server.session(&tokens[0]);
    let mut http = HttpTools::connect(&server, &tokens[1]);
    let mut stdio = StdioTools::start(options, &server, &tokens[2]);

    let ensure = |file: &str| format!(r#"{{"resources":["file:{file}"],"ttl_ms":1800000}}"#);
    let hold = text(&request("lease.ensure", &ensure("a.rs")));
    let put = text(&request("context.put", r#"{"key":"ws","value":"a fact"}"#));
    let reserve = |file: &str| tool("reserve", &json!({ "resources": [file] }));
    let write = |key: &str| tool("context", &json!({ "key": key, "value": "a fact" }));
    let (reserve_b, reserve_c) = (reserve("b.rs"), reserve("c.rs"));
    let (write_b, write_c) = (write("http"), write("stdio"));
    let mut reply = Vec::new();
    socket.exchange(&hold, &mut reply);
    http.call(&reserve_b);
    stdio.call(&reserve_c);

    let written = || server.metric("coord_journal_written_bytes_total");
    let before = written();
    let mut lookups: [Vec<f64>; 3] = Default::default();
    for _ in 0..ROUNDS {
        lookups[0].extend(times(|| socket.exchange(&hold, &mut reply)));
        lookups[1].extend(times(|| http.call(&reserve_b)));
        lookups[2].extend(times(|| stdio.call(&reserve_c)));
    }
    let flash = written() - before;
    let mut changes: [Vec<f64>; 3] = Default::default();
    for _ in 0..ROUNDS {
        changes[0].extend(times(|| socket.exchange(&put, &mut reply)));
        changes[1].extend(times(|| http.call(&write_b)));
        changes[2].extend(times(|| stdio.call(&write_c)));
    }
    tell(report, "reserve of what is held", &mut lookups);
    tell(report, "context written", &mut changes);
    report
        .figure(
            "journal bytes of 6,000 reserves of what is held",
            flash,
            "B",
        )
        .at_most(0.0);
}

fn times(mut one: impl FnMut()) -> Vec<f64> {
    let timed = |_| {
        let begun = Instant::now();
        one();
        begun.elapsed().as_secs_f64()
    };
    (0..CALLS_PER_ROUND).map(timed).collect()
}

fn tell(report: &mut Report, what: &str, samples: &mut [Vec<f64>; 3]) {
    let [socket, http, stdio] = samples;
    for (share, name) in [(0.5, "p50"), (0.99, "p99")] {
        let peer = quantile(socket, share) * 1e6;
        report.figure(&format!("{what}, /ws, {name}"), peer, "µs");
        for (way, values) in [("HTTP", &mut *http), ("stdio", &mut *stdio)] {
            let value = quantile(values, share) * 1e6;
            report
                .figure(&format!("{what}, {way}, {name}"), value, "µs")
                .peer(peer)
                .note("peer: the operation on /ws");
        }
    }
}

fn tool(name: &str, arguments: &Value) -> String {
    let params = json!({ "name": name, "arguments": arguments });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string()
}
