//! The image's recipe: by its linter, and against what it names. No engine runs here.

use std::collections::BTreeSet;
use std::fs;

use cli_coordinator::edge::ports::{Profile, Service};
use cli_coordinator::edge::render::COMPOSE_UID;

use super::tool;

/// Instructions with their arguments, comments left out and continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let text = fs::read_to_string(tool::checkout().join("image/Containerfile")).unwrap();
    let code: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let code = code.join("\n").replace("\\\n", " ");
    code.lines()
        .filter_map(|line| line.trim().split_once(' '))
        .map(|(word, rest)| (word.to_owned(), rest.trim().to_owned()))
        .collect()
}

fn of(word: &str) -> Vec<String> {
    let all = instructions().into_iter();
    all.filter(|(other, _)| other == word)
        .map(|(_, rest)| rest)
        .collect()
}

#[test]
fn the_linter_has_nothing_to_say() {
    let file = tool::checkout().join("image/Containerfile");
    let said = tool::printed(tool::program("hadolint").arg(file));
    assert_eq!(said, "");
}

/// What is copied from the checkout exists, and nothing else is sent to the engine.
#[test]
fn it_copies_what_is_there() {
    let ignored = fs::read_to_string(tool::checkout().join(".dockerignore")).unwrap();
    let sent: BTreeSet<&str> = ignored
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    assert!(
        ignored.lines().any(|line| line == "*"),
        "everything would be sent"
    );
    let copied: Vec<String> = of("COPY")
        .into_iter()
        .filter(|it| !it.starts_with("--from"))
        .collect();
    let mut sources: BTreeSet<&str> = BTreeSet::new();
    for line in &copied {
        let words: Vec<&str> = line.split_whitespace().collect();
        sources.extend(&words[..words.len() - 1]);
    }
    assert_eq!(sources, sent);
    for source in sources {
        assert!(tool::checkout().join(source).exists(), "{source}");
    }
    // Cargo looks for the file of a target that has no path, whatever is built.
    let manifest = fs::read_to_string(tool::checkout().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    for (kind, folder) in [
        ("test", "tests"),
        ("bench", "benches"),
        ("example", "examples"),
    ] {
        let targets = manifest.get(kind).and_then(toml::Value::as_array);
        for target in targets.into_iter().flatten() {
            let has_path = target.get("path").is_some();
            assert!(has_path || sent.contains(folder), "{target}");
        }
    }
    let script = tool::checkout().join("build.rs");
    assert!(
        !script.exists() || sent.contains("build.rs"),
        "build.rs is not copied"
    );
}

#[test]
fn its_ports_are_the_profiles() {
    let deployed = [Profile::Production, Profile::Staging, Profile::Development];
    let ports: BTreeSet<String> = [Service::WebSocket, Service::Metrics]
        .into_iter()
        .flat_map(|service| deployed.map(|profile| profile.port(service).to_string()))
        .collect();
    let exposed = of("EXPOSE").join(" ");
    let exposed: BTreeSet<String> = exposed.split_whitespace().map(str::to_owned).collect();
    assert_eq!(exposed, ports);
}

#[test]
fn it_runs_as_nobody_in_particular_and_needs_no_shell() {
    let user = format!("{COMPOSE_UID}:{COMPOSE_UID}");
    assert_eq!(of("USER").join(" "), user);
    assert_eq!(of("FROM").last().unwrap(), "scratch");
    assert_eq!(of("ENTRYPOINT"), ["[\"/coord\"]"]);
    assert_eq!(of("CMD"), ["[\"serve\"]"]);
    assert_eq!(of("VOLUME"), ["/var/lib/coord"]);
    assert_eq!(of("ENV"), ["COORD_STATE_DIR=/var/lib/coord"]);
    let check = &of("HEALTHCHECK")[0];
    assert!(check.ends_with("CMD [\"/coord\", \"health\"]"), "{check}");
    let state = format!("--chown={user}");
    let copies = of("COPY");
    assert!(
        copies
            .iter()
            .any(|it| it.contains(&state) && it.ends_with(" /var/lib/coord"))
    );
    assert!(copies.iter().any(|it| it.ends_with("/out/coord /coord")));
}

#[test]
fn its_versions_are_ours() {
    let labels = of("LABEL").join(" ");
    let version = format!("image.version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(labels.contains(&version), "{labels}");
    let toolchain = format!("rust:{}-alpine AS build", env!("CARGO_PKG_RUST_VERSION"));
    assert!(of("FROM")[0].ends_with(&toolchain), "{:?}", of("FROM"));
}
