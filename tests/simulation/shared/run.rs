//! One run: faults and work in any order, then none, then everything must have come out right; and again.

use cli_coordinator::engine::agents::SessionState;
use cli_coordinator::journal::shared::sim_store::Restart;
use cli_coordinator::metrics::Metrics;
use serde_json::json;

use super::client::Client;
use super::judge::{Outage, check_bounds, check_waiting, judge, served, times};
use super::node::Node;
use super::settings::{PHASES, STEPS};
use super::world::{World, projects};
use crate::simulation::seeds::Report;
use crate::simulation::violation::{Checked, Invariant, Violation, broken, ensure};

/// Runs one seed.
pub(crate) fn run(seed: u64, metrics: &Metrics, printed: bool) -> Result<Report, Violation> {
    let mut world = World::new(seed, metrics, printed);
    world.come_to_rest()?;
    world.set_up()?;
    for _ in 0..PHASES {
        for _ in 0..STEPS {
            step(&mut world)?;
        }
        calm(&mut world)?;
        if world.chance.one_in(2) {
            outage(&mut world)?;
        }
    }
    count_chronicle(&mut world);
    Ok(Report {
        hash: world.trace.hash,
        seen: world.seen,
    })
}

fn step(world: &mut World) -> Checked {
    match world.chance.below(20) {
        0..=6 => let_go(world)?,
        7..=10 => act(world),
        11 | 12 => {
            let client = world.chance.below(world.clients.len());
            world.deliver(client)?;
        }
        13..=15 => {
            let client = world.chance.below(world.clients.len());
            world.hear(client)?;
        }
        16..=18 => time(world)?,
        _ => {
            let writes = world.chance.below(4);
            world.store.replicate(writes);
        }
    }
    if world.chance.one_in(world.settings.fault_one_in) {
        fault(world)?;
    }
    check_bounds(world)
}

/// Some calls go on by a step each.
fn let_go(world: &mut World) -> Checked {
    if world.settings.waits_for_replica && world.chance.one_in(2) {
        world.store.replicate(4);
    }
    for _ in 0..=world.chance.below(5) {
        let calls = world.store.calls();
        let Some(call) = world.chance.pick(&calls).cloned() else {
            return Ok(());
        };
        // Now and then something gets through that was sent before.
        if !world.store.reaches(call.from) && (call.took_effect || !world.chance.one_in(30)) {
            continue;
        }
        if world.store.step(call.id) {
            if call.abandoned {
                world.saw("took effect late");
            }
            let what = format!("{} of n{}", call.what, call.from);
            world.trace.note("step", what.as_bytes());
            world.saw(call.what);
        }
        world.nodes[call.from as usize].run()?;
    }
    Ok(())
}

/// A client connects, asks something, or moves to another coordinator.
fn act(world: &mut World) {
    let client = world.chance.below(world.clients.len());
    let Some(wire) = &world.clients[client].wire else {
        let node = world.chance.below(world.nodes.len());
        return world.connect(client, node);
    };
    let stuck = !world.nodes[wire.node].is_running();
    if world.chance.one_in(if stuck { 3 } else { 40 }) {
        return world.disconnect(client, true);
    }
    if world.chance.one_in(20) {
        take_over(world, client);
    }
    let asked = world.clients[client].act(&mut world.chance);
    if let Some(text) = asked {
        world.trace.note("ask", text.as_bytes());
    }
}

/// A client learns of the session of another program of its agent, and will resume it.
fn take_over(world: &mut World, client: usize) {
    let twin = world.twin_of(client);
    let serves = |client: &Client| client.wire.as_ref().is_some_and(|w| w.session.is_some());
    if !serves(&world.clients[client]) && serves(&world.clients[twin]) {
        world.clients[client].session = world.clients[twin].session.clone();
        world.saw("session taken over");
    }
}

fn time(world: &mut World) -> Checked {
    let us = match world.chance.below(20) {
        0..=11 => world.chance.number(5_000),
        12..=17 => world.chance.number(200_000),
        _ => world.chance.number(2_500_000),
    };
    world.pass_us(us);
    for node in 0..world.nodes.len() {
        if !world.chance.one_in(4) {
            world.nodes[node].run()?;
        }
    }
    Ok(())
}

fn fault(world: &mut World) -> Checked {
    let node = world.chance.below(world.nodes.len());
    let kind = world.chance.below(22);
    world.trace.note("fault", &[kind as u8, node as u8]);
    let what = match kind {
        0 if !world.nodes[node].down => {
            world.crash(node);
            "crash"
        }
        0..=2 => {
            for node in 0..world.nodes.len() {
                if world.nodes[node].down {
                    world.start_again(node);
                }
            }
            "start"
        }
        3 => {
            world.nodes[node].frozen = true;
            "freeze"
        }
        4 | 5 => {
            for node in &mut world.nodes {
                node.frozen = false;
            }
            "thaw"
        }
        6 => {
            world.store.cut(node as u64, true);
            "cut"
        }
        7 | 8 => {
            uncut(world);
            "uncut"
        }
        9 | 10 => {
            world.store.fail_over();
            "failover"
        }
        11 => {
            world.store.end_old_masters();
            "old masters end"
        }
        12 => {
            world.store.kill();
            "store killed"
        }
        13 | 14 => {
            world.store.restart(Restart::Whole);
            "restart with everything"
        }
        15 => {
            world.store.restart(Restart::WithoutTail);
            "restart without the tail"
        }
        16 if world.settings.may_be_emptied => {
            world.store.restart(Restart::Empty);
            "restart with nothing"
        }
        17 if world.settings.may_be_emptied && world.chance.one_in(2) => {
            world.store.empty();
            "emptied"
        }
        16 | 17 => {
            world.store.set_full(false);
            "room"
        }
        18 => {
            world.store.set_full(true);
            "full"
        }
        19 => {
            let us = world.chance.number(7_200_000_000);
            world.jump(node, us);
            "clock jump"
        }
        _ => {
            let calls = world.store.calls();
            if let Some(call) = world.chance.pick(&calls) {
                world.store.break_off(call.id);
            }
            "broken connection"
        }
    };
    world.saw(what);
    world.run_all()
}

