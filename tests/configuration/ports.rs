//! The port table, and what is chosen from it.

use std::collections::BTreeSet;

use cli_coordinator::edge::ports::{
    NEIGHBOURS, Port, PortRange, Profile, Service, TestPorts, candidates_above, candidates_for_key,
    candidates_in_pool, candidates_in_profile, neighbour, owner, spans_of_pool, table_json,
    table_markdown, table_text,
};
use proptest::prelude::*;

/// One row of the seed's table: standard port, then first and last of each profile.
fn check_row(service: Service, standard: u16, ranges: [(u16, u16); 4]) {
    assert_eq!(service.standard_port(), port(standard));
    for (profile, (first, last)) in Profile::ALL.into_iter().zip(ranges) {
        let ports = profile.ports(service);
        assert_eq!((ports.first(), ports.last()), (port(first), port(last)));
        assert_eq!(profile.port(service), port(first));
        assert!(
            ports
                .iter()
                .all(|port| owner(port) == Some((profile, service)))
        );
    }
    assert_eq!(owner(port(standard)), None);
}

fn check_range(text: &str, expected: Result<(u16, u16), &str>) {
    let found = text
        .parse::<PortRange>()
        .map(|range| (range.first().number(), range.last().number()))
        .map_err(|error| error.to_string());
    assert_eq!(found, expected.map_err(str::to_owned), "{text}");
}

fn check_above(from: u16, attempts_max: u16, expected: &[u16]) {
    let found: Vec<u16> = candidates_above(port(from), attempts_max)
        .map(Port::number)
        .collect();
    assert_eq!(found, expected, "from {from}");
}

fn port(number: u16) -> Port {
    Port::new(number).expect("tests use real ports")
}

#[test]
fn the_table_is_the_seeds() {
    check_row(
        Service::Redis,
        6379,
        [(6380, 6380), (6381, 6381), (6382, 6382), (6383, 6390)],
    );
    check_row(
        Service::WebSocket,
        8765,
        [(8766, 8766), (8767, 8767), (8768, 8768), (8769, 8780)],
    );
    check_row(
        Service::Metrics,
        9090,
        [(9091, 9091), (9092, 9092), (9093, 9093), (9094, 9100)],
    );
}

#[test]
fn no_port_has_two_owners() {
    let mut seen = BTreeSet::new();
    for profile in Profile::ALL {
        for service in Service::ALL {
            assert!(
                profile
                    .ports(service)
                    .iter()
                    .all(|port| seen.insert(port) && port != service.standard_port())
            );
        }
    }
    assert_eq!(seen.len(), 9 + 8 + 12 + 7);
}

#[test]
fn markdown_is_the_seeds_table() {
    let expected = "\
| Service | Standard Port | Production | Staging | Development | Testing |
|---|---|---|---|---|---|
| **Redis** | 6379 | 6380 | 6381 | 6382 | 6383-6390 |
| **WebSocket** | 8765 | 8766 | 8767 | 8768 | 8769-8780 |
| **Prometheus** | 9090 | 9091 | 9092 | 9093 | 9094-9100 |
";
    assert_eq!(table_markdown(), expected);
}

#[test]
fn the_page_has_the_table() {
    let page = include_str!("../../docs/ports.md");
    let table = table_markdown();
    assert!(
        page.contains(&table),
        "docs/ports.md lacks what `coord ports table --markdown` prints:\n{table}"
    );
}

#[test]
fn text_is_aligned_and_names_neighbours() {
    let text = table_text();
    let lines: Vec<&str> = text.lines().collect();
    let columns = |line: &str| line.find("67").or(line.find("81"));
    assert_eq!(
        lines[1],
        "Redis       6379           6380        6381     6382         6383-6390"
    );
    assert_eq!(columns(lines[1]), columns(lines[2]));
    for neighbour in &NEIGHBOURS {
        assert!(text.contains(&format!("  {}  {}", neighbour.port, neighbour.note)));
    }
}

#[test]
fn json_has_numbers() {
    let json = table_json();
    assert_eq!(json["services"][1]["service"], "websocket");
    assert_eq!(json["services"][1]["profiles"]["testing"]["last"], 8780);
    assert_eq!(json["services"][2]["standard_port"], 9090);
    assert_eq!(json["neighbours"][0]["port"], 6379);
}

#[test]
fn neighbours_are_known() {
    let name = |number| neighbour(port(number)).map(|neighbour| neighbour.name);
    assert_eq!(name(9091), Some("Pushgateway"));
    assert_eq!(name(9093), Some("Alertmanager"));
    assert_eq!(name(9094), Some("Alertmanager cluster"));
    assert_eq!(name(9100), Some("node_exporter"));
    assert_eq!(name(8765), Some("another agent tool"));
    assert_eq!(name(8766), None);
}

#[test]
fn texts_become_ranges_or_say_why_not() {
    check_range("3000-3999", Ok((3000, 3999)));
    check_range("3000", Ok((3000, 3000)));
    check_range(
        "3999-3000",
        Err("the range 3999-3000 is reversed: write 3000-3999"),
    );
    check_range(
        "0-10",
        Err("port 0 means \"any port\", so clients could not find it"),
    );
    check_range("1-65536", Err("65536 is above 65535, the largest port"));
    check_range("abc", Err("\"abc\" is not a port number"));
    check_range("+80", Err("\"+80\" is not a port number"));
    check_range("", Err("\"\" is not a port number"));
    check_range("1-65535", Ok((1, 65535)));
}

