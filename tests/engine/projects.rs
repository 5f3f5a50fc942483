//! How many projects a deployment may have, and that coordinators of two versions agree on it.

use cli_coordinator::engine::command::{Action, Actor, NodeAlive, ProjectCreate};
use cli_coordinator::engine::limits::Limits;
use cli_coordinator::engine::outcome::Refusal;

use super::bench::Bench;

const OLDER_MAX: u64 = 64;
const NODE_TTL_MS: u64 = 10_000;

fn node() -> Actor {
    Actor::Node("here".parse().expect("a node id"))
}

/// Creates projects until one is refused; how many there are then.
fn fill(bench: &mut Bench) -> u64 {
    loop {
        let count = bench.engine.state().projects.len() as u64;
        let project = format!("p{count}").parse().expect("a project name");
        match bench.ask(&node(), Action::ProjectCreate(ProjectCreate { project })) {
            Ok(_) => {}
            Err(Refusal::Limit(limit)) => {
                assert_eq!((limit.limit, limit.max), ("projects_max", count));
                return count;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_older_coordinator_keeps_its_limit_as_long_as_it_lives() {
    let mut bench = Bench::new(Limits::default());
    let alive = NodeAlive {
        node: "older".parse().expect("a node id"),
        ttl_ms: NODE_TTL_MS,
        command_format: 3,
        port_fingerprint: None,
    };
    bench
        .ask(&node(), Action::NodeAlive(alive))
        .expect("it lives");
    assert_eq!(fill(&mut bench), OLDER_MAX);
    // It is dead once nothing was heard of it for its time-to-live.
    for _ in 0..2 {
        let project = "p0".parse().expect("a project name");
        let create = Action::ProjectCreate(ProjectCreate { project });
        let again = bench.apply(node(), None, create, NODE_TTL_MS).answer;
        assert!(matches!(again, Err(Refusal::Conflict(_))), "{again:?}");
    }
    assert_eq!(fill(&mut bench), 256);
}
