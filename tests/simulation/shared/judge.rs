//! The judge: folds the line that survives, and holds against it what everybody was told.

use std::collections::BTreeMap;

use cli_coordinator::engine::Engine;
use cli_coordinator::engine::agents::SessionState;
use cli_coordinator::engine::command::{Action, Actor, Command};
use cli_coordinator::engine::ids::{Cursor, Position, ProjectName, SessionId};
use cli_coordinator::journal::shared::sim_store::Written;
use serde_json::Value;

use super::client::{Client, Story};
use super::fold::{Fold, Time, line_of};
use super::world::{World, project, projects};
use crate::simulation::violation::{Checked, Invariant, broken, ensure};

/// An answer that a client got to a request that it can name.
#[derive(Debug, Clone)]
pub(crate) struct Ack {
    pub(crate) client: usize,
    pub(crate) project: ProjectName,
    pub(crate) agent: String,
    pub(crate) request_id: String,
    /// What must never be different.
    pub(crate) essence: String,
    /// The connection that it came over.
    pub(crate) wire: u64,
    pub(crate) order: usize,
}

/// A claim that was answered with nothing.
#[derive(Debug, Clone)]
pub(crate) struct Vain {
    pub(crate) project: ProjectName,
    pub(crate) agent: String,
    pub(crate) request_id: String,
    /// The end of the line when it was asked.
    pub(crate) behind: Cursor,
}

/// Nobody reached the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outage {
    pub(crate) from_us: u64,
    pub(crate) to_us: u64,
}

impl Ack {
    pub(crate) fn essence(method: &str, result: &Value) -> String {
        match method {
            "task.submit" => format!("task {}", result["task"]),
            "task.claim" => {
                let claim = &result["claim"];
                format!("attempt {} {}", claim["task"], claim["fence"])
            }
            "lease.acquire" => format!("lease {} {}", result["lease"], result["fence"]),
            "context.put" => format!("revision {}", result["revision"]),
            _ => "done".to_owned(),
        }
    }
}

/// Holds everything against the line that survives. All faults are over, and nothing is under way.
pub(crate) fn judge(world: &mut World) -> Checked {
    check_seedings(world)?;
    for name in projects() {
        bring_up(world, &name)?;
        check_same(world, &name)?;
        check_snapshot(world, &name)?;
    }
    check_acks(world)?;
    check_vain(world)?;
    check_sessions(world)?;
    check_stories(world)
}

fn bring_up(world: &mut World, name: &ProjectName) -> Checked {
    let end = world.store.end_of(name);
    let (line, twice) = world
        .store
        .chronicle(|chronicle| (line_of(chronicle, name, end), chronicle.given_twice.clone()));
    ensure(twice.is_empty(), Invariant::OneLine, || {
        format!("these cursors stand for two records: {twice:?}")
    })?;
    let time = Time {
        outages: world.outages.clone(),
        jumped_us: world.jumped_us,
    };
    let limits = world.settings.limits().clone();
    let fold = world
        .folds
        .entry(name.clone())
        .or_insert_with(|| Fold::new(&limits));
    fold.follow(&limits, &line, &time, true)?;
    ensure(fold.engine.is_consistent(), Invariant::Same, || {
        format!("the fold of {name} is not consistent")
    })
}

fn check_same(world: &World, name: &ProjectName) -> Checked {
    let fold = &world.folds[name];
    if fold.count == 0 || !world.is_listed(name) {
        // All that knew of it are gone, and so is what the store had of it, or of the list of projects.
        return Ok(());
    }
    for node in &world.nodes {
        let core = node.core();
        let Some((_, engine)) = core.engines().find(|(known, _)| *known == name) else {
            return broken(Invariant::Same, format!("{} lacks {name}", node.name));
        };
        ensure(
            engine.state() == fold.engine.state(),
            Invariant::Same,
            || {
                let lines: Vec<_> = core.lines(node.now()).collect();
                let (is, at) = (engine.state().position, fold.at);
                format!(
                    "{name} at {} is at {is}, the line at {at}; {lines:?}",
                    node.name
                )
            },
        )?;
    }
    Ok(())
}

fn check_snapshot(world: &World, name: &ProjectName) -> Checked {
    let Some(snapshot) = world.store.snapshot_of(name) else {
        return Ok(());
    };
    let line = world
        .store
        .chronicle(|chronicle| line_of(chronicle, name, Some(snapshot.at)));
    let mut engine = Engine::new(world.settings.limits().clone());
    for written in line {
        if let Ok(command) = serde_json::from_slice::<Command>(&written.body) {
            engine.apply(written.at.position, written.at_ms, &command);
        }
    }
    let state = serde_json::to_vec(engine.state()).expect("states are JSON");
    ensure(state == snapshot.state, Invariant::Same, || {
        format!(
            "the snapshot of {name} at {} is not the state there",
            snapshot.at
        )
    })
}

