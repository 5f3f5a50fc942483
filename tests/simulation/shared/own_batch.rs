//! What a coordinator appended itself: it waits for the answer, and misses nothing behind it.

use cli_coordinator::driver::core::DEFAULT_PROJECT;
use cli_coordinator::engine::ids::Cursor;
use serde_json::json;

use super::judge::judge;
use super::script::ask_at;
use super::world::{World, project};
use crate::simulation::seeds::metrics;
use crate::simulation::violation::{Checked, Invariant, Violation, broken, ensure};

/// Two coordinators, and answers that do not wait for a replica.
const SEED: u64 = 3;
const HERE: usize = 0;
const ELSEWHERE: usize = 1;
/// Clients of one project at the first coordinator, and one at the other.
const CLIENTS: [usize; 3] = [0, 1, 3];
const OTHER: usize = 4;
/// Appends after which a coordinator takes it that nobody else does.
const APPENDS: usize = 3;
/// Reads that a script may need.
const READS_MAX: usize = 20;

/// The answer to a batch is still on its way when the stream shows it, and the record of another coordinator
/// that stands right behind it. Returns the append.
fn record_behind_an_unanswered_batch() -> Result<(World, u64), Violation> {
    let mut world = World::new(SEED, &metrics(), false);
    world.come_to_rest()?;
    world.set_up()?;
    for client in CLIENTS {
        world.connect(client, HERE);
    }
    world.connect(OTHER, ELSEWHERE);
    let put = json!({ "key": "k", "value": 1 });
    for _ in 0..APPENDS {
        ask_at(&mut world, CLIENTS[0], HERE, "context.put", &put)?;
        world.hear(CLIENTS[0])?;
    }
    read_on(&mut world)?;
    // One goes off at once, and the others together behind it.
    for client in CLIENTS {
        world.clients[client].ask("context.put".to_owned(), put.clone());
        world.deliver(client)?;
    }
    let first = open_call(&world, "append")?;
    while world.store.step(first) {}
    world.nodes[HERE].run()?;
    let batch = open_call(&world, "append")?;
    let before = end(&world);
    world.store.step(batch);
    let written = world.store.chronicle(|chronicle| {
        let all = chronicle.all(&project(DEFAULT_PROJECT));
        all.filter(|written| written.at > before).count()
    });
    ensure(written == 2, Invariant::Live, || {
        format!("{written} in a batch")
    })?;
    ask_at(&mut world, OTHER, ELSEWHERE, "context.put", &put)?;
    read_on(&mut world)?;
    check_not_misled(&world)?;
    Ok((world, batch))
}

fn end(world: &World) -> Cursor {
    let end = world.store.end_of(&project(DEFAULT_PROJECT));
    end.unwrap_or_default()
}

fn answer_comes() -> Checked {
    let (mut world, batch) = record_behind_an_unanswered_batch()?;
    while world.store.step(batch) {}
    world.come_to_rest()?;
    judge(&mut world)
}

/// It is applied as what the stream shows once the connection is made anew.
fn answer_never_comes() -> Checked {
    let (mut world, batch) = record_behind_an_unanswered_batch()?;
    world.store.break_off(batch);
    world.come_to_rest()?;
    judge(&mut world)
}

/// The batch is not answered before its append is, and what is behind it waits.
fn check_not_misled(world: &World) -> Checked {
    let core = world.nodes[HERE].core();
    let name = project(DEFAULT_PROJECT);
    let mut lines = core.lines(world.nodes[HERE].now());
    let line = lines.find(|(of, _)| **of == name).map(|(_, line)| line);
    let stands = line.is_some_and(|line| line.up && line.waiting == 2);
    ensure(stands, Invariant::Live, || format!("the line is {line:?}"))?;
    let told = CLIENTS[1..].iter().any(|client| {
        let wire = world.clients[*client].wire.as_ref();
        wire.is_some_and(|wire| core.has_frames(wire.id))
    });
    ensure(!told, Invariant::Durable, || "answered early".to_owned())
}

/// Lets the coordinator read the stream to its end.
fn read_on(world: &mut World) -> Checked {
    for _ in 0..READS_MAX {
        let follow = open_call(world, "follow")?;
        if !world.store.step(follow) {
            return Ok(());
        }
        while world.store.step(follow) {}
        // The line lets others go first before it looks at what it read.
        world.nodes[HERE].run()?;
        world.nodes[HERE].run()?;
    }
    broken(Invariant::Live, "the stream has no end")
}

fn open_call(world: &World, what: &str) -> Result<u64, Violation> {
    let name = project(DEFAULT_PROJECT);
    let calls = world.store.calls();
    let mut own = calls.iter().filter(|call| call.from as usize == HERE);
    match own.find(|call| call.what == what && call.project == name) {
        Some(call) => Ok(call.id),
        None => broken(Invariant::Live, format!("no {what} is under way")),
    }
}

#[test]
fn a_record_behind_an_unanswered_batch_is_no_hole() {
    answer_comes().expect("it reads on behind the batch");
}

#[test]
fn a_batch_that_is_never_answered_is_read() {
    answer_never_comes().expect("all of it is read");
}
