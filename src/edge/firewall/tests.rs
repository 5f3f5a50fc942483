//! The policy: what is refused, what is remarked on, who is let in; and the texts around the rules.

use super::*;
use crate::config::{FirewallConfig, Flags, MapEnvironment};
use crate::edge::ports::Port;

/// The policy of these variables, on a box with SSH on 22.
fn policy(variables: &[(&str, &str)]) -> Result<(Policy, Vec<String>), String> {
    let mut environment = MapEnvironment::default();
    for (name, text) in variables {
        let (name, text) = ((*name).to_owned(), (*text).to_owned());
        environment.variables.insert(name, text);
    }
    let (config, warnings) = FirewallConfig::load(&Flags::default(), &environment)
        .map_err(|errors| errors.to_string())?;
    assert!(warnings.is_empty(), "{warnings:?}");
    Policy::of(&config, &[port(22)]).map_err(|errors| errors.to_string())
}

fn port(number: u16) -> Port {
    Port::new(number).expect("no port is 0 here")
}

#[track_caller]
fn check_refused(variables: &[(&str, &str)], expected: &str) {
    let told = policy(variables).expect_err("it contradicts itself");
    assert!(told.contains(expected), "{expected:?} is not in {told:?}");
}

#[track_caller]
fn check_admitted(policy: &Policy, peer: &str, number: u16, expected: bool) {
    let peer = peer.parse().expect("an address");
    assert_eq!(
        policy.admits(peer, port(number)),
        expected,
        "{peer} {number}"
    );
}

const FROM: (&str, &str) = ("COORD_FIREWALL_WEBSOCKET_FROM", "10.0.0.0/8,2001:db8::/64");
const CLOSED: (&str, &str) = ("COORD_FIREWALL_DEFAULT_DROP", "true");

#[test]
fn a_service_for_others_needs_somebody_who_may() {
    check_refused(
        &[("WEBSOCKET_HOST", "0.0.0.0")],
        "firewall.websocket_from: it is empty, but websocket.host = 0.0.0.0 lets other machines connect",
    );
    check_refused(
        &[("COORD_METRICS_HOST", "10.0.0.1")],
        "firewall.metrics_from: it is empty",
    );
    assert!(policy(&[("WEBSOCKET_HOST", "0.0.0.0"), FROM]).is_ok());
    assert!(policy(&[]).is_ok());
}

#[test]
fn what_undoes_itself_is_refused() {
    let denied = ("COORD_FIREWALL_DENY", "10.0.0.0/7");
    check_refused(
        &[FROM, denied],
        "10.0.0.0/8 is within 10.0.0.0/7, which firewall.deny blocks",
    );
    check_refused(
        &[("COORD_FIREWALL_TRUSTED", "10.0.0.1")],
        "may reach no service",
    );
    let shared = [
        ("REDIS_HOST", "192.0.2.9"),
        ("COORD_FIREWALL_REDIS_FROM", "10.0.0.1"),
    ];
    check_refused(
        &shared,
        "it opens Redis on this machine, but Redis is at 192.0.2.9",
    );
    let same = [("COORD_PROFILE", "testing"), ("WEBSOCKET_PORT", "9095")];
    check_refused(&same, "metrics.port: port 9095 is also in websocket.port");
    let both = [CLOSED, ("COORD_FIREWALL_OPEN_PORTS", "8000-9000")];
    check_refused(
        &both,
        "port 8768 is taken: a service of this coordinator uses it",
    );
    let udp = [CLOSED, ("COORD_FIREWALL_SSH_PORTS", "22/udp")];
    check_refused(&udp, "22/udp is not TCP");
    let leased = [CLOSED, FROM, ("COORD_FIREWALL_LEASE_PORTS", "20-30")];
    check_refused(&leased, "port 22 is taken: SSH has it");
    let nobodys = [CLOSED, ("COORD_FIREWALL_LEASE_PORTS", "20000-20010")];
    check_refused(
        &nobodys,
        "leases would open no ports, because firewall.websocket_from is empty",
    );
    let twice = [
        CLOSED,
        ("COORD_FIREWALL_SSH_FROM", "10.0.0.0/8"),
        ("COORD_FIREWALL_OPEN_PORTS", "22"),
    ];
    check_refused(
        &twice,
        "port 22 is an SSH port, which firewall.ssh_from restricts",
    );
}

#[test]
fn all_contradictions_are_told_at_once() {
    let told = policy(&[
        ("WEBSOCKET_HOST", "::"),
        ("COORD_METRICS_HOST", "::"),
        ("COORD_FIREWALL_TRUSTED", "10.0.0.1"),
    ])
    .expect_err("it contradicts itself");
    assert!(told.starts_with("3 settings are in conflict:"), "{told}");
}

