//! A `lease.ensure` that reaches the coordinator: whether it may be answered without a record, and must be.

use cli_coordinator::driver::ConnectionId;
use cli_coordinator::engine::command::LeaseEnsure;
use cli_coordinator::protocol::operations::{CommandRequest, Request};

use super::world::World;
use crate::naive_ensure as ensured;
use crate::simulation::violation::{Checked, Invariant, ensure};

/// What the state says when the request arrives.
#[derive(Debug)]
pub(crate) struct Ensuring {
    connection: ConnectionId,
    number: u64,
    /// The agent holds all of it.
    held: bool,
    /// And for so long that nothing needs to be written.
    spared: bool,
    asked: LeaseEnsure,
}

impl Ensuring {
    /// Looks at a request whose frame was just taken; `None`: at others.
    pub(crate) fn of(world: &World, connection: ConnectionId, number: u64) -> Option<Self> {
        let wire = world.wires.get(&connection)?;
        let asked = wire.asked.get(&number)?;
        let params = serde_json::value::to_raw_value(&asked.params).ok()?;
        let Ok((_, Request::Command(CommandRequest::LeaseEnsure(params)))) =
            Request::parse(&asked.method, Some(&params))
        else {
            return None;
        };
        // What is under way on this connection may change what it holds, and a repeated request has its answer.
        let delivered = wire.asked.values().filter(|asked| asked.delivered).count();
        let alone = delivered == 1 && params.request_id.is_none();
        let asked = LeaseEnsure::from(params);
        let (_, engine) = world
            .core
            .engines()
            .find(|(name, _)| **name == wire.project)?;
        let agent = &world.clients[wire.client].identity.agent;
        let leases = engine.state().leases.values();
        Some(Self {
            connection,
            number,
            held: ensured::holds_all(&leases, agent, &asked),
            spared: alone && ensured::is_spared(&leases, agent, &asked, engine.now()),
            asked,
        })
    }

    pub(crate) fn check(self, world: &mut World, is_written: bool) -> Checked {
        let needless = is_written && self.spared;
        ensure(!needless, Invariant::Spared, || {
            format!("a record was written for what is held: {:?}", self.asked)
        })?;
        let wire = world.wires.get_mut(&self.connection);
        if let Some(asked) = wire.and_then(|wire| wire.asked.get_mut(&self.number)) {
            // A repeated request is told what it was told before.
            asked.lacks = !is_written && !self.held && asked.params.get("request_id").is_none();
        }
        if !is_written && self.held {
            let seen = "lease.ensure without a record".to_owned();
            *world.seen.entry(seen).or_default() += 1;
        }
        Ok(())
    }
}
