//! Requests that are sent again at another coordinator: where nothing of the first sending has come yet,
//! and where the first sending comes long after the second.

use serde_json::{Value, json};

use super::judge::judge;
use super::script::ask_at;
use super::seeds::{metrics, turn};
use super::violation::{Checked, Invariant, Violation, broken, ensure};
use super::world::World;

const HERE: usize = 0;
const ELSEWHERE: usize = 1;

/// What the second sending is answered, once the first one was granted and nobody heard of it.
pub(crate) fn answer_of_the_second_sending() -> Result<Value, Violation> {
    let mut world = World::new(0, &metrics(), false);
    world.come_to_rest()?;
    world.set_up()?;
    world.connect(HERE, HERE);
    let submit = json!({ "title": "once" });
    ask_at(&mut world, HERE, HERE, "task.submit", &submit)?;
    world.hear(HERE)?;
    let claim = json!({ "request_id": "again", "ttl_ms": 60_000 });
    ask_at(&mut world, HERE, HERE, "task.claim", &claim)?;
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

/// The append of a submission is stuck on its way until its second sending, at another coordinator, was
/// answered and forgotten.
pub(crate) fn first_sending_comes_last() -> Checked {
    let mut world = serving()?;
    let submit = first_sending(&mut world)?;
    let calls = world.store.calls();
    let append = calls.iter().find(|call| call.what == "append");
    let Some(append) = append else {
        return broken(Invariant::Live, "it is not appended");
    };
    world.store.break_off(append.id);
    world.store.cut(HERE as u64, true);
    second_sending_is_forgotten(&mut world, &submit)?;
    world.store.cut(HERE as u64, false);
    let stuck = world.store.calls().into_iter().find(|call| call.abandoned);
    let arrives = stuck.is_some_and(|call| world.store.step(call.id));
    ensure(arrives, Invariant::Live, || "nothing was stuck".to_owned())?;
    world.come_to_rest()?;
    judge(&mut world)
}

/// A coordinator that is cut off keeps a submission until it reaches the store again; by then its second
/// sending, at another coordinator, was answered and forgotten.
fn first_sending_waits_for_the_store() -> Checked {
    let mut world = serving()?;
    world.store.cut(HERE as u64, true);
    let calls = world.store.calls();
    for call in calls.iter().filter(|call| call.from as usize == HERE) {
        world.store.break_off(call.id);
    }
    world.store.forget_abandoned();
    world.settle()?;
    ensure(
        !world.nodes[HERE].core().is_reachable(),
        Invariant::Live,
        || "it does not notice that it is cut off".to_owned(),
    )?;
    let submit = first_sending(&mut world)?;
    second_sending_is_forgotten(&mut world, &submit)?;
    world.store.cut(HERE as u64, false);
    world.come_to_rest()?;
    judge(&mut world)
}

fn serving() -> Result<World, Violation> {
    let mut world = World::new(0, &metrics(), false);
    world.come_to_rest()?;
    world.set_up()?;
    world.connect(HERE, HERE);
    Ok(world)
}

fn first_sending(world: &mut World) -> Result<Value, Violation> {
    let submit = json!({ "title": "once", "request_id": "late" });
    world.clients[HERE].ask("task.submit".to_owned(), submit.clone());
    world.deliver(HERE)?;
    Ok(submit)
}

/// The client goes to another coordinator, asks there again, and goes on until the answer is forgotten.
fn second_sending_is_forgotten(world: &mut World, submit: &Value) -> Checked {
    world.disconnect(HERE, true);
    world.pass_us(10_000);
    world.connect(HERE, ELSEWHERE);
    ask_at(world, HERE, ELSEWHERE, "task.submit", submit)?;
    for number in 0..=world.settings.limits().request_ids_per_agent_max {
        let put = json!({ "key": "k", "value": 1, "request_id": format!("later-{number}") });
        world.hear(HERE)?;
        ask_at(world, HERE, ELSEWHERE, "context.put", &put)?;
    }
    Ok(())
}

#[test]
fn the_second_sending_is_told_what_the_first_was_granted() {
    let _turn = turn();
    let answer = answer_of_the_second_sending().expect("every promise is kept");
    assert_eq!(answer["claim"]["title"], "once", "{answer}");
}

#[test]
fn a_first_sending_that_comes_last_has_no_effect_of_its_own() {
    let _turn = turn();
    first_sending_comes_last().expect("every promise is kept");
}

#[test]
fn a_first_sending_that_waited_for_the_store_has_no_effect_of_its_own() {
    let _turn = turn();
    first_sending_waits_for_the_store().expect("every promise is kept");
}
