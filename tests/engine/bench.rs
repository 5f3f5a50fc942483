//! An engine with a journal's positions and a clock, for tests that apply one command at a time.

use cli_coordinator::engine::command::{Action, Actor, Command, Role, TaskSpec, TaskSubmit};
use cli_coordinator::engine::ids::{JournalTime, Position, RequestId, TaskId};
use cli_coordinator::engine::limits::Limits;
use cli_coordinator::engine::outcome::{Answer, Outcome};
use cli_coordinator::engine::{Applied, Engine};
use proptest::prelude::ProptestConfig;

/// A failing case is shrunk and printed; no file is written for it.
pub(crate) fn cases(count: u32) -> ProptestConfig {
    ProptestConfig {
        cases: count,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Bench {
    pub(crate) engine: Engine,
}

pub(crate) fn agent(name: &str) -> Actor {
    Actor::Agent {
        name: name.parse().expect("an agent name"),
        session: None,
        role: Role::Agent,
    }
}

pub(crate) fn spec(title: &str) -> TaskSpec {
    TaskSpec {
        title: title.parse().expect("a title"),
        payload: None,
        priority: 0,
        requires: std::collections::BTreeSet::new(),
        labels: std::collections::BTreeMap::new(),
        after: Vec::new(),
        delay_ms: 0,
        idempotency_key: None,
        attempts_max: 3,
        backoff_ms: 0,
        attempt_timeout_ms: None,
        concurrency: None,
    }
}

impl Bench {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            engine: Engine::new(limits),
        }
    }

    /// Applies a command `later_ms` after the one before.
    pub(crate) fn apply(
        &mut self,
        by: Actor,
        request_id: Option<RequestId>,
        action: Action,
        later_ms: u64,
    ) -> Applied {
        let position = Position(self.engine.state().position.0 + 1);
        let command = Command {
            id: format!("c-{position}").parse().expect("a command id"),
            by,
            request_id,
            action,
        };
        self.engine.apply(position, self.later(later_ms), &command)
    }

    pub(crate) fn later(&self, later_ms: u64) -> JournalTime {
        self.engine.now().after_ms(later_ms)
    }

    pub(crate) fn ask(&mut self, by: &Actor, action: Action) -> Answer {
        self.apply(by.clone(), None, action, 1).answer
    }

    pub(crate) fn submit(&mut self, by: &Actor, tasks: Vec<TaskSpec>) -> Vec<TaskId> {
        let submit = TaskSubmit {
            tasks,
            tells_stuck: true,
        };
        match self.ask(by, Action::TaskSubmit(submit)) {
            Ok(Outcome::Submitted(submitted)) => submitted.iter().map(|s| s.task).collect(),
            other => panic!("not submitted: {other:?}"),
        }
    }
}
