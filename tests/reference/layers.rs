//! Who may import whom, and who may touch clock, environment, files and network: the layers of
//! ARCHITECTURE.md, read from the source. Changing the table is changing the architecture.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// A folder or file of `src`, its layer, and the modules it may import.
struct Room {
    name: &'static str,
    layer: u8,
    imports: &'static [&'static str],
}

const fn room(name: &'static str, layer: u8, imports: &'static [&'static str]) -> Room {
    Room {
        name,
        layer,
        imports,
    }
}

/// `planted` holds the deliberate bugs of a test build and imports nothing.
const ROOMS: &[Room] = &[
    room("planted", 0, &[]),
    room("build_info", 0, &[]),
    room("causes", 0, &[]),
    room("engine", 0, &["planted"]),
    room("edge/ports", 1, &[]),
    room("text", 0, &[]),
    room("difference", 0, &[]),
    room("config", 2, &["engine", "edge/ports"]),
    room("protocol", 1, &["engine"]),
    // Only names its parts.
    room("edge", 0, &[]),
    room("link", 2, &["config"]),
    room(
        "client",
        2,
        &["causes", "config", "engine", "link", "protocol", "text"],
    ),
    room(
        "journal",
        2,
        &["config", "engine", "link", "planted", "edge/ports"],
    ),
    room("edge/render", 2, &["config", "edge/ports"]),
    room("metrics", 2, &["protocol"]),
    // The clock reads in the driver's moments, and the driver's shell holds the clock.
    room("clock", 2, &["driver"]),
    room(
        "driver",
        2,
        &[
            "causes", "clock", "engine", "journal", "metrics", "planted", "protocol",
        ],
    ),
    // Rules from the configuration, without looking at the box.
    room("edge/firewall", 2, &["config", "edge/ports"]),
    room("http", 3, &["config"]),
    room(
        "edge/nft",
        3,
        &["config", "difference", "edge/firewall", "edge/ports"],
    ),
    room("edge/holders", 3, &[]),
    room("edge/systemd", 3, &["config"]),
    room(
        "edge/probe",
        3,
        &["client", "config", "link", "edge/ports", "protocol"],
    ),
    room(
        "push",
        3,
        &["causes", "config", "engine", "journal", "link", "planted"],
    ),
    room("ws", 3, &["driver", "engine", "protocol"]),
    room(
        "mqtt",
        3,
        &[
            "clock", "config", "driver", "engine", "link", "metrics", "planted", "protocol",
        ],
    ),
    room(
        "mcp",
        3,
        &["driver", "engine", "metrics", "protocol", "text"],
    ),
    room("page", 3, &["driver", "engine"]),
    room(
        "app",
        4,
        &[
            "build_info",
            "causes",
            "clock",
            "config",
            "driver",
            "engine",
            "edge/holders",
            "http",
            "journal",
            "mcp",
            "metrics",
            "mqtt",
            "edge/nft",
            "page",
            "edge/ports",
            "edge/probe",
            "protocol",
            "push",
            "edge/systemd",
            "ws",
        ],
    ),
    room(
        "edge/self_test",
        5,
        &[
            "app",
            "build_info",
            "causes",
            "client",
            "clock",
            "config",
            "engine",
            "edge/holders",
            "http",
            "journal",
            "link",
            "edge/ports",
            "edge/probe",
            "protocol",
        ],
    ),
    room(
        "cli",
        6,
        &[
            "app",
            "build_info",
            "causes",
            "client",
            "clock",
            "config",
            "difference",
            "driver",
            "engine",
            "edge/firewall",
            "edge/holders",
            "journal",
            "link",
            "mcp",
            "mqtt",
            "edge/nft",
            "edge/ports",
            "edge/probe",
            "protocol",
            "push",
            "edge/render",
            "edge/self_test",
            "edge/systemd",
            "text",
        ],
    ),
    room("main", 7, &["cli", "config"]),
];

/// Words that may stand in some places only: the word, where it may, and why.
const WORDS: &[(&str, &[&str], &str)] = &[
    ("SystemTime", &["clock.rs"], "only the clock reads clocks"),
    (
        "std::time::Instant",
        &["clock.rs"],
        "only the clock reads clocks",
    ),
    (
        "env::var",
        &["config/env.rs"],
        "only config::env reads the environment",
    ),
    ("process::exit", &[], "destructors would not run"),
    ("unbounded_channel", &[], "every queue has a bound"),
    (
        "tungstenite",
        &[
            "client/socket.rs",
            "client/tests.rs",
            "ws/mod.rs",
            "ws/socket.rs",
        ],
        "one client and one server speak WebSocket",
    ),
];

/// Rooms and files without IO, clock, randomness or an order that depends on a hash.
const PURE: &[&str] = &[
    "engine/",
    "protocol/",
    "edge/ports/",
    "edge/render/",
    "edge/firewall/",
    "difference.rs",
];
const IMPURE_WORDS: &[&str] = &[
    "tokio",
    "axum",
    "hyper",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::time",
    "getrandom",
    "HashMap",
    "HashSet",
    "Instant",
    "SystemTime",
    "nix::",
];
/// The driver's synchronous part: all of it but the shell.
const SYNCHRONOUS: &str = "driver/";
const SYNCHRONOUS_BUT: &str = "driver/shell";
const ASYNCHRONOUS_WORDS: &[&str] = &[
    "tokio",
    "std::fs",
    "std::net",
    "std::thread",
    "std::time",
    "crate::clock",
];

/// What is wrong with one file; `path` is relative to `src`.
fn problems(path: &str, text: &str) -> Vec<String> {
    let code = code_of(text);
    let mut found = Vec::new();
    let own = room_of(path);
    match ROOMS.iter().find(|room| room.name == own) {
        None if path == "lib.rs" => {}
        None => found.push(format!("{path}: {own} is no room of the table")),
        Some(room) => {
            let imported = imports(path, &code);
            let wrong = imported
                .iter()
                .filter(|name| !room.imports.contains(&name.as_str()));
            found.extend(wrong.map(|name| format!("{path}: {own} may not import {name}")));
        }
    }
    let mut ban = |words: &[&str], why: &str| {
        let met = words.iter().filter(|word| code.contains(**word));
        found.extend(met.map(|word| format!("{path}: {word}: {why}")));
    };
    for (word, places, why) in WORDS {
        if !places.contains(&path) {
            ban(&[word], why);
        }
    }
    if PURE.iter().any(|place| path.starts_with(place)) {
        ban(IMPURE_WORDS, "this room is pure");
    }
    if path.starts_with(SYNCHRONOUS) && !path.starts_with(SYNCHRONOUS_BUT) {
        ban(
            ASYNCHRONOUS_WORDS,
            "only the driver's shell knows threads, tasks and clocks",
        );
    }
    if !["engine", "driver"].contains(&own) && code.contains("engine::Engine") {
        ban(&[".apply("], "only the driver applies records");
    }
    if ["http", "ws", "cli"].contains(&own) && code.contains("Engine::") {
        ban(
            &["Engine::new(", "Engine::from_state("],
            "only the driver makes engines",
        );
    }
    found
}

/// The first folder or file of a path; below `edge`, the first two.
fn room_of(path: &str) -> &str {
    let inner = path.strip_prefix("edge/").filter(|rest| *rest != "mod.rs");
    let folders = path.len() - inner.unwrap_or(path).len();
    let end = path[folders..]
        .find('/')
        .map_or(path.len(), |at| folders + at);
    path[..end].strip_suffix(".rs").unwrap_or(&path[..end])
}

/// The code without comments and without its unit tests, with groups of imports spelled out.
fn code_of(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    let lines = text.lines().map(|line| match line.find("//") {
        // Two slashes in a string are no comment, but a URL is no import either.
        Some(at) => &line[..at],
        None => line,
    });
    let code: String = lines.flat_map(|line| [line.trim(), " "]).collect();
    spelled_out(&code, "std::time::{")
}

/// Repeats each name of `use std::time::{A, B}` with its whole path.
fn spelled_out(code: &str, group: &str) -> String {
    let path = group.trim_end_matches('{');
    let mut all = code.to_owned();
    for rest in code.split(group).skip(1) {
        for name in rest.split('}').next().unwrap_or_default().split(',') {
            all.extend([" ", path, name.trim()]);
        }
    }
    all
}

/// The rooms that the code of a file names, by `crate::` or by climbing up with `super::`.
fn imports(path: &str, code: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => named.extend(group_heads(group)),
            None => named.extend(rooms_at(rest)),
        }
    }
    // The binary names the library by its name.
    for rest in code.split("cli_coordinator::").skip(1) {
        named.extend(rooms_at(rest));
    }
    let steps = path.trim_end_matches("/mod.rs").split('/').count();
    for (climbed, rest) in climbs(code) {
        if climbed == steps {
            named.extend(rooms_at(rest));
        } else if climbed + 1 == steps && path.starts_with("edge/") {
            named.extend(head(rest).map(|name| format!("edge/{name}")));
        }
    }
    named.remove(room_of(path));
    named.retain(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
    named
}

