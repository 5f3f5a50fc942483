//! The exports, sourced by real shells.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::tool;

/// All that ends quotations, lines and comments somewhere.
const HOSTILE: &str = "it's \"$(touch pwned)\" `touch pwned` \\\n; touch pwned #";

fn settings(json: &str) -> Vec<(String, Value)> {
    let shown: Value = serde_json::from_str(json).unwrap();
    let settings = shown["settings"].as_object().unwrap();
    settings
        .iter()
        .map(|(key, shown)| (key.clone(), shown["value"].clone()))
        .collect()
}

/// The configuration that a shell has after it has read the exports is the one they came from.
fn check(shell: &str, variables: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let file = tool::render(folder, "coord.env", &["env"], variables);
    tool::printed(tool::program(shell).arg("-n").arg(&file));
    let sourced = tool::printed(
        tool::program(shell)
            .current_dir(folder)
            .env("HOME", "/home/user")
            .arg("-euc")
            .arg(". ./coord.env; exec \"$0\" config show --json")
            .arg(env!("CARGO_BIN_EXE_coord")),
    );
    let line = ["config", "show", "--json"];
    let asked = tool::printed(&mut tool::coord(folder, &line, variables));
    let (asked, sourced) = (settings(&asked), settings(&sourced));
    for (asked, sourced) in asked.iter().zip(&sourced) {
        assert_eq!(asked, sourced);
    }
    assert!(!folder.join("pwned").exists(), "a value was run");
    fs::read_to_string(file).unwrap()
}

fn check_both(variables: &[(&str, &str)]) -> String {
    check("bash", variables);
    check("sh", variables)
}

#[test]
fn every_profile_comes_back() {
    for profile in ["production", "staging", "development", "testing"] {
        check_both(&[("COORD_PROFILE", profile)]);
    }
}

#[test]
fn hostile_values_come_back_and_nothing_runs() {
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("it's a \"password\" $(touch pwned)");
    fs::write(&password, "hush-hush\n").unwrap();
    // A path with `$(` or a line break in it is refused before anybody could quote it.
    let state_dir = format!("/srv/{}", HOSTILE.replace(['$', '\n'], ""));
    let text = check_both(&[
        ("COORD_STATE_DIR", &state_dir),
        ("REDIS_HOST", "redis.example"),
        ("REDIS_USER", HOSTILE),
        ("REDIS_PASSWORD_FILE", password.to_str().unwrap()),
        ("COORD_ALLOWED_HOSTS", "a.example,[::1]:9000"),
        ("WEBSOCKET_SSL_ENABLED", "true"),
        ("COORD_PING_INTERVAL_MS", "5000"),
    ]);
    assert!(!text.contains("hush-hush"), "{text}");
}

#[test]
fn a_secret_without_a_file_is_only_spoken_of() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a\ntouch pwned");
    fs::write(
        &file,
        "[redis]\nhost = \"redis.example\"\npassword = \"hush-hush\"\n",
    )
    .unwrap();
    let file = file.to_str().unwrap();
    let line = ["--quiet", "render", "env", "--config", file];
    let text = tool::printed(&mut tool::coord(folder.path(), &line, &[]));
    assert!(!text.contains("hush-hush"), "{text}");
    assert!(
        text.contains("set REDIS_PASSWORD_FILE to its path"),
        "{text}"
    );
    let comment_or_export = |line: &str| line.starts_with('#') || line.starts_with("export ");
    assert!(text.lines().all(comment_or_export), "{text}");
    let line = ["--quiet", "--json", "render", "env"];
    let variables = [("REDIS_URL", "redis://u:hush-hush@redis.example:1/2")];
    let text = tool::printed(&mut tool::coord(Path::new("/"), &line, &variables));
    assert!(!text.contains("hush-hush"), "{text}");
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["variables"]["REDIS_HOST"], "redis.example");
    assert_eq!(json["variables"]["REDIS_DATABASE"], "2");
    assert_eq!(
        json["secrets"]["REDIS_PASSWORD_FILE"]["source"],
        "REDIS_URL"
    );
}

/// The seed's blocks, one for each environment.
#[test]
fn the_ports_are_the_seeds() {
    let check = |profile: &str, redis: &str, websocket: &str, metrics: &str| {
        let variables = [("COORD_PROFILE", profile), ("REDIS_HOST", "localhost")];
        let line = ["--quiet", "render", "env"];
        let text = tool::printed(&mut tool::coord(Path::new("/"), &line, &variables));
        for export in [
            format!("export REDIS_PORT=\"{redis}\""),
            format!("export WEBSOCKET_PORT=\"{websocket}\""),
            format!("export METRICS_PORT=\"{metrics}\""),
        ] {
            assert!(
                text.lines().any(|line| line.starts_with(&export)),
                "{export}: {text}"
            );
        }
    };
    check("production", "6380", "8766", "9091");
    check("staging", "6381", "8767", "9092");
    check("development", "6382", "8768", "9093");
    check("testing", "6383", "8769", "9094");
}

#[test]
fn a_file_is_written_whole_and_stdout_has_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let line = ["render", "env", "-o", "-"];
    let text = tool::printed(&mut tool::coord(folder.path(), &line, &[]));
    assert!(text.contains("export WEBSOCKET_PORT"), "{text}");
    let mut command: Command = tool::coord(folder.path(), &["render", "env", "-o", "no/env"], &[]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        tool::said(&output).contains("cannot write no/env"),
        "{}",
        tool::said(&output)
    );
}

#[test]
fn the_token_of_the_metrics_comes_back_by_its_file_only() {
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("token");
    fs::write(&file, "t".repeat(40)).unwrap();
    let file = file.to_str().unwrap();
    let text = check_both(&[("COORD_METRICS_TOKEN_FILE", file)]);
    assert!(
        text.contains(&format!("export COORD_METRICS_TOKEN_FILE=\"{file}\"")),
        "{text}"
    );
    let folder = tempfile::tempdir().unwrap();
    let token = "u".repeat(40);
    let given = tool::render(
        folder.path(),
        "env",
        &["env"],
        &[("COORD_METRICS_TOKEN", &token)],
    );
    let text = fs::read_to_string(given).unwrap();
    assert!(
        text.contains("set COORD_METRICS_TOKEN_FILE") && !text.contains(&token),
        "{text}"
    );
    let compose = tool::render(
        folder.path(),
        "compose.yaml",
        &["compose"],
        &[("COORD_METRICS_TOKEN_FILE", file)],
    );
    let text = fs::read_to_string(compose).unwrap();
    let parts = [
        "COORD_METRICS_TOKEN_FILE: \"/run/secrets/metrics_token\"",
        file,
    ];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}
