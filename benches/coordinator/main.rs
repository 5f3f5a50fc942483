//! What the coordinator costs, measured at the program that ships and next to peers in the same run.

#![allow(
    clippy::too_many_lines,
    reason = "a measurement reads from its beginning to its end"
)]

//!
//! See `benches/README.md`. A real server process, real sockets, a real medium; rounds of both
//! sides alternate, so that a busy machine slows both.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]
#![allow(unreachable_pub, reason = "modules of a program")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for a table, far below where either would show"
)]

mod cpu;
mod cycles;
mod echo;
mod flood;
mod growth;
mod hooks;
mod idle;
mod lone;
mod mqtt;
mod start;
#[path = "../support/mod.rs"]
mod support;
mod tools;

use std::process::ExitCode;

use support::options::Options;
use support::report::{Report, conditions};

type Part = (&'static str, fn(&Options, &mut Report));
const PARTS: &[Part] = &[
    ("cycles", cycles::measure),
    ("lone", lone::measure),
    ("cpu", cpu::measure),
    ("tools", tools::measure),
    ("flood", flood::measure),
    ("hooks", hooks::measure),
    ("mqtt", mqtt::measure),
    ("growth", growth::measure),
    ("idle", idle::measure),
    ("start", start::start),
    ("recovery", start::recovery),
];

fn main() -> ExitCode {
    if let Some(sizes) = echo::asked_for() {
        return echo::serve(sizes);
    }
    let names: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
    let options = match Options::read(&names) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::from(2);
        }
    };
    let conditions = conditions(&options.folder);
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