/// The rooms that a path from the root of the crate names.
fn rooms_at(rest: &str) -> Vec<String> {
    let Some(inner) = rest.strip_prefix("edge::") else {
        return head(rest).into_iter().collect();
    };
    let names = match inner.strip_prefix('{') {
        Some(group) => group_heads(group),
        None => head(inner).into_iter().collect(),
    };
    let names = names.into_iter();
    names.map(|name| format!("edge/{name}")).collect()
}

/// Each run of `super::`: how many there are, and what follows.
fn climbs(code: &str) -> Vec<(usize, &str)> {
    let (mut found, mut rest) = (Vec::new(), code);
    while let Some(at) = rest.find("super::") {
        rest = &rest[at..];
        let mut count = 0;
        while let Some(after) = rest.strip_prefix("super::") {
            (rest, count) = (after, count + 1);
        }
        found.push((count, rest));
    }
    found
}

fn head(rest: &str) -> Option<String> {
    let end = rest
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(rest.len());
    (end > 0).then(|| rest[..end].to_owned())
}

/// The first words of the members of a group, nested groups left out.
fn group_heads(group: &str) -> Vec<String> {
    let (mut depth, mut heads, mut fresh) = (1, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' if depth == 1 => fresh = true,
            c if fresh && c.is_ascii_lowercase() => {
                heads.extend(head(&group[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    heads
}

fn sources(folder: &Path, into: &mut Vec<(String, String)>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path
                .strip_prefix(&root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            into.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn the_source_keeps_its_layers() {
    let mut files = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    assert!(files.len() > 100, "only {} files were read", files.len());
    let found: Vec<String> = files
        .iter()
        .flat_map(|(path, text)| problems(path, text))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_table_only_points_down() {
    for room in ROOMS {
        for import in room.imports {
            let below = ROOMS.iter().find(|other| other.name == *import).unwrap();
            let siblings = room.layer == below.layer;
            // Only the engine and the driver know something of their own layer.
            let allowed = room.layer > below.layer || (siblings && matches!(room.layer, 0 | 2));
            assert!(
                allowed,
                "{} may not be allowed to import {import}",
                room.name
            );
        }
    }
}

/// A checker that has caught nothing proves nothing.
fn check(path: &str, text: &str, expected: &[&str]) {
    let found = problems(path, text);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{expected:?} is not in {found:?}");
    }
}

#[test]
fn planted_violations_are_found() {
    check(
        "engine/tasks/mod.rs",
        "use crate::engine::ids::TaskId;",
        &[],
    );
    check(
        "engine/mod.rs",
        "use crate::driver::Core;",
        &["engine may not import driver"],
    );
    check(
        "engine/a.rs",
        "use crate::{engine::ids, ws::{A, b}};",
        &["may not import ws"],
    );
    check(
        "engine/a.rs",
        "fn f() { crate::journal::open() }",
        &["may not import journal"],
    );
    check(
        "engine/a/b.rs",
        "use super::super::super::http::X;",
        &["may not import http"],
    );
    check("engine/a/b.rs", "use super::super::ids::X;", &[]);
    check(
        "edge/ports/a.rs",
        "use super::super::nft::X;",
        &["edge/ports may not import edge/nft"],
    );
    check(
        "edge/render/mod.rs",
        "use crate::edge::{ports::X, probe};",
        &["edge/render may not import edge/probe"],
    );
    check("edge/nft/a.rs", "use crate::edge::firewall::X;", &[]);
    check(
        "clock.rs",
        "use super::ws::X;",
        &["clock may not import ws"],
    );
    check(
        "ws/mod.rs",
        "use crate::http::Peer;",
        &["ws may not import http"],
    );
    check(
        "http/mod.rs",
        "use crate::ws::X;",
        &["http may not import ws"],
    );
    check(
        "engine/a.rs",
        "use std::collections::HashMap;",
        &["HashMap"],
    );
    check("engine/a.rs", "use std::time::Duration;", &["std::time"]);
    check("driver/core.rs", "use tokio::sync::Notify;", &["tokio"]);
    check("driver/shell.rs", "use tokio::sync::Notify;", &[]);
    let clocks = "use std::time::{Duration, Instant};";
    check("http/mod.rs", clocks, &["std::time::Instant"]);
    check("clock.rs", clocks, &[]);
    check("app.rs", "let x = std::env::var(\"X\");", &["env::var"]);
    check(
        "edge/probe/websocket.rs",
        "use tokio_tungstenite::connect_async;",
        &["tungstenite"],
    );
    check(
        "client/mod.rs",
        "use crate::cli::output::note;",
        &["client may not import cli"],
    );
    check("attic/mod.rs", "", &["no room"]);
    let applies = "use crate::engine::Engine;\nfn f(e: Engine) { e.apply(p, t, c) }";
    check("app/gauges.rs", applies, &[".apply("]);
    check("driver/commit.rs", applies, &[]);
    check("http/mod.rs", "// use crate::ws::X;", &[]);
    check(
        "http/mod.rs",
        "#[cfg(test)]\nmod tests { use crate::ws::X; }",
        &[],
    );
}
