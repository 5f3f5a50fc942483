//! Snapshots of a stream that grows: one that came to nothing is not the last.

use cli_coordinator::driver::core::DEFAULT_PROJECT;
use cli_coordinator::engine::ids::Position;
use serde_json::json;

use super::script::{ask_at, ask_while};
use super::world::{World, project};
use crate::simulation::seeds::metrics;
use crate::simulation::violation::{Checked, Invariant, Violation, broken};

const HERE: usize = 0;
const ELSEWHERE: usize = 1;
const SAVING: &str = "save snapshot";
/// Records that make more than `live_bytes_max`, several times.
const PUTS_MAX: usize = 60;
/// Records that make less than `live_bytes_max`.
const FEW_PUTS: usize = 3;
/// Tenths of a second, more than a node waits after a snapshot that was not saved.
const PAUSE_TENTHS: u64 = 310;

/// The connection that waits for records breaks while a snapshot is being saved, and nobody hears what
/// became of it.
fn snapshots_go_on() -> Checked {
    let mut world = World::new(0, &metrics(), false);
    world.come_to_rest()?;
    world.set_up()?;
    world.connect(HERE, HERE);
    put_until(&mut world, true, |world| covered(world) > Position(0))?;
    world.come_to_rest()?;
    // Without sessions there is no first node alive, and each takes snapshots.
    world.nodes[ELSEWHERE].frozen = true;
    put_until(&mut world, false, is_saving)?;
    let before = covered(&world);
    for call in world.store.calls() {
        if call.what == "follow" && call.from as usize == HERE {
            world.store.break_off(call.id);
        }
    }
    world.nodes[HERE].run()?;
    world.store.forget_abandoned();
    if is_saving(&world) {
        return broken(Invariant::Live, "the save was not left behind");
    }
    world.come_to_rest()?;
    wait(&mut world)?;
    put_until(&mut world, true, |world| covered(world) > before)
}

/// The connection breaks over which a snapshot is being saved. The next one is taken after a pause,
/// and not only when as many records have gathered again.
fn a_snapshot_is_tried_again() -> Checked {
    let mut world = World::new(0, &metrics(), false);
    world.come_to_rest()?;
    world.set_up()?;
    world.connect(HERE, HERE);
    world.nodes[ELSEWHERE].frozen = true;
    put_until(&mut world, false, is_saving)?;
    let before = covered(&world);
    let calls = world.store.calls();
    let save = calls.iter().find(|call| call.what == SAVING);
    world.store.break_off(save.expect("it is being saved").id);
    world.store.forget_abandoned();
    world.come_to_rest()?;
    wait(&mut world)?;
    put_some(&mut world, FEW_PUTS, true, |world| covered(world) > before)
}

/// Until the pause after a snapshot that was not saved is over.
fn wait(world: &mut World) -> Checked {
    for _ in 0..PAUSE_TENTHS {
        world.pass_us(100_000);
        world.settle()?;
    }
    Ok(())
}

/// Puts values, one after the other; snapshots are saved only if they may.
fn put_until(
    world: &mut World,
    saves: bool,
    reached: impl Fn(&World) -> bool,
) -> Result<(), Violation> {
    put_some(world, PUTS_MAX, saves, reached)
}

fn put_some(
    world: &mut World,
    puts_max: usize,
    saves: bool,
    reached: impl Fn(&World) -> bool,
) -> Result<(), Violation> {
    for number in 0..=puts_max {
        if reached(world) {
            return Ok(());
        }
        if number == puts_max {
            break;
        }
        let put = json!({ "key": "k", "value": format!("{number:0400}") });
        if saves {
            ask_at(world, HERE, HERE, "context.put", &put)?;
        } else {
            ask_while(world, HERE, HERE, ("context.put", &put), &|what| {
                what != SAVING
            })?;
        }
        world.hear(HERE)?;
        world.nodes[HERE].run()?;
        world.pass_us(10_000);
    }
    broken(Invariant::Live, "no snapshot is taken")
}

fn is_saving(world: &World) -> bool {
    let calls = world.store.calls();
    let mut own = calls.iter().filter(|call| call.from as usize == HERE);
    own.any(|call| call.what == SAVING && !call.abandoned)
}

fn covered(world: &World) -> Position {
    let snapshot = world.store.snapshot_of(&project(DEFAULT_PROJECT));
    snapshot.map_or(Position(0), |snapshot| snapshot.at.position)
}

#[test]
fn a_snapshot_that_was_broken_off_is_not_the_last() {
    snapshots_go_on().expect("snapshots go on");
}

#[test]
fn a_snapshot_that_was_not_saved_is_tried_again() {
    a_snapshot_is_tried_again().expect("it is tried again");
}
