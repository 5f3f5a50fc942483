//! A `lease.ensure` that reaches a coordinator: whether it may be answered without a record, and must be.

use cli_coordinator::engine::Engine;
use cli_coordinator::engine::command::LeaseEnsure;
use cli_coordinator::engine::ids::AgentName;
use cli_coordinator::protocol::operations::{CommandRequest, Request};
use serde_json::Value;

use super::violation::{Checked, Invariant, ensure};
use crate::naive_ensure as ensured;

/// What the coordinator's state says when the request arrives.
#[derive(Debug)]
pub(crate) struct Ensuring {
    /// The agent holds all of it.
    pub(crate) held: bool,
    /// And for so long that nothing needs to be written.
    spared: bool,
    repeatable: bool,
    asked: LeaseEnsure,
}

impl Ensuring {
    /// Looks at a request; `None`: at others. `alone`: nothing else of this connection is under way.
    pub(crate) fn of(
        engine: &Engine,
        agent: &AgentName,
        (method, params): (&str, &Value),
        alone: bool,
    ) -> Option<Self> {
        let params = serde_json::value::to_raw_value(params).ok()?;
        let Ok((_, Request::Command(CommandRequest::LeaseEnsure(params)))) =
            Request::parse(method, Some(&params))
        else {
            return None;
        };
        // What is under way on this connection may change what it holds, and a repeated request has its answer.
        let repeatable = params.request_id.is_some();
        let asked = LeaseEnsure::from(params);
        let leases = engine.state().leases.values();
        Some(Self {
            held: ensured::holds_all(&leases, agent, &asked),
            spared: alone
                && !repeatable
                && ensured::is_spared(&leases, agent, &asked, engine.now()),
            repeatable,
            asked,
        })
    }

    /// Nothing is written for what is held.
    pub(crate) fn check(&self, is_written: bool) -> Checked {
        let needless = is_written && self.spared;
        ensure(!needless, Invariant::Spared, || {
            format!("a record was written for what is held: {:?}", self.asked)
        })
    }

    /// Whether an answer that says yes would be wrong. A repeated request is told what it was told before.
    pub(crate) fn lacks(&self, is_written: bool) -> bool {
        !is_written && !self.held && !self.repeatable
    }
}
