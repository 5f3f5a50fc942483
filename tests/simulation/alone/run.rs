//! One run: random steps with faults, then none, then everything must have come out right.

use std::collections::BTreeMap;

use cli_coordinator::driver::ConnectionId;
use cli_coordinator::engine::command::{Action, Actor, Role};
use cli_coordinator::engine::ids::SessionId;
use cli_coordinator::journal::sim_disk::Fault;
use cli_coordinator::metrics::Metrics;
use cli_coordinator::planted::set_wall_ms;
use serde_json::Value;

use super::network::Wire;
use super::replies::check_error;
use super::settings::ROUNDS;
use super::shadow::Shadow;
use super::world::{DISK_FULL, World};
use crate::simulation::ensuring::Ensuring;
use crate::simulation::seeds::Report;
use crate::simulation::violation::{Checked, Invariant, Violation, broken, ensure};

/// Runs one seed.
pub(crate) fn run(seed: u64, metrics: &Metrics, printed: bool) -> Result<Report, Violation> {
    let mut world = World::new(seed, metrics, printed);
    for _ in 0..ROUNDS {
        round(&mut world)?;
    }
    if world.settings.fills_the_disk {
        fill_the_disk(&mut world)?;
    }
    finish(&mut world)?;
    Ok(Report {
        hash: world.trace.hash,
        seen: world.seen,
    })
}

/// Everybody may do something, in any order; what must hold is checked after each of them.
fn round(world: &mut World) -> Checked {
    if world.chance.one_in(world.settings.fault_one_in) {
        fault(world)?;
        check(world)?;
    }
    for _ in 0..24 {
        match world.chance.below(12) {
            0..=2 => act(world)?,
            3..=5 => deliver(world)?,
            6 | 7 => journal(world)?,
            8 => world.apply()?,
            9..=10 => read(world)?,
            _ => time(world),
        }
        check(world)?;
    }
    Ok(())
}

/// A client connects or asks something.
fn act(world: &mut World) -> Checked {
    let number = world.chance.below(world.clients.len());
    let client = &mut world.clients[number];
    let Some(id) = client.connection else {
        return connect(world, number);
    };
    let Some(wire) = world.wires.get_mut(&id) else {
        return Ok(());
    };
    let Some((method, params)) = client.next(&mut world.chance, wire.asked.len()) else {
        return Ok(());
    };
    let text = wire.ask(method, params, world.chance.one_in(60));
    world.trace.note("ask", text.as_bytes());
    Ok(())
}

fn connect(world: &mut World, number: usize) -> Checked {
    let client = &world.clients[number];
    let identity = client.identity.clone();
    let Ok(project) = world.core.project_of(&identity, Some(client.project)) else {
        return Ok(());
    };
    match world.core.connect(world.now, identity, project.clone()) {
        Ok(id) => {
            world.trace.note("connect", &id.0.to_le_bytes());
            world.clients[number].connection = Some(id);
            world.wires.insert(id, Wire::new(number, project));
            Ok(())
        }
        Err(error) => ensure(world.core.is_draining(), Invariant::Live, || {
            error.to_string()
        }),
    }
}

/// Something on its way arrives, or is lost with its connection.
fn deliver(world: &mut World) -> Checked {
    let ids: Vec<ConnectionId> = world.wires.keys().copied().collect();
    let Some(id) = world.chance.pick(&ids).copied() else {
        return Ok(());
    };
    if world.chance.one_in(150) {
        world.disconnect(id);
        return Ok(());
    }
    deliver_one(world, id)?;
    hear(world, id)
}

/// One frame reaches the core.
fn deliver_one(world: &mut World, id: ConnectionId) -> Checked {
    let Some((text, number)) = world.wires.get_mut(&id).and_then(Wire::next_frame) else {
        return Ok(());
    };
    let ensuring = number.and_then(|number| Some((number, ensuring(world, id, number)?)));
    let commands = world.core.load().commands;
    world.core.frame(world.now, id, &text);
    let is_written = world.core.load().commands > commands;
    world.pump();
    let Some((number, ensuring)) = ensuring else {
        return Ok(());
    };
    ensuring.check(is_written)?;
    let wire = world.wires.get_mut(&id);
    if let Some(asked) = wire.and_then(|wire| wire.asked.get_mut(&number)) {
        asked.lacks = ensuring.lacks(is_written);
    }
    if !is_written && ensuring.held {
        let seen = "lease.ensure without a record".to_owned();
        *world.seen.entry(seen).or_default() += 1;
    }
    Ok(())
}

