//! What several coordinators on one Redis cost, next to a plain work queue on a Redis stream.

#![allow(
    clippy::too_many_lines,
    reason = "a measurement reads from its beginning to its end"
)]

//!
//! See `benches/README.md`. Real processes, real sockets, a real medium; rounds of all sides
//! alternate, so that a busy machine slows all.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]
#![allow(unreachable_pub, reason = "modules of a program")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for a table, far below where either would show"
)]

mod cluster;
mod cycles;
#[path = "../support/mod.rs"]
mod support;

use std::process::{Command, ExitCode};

use support::options::Options;
use support::report::{Report, conditions};

type Part = (&'static str, fn(&Options, &mut Report));
const PARTS: &[Part] = &[
    ("always", cycles::always),
    ("everysec", cycles::everysec),
    ("cluster", cluster::measure),
];

fn main() -> ExitCode {
    let names: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
    let options = match Options::read(&names) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::from(2);
        }
    };
    let mut conditions = conditions(&options.folder);
    conditions["redis"] = version(&options).into();
    println!("{conditions:#}");
    let mut report = Report::default();
    for (name, measure) in PARTS {
        if options.wants(name) {
            eprintln!("measuring: {name}");
            measure(&options, &mut report);
        }
    }
    report.print();
    if let Some(file) = &options.json {
        report.write_json(file, &conditions);
    }
    ExitCode::SUCCESS
}

fn version(options: &Options) -> String {
    let said = Command::new(&options.redis).arg("--version").output();
    let said = said.expect("redis-server is installed, or --redis names another");
    String::from_utf8_lossy(&said.stdout).trim().to_owned()
}
