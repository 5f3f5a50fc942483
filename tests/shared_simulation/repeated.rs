//! A claim whose answer was lost is sent again at a coordinator to which nothing has come since.

use serde_json::{Value, json};

use super::judge::judge;
use super::seeds::{metrics, turn};
use super::violation::{Checked, Invariant, Violation, broken, ensure};
use super::world::World;

const HERE: usize = 0;
const ELSEWHERE: usize = 1;
/// Calls of one coordinator that a request may need.
const CALLS_MAX: usize = 100;

/// What the second sending is answered, once the first one was granted and nobody heard of it.
pub(crate) fn answer_of_the_second_sending() -> Result<Value, Violation> {
    let mut world = World::new(0, &metrics(), false);
    world.come_to_rest()?;
    world.set_up()?;
    world.connect(HERE, HERE);
    ask_here(&mut world, "task.submit", &json!({ "title": "once" }))?;
    world.hear(HERE)?;
    let claim = json!({ "request_id": "again", "ttl_ms": 60_000 });
    ask_here(&mut world, "task.claim", &claim)?;
    world.disconnect(HERE, true);
    world.connect(HERE, ELSEWHERE);
    let again = world.clients[HERE].again.pop_front();
    let Some((method, params)) = again else {
        return broken(Invariant::Answered, "it was answered");
    };
    world.clients[HERE].ask(method, params);
    world.deliver(HERE)?;
    let mut answers = world.hear(HERE)?;
    answers.extend(world.come_to_rest()?);
    judge(&mut world)?;
    let mut claims = answers
        .into_iter()
        .rev()
        .filter(|a| a.get("claim").is_some());
    Ok(claims.next().unwrap_or_default())
}

/// Lets the first coordinator, and nobody else, work until it has an answer.
fn ask_here(world: &mut World, method: &str, params: &Value) -> Checked {
    world.clients[HERE].ask(method.to_owned(), params.clone());
    world.deliver(HERE)?;
    let id = world.clients[HERE].wire.as_ref().map(|wire| wire.id);
    for _ in 0..CALLS_MAX {
        world.nodes[HERE].run()?;
        if id.is_some_and(|id| world.nodes[HERE].core().has_frames(id)) {
            return Ok(());
        }
        for call in world.store.calls() {
            if call.from as usize == HERE {
                world.store.step(call.id);
            }
        }
    }
    ensure(false, Invariant::Live, || {
        format!("{method} is not answered")
    })
}

#[test]
fn the_second_sending_is_told_what_the_first_was_granted() {
    let _turn = turn();
    let answer = answer_of_the_second_sending().expect("every promise is kept");
    assert_eq!(answer["claim"]["title"], "once", "{answer}");
}
