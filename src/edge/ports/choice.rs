//! Which ports to try, and in which order. Pure: whether one is free is the caller's to find out.

use serde::Serialize;

use super::{Port, PortRange, Profile, Service, neighbour, owner};

/// The ports one test would like best. Stable: a test of this name has them on every machine, in
/// every process, with every release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TestPorts {
    pub redis: Port,
    pub websocket: Port,
    pub metrics: Port,
}

impl TestPorts {
    pub fn preferred(test_id: &str) -> Self {
        let first = |service| {
            candidates_for_key(Profile::Testing.ports(service), test_id)
                .next()
                .expect("a range has at least one port")
        };
        Self {
            redis: first(Service::Redis),
            websocket: first(Service::WebSocket),
            metrics: first(Service::Metrics),
        }
    }
}

/// The ports a service may have in a profile, best first. Never one of another profile: looking
/// upwards from production's 8766 would find staging's 8767.
pub fn candidates_in_profile(profile: Profile, service: Service) -> impl Iterator<Item = Port> {
    profile.ports(service).iter()
}

/// At most `attempts_max` ports to try from `from` upwards. A port that the table owns stays among
/// its own profile's ports for its service; any other steps over the whole table and over the
/// well-known neighbours, so that nobody's default is taken.
pub fn candidates_above(from: Port, attempts_max: u16) -> impl Iterator<Item = Port> {
    let own = owner(from).map(|(profile, service)| profile.ports(service));
    (0..=u16::MAX)
        .map_while(move |step| from.above(step))
        .take_while(move |port| own.is_none_or(|range| range.contains(*port)))
        .filter(move |port| own.is_some() || *port == from || is_nobodys(*port))
        .take(usize::from(attempts_max))
}

/// All ports of a range, each once, in the order in which a holder of this key tries them: from the
/// place its hash falls on upwards, and round again. Two keys that prefer the same port meet, and
/// the later one goes on to the next.
pub fn candidates_for_key(range: PortRange, key: &str) -> impl Iterator<Item = Port> + use<> {
    let start = hash(key) % u64::from(range.count());
    range.round_from(u16::try_from(start).expect("a remainder by a u16 is a u16"))
}

/// The ports of a pool that a holder of this key tries, in its order: those of no profile and of no
/// well-known neighbour.
pub fn candidates_in_pool(pool: PortRange, key: &str) -> impl Iterator<Item = Port> + use<> {
    candidates_for_key(pool, key).filter(|port| is_nobodys(*port))
}

/// The same ports as ranges, ascending.
pub fn spans_of_pool(pool: PortRange) -> Vec<PortRange> {
    let mut spans: Vec<PortRange> = Vec::new();
    for port in pool.iter().filter(|port| is_nobodys(*port)) {
        match spans.last_mut() {
            Some(span) if span.last().above(1) == Some(port) => *span = span.up_to(port),
            _ => spans.push(PortRange::single(port)),
        }
    }
    spans
}

/// FNV-1a, 64 bits, its upper half folded into the lower one, because the low bits alone, which a
/// remainder by 8 would take, depend on the low bits of the input alone.
fn hash(key: &str) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let full = key.bytes().fold(OFFSET_BASIS, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    });
    (full >> 32) ^ (full & 0xffff_ffff)
}

fn is_nobodys(port: Port) -> bool {
    owner(port).is_none() && neighbour(port).is_none()
}
