//! Steps of a script: one coordinator works, and the others stand still.

use serde_json::Value;

use super::world::World;
use crate::simulation::violation::{Checked, Invariant, ensure};

/// Rounds of one coordinator that a request may need.
const ROUNDS_MAX: usize = 100;

/// Lets a client ask, and one coordinator, and nobody else, work until it has an answer.
pub(crate) fn ask_at(
    world: &mut World,
    client: usize,
    node: usize,
    method: &str,
    params: &Value,
) -> Checked {
    ask_while(world, client, node, (method, params), &|_| true)
}

/// The same, while only some of the coordinator's calls get on.
pub(crate) fn ask_while(
    world: &mut World,
    client: usize,
    node: usize,
    (method, params): (&str, &Value),
    gets_on: &dyn Fn(&str) -> bool,
) -> Checked {
    world.clients[client].ask(method.to_owned(), params.clone());
    world.deliver(client)?;
    let id = world.clients[client].wire.as_ref().map(|wire| wire.id);
    for _ in 0..ROUNDS_MAX {
        world.nodes[node].run()?;
        if id.is_some_and(|id| world.nodes[node].core().has_frames(id)) {
            return Ok(());
        }
        for call in world.store.calls() {
            if call.from as usize == node && gets_on(call.what) {
                world.store.step(call.id);
            }
        }
    }
    ensure(false, Invariant::Live, || {
        format!("{method} is not answered")
    })
}