/// What the state says to a `lease.ensure` whose frame was just taken; `None`: to others.
fn ensuring(world: &World, id: ConnectionId, number: u64) -> Option<Ensuring> {
    let wire = world.wires.get(&id)?;
    let asked = wire.asked.get(&number)?;
    let delivered = wire.asked.values().filter(|asked| asked.delivered).count();
    let mut engines = world.core.engines();
    let (_, engine) = engines.find(|(name, _)| **name == wire.project)?;
    let agent = &world.clients[wire.client].identity.agent;
    Ensuring::of(
        engine,
        agent,
        (&asked.method, &asked.params),
        delivered == 1,
    )
}

/// The connection's writer takes frames.
fn read(world: &mut World) -> Checked {
    let ids: Vec<ConnectionId> = world.wires.keys().copied().collect();
    let Some(id) = world.chance.pick(&ids).copied() else {
        return Ok(());
    };
    let slow = world
        .wires
        .get(&id)
        .is_some_and(|wire| world.clients[wire.client].slow);
    if slow && !world.chance.one_in(8) {
        return Ok(());
    }
    let most = if slow { 1 } else { 8 };
    take(world, id, most);
    if world.chance.one_in(2) {
        hear(world, id)
    } else {
        Ok(())
    }
}

fn take(world: &mut World, id: ConnectionId, most: usize) {
    let mut frames = Vec::new();
    world.core.take_frames(id, most, &mut frames);
    let nothing = frames.is_empty();
    if let Some(wire) = world.wires.get_mut(&id) {
        wire.to_client.extend(frames);
        if nothing && world.core.is_closing(id) && wire.to_client.is_empty() {
            world.disconnect(id);
            return;
        }
    }
    world.pump();
}

/// A client hears what has arrived.
fn hear(world: &mut World, id: ConnectionId) -> Checked {
    while let Some(frame) = world
        .wires
        .get_mut(&id)
        .and_then(|wire| wire.to_client.pop_front())
    {
        world.trace.note("hear", &frame);
        let Ok(value) = serde_json::from_slice::<Value>(&frame) else {
            return broken(Invariant::Answered, "a frame is no JSON");
        };
        understand(world, id, &value)?;
    }
    Ok(())
}

fn understand(world: &mut World, id: ConnectionId, value: &Value) -> Checked {
    let Some(wire) = world.wires.get_mut(&id) else {
        return Ok(());
    };
    let client = &mut world.clients[wire.client];
    let promises = world.promises.entry(wire.project.clone()).or_default();
    let events = world
        .shadows
        .get(&wire.project)
        .map_or(&[][..], |shadow| &shadow.events);
    let params = &value["params"];
    match value["method"].as_str() {
        Some("event") => {
            let position = wire.event(params, events)?;
            promises.event(position);
            *world.seen.entry("event".to_owned()).or_default() += 1;
            client.cursor = params["cursor"].as_str().map(str::to_owned);
            return Ok(());
        }
        Some("events.closed") => {
            *world.seen.entry("events.closed".to_owned()).or_default() += 1;
            return wire.events_closed(params, events);
        }
        Some(other) => {
            *world.seen.entry(other.to_owned()).or_default() += 1;
            return Ok(());
        }
        None => {}
    }
    let asked = value["id"]
        .as_u64()
        .and_then(|number| wire.asked.remove(&number));
    let Some(asked) = asked else {
        return broken(
            Invariant::Answered,
            format!("a reply to nothing asked: {value}"),
        );
    };
    if let Some(error) = value.get("error") {
        let data = &error["data"];
        let kind = data["kind"].as_str().unwrap_or_default();
        let limit = data["limit"].as_str().unwrap_or(kind).to_owned();
        *world.seen.entry(limit).or_default() += 1;
        client.refused(&asked.method, &asked.params, kind);
        return check_error(&asked.method, client.identity.role, error);
    }
    ensure(!asked.lacks, Invariant::Ensured, || {
        format!("was told that it holds what it does not: {asked:?}, {value}")
    })?;
    let result = &value["result"];
    let empty = result["claim"].is_null() && asked.method == "task.claim";
    let what = if empty {
        "nothing to claim"
    } else {
        &asked.method
    };
    *world.seen.entry(what.to_owned()).or_default() += 1;
    match asked.method.as_str() {
        "events.subscribe" | "context.watch" => wire.subscribed(&asked, result),
        "events.unsubscribe" => wire.subscription = None,
        "token.create" => {
            let identity = result["secret"]
                .as_str()
                .and_then(|secret| world.core.authenticate(secret));
            let other = world.clients.iter_mut().find(|c| {
                identity
                    .as_ref()
                    .is_some_and(|i| i.agent == c.identity.agent)
            });
            if let (Some(other), Some(identity)) = (other, identity) {
                other.identity = identity;
            }
        }
        _ => {}
    }
    let Some(wire) = world.wires.get(&id) else {
        return Ok(());
    };
    let client = &mut world.clients[wire.client];
    let told = promises.reply(client, &asked.method, &asked.params, result);
    // The fold is of what is durable: whoever has a reply may rely on it from this moment.
    if let Some(shadow) = world.shadows.get(&wire.project) {
        promises.check(shadow.engine.state())?;
    }
    told
}

