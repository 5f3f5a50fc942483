//! A store that gives positions again, in the same run: whoever appended there is answered, and told that
//! nobody knows what became of it.

use cli_coordinator::driver::core::DEFAULT_PROJECT;
use serde_json::json;

use super::script::ask_at;
use super::world::{World, project};
use crate::simulation::seeds::metrics;
use crate::simulation::violation::{Checked, Invariant, ensure};

/// Two coordinators, and answers that do not wait for a replica.
const SEED: u64 = 3;
const HERE: usize = 0;
const ELSEWHERE: usize = 1;
const LOST: usize = 3;

fn positions_are_given_again() -> Checked {
    let mut world = World::new(SEED, &metrics(), false);
    world.come_to_rest()?;
    world.set_up()?;
    world.connect(HERE, HERE);
    world.nodes[ELSEWHERE].frozen = true;
    world.store.replicate(usize::MAX);
    let put = json!({ "key": "k", "value": 1 });
    for _ in 0..LOST {
        ask_at(&mut world, HERE, HERE, "context.put", &put)?;
        world.hear(HERE)?;
    }
    let known = world.store.end_of(&project(DEFAULT_PROJECT));
    world.store.forget_tail();
    let left = world.store.end_of(&project(DEFAULT_PROJECT));
    ensure(left < known, Invariant::Live, || {
        format!("{left:?} is left of {known:?}")
    })?;
    let told = |world: &World| world.seen.get("unavailable").copied();
    let before = told(&world);
    ask_at(&mut world, HERE, HERE, "context.put", &put)?;
    world.hear(HERE)?;
    ensure(told(&world) > before, Invariant::Honest, || {
        format!("{:?}", world.seen)
    })?;
    world.nodes[ELSEWHERE].frozen = false;
    world.come_to_rest().map(drop)
}

#[test]
fn a_request_whose_position_was_given_before_is_answered() {
    positions_are_given_again().expect("it is answered, and goes on");
}
