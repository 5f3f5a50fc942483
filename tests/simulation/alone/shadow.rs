//! The state folded from scratch, one record at a time, and the rules that each record must keep.
//!
//! The rules look at the state before and after a record, not at how the engine works: an engine
//! that grants what it must not is caught here although live and folded state agree.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cli_coordinator::engine::Engine;
use cli_coordinator::engine::command::Command;
use cli_coordinator::engine::event::{ChangeKind, Event};
use cli_coordinator::engine::ids::{AgentName, FencingToken, JournalTime, Position};
use cli_coordinator::engine::limits::Limits;
use cli_coordinator::engine::outcome::{Answer, Outcome};
use cli_coordinator::engine::state::State;

use crate::simulation::rules;
use crate::simulation::violation::{Checked, Invariant, ensure};

/// One project, folded from its first record.
#[derive(Debug)]
pub(crate) struct Shadow {
    pub(crate) engine: Engine,
    /// Every event there ever was, which no limit forgets.
    pub(crate) events: Vec<Arc<Event>>,
    /// The answers that must be repeated, oldest first.
    answered: BTreeMap<AgentName, VecDeque<(String, &'static str, String)>>,
    /// The least that the uptime was ahead of journal time, so far: it can only grow.
    lag_us: i128,
    fence_last: FencingToken,
}

/// When a record was proposed, in microseconds of uptime: not before, not after.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proposed {
    pub(crate) from_us: u64,
    pub(crate) to_us: u64,
}

impl Shadow {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            engine: Engine::new(limits.clone()),
            events: Vec::new(),
            answered: BTreeMap::new(),
            lag_us: 0,
            fence_last: FencingToken::default(),
        }
    }

    pub(crate) fn position(&self) -> Position {
        self.engine.state().position
    }

    /// Applies one record and checks every rule.
    pub(crate) fn observe(
        &mut self,
        position: Position,
        at_ms: JournalTime,
        body: &[u8],
        proposed: Proposed,
    ) -> Checked {
        let command: Command = match serde_json::from_slice(body) {
            Ok(command) => command,
            Err(error) => {
                let what = format!("record {position} does not read back: {error}");
                return ensure(false, Invariant::Deterministic, || what);
            }
        };
        let before = self.engine.state().clone();
        let applied = self.engine.apply(position, at_ms, &command);
        self.events.extend(applied.event.clone());
        self.check_time(&before, proposed)?;
        let changes = applied.event.iter().flat_map(|event| &event.changes);
        for gone in changes.filter(|change| change.kind == ChangeKind::AgentRemoved) {
            gone.agent.as_ref().map(|agent| self.answered.remove(agent));
        }
        let repeated = self.check_once(&command, &applied.answer)?;
        let after = self.engine.state();
        rules::check(&rules::Step {
            before: &before,
            after,
            command: &command,
            answer: &applied.answer,
            event: applied.event.as_deref(),
            repeated,
        })?;
        self.check_fences(&before)?;
        ensure(self.engine.is_consistent(), Invariant::Consistent, || {
            format!("after {command:?}")
        })?;
        rules::check_limits(&self.engine)
    }

    /// Journal time advances by no more than the uptime did, between any two records; and what is
    /// due by then has happened.
    fn check_time(&mut self, before: &State, proposed: Proposed) -> Checked {
        let now = self.engine.now();
        ensure(now >= before.now, Invariant::TimeProof, || {
            format!("journal time went back from {} to {now}", before.now)
        })?;
        let now_us = i128::from(now.0) * 1_000;
        let most = i128::from(proposed.to_us) - now_us;
        let least = i128::from(proposed.from_us) - now_us;
        // A reading is cut to milliseconds.
        ensure(most + 1_000 >= self.lag_us, Invariant::TimeProof, || {
            let ahead = self.lag_us - most;
            format!(
                "journal time {now} is {ahead} us further than the uptime since an earlier record"
            )
        })?;
        self.lag_us = self.lag_us.max(least);
        let cut_short = self.events.last().is_some_and(|event| {
            event.changes.len() as u64 >= self.engine.limits().changes_per_event_max
        });
        let due = self.engine.next_deadline().filter(|at| *at <= now);
        // A hold of no length falls due at once, and is freed by the next record.
        let fresh = due == Some(now);
        ensure(
            due.is_none() || cut_short || fresh,
            Invariant::Expires,
            || format!("a deadline of {due:?} is left at {now}"),
        )
    }

    /// How far journal time is behind the uptime at most.
    pub(crate) fn lag_us(&self) -> i128 {
        self.lag_us
    }

    fn check_fences(&mut self, before: &State) -> Checked {
        let after = self.engine.state();
        let last = after.last.fence;
        ensure(last >= self.fence_last, Invariant::Fenced, || {
            format!("fencing tokens fell from {} to {last}", self.fence_last)
        })?;
        self.fence_last = last;
        let attempts = after.tasks.values().filter_map(|task| {
            let old = before.tasks.get(&task.id).and_then(|t| t.attempt());
            let new = task
                .attempt()
                .filter(|a| old.map(|o| o.fence) != Some(a.fence))?;
            Some((task.id.0, new.fence))
        });
        let leases = after.leases.values().filter_map(|lease| {
            let known = before.leases.contains_key(&lease.id);
            (!known).then_some((lease.id.0, lease.fence))
        });
        for (id, fence) in attempts.chain(leases) {
            ensure(fence > before.last.fence, Invariant::Fenced, || {
                format!("{id} was granted under {fence}, which is not new")
            })?;
        }
        Ok(())
    }

    /// A repeated request gets what it got before, and does nothing. Says whether it was one.
    fn check_once(
        &mut self,
        command: &Command,
        answer: &Answer,
    ) -> Result<bool, crate::simulation::violation::Violation> {
        let (Some(agent), Some(id)) = (command.by.agent(), &command.request_id) else {
            return Ok(false);
        };
        let name = command.action.name();
        let shown = answer
            .as_ref()
            .map_or_else(|_| "refused".to_owned(), essence);
        let known = self.answered.entry(agent.clone()).or_default();
        if let Some((_, was, earlier)) = known.iter().find(|(known, ..)| known == id.as_str()) {
            let same = *was == name;
            ensure(!same || *earlier == shown, Invariant::Once, || {
                format!("{agent} repeated {id}: {earlier} became {shown}")
            })?;
            return Ok(true);
        }
        let nothing = matches!(answer, Ok(Outcome::Claimed(None)) | Err(_));
        if !nothing && self.engine.state().agents.contains_key(agent) {
            known.push_back((id.as_str().to_owned(), name, shown));
            if known.len() as u64 > self.engine.limits().request_ids_per_agent_max {
                known.pop_front();
            }
        }
        Ok(false)
    }
}

/// An outcome without what may be forgotten since, and what is only true for the moment.
fn essence(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Claimed(Some(grant)) => format!("claim {} {}", grant.task, grant.fence),
        Outcome::Submitted(tasks) => {
            let tasks: Vec<_> = tasks.iter().map(|s| (s.task, s.existing)).collect();
            format!("tasks {tasks:?}")
        }
        Outcome::Queued(_) => "done".to_owned(),
        Outcome::Completed { next } => {
            format!(
                "next {:?}",
                next.as_ref().map(|grant| (grant.task, grant.fence))
            )
        }
        Outcome::Ensured(ensured) => {
            let each = ensured.leases.iter();
            let leases: Vec<_> = each
                .map(|it| (it.lease, it.fence, it.how, &it.asked, it.expires_at))
                .collect();
            format!("ensured {leases:?}")
        }
        other => format!("{other:?}"),
    }
}