/// The journal does a job; if the medium fails, the process ends and starts again.
fn journal(world: &mut World) -> Checked {
    if world.unapplied > 0 && world.chance.one_in(2) {
        world.apply()?;
    }
    // While a batch waits to be applied, the next one is already being made durable.
    if !world.work()? {
        let power = world.chance.one_in(2);
        return world.restart(power);
    }
    Ok(())
}

fn time(world: &mut World) {
    let us = match world.chance.below(100) {
        0..=69 => world.chance.number(3_000),
        70..=91 => world.chance.number(100_000),
        92..=95 => world.chance.number(2_500_000),
        96..=98 => world
            .core
            .next_wakeup()
            .map_or(1, |at| at.since_us(world.now)),
        _ => world.chance.number(7_200_000_000),
    };
    world.pass_us(us);
    // Wall clocks jump: from 1970 to today, back, or a little.
    if world.chance.one_in(3) {
        world.wall_ms = world.chance.number(2_000_000_000_000);
    }
    set_wall_ms(world.wall_ms);
    if world.core.next_wakeup().is_some_and(|at| at <= world.now) && !world.chance.one_in(5) {
        world.tick();
    }
}

fn fault(world: &mut World) -> Checked {
    match world.chance.below(10) {
        0 | 1 => world.restart(true),
        2 => world.restart(false),
        3..=6 => {
            let at = world.disk.operations() + 1 + world.chance.number(6);
            let fault =
                world
                    .chance
                    .one_of(&[Fault::Crash, Fault::Eio, Fault::Enospc, Fault::ShortWrite]);
            world.trace.note("fault", &at.to_le_bytes());
            world.disk.fail_at(at, fault);
            Ok(())
        }
        7 | 8 => {
            let room = world.chance.below(3) * 9_000;
            world.disk.set_capacity(world.disk.used_bytes() + room);
            Ok(())
        }
        _ => {
            world.disk.set_capacity(usize::MAX);
            Ok(())
        }
    }
}

/// There is no room for so long that heartbeats use up the preallocated segments to the last one,
/// and an append is refused; how the coordinator comes out of it, [`finish`] finds out.
fn fill_the_disk(world: &mut World) -> Checked {
    // A heartbeat record takes about 100 bytes of three segments of 16 KiB.
    const HEARTBEATS_MAX: usize = 2_000;
    world.disk.set_capacity(world.disk.used_bytes());
    for _ in 0..HEARTBEATS_MAX {
        if world.seen.contains_key(DISK_FULL) {
            break;
        }
        world.pass_us(5_000_000);
        world.tick();
        settle(world)?;
        check(world)?;
    }
    Ok(())
}

/// What must hold after every step.
fn check(world: &mut World) -> Checked {
    let (load, limits) = (world.core.load(), &world.settings.driver);
    let bounds = [
        (
            "requests_in_flight_max",
            load.requests_in_flight_most,
            limits.requests_in_flight_max,
        ),
        (
            "requests_waiting_max",
            load.requests_waiting_most,
            limits.requests_waiting_max,
        ),
        ("waiting_max", load.waiting, limits.waiting_max),
        // One more says why the connection is closed.
        (
            "frames_queued_max",
            load.frames_queued_most,
            limits.frames_queued_max + 2,
        ),
    ];
    for (name, size, max) in bounds {
        ensure(size <= max, Invariant::Bounded, || {
            format!("{name} is {max}, there are {size}")
        })?;
    }
    ensure(world.core.is_consistent(), Invariant::Consistent, || {
        "what waits or is subscribed".to_owned()
    })?;
    check_waiting(world)
}

/// With nothing on its way, nobody waits for what could be had.
fn check_waiting(world: &World) -> Checked {
    if !world.core.is_settled() {
        return Ok(());
    }
    let engines: BTreeMap<_, _> = world.core.engines().collect();
    for (id, wire) in &world.wires {
        if wire.closing || world.core.is_closing(*id) || !wire.to_client.is_empty() {
            continue;
        }
        let Some(engine) = engines.get(&wire.project) else {
            continue;
        };
        if world.core.has_frames(*id) {
            continue;
        }
        let client = &world.clients[wire.client];
        let agent = &client.identity.agent;
        for asked in wire.asked.values().filter(|asked| asked.delivered) {
            let could = match &asked.waits_for {
                Some(Action::TaskClaim(claim)) => {
                    let candidate = engine.claim_candidate(agent, &claim.filter, &|_| false);
                    candidate.is_some()
                }
                Some(action) => {
                    let by = Actor::Agent {
                        name: agent.clone(),
                        session: client.session.map(SessionId),
                        role: client.identity.role,
                    };
                    engine.check(&by, action).is_ok()
                }
                // Another thread writes it, whatever else is done.
                None if asked.method == "server.backup" => continue,
                None => {
                    let what = format!("nothing is on its way, but unanswered is {asked:?}");
                    return broken(Invariant::Answered, what);
                }
            };
            ensure(!could, Invariant::NoLostWakeUp, || {
                format!("{agent} waits for what could be had: {asked:?}")
            })?;
        }
    }
    Ok(())
}