#[test]
fn what_does_nothing_is_remarked_on() {
    let idle = [FROM, ("COORD_FIREWALL_OPEN_PORTS", "443")];
    let (_, remarks) = policy(&idle).expect("it is right");
    assert_eq!(remarks.len(), 2, "{remarks:?}");
    assert!(remarks[0].starts_with("firewall.open_ports has no effect"));
    assert!(remarks[1].starts_with("firewall.websocket_from allows other machines, but"));
}

#[test]
fn who_gets_in_can_be_asked() {
    let deny = ("COORD_FIREWALL_DENY", "10.6.0.0/16");
    let (open, _) = policy(&[FROM, deny]).expect("it is right");
    check_admitted(&open, "10.1.1.1", 8768, true);
    check_admitted(&open, "::ffff:10.1.1.1", 8768, true);
    check_admitted(&open, "10.6.1.1", 8768, false);
    check_admitted(&open, "192.0.2.1", 8768, false);
    check_admitted(&open, "192.0.2.1", 6382, false);
    check_admitted(&open, "192.0.2.1", 22, true);
    check_admitted(&open, "10.6.1.1", 22, true);
    check_admitted(&open, "127.0.0.1", 6382, true);
    let ssh = ("COORD_FIREWALL_SSH_FROM", "10.0.0.0/8");
    let (closed, _) = policy(&[FROM, deny, CLOSED, ssh]).expect("it is right");
    check_admitted(&closed, "10.1.1.1", 22, true);
    check_admitted(&closed, "10.6.1.1", 22, false);
    check_admitted(&closed, "192.0.2.1", 22, false);
    check_admitted(&closed, "10.1.1.1", 23, false);
}

#[test]
fn secrets_that_cannot_be_read_do_not_matter() {
    let unreadable = [
        ("REDIS_PASSWORD_FILE", "/nowhere/redis"),
        ("WEBSOCKET_SSL_ENABLED", "true"),
        ("COORD_TLS_KEY_FILE", "/nowhere/key.pem"),
        ("COORD_TLS_CERTIFICATE_FILE", "/nowhere/certificate.pem"),
    ];
    assert!(policy(&unreadable).is_ok());
    check_refused(&[("WEBSOCKET_PORT", "x")], "\"x\" is not a port number");
    check_refused(&[("COORD_FIREWALL_DENY", "x")], "\"x\" is not a network");
}

#[test]
fn a_listing_without_what_packets_did_is_the_same_whenever_it_is_made() {
    let listing = "table inet coord {\n\
        \tset a_from_v4 {\n\t\ttype ipv4_addr\n\t\tflags interval\n\
        \t\telements = { 10.0.0.2, 10.0.0.1,\n\t\t\t     10.0.0.0 }\n\t}\n\n\
        \tset rate_v4 {\n\t\ttype ipv4_addr\n\t\tflags dynamic,timeout\n\
        \t\telements = { 10.0.0.9 limit rate over 1/minute }\n\t}\n\n\
        \tchain input {\n\t\ttcp dport vmap { 2 : jump b, 1 : jump a } accept\n\t}\n}\n";
    let normal = normal(listing);
    let expected = "table inet coord {\n\
        \tset a_from_v4 {\n\t\ttype ipv4_addr\n\t\tflags interval\n\
        \t\telements = {\n\t\t\t10.0.0.0,\n\t\t\t10.0.0.1,\n\t\t\t10.0.0.2\n\t\t}\n\t}\n\n\
        \tset rate_v4 {\n\t\ttype ipv4_addr\n\t\tflags dynamic,timeout\n\t}\n\n\
        \tchain input {\n\t\ttcp dport vmap { 1 : jump a, 2 : jump b } accept\n\t}\n}\n";
    assert_eq!(normal, expected);
    assert_eq!(super::normal(&normal), normal);
}

#[test]
fn a_known_table_is_changed_and_an_unknown_one_replaced() {
    let (one, _) = policy(&[FROM]).expect("it is right");
    let (other, _) = policy(&[]).expect("it is right");
    let (one, other) = (one.ruleset(), other.ruleset());
    assert_eq!(
        load(&one.text(), &one.outline(), Loaded::Absent),
        one.text()
    );
    let replaced = load(&one.text(), &one.outline(), Loaded::Unknown);
    assert!(replaced.starts_with("table inet coord\ndelete table inet coord\n"));
    let outline = one.outline();
    let changed = load(&other.text(), &other.outline(), Loaded::Known(&outline));
    for line in [
        "flush table inet coord",
        "delete chain inet coord websocket_allowed",
        "delete set inet coord websocket_from_v4",
        "delete counter inet coord websocket_accepted",
    ] {
        assert!(
            changed.lines().any(|found| found == line),
            "{line} is not in {changed}"
        );
    }
    let same = load(&one.text(), &one.outline(), Loaded::Known(&outline));
    assert!(!same.contains("delete"), "{same}");
    assert!(same.contains("flush set inet coord websocket_from_v6\n"));
    assert!(!same.contains("flush set inet coord websocket_rate_v4"));
}
