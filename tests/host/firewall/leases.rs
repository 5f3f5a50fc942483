//! Ports of agents, open for as long as their leases last.

use super::bed::*;
use super::space::assert_well;
use super::talker::Talker;

const SETTINGS: &str = "default_drop = true\nlease_ports = \"20000-20009\"\n";

fn coord(bed: &Bed, words: &[&str]) -> String {
    let output = bed
        .command(words)
        .env("COORD_PROFILE", "production")
        .output()
        .unwrap();
    assert_well(&output, &format!("coord {words:?}"));
    String::from_utf8(output.stdout).unwrap()
}

fn lease(bed: &Bed, resource: &str) -> (String, String) {
    let made = coord(
        bed,
        &["lease", "acquire", resource, "--ttl", "1h", "--json"],
    );
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    (made["lease"].to_string(), made["fence"].to_string())
}

#[test]
fn a_leased_port_is_open_while_its_lease_lasts() {
    let bed = Bed::new(&format!("{LISTS}{SETTINGS}"));
    let _coordinator = bed.serve();
    let mut inside = Talker::new(&bed.gateway);
    for port in [20_001, 20_002, 30_000] {
        inside.listen("0.0.0.0", port);
        inside.listen("::", port);
    }
    bed.apply(&[]);
    let mut outside = Talker::new(&bed.outside);
    bed.drops(&mut outside, (AGENT_V4, BOX_V4, 20_001), "closed");

    let sync = || coord(&bed, &["firewall", "leases", "--host", "gateway", "--json"]);
    assert_eq!(sync(), "{\"ports\":[]}\n");
    let (id, fence) = lease(&bed, "port:gateway:20001");
    // Another host's port, and one that leases may not open.
    lease(&bed, "port:elsewhere:20002");
    lease(&bed, "port:gateway:30000");
    let open = sync();
    assert_eq!(open, "{\"ports\":[{\"port\":20001,\"open_ms\":120000}]}\n");
    outside.passes(AGENT_V4, BOX_V4, 20_001);
    outside.passes(AGENT_V6, BOX_V6, 20_001);
    bed.drops(&mut outside, (STRANGER_V4, BOX_V4, 20_001), "closed");
    bed.drops(&mut outside, (AGENT_V4, BOX_V4, 20_002), "closed");
    bed.drops(&mut outside, (AGENT_V4, BOX_V4, 30_000), "closed");
    // What leases open is no drift.
    bed.check_state("as_configured");

    coord(&bed, &["lease", "release", &id, "--fence", &fence]);
    assert_eq!(sync(), "{\"ports\":[]}\n");
    bed.drops(&mut outside, (AGENT_V4, BOX_V4, 20_001), "closed");
}

/// Nobody asks again: the port closes by itself.
#[test]
fn a_port_that_is_not_asked_about_again_closes() {
    let bed = Bed::new(&format!("{LISTS}{SETTINGS}"));
    let _coordinator = bed.serve();
    bed.apply(&[]);
    lease(&bed, "port:gateway:20001");
    coord(
        &bed,
        &["firewall", "leases", "--host", "gateway", "--keep", "1s"],
    );
    let elements = || {
        let list = ["list", "set", "inet", "coord", "lease_ports"];
        bed.gateway.run("nft", &list).contains("20001")
    };
    until("the port to close", || (!elements()).then_some(()));
}

/// The coordinator of this box is found where the configuration has it.
#[test]
fn the_coordinators_port_is_that_of_the_configuration() {
    let bed = Bed::new(&format!("{LISTS}{SETTINGS}"));
    let file = bed.folder.path().join("coord.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        text.replace("[websocket]", "[websocket]\nport = 8800"),
    )
    .unwrap();
    let _coordinator = bed.serve();
    bed.apply(&[]);
    let found = coord(&bed, &["firewall", "leases", "--json"]);
    assert_eq!(found, "{\"ports\":[]}\n");
}

#[test]
fn leases_open_nothing_unless_asked_to() {
    let bed = Bed::new(LISTS);
    bed.apply(&[]);
    let words = ["lets leases open no ports", "firewall.lease_ports"];
    Bed::check_fails(bed.command(&["firewall", "leases"]), 2, &words);
}
