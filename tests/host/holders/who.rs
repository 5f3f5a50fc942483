//! `coord ports who` and `coord ports check`.

use std::process::{Command, Output};

use serde_json::Value;

use super::namespace::Namespace;

#[track_caller]
fn json(output: &Output, code: i32) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn a_holder_is_named_with_process_program_command_and_user() {
    let namespace = Namespace::new();
    let holder = namespace.python("AF_INET", "127.0.0.1", 9091);
    let found = json(&namespace.coord(&["--json", "ports", "who", "9091"]), 0);
    assert_eq!(found[0]["address"], "127.0.0.1:9091", "{found}");
    let process = &found[0]["processes"][0];
    assert_eq!(process["pid"], holder.0.id(), "{found}");
    assert!(process["program"].as_str().unwrap().starts_with("python3"));
    assert!(
        process["command"].as_str().unwrap().contains("-c"),
        "{found}"
    );
    let text = namespace.coord(&["ports", "who", "9091"]);
    let (table, notes) = (
        String::from_utf8_lossy(&text.stdout),
        String::from_utf8_lossy(&text.stderr),
    );
    assert!(table.contains(&holder.0.id().to_string()), "{table}");
    assert!(
        notes.contains("production") && notes.contains("Pushgateway"),
        "{notes}"
    );
}

#[test]
fn one_that_listens_on_ipv6_only_is_found() {
    let namespace = Namespace::new();
    let holder = namespace.python("AF_INET6", "::", 8766);
    let found = json(&namespace.coord(&["--json", "ports", "who", "8766"]), 0);
    assert_eq!(found[0]["address"], "[::]:8766", "{found}");
    assert_eq!(found[0]["processes"][0]["pid"], holder.0.id(), "{found}");
}

#[test]
fn nobody_is_told_with_a_code_of_its_own() {
    let namespace = Namespace::new();
    let output = namespace.coord(&["ports", "who", "8766"]);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no process listens on port 8766"), "{said}");
}

/// Whoever may look into both namespaces is told of the other holder, and that it is in nobody's way.
#[test]
fn a_holder_in_another_namespace_is_told_apart() {
    let (here, there) = (Namespace::new(), Namespace::new());
    let holder = there.python("AF_INET", "0.0.0.0", 8766);
    let entered = json(&there.coord(&["--json", "ports", "who", "8766"]), 0);
    assert!(entered[0].get("network_namespace").is_none(), "{entered}");
    let output = Command::new(env!("CARGO_BIN_EXE_coord"))
        .args(["--json", "ports", "who", "8766"])
        .output()
        .unwrap();
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let pid = holder.0.id();
    let mut its = all.iter().filter(|it| it["processes"][0]["pid"] == pid);
    let found = its
        .next()
        .unwrap_or_else(|| panic!("{pid} is not in {all:?}"));
    assert!(found["network_namespace"].is_u64(), "{found}");
    // Whoever is in a namespace of users may not look out of it, and nobody is in the way here.
    let output = here.coord(&["ports", "who", "8766"]);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let free = here.coord(&["ports", "run", "--pool", "8790", "--", "true"]);
    assert_eq!(free.status.code(), Some(0), "{free:?}");
    let check = json(
        &here.coord(&["--json", "ports", "check", "--profile", "production"]),
        0,
    );
    let production = check.as_array().unwrap().iter();
    let mut ours = production.filter(|it| it["port"] == 8766);
    assert_eq!(ours.next().unwrap()["holders"], Value::Array(vec![]));
}

#[test]
fn a_profile_is_checked_with_its_neighbours() {
    let namespace = Namespace::new();
    let words = ["--json", "ports", "check", "--profile", "staging"];
    let free = json(&namespace.coord(&words), 0);
    let free = free.as_array().unwrap();
    assert!(free.iter().all(|it| it["holders"] == Value::Array(vec![])));
    let ours: Vec<u64> = free
        .iter()
        .filter(|it| it["ours"] == true)
        .map(|it| it["port"].as_u64().unwrap())
        .collect();
    assert_eq!(ours, [6381, 8767, 9092]);
    let mut chosen = namespace.command(env!("CARGO_BIN_EXE_coord"), &["--json", "ports", "check"]);
    let chosen = chosen.env("COORD_PROFILE", "staging").output().unwrap();
    assert_eq!(json(&chosen, 0).as_array().unwrap(), free);
    // A neighbour's port is its own business.
    let _exporter = namespace.python("AF_INET", "0.0.0.0", 9100);
    json(&namespace.coord(&words), 0);
    let holder = namespace.python("AF_INET", "127.0.0.1", 8767);
    let taken = json(&namespace.coord(&words), 6);
    let taken = taken.as_array().unwrap().iter();
    let by: Vec<&Value> = taken
        .filter(|it| it["ours"] == true)
        .flat_map(|it| it["holders"].as_array().unwrap())
        .collect();
    assert_eq!(by.len(), 1);
    assert_eq!(by[0]["processes"][0]["pid"], holder.0.id());
}

#[test]
fn a_search_for_a_free_port_skips_what_is_held_on_any_address() {
    let namespace = Namespace::new();
    let _holders = [
        namespace.python("AF_INET", "127.0.0.1", 3000),
        namespace.python("AF_INET6", "::1", 3001),
        namespace.python("AF_INET", "0.0.0.0", 3002),
    ];
    let words = ["--json", "ports", "free", "--from", "3000"];
    let found = json(&namespace.coord(&words), 0);
    assert_eq!(found["port"], 3003);
    let few = namespace.coord(&["ports", "free", "--from", "3000", "--attempts", "3"]);
    assert_eq!(few.status.code(), Some(5), "{few:?}");
    // Production's port is taken: the next one is staging's, and no place to go.
    let _holder = namespace.python("AF_INET", "127.0.0.1", 8766);
    let none = namespace.coord(&["ports", "free", "--from", "8766"]);
    assert_eq!(none.status.code(), Some(5), "{none:?}");
    let last = namespace.coord(&["ports", "free", "--from", "65535"]);
    assert_eq!(String::from_utf8_lossy(&last.stdout), "65535\n");
}

#[test]
fn ports_that_are_none_are_refused() {
    let namespace = Namespace::new();
    for port in ["0", "65536", "abc", "-1", ""] {
        let output = namespace.coord(&["ports", "who", port]);
        assert_eq!(output.status.code(), Some(2), "{port}: {output:?}");
    }
}
