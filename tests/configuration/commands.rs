//! `coord config` and `coord ports`, from typed arguments to printed text.

use clap::Parser;

use cli_coordinator::cli::config as config_commands;
use cli_coordinator::cli::ports::table;
use cli_coordinator::config;
use cli_coordinator::config::{Invoker, MapEnvironment, settings};
use cli_coordinator::edge::ports;

#[derive(Debug, Parser)]
enum Line {
    #[command(subcommand)]
    Config(config_commands::ConfigCommand),
    #[command(subcommand)]
    Ports(PortsCommand),
}

/// Of `coord ports` what needs no host.
#[derive(Debug, clap::Subcommand)]
enum PortsCommand {
    Table(table::TableArgs),
}

/// Runs a command line; what it printed, or the error.
fn check(line: &[&str], variables: &[(&str, &str)]) -> Result<String, String> {
    let mut environment = MapEnvironment::from([("HOME", "/home/user")]);
    for (name, text) in variables {
        environment
            .variables
            .insert((*name).to_owned(), (*text).to_owned());
    }
    let line = std::iter::once(&"coord").chain(line);
    let mut out = Vec::new();
    match Line::try_parse_from(line).map_err(|error| error.to_string())? {
        Line::Config(command) => {
            config_commands::run(command, &environment, Invoker::from(1000), &mut out)
                .map_err(|error| error.to_string())?;
        }
        Line::Ports(PortsCommand::Table(args)) => {
            table::run(args, &mut out).map_err(|error| error.to_string())?;
        }
    }
    Ok(String::from_utf8(out).expect("commands print text"))
}

#[test]
fn show_takes_flags() {
    let line = [
        "config",
        "show",
        "--profile=staging",
        "--websocket-tls",
        "--allowed-hosts=a,b",
        "--allowed-hosts=c",
    ];
    let text = check(&line, &[("METRICS_PORT", "9000")]).expect("it is right");
    let rows: Vec<String> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for row in [
        "profile staging --profile",
        "websocket.port 8767 staging profile",
        "websocket.tls true --websocket-tls",
        "websocket.allowed_hosts a, b, c --allowed-hosts",
        "metrics.port 9000 METRICS_PORT",
    ] {
        assert!(rows.iter().any(|found| found == row), "{row} in {text}");
    }
    let error = check(&["config", "show"], &[("METRICS_PORT", "x")]);
    assert_eq!(error, Err("the configuration is invalid".to_owned()));
}

/// Every flag of the table can be typed, and reaches its setting.
#[test]
fn every_flag_is_there() {
    let help = check(&["config", "show", "--help"], &[]).expect_err("help is not a command");
    for flag in settings::SERVER.iter().filter_map(|spec| spec.flag) {
        assert!(
            help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}[")),
            "{flag}"
        );
    }
}

#[test]
fn a_file_is_checked_by_itself() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    let path = file.path().to_str().expect("a plain path");
    // What the environment has wrong is not the file's.
    let found = check(&["config", "check", path], &[("METRICS_PORT", "x")]);
    assert_eq!(found, Ok("the configuration is valid\n".to_owned()));
    std::fs::write(path, "[metrics]\nprt = 1\n").expect("it is ours");
    let found = check(&["config", "check", path], &[]);
    assert_eq!(
        found,
        Ok(format!(
            "{path}:2 metrics.prt: this key does not exist; did you mean metrics.port?\n"
        ))
    );
    let found = check(&["config", "check", "--json", path], &[]).expect("it prints the report");
    let json: serde_json::Value = serde_json::from_str(&found).expect("it is JSON");
    assert_eq!(json["problems"][0]["source"]["line"], 2);
    assert_eq!(json["problems"][0]["right"], "did you mean metrics.port?");
}

#[test]
fn the_rest_prints_what_the_library_makes() {
    assert_eq!(
        check(&["ports", "table", "--markdown"], &[]),
        Ok(ports::table_markdown())
    );
    assert_eq!(check(&["ports", "table"], &[]), Ok(ports::table_text()));
    assert_eq!(
        check(&["config", "example"], &[]),
        Ok(config::example::render())
    );
    for line in [
        &["ports", "table", "--json"][..],
        &["config", "schema"],
        &["config", "schema", "--client"],
        &["config", "show", "--json"],
    ] {
        let text = check(line, &[]).expect("it prints");
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }
    assert!(check(&["ports", "table", "--json", "--markdown"], &[]).is_err());
}