#[test]
fn a_search_stays_at_home() {
    check_above(8766, 100, &[8766]);
    check_above(6382, 100, &[6382]);
    check_above(8778, 100, &[8778, 8779, 8780]);
    check_above(9000, 3, &[9000, 9001, 9002]);
    // Over the whole table and the neighbours at once.
    check_above(9089, 3, &[9089, 9101, 9102]);
    check_above(6378, 2, &[6378, 6391]);
    check_above(65534, 100, &[65534, 65535]);
    check_above(9000, 0, &[]);
}

#[test]
fn a_profile_offers_what_it_owns() {
    let offered: Vec<u16> = candidates_in_profile(Profile::Testing, Service::Redis)
        .map(Port::number)
        .collect();
    assert_eq!(offered, (6383..=6390).collect::<Vec<u16>>());
    assert_eq!(
        candidates_in_profile(Profile::Production, Service::WebSocket).count(),
        1
    );
}

/// Worked out by a second implementation. Never change these: a test's ports are the same with every release.
#[test]
fn test_ports_are_stable() {
    let preferred = |id| {
        let ports = TestPorts::preferred(id);
        [ports.redis, ports.websocket, ports.metrics].map(Port::number)
    };
    assert_eq!(preferred(""), [6384, 8774, 9097]);
    assert_eq!(preferred("test_login"), [6390, 8772, 9096]);
    assert_eq!(preferred("tests/api.py::test_höhe[1]"), [6383, 8769, 9094]);
}

#[test]
fn nobody_baked_this_build() {
    match option_env!("COORD_BAKED_PROFILE") {
        None | Some("") => assert_eq!(Profile::fallback(), Profile::Development),
        Some(name) => assert_eq!(Profile::fallback().name(), name),
    }
}

proptest! {
    #[test]
    fn a_key_tries_every_port_of_its_range_once(
        key in ".*", first in 1_u16..=65_535, count in 1_u16..=300,
    ) {
        let last = first.saturating_add(count - 1);
        let range = PortRange::new(port(first), port(last)).expect("in order");
        let tried: Vec<Port> = candidates_for_key(range, &key).collect();
        let distinct: BTreeSet<Port> = tried.iter().copied().collect();
        prop_assert_eq!(tried.len(), usize::from(range.count()));
        prop_assert_eq!(distinct.len(), tried.len());
        prop_assert!(tried.iter().all(|port| range.contains(*port)));
        let again: Vec<Port> = candidates_for_key(range, &key).collect();
        prop_assert_eq!(tried, again);
    }

    #[test]
    fn test_ports_are_testings(id in ".*") {
        let ports = TestPorts::preferred(&id);
        let owned = |port, service| owner(port) == Some((Profile::Testing, service));
        prop_assert!(owned(ports.redis, Service::Redis));
        prop_assert!(owned(ports.websocket, Service::WebSocket));
        prop_assert!(owned(ports.metrics, Service::Metrics));
    }

    #[test]
    fn a_pool_gives_nothing_that_has_an_owner(
        key in ".*", first in 6_300_u16..=9_200, count in 1_u16..=500,
    ) {
        let pool = PortRange::new(port(first), port(first + count - 1)).expect("in order");
        let found: BTreeSet<Port> = candidates_in_pool(pool, &key).collect();
        let free = |port: &Port| owner(*port).is_none() && neighbour(*port).is_none();
        let expected: BTreeSet<Port> = pool.iter().filter(free).collect();
        prop_assert_eq!(&found, &expected);
        let spans = spans_of_pool(pool);
        prop_assert!(spans.windows(2).all(|two| two[0].last().above(1) < Some(two[1].first())));
        let spanned: BTreeSet<Port> = spans.iter().flat_map(|span| span.iter()).collect();
        prop_assert_eq!(spanned, expected);
    }

    #[test]
    fn a_search_never_enters_a_profile(from in 1_u16..=65_535, attempts in 0_u16..=200) {
        let from = port(from);
        let found: Vec<Port> = candidates_above(from, attempts).collect();
        prop_assert!(found.len() <= usize::from(attempts));
        prop_assert!(found.iter().all(|port| owner(*port) == owner(from)));
    }
}

/// Ids spread over a range, or parallel tests would queue for one port: no port is chosen by more
/// than twice its share of a thousand.
#[test]
fn ids_spread_over_the_range() {
    for service in Service::ALL {
        let range = Profile::Testing.ports(service);
        let mut chosen = std::collections::BTreeMap::new();
        for id in 0..1000 {
            let first = candidates_for_key(range, &format!("test_{id}")).next();
            *chosen.entry(first).or_insert(0_usize) += 1;
        }
        let share = 1000 / usize::from(range.count());
        assert_eq!(chosen.len(), usize::from(range.count()));
        assert!(
            chosen.values().all(|count| *count < 2 * share),
            "{chosen:?}"
        );
    }
}