/// Nothing that any of those knew is lost who stood for seeding; unless the store had lost before what
/// the one that filled it still holds: then the two have lines of which neither has seen the other.
fn check_seedings(world: &World) -> Checked {
    world.store.chronicle(|chronicle| {
        for seeding in &chronicle.seedings {
            let told_apart = !seeding.revives;
            for candidate in seeding.standing.iter().filter(|_| told_apart) {
                let knew = chronicle.line(&seeding.project, Some(candidate.known));
                let lost = knew.iter().find(|at| seeding.lost.contains(at));
                ensure(lost.is_none(), Invariant::SeededOnce, || {
                    format!(
                        "n{} filled {} up to {:?}, and {} knew {lost:?}",
                        seeding.from, seeding.project, seeding.covers, candidate.node
                    )
                })?;
            }
        }
        Ok(())
    })
}

fn check_acks(world: &World) -> Checked {
    let mut fences: BTreeMap<(&ProjectName, &str), (&str, &str)> = BTreeMap::new();
    for ack in &world.acks {
        let fold = &world.folds[&ack.project];
        let key = (ack.agent.clone(), ack.request_id.clone());
        let found = fold.answers.get(&key);
        if !found.is_some_and(|found| found.contains(&ack.essence)) {
            check_lost(world, ack)?;
            continue;
        }
        let mut words = ack.essence.split(' ');
        if let (Some("attempt" | "lease"), _, Some(fence)) =
            (words.next(), words.next(), words.next())
        {
            let held = (&*ack.agent, &*ack.essence);
            let other = *fences.entry((&ack.project, fence)).or_insert(held);
            ensure(other == held, Invariant::Exclusive, || {
                format!("fencing token {fence} was given to {other:?} and {held:?}")
            })?;
        }
    }
    Ok(())
}

/// Nobody is told that there is nothing after the same request was granted something.
fn check_vain(world: &World) -> Checked {
    for vain in &world.vain {
        let fold = &world.folds[&vain.project];
        let key = (vain.agent.clone(), vain.request_id.clone());
        let granted = fold.answered_at.get(&key);
        let before = granted.is_some_and(|at| *at <= vain.behind.position);
        ensure(
            !before || !fold.engine.holds(vain.behind),
            Invariant::Once,
            || format!("it was granted at {granted:?} and told nothing later: {vain:?}"),
        )?;
    }
    Ok(())
}

/// What was acknowledged and is not there was lost by the store, and who could know it was told.
fn check_lost(world: &World, ack: &Ack) -> Checked {
    let needle = format!("\"request_id\":\"{}\"", ack.request_id);
    let of_it = |written: &&Written| {
        let body = String::from_utf8_lossy(&written.body);
        body.contains(&needle)
    };
    let lost = world.store.chronicle(|chronicle| {
        let all = chronicle.all(&ack.project).filter(of_it);
        let lost: Vec<Cursor> = all
            .map(|written| written.at)
            .filter(|at| chronicle.is_lost(&ack.project, *at))
            .collect();
        lost
    });
    ensure(!lost.is_empty(), Invariant::Durable, || {
        let written: Vec<(Cursor, u64)> = world.store.chronicle(|chronicle| {
            let all = chronicle.all(&ack.project).filter(of_it);
            all.map(|written| (written.at, written.run)).collect()
        });
        let end = world.folds[&ack.project].at;
        format!(
            "it was acknowledged and is not there, though nothing was lost: {ack:?}; written: \
             {written:?}; the line is at {end}"
        )
    })?;
    let safe = world.settings.waits_for_replica && !world.settings.may_be_emptied;
    ensure(!safe, Invariant::Durable, || {
        format!("the replica had it, and it is lost: {ack:?} {lost:?}")
    })?;
    let open = world.clients[ack.client].wire.as_ref();
    let open = open.is_some_and(|wire| wire.serial == ack.wire && !wire.closing);
    let told = world.told.get(&ack.wire).is_some_and(|by| *by > ack.order);
    ensure(!open || told, Invariant::Durable, || {
        format!("it was acknowledged and lost, and nobody said so: {ack:?} {lost:?}")
    })
}