/// The faults are over: all that was asked is answered, what is due is freed, time goes on.
fn finish(world: &mut World) -> Checked {
    world.disk.set_capacity(usize::MAX);
    for operation in 0..40 {
        // Faults that were to come do not come any more.
        world.disk.heal(world.disk.operations() + operation);
    }
    if world
        .journal
        .as_mut()
        .is_some_and(|journal| journal.prepare().is_err())
    {
        world.restart(true)?;
    }
    rest(world)?;
    keep_busy(world)?;
    // A fault may still have come, and what the restart after it lost falls due too.
    rest(world)?;
    for wire in world.wires.values() {
        ensure(wire.asked.is_empty(), Invariant::Answered, || {
            format!("unanswered: {:?}", wire.asked)
        })?;
    }
    for wire in world.wires.values_mut() {
        let events = world
            .shadows
            .get(&wire.project)
            .map_or(&[][..], |shadow| &shadow.events);
        wire.check_told(events)?;
    }
    for (name, engine) in world.core.engines() {
        let now = engine.now();
        let due = engine.next_deadline().filter(|at| *at <= now);
        ensure(due.is_none(), Invariant::Expires, || {
            format!("{name}: a deadline of {due:?} is left at {now}")
        })?;
    }
    ensure(!world.core.storage_full(), Invariant::Live, || {
        "the disk has room, but new work is refused".to_owned()
    })?;
    world.restart(true)
}

/// Longer than anything waits, holds or rests; in steps that all count.
fn rest(world: &mut World) -> Checked {
    for _ in 0..10 {
        settle(world)?;
        world.pass_us(5_000_000);
        world.tick();
    }
    settle(world)
}

/// Journal time goes on however busy the journal is: it falls behind the uptime by what one record
/// takes, and no further.
fn keep_busy(world: &mut World) -> Checked {
    const RECORDS: u64 = 40;
    const APART_US: u64 = 900;
    const BEHIND_US_MAX: i128 = 10_000;
    let Some(operator) = world
        .clients
        .iter()
        .position(|c| c.identity.role == Role::Operator)
    else {
        return Ok(());
    };
    if world.clients[operator].connection.is_none() {
        connect(world, operator)?;
    }
    let Some(id) = world.clients[operator].connection else {
        return Ok(());
    };
    let mut behind_us = None;
    for _ in 0..RECORDS {
        let Some(wire) = world.wires.get_mut(&id) else {
            return Ok(());
        };
        let project = wire.project.clone();
        let params = serde_json::json!({ "messages": [1_000_000] });
        wire.ask("message.ack".to_owned(), params, false);
        deliver_one(world, id)?;
        // A record is on its way for as long as until the next one comes.
        world.pass_us(APART_US);
        if !world.work()? {
            return Ok(());
        }
        world.apply()?;
        take(world, id, 16);
        hear(world, id)?;
        check(world)?;
        let lag_us = world.shadows.get(&project).map_or(0, Shadow::lag_us);
        let first = *behind_us.get_or_insert(lag_us);
        ensure(lag_us - first <= BEHIND_US_MAX, Invariant::Expires, || {
            format!(
                "{project}: journal time fell behind by {} us",
                lag_us - first
            )
        })?;
    }
    Ok(())
}

/// Delivers, works and reads until nothing moves any more.
fn settle(world: &mut World) -> Checked {
    for _ in 0..400 {
        let before = world.trace.hash;
        let ids: Vec<ConnectionId> = world.wires.keys().copied().collect();
        for id in ids {
            deliver_one(world, id)?;
            take(world, id, 16);
            hear(world, id)?;
        }
        if !world.work()? {
            world.restart(true)?;
        }
        world.apply()?;
        check(world)?;
        let idle =
            world.jobs.is_empty() && world.wires.values().all(|wire| wire.to_core.is_empty());
        if idle && before == world.trace.hash {
            return Ok(());
        }
    }
    broken(Invariant::Live, "it does not come to rest")
}
