//! Requests that are sent again at another coordinator: where nothing of the first sending has come yet,
//! and where the first sending comes long after the second.

use serde_json::{Value, json};

use super::judge::judge;
use super::script::ask_at;
use super::world::World;
use crate::simulation::seeds::metrics;
use crate::simulation::violation::{Checked, Invariant, Violation, broken, ensure};

const HERE: usize = 0;
const ELSEWHERE: usize = 1;
/// A seed with which a record may be late for a second; with 0, not at all.
pub(crate) const LATE: u64 = 3;

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
    let mut world = serving(0)?;
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
pub(crate) fn first_sending_waits_for_the_store(seed: u64) -> Checked {
    let mut world = serving(seed)?;
    cut_off(&mut world)?;
    let submit = first_sending(&mut world)?;
    second_sending_is_forgotten(&mut world, &submit)?;
    world.store.cut(HERE as u64, false);
    world.come_to_rest()?;
    judge(&mut world)
}

/// A coordinator no longer reaches the store, and knows it.
fn cut_off(world: &mut World) -> Checked {
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
    )
}

fn serving(seed: u64) -> Result<World, Violation> {
    let mut world = World::new(seed, &metrics(), false);
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
    answers_are_forgotten(world, HERE)
}

/// A client goes on until all that its agent was answered before is forgotten.
fn answers_are_forgotten(world: &mut World, client: usize) -> Checked {
    for number in 0..=world.settings.limits().request_ids_per_agent_max {
        let put = json!({ "key": "k", "value": 1, "request_id": format!("later-{number}") });
        world.hear(client)?;
        ask_at(world, client, ELSEWHERE, "context.put", &put)?;
    }
    world.hear(client).map(drop)
}

/// A claim waits at a coordinator that is cut off from the store, and its connection does not break; by then
/// its agent is granted a task elsewhere, and goes on.
pub(crate) fn first_sending_waits_for_a_task() -> Checked {
    let mut world = serving(LATE)?;
    let claim = json!({ "request_id": "waits", "ttl_ms": 60_000, "wait_ms": 60_000 });
    world.clients[HERE].ask("task.claim".to_owned(), claim.clone());
    world.deliver(HERE)?;
    world.settle()?;
    cut_off(&mut world)?;
    let twin = world.twin_of(HERE);
    world.connect(twin, ELSEWHERE);
    for title in ["one", "other"] {
        let submit = json!({ "title": title });
        ask_at(&mut world, twin, ELSEWHERE, "task.submit", &submit)?;
        world.hear(twin)?;
    }
    ask_at(&mut world, twin, ELSEWHERE, "task.claim", &claim)?;
    answers_are_forgotten(&mut world, twin)?;
    world.store.cut(HERE as u64, false);
    world.come_to_rest()?;
    judge(&mut world)
}

#[test]
fn the_second_sending_is_told_what_the_first_was_granted() {
    let answer = answer_of_the_second_sending().expect("every promise is kept");
    assert_eq!(answer["claim"]["title"], "once", "{answer}");
}

#[test]
fn a_first_sending_that_comes_last_has_no_effect_of_its_own() {
    first_sending_comes_last().expect("every promise is kept");
}

#[test]
fn a_first_sending_that_waited_for_the_store_has_no_effect_of_its_own() {
    for seed in [0, LATE] {
        first_sending_waits_for_the_store(seed).expect("every promise is kept");
    }
}

#[test]
fn a_claim_that_waited_out_an_outage_is_not_granted_twice() {
    first_sending_waits_for_a_task().expect("every promise is kept");
}