/// Who goes on as if it had a session has it.
fn check_sessions(world: &World) -> Checked {
    for client in &world.clients {
        let Some(wire) = client.wire.as_ref().filter(|wire| !wire.closing) else {
            continue;
        };
        let (Some(id), fold) = (wire.session, &world.folds[&project(client.project)]) else {
            continue;
        };
        let session = fold.engine.state().sessions.get(&SessionId(id));
        let node = &world.nodes[wire.node];
        let serves =
            session.is_some_and(|s| s.state == SessionState::Live && s.node.as_str() == node.name);
        ensure(serves, Invariant::Honest, || {
            let number = client.number;
            format!(
                "client {number} has session {id} at {}, in truth: {session:?}",
                node.name
            )
        })?;
    }
    Ok(())
}

fn check_stories(world: &World) -> Checked {
    for client in &world.clients {
        let name = project(client.project);
        let fold = &world.folds[&name];
        let last = client.stories.len().saturating_sub(1);
        for (index, story) in client.stories.iter().enumerate() {
            let subscribed = client
                .wire
                .as_ref()
                .is_some_and(|w| w.subscribed && !w.closing);
            let current = index == last && story.open && subscribed;
            if fold.tells(story, current) {
                continue;
            }
            let of_another_line = !current && tells_another_line(world, &name, story);
            ensure(of_another_line, Invariant::Honest, || {
                let heard: Vec<String> = story.heard.iter().map(|(at, _)| at.to_string()).collect();
                let told = fold.events_after(story.from.position);
                let told: Vec<Position> = told.iter().map(|(at, _)| *at).collect();
                format!(
                    "client {} of {name} heard after {}: {heard:?}; the line has {told:?} (current: {current})",
                    client.number, story.from
                )
            })?;
        }
    }
    Ok(())
}

/// Whether a line that was lost is what was told of.
fn tells_another_line(world: &World, name: &ProjectName, story: &Story) -> bool {
    let lines: Vec<Vec<Written>> = world.store.chronicle(|chronicle| {
        let ends = chronicle.ends(name).into_iter();
        ends.map(|end| line_of(chronicle, name, Some(end)))
            .collect()
    });
    let limits = world.settings.limits();
    let time = Time {
        outages: Vec::new(),
        jumped_us: 0,
    };
    lines.iter().any(|line| {
        let mut fold = Fold::new(limits);
        fold.follow(limits, line, &time, false).is_ok() && fold.tells(story, false)
    })
}

/// With nothing on its way, nobody waits for what could be had.
pub(crate) fn check_waiting(world: &World) -> Checked {
    for client in &world.clients {
        let Some(wire) = client.wire.as_ref().filter(|wire| !wire.closing) else {
            continue;
        };
        let engine = &world.folds[&project(client.project)].engine;
        let agent = &client.identity.agent;
        for asked in wire.asked.values() {
            let could = match &asked.waits_for {
                Some(Action::TaskClaim(claim)) => engine
                    .claim_candidate(agent, &claim.filter, &|_| false)
                    .is_some(),
                Some(action) => {
                    let by = Actor::Agent {
                        name: agent.clone(),
                        session: wire.session.map(SessionId),
                        role: client.identity.role,
                    };
                    engine.check(&by, action).is_ok()
                }
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

/// What must hold after every step.
pub(crate) fn check_bounds(world: &World) -> Checked {
    let limits = &world.settings.driver;
    for node in world.nodes.iter().filter(|node| !node.down) {
        let (core, now) = (node.core(), node.now());
        let load = core.load();
        let arrivals = core.lines(now).map(|(_, line)| line.waiting).max();
        let sizes = [
            (
                "commands_in_flight_max",
                load.commands,
                limits.commands_in_flight_max,
            ),
            ("waiting_max", load.waiting, limits.waiting_max),
            (
                "frames_queued_max",
                load.frames_queued_most,
                limits.frames_queued_max + 2,
            ),
            ("arrivals", arrivals.unwrap_or(0), ARRIVALS_MAX),
        ];
        for (name, size, max) in sizes {
            ensure(size <= max, Invariant::Bounded, || {
                format!("{name} is {max}, {} has {size}", node.name)
            })?;
        }
    }
    Ok(())
}

/// Records that may wait for one before them: what one answer of the stream brings, and a batch.
const ARRIVALS_MAX: u64 = 2_048;

/// The journal's time in each project, as of the last judgement.
pub(crate) fn times(world: &World) -> BTreeMap<ProjectName, u64> {
    let folds = world.folds.iter();
    folds
        .map(|(name, fold)| (name.clone(), fold.engine.now().0))
        .collect()
}

/// Sessions that their clients are connected with.
pub(crate) fn served(world: &World) -> Vec<(ProjectName, SessionId)> {
    let served = world.clients.iter().filter_map(|client: &Client| {
        let wire = client.wire.as_ref().filter(|wire| !wire.closing)?;
        Some((project(client.project), SessionId(wire.session?)))
    });
    served.collect()
}