fn uncut(world: &mut World) {
    for node in 0..world.nodes.len() {
        world.store.cut(node as u64, false);
    }
}

/// The faults are over: everybody serves again, and all comes out right.
fn calm(world: &mut World) -> Checked {
    world.trace.note("calm", &[]);
    uncut(world);
    world.store.set_full(false);
    if !world.store.reaches(0) {
        world.store.restart(Restart::Whole);
    }
    world.store.end_old_masters();
    for node in 0..world.nodes.len() {
        world.nodes[node].frozen = false;
        if world.nodes[node].down {
            world.start_again(node);
        }
    }
    recover(world)?;
    judge(world)?;
    check_waiting(world)?;
    world.come_to_rest()?;
    judge(world)
}

/// Until every coordinator is established again, and has nothing on its way. Those that wait may wait on.
fn recover(world: &mut World) -> Checked {
    let names = projects();
    for _ in 0..600 {
        world.settle()?;
        let begun: Vec<_> = names
            .iter()
            .filter(|name| world.store.end_of(name).is_some() && world.is_listed(name))
            .collect();
        let up = |node: &Node| {
            let core = node.core();
            let all = begun.iter().all(|name| core.is_established(name)) && core.is_reachable();
            all && core.is_settled()
        };
        if world.nodes.iter().all(up) {
            return Ok(());
        }
        world.pass_us(100_000);
    }
    let lines: Vec<String> = world.nodes.iter().map(Node::describe).collect();
    broken(
        Invariant::Live,
        format!("not everybody serves again: {lines:?}"),
    )
}

/// Nobody reaches the store for a long time. For the journal, none of it passes.
fn outage(world: &mut World) -> Checked {
    const STEPS: u64 = 40;
    const SLACK_MS: u64 = 100;
    read_clocks(world)?;
    judge(world)?;
    let (before, sessions) = (times(world), served(world));
    let from_us = world.now_us;
    let nodes = world.nodes.len() as u64;
    (0..nodes).for_each(|node| world.store.cut(node, true));
    let step_us = world.chance.one_of(&[300_000, 1_500_000, 60_000_000]);
    for _ in 0..STEPS {
        world.pass_us(step_us);
        world.run_all()?;
    }
    // What was sent into the void does not arrive after so long.
    world.store.forget_abandoned();
    uncut(world);
    let to_us = world.now_us;
    world.outages.push(Outage { from_us, to_us });
    world.saw("outage");
    recover(world)?;
    judge(world)?;
    let since_ms = (world.now_us - to_us) / 1_000;
    for (name, now) in times(world) {
        let passed_ms = now - before[&name];
        ensure(
            passed_ms <= since_ms + SLACK_MS,
            Invariant::TimeProof,
            || format!("{name}: {passed_ms} ms passed over an outage and {since_ms} ms after it"),
        )?;
    }
    for (name, session) in sessions {
        let known = world.folds[&name].engine.state().sessions.get(&session);
        let lives = known.is_some_and(|session| session.state == SessionState::Live);
        ensure(lives, Invariant::TimeProof, || {
            format!("session {session} of {name} did not survive an outage: {known:?}")
        })?;
    }
    world.come_to_rest()?;
    judge(world)
}

/// Every coordinator writes what it takes the time to be, in every project.
fn read_clocks(world: &mut World) -> Checked {
    let probe = world.clients.len();
    for node in 0..world.nodes.len() {
        for name in ["default", "side"] {
            let identity = world.clients[0].identity.clone();
            world.clients.push(Client::new(probe, identity, name));
            world.connect(probe, node);
            let params = json!({ "messages": [1_000_000] });
            world.clients[probe].ask("message.ack".to_owned(), params);
            world.come_to_rest()?;
            world.disconnect(probe, false);
            world.clients.pop();
        }
    }
    world.come_to_rest().map(drop)
}

/// What the store's own history says of what the run came across.
fn count_chronicle(world: &mut World) {
    let (seeded, lost) = world.store.chronicle(|chronicle| {
        let lost = projects().iter().any(|name| chronicle.lost_any(name));
        (chronicle.seedings.len() > projects().len(), lost)
    });
    if seeded {
        world.saw("filled again");
    }
    if lost {
        world.saw("records lost");
    }
}
