//! A panic is in the log before the process ends. The process is this test, started once more.

use std::process::{Command, Output};

use cli_coordinator::cli::{panics, serve};
use cli_coordinator::config::{LogConfig, LogFormat, LogLevel};

/// Runs one of the functions below, which are not tests of their own, in a process of its own.
fn check(child: &str, level_off: bool, see: impl FnOnce(&str)) {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    let child = format!("{}::{child}", module_path!().split_once("::").unwrap().1);
    command.args(["--exact", &child, "--ignored", "--nocapture"]);
    let Output { status, stderr, .. } = command.output().unwrap();
    let said = String::from_utf8(stderr).unwrap();
    assert!(!status.success(), "{said}");
    assert_eq!(said.contains("\nthread '"), level_off, "{said}");
    see(&said);
}

fn log(level: LogLevel, format: LogFormat) {
    serve::start_log(LogConfig { level, format });
    panics::report_to_log();
}

#[test]
#[ignore = "panics; started by the test below"]
fn child_json() {
    log(LogLevel::Error, LogFormat::Json);
    let worker = std::thread::Builder::new().name("journal".to_owned());
    let worker = worker.spawn(|| panic!("a record of {} bytes", 7)).unwrap();
    assert!(worker.join().is_ok(), "the worker ended");
}

#[test]
fn a_panic_is_an_error_in_the_log() {
    check("child_json", false, |said| {
        let lines = said.lines().filter(|line| line.starts_with('{'));
        let reports: Vec<serde_json::Value> = lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let report = &reports[0];
        assert_eq!(report["level"], "ERROR");
        let fields = &report["fields"];
        assert_eq!(fields["thread"], "journal");
        let message = fields["message"].as_str().unwrap();
        assert!(message.ends_with("a bug: a record of 7 bytes"), "{message}");
        let location = fields["location"].as_str().unwrap();
        assert!(
            location.starts_with("tests/process/panic_report.rs:"),
            "{location}"
        );
        assert_eq!(fields["version"], env!("CARGO_PKG_VERSION"));
        assert!(fields["commit"].is_string() && fields["target_triple"].is_string());
        assert_eq!(
            reports[1]["fields"]["thread"],
            "process::panic_report::child_json"
        );
    });
}

#[test]
#[ignore = "panics; started by the test below"]
fn child_text() {
    log(LogLevel::Info, LogFormat::Text);
    panic!("in words");
}

#[test]
fn a_panic_is_a_line_in_a_log_of_text() {
    check("child_text", false, |said| {
        let line = said.lines().find(|line| line.contains("in words"));
        let line = line.unwrap_or_else(|| panic!("no report in {said}"));
        assert!(
            line.contains("ERROR") && line.contains("panicked"),
            "{line}"
        );
    });
}

#[test]
#[ignore = "panics; started by the test below"]
fn child_silent() {
    log(LogLevel::Off, LogFormat::Text);
    panic!("without a log");
}

#[test]
fn without_a_log_a_panic_is_told_as_ever() {
    check("child_silent", true, |said| {
        assert!(said.contains("without a log"), "{said}");
    });
}
