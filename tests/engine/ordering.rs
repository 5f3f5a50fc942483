//! Who gets which task: the engine's choice against one that looks at every task.

use std::cmp::Reverse;

use cli_coordinator::engine::command::{
    Action, AgentUpdate, Capabilities, ClaimFilter, Concurrency, Dependency, HandoffTarget,
    HoldRequest, Labels, TaskClaim, TaskComplete, TaskHandoff, TaskRelease, TaskSpec,
};
use cli_coordinator::engine::ids::{AgentName, TaskId};
use cli_coordinator::engine::limits::Limits;
use cli_coordinator::engine::outcome::Outcome;
use cli_coordinator::engine::state::State;
use cli_coordinator::engine::tasks::{Task, TaskState};
use proptest::collection::{btree_set, vec};
use proptest::option::of;
use proptest::prelude::*;

use super::bench::{Bench, agent, spec};

const NAMES: [&str; 3] = ["ant", "bee", "cat"];

/// First what is kept for the agent, then by priority and age, among all it may take.
fn naive(state: &State, name: &AgentName, filter: &ClaimFilter) -> Option<TaskId> {
    let own = state
        .agents
        .get(name)
        .map(|agent| agent.capabilities.clone())
        .unwrap_or_default();
    let below_cap = |task: &Task| {
        task.concurrency.as_ref().is_none_or(|key| {
            let same = state
                .tasks
                .values()
                .filter(|t| t.concurrency.as_ref() == Some(key));
            let running = same.filter(|t| t.attempt().is_some()).count();
            running < state.concurrency[key] as usize
        })
    };
    let fits = |task: &&Task| {
        task.state == TaskState::Ready
            && below_cap(task)
            && filter.task.is_none_or(|wanted| wanted == task.id)
            && filter.priority_min.is_none_or(|min| task.priority >= min)
            && filter
                .labels
                .iter()
                .all(|(k, v)| task.labels.get(k) == Some(v))
    };
    let ready: Vec<_> = state
        .tasks
        .values()
        .map(|task| &**task)
        .filter(fits)
        .collect();
    let kept = ready
        .iter()
        .filter(|t| t.offer.as_ref().is_some_and(|o| o.agent == *name));
    let open = ready
        .iter()
        .filter(|t| t.offer.is_none() && t.requires.is_subset(&own));
    let order = |task: &&&Task| (Reverse(task.priority), task.id);
    kept.min_by_key(order)
        .or(open.min_by_key(order))
        .map(|task| task.id)
}

#[derive(Debug, Clone)]
enum Step {
    Submit(Box<TaskSpec>),
    Claim(usize, ClaimFilter),
    Complete(usize),
    Release(usize),
    Handoff(usize, usize),
    Able(usize, Capabilities),
}

fn step() -> impl Strategy<Value = Step> {
    let able = || {
        btree_set(
            prop_oneof![Just("rust"), Just("docs")].prop_map(|c| c.parse().expect("a capability")),
            0..3,
        )
    };
    let labels = prop_oneof![
        Just(Labels::new()),
        Just(Labels::from([(
            "k".parse().expect("a label"),
            "v".parse().expect("a value")
        )]))
    ];
    let capped = of((prop_oneof![Just("c1"), Just("c2")], 1..3u32));
    let submit = (-2..3i32, able(), labels.clone(), capped, of(1..6u64));
    let submit = submit.prop_map(|(priority, requires, labels, capped, after)| {
        let concurrency = capped.map(|(key, max)| Concurrency {
            key: key.parse().expect("a key"),
            max,
        });
        let after = after
            .map(|id| Dependency::Task(TaskId(id)))
            .into_iter()
            .collect();
        Step::Submit(Box::new(TaskSpec {
            priority,
            requires,
            labels,
            concurrency,
            after,
            ..spec("task")
        }))
    });
    let filter = (of((1..8u64).prop_map(TaskId)), labels, of(-1..2i32));
    let filter = filter.prop_map(|(task, labels, priority_min)| ClaimFilter {
        task,
        labels,
        priority_min,
    });
    prop_oneof![
        5 => submit,
        4 => (0..3usize).prop_map(|who| Step::Claim(who, ClaimFilter::default())),
        2 => (0..3usize, filter).prop_map(|(who, filter)| Step::Claim(who, filter)),
        2 => (0..3usize).prop_map(Step::Complete),
        1 => (0..3usize).prop_map(Step::Release),
        1 => (0..3usize, 0..3usize).prop_map(|(from, to)| Step::Handoff(from, to)),
        1 => (0..3usize, able()).prop_map(|(who, able)| Step::Able(who, able)),
    ]
}

proptest! {
    #![proptest_config(super::bench::cases(250))]

    #[test]
    fn claims_come_in_order(steps in vec(step(), 1..60)) {
        let mut bench = Bench::new(Limits::default());
        for name in NAMES {
            bench.ask(&agent(name), Action::AgentUpdate(Box::default())).expect("an agent may be there");
        }
        for step in steps {
            match step {
                // It may wait for a task that does not exist: then there is none more.
                Step::Submit(task) => {
                    let action = Action::TaskSubmit(cli_coordinator::engine::command::TaskSubmit { tasks: vec![*task], tells_stuck: true });
                    let _ = bench.ask(&agent("ant"), action);
                }
                Step::Able(who, capabilities) => {
                    let update = AgentUpdate { capabilities: Some(capabilities), ..AgentUpdate::default() };
                    bench.ask(&agent(NAMES[who]), Action::AgentUpdate(Box::new(update))).expect("it may say so");
                }
                Step::Claim(who, filter) => claim(&mut bench, NAMES[who], filter)?,
                Step::Complete(who) => {
                    if let Some((task, fence)) = held(&bench, NAMES[who]) {
                        let complete = TaskComplete { task, fence, result: None, next: None };
                        bench.ask(&agent(NAMES[who]), Action::TaskComplete(complete)).expect("it holds it");
                    }
                }
                Step::Release(who) => {
                    if let Some((task, fence)) = held(&bench, NAMES[who]) {
                        bench.ask(&agent(NAMES[who]), Action::TaskRelease(TaskRelease { task, fence })).expect("it holds it");
                    }
                }
                Step::Handoff(from, to) => {
                    if let Some((task, fence)) = held(&bench, NAMES[from]) {
                        let to = HandoffTarget::Agent(NAMES[to].parse().expect("an agent"));
                        let handoff = TaskHandoff { task, fence, to, offer_ms: 20, note: None, context: None, introduces: std::collections::BTreeSet::new() };
                        bench.ask(&agent(NAMES[from]), Action::TaskHandoff(Box::new(handoff))).expect("it holds it");
                    }
                }
            }
        }
    }
}

fn held(bench: &Bench, name: &str) -> Option<(TaskId, cli_coordinator::engine::ids::FencingToken)> {
    let mut tasks = bench.engine.state().tasks.values();
    tasks.find_map(|task| {
        let attempt = task.attempt().filter(|a| a.agent.as_str() == name)?;
        Some((task.id, attempt.fence))
    })
}

fn claim(bench: &mut Bench, name: &str, filter: ClaimFilter) -> Result<(), TestCaseError> {
    // Time alone may end an offer: the model looks at the state as of the claim.
    let mut waited = bench.clone();
    waited
        .ask(&agent(name), Action::Tick)
        .expect("a tick is never refused");
    let expected = naive(
        waited.engine.state(),
        &name.parse().expect("an agent"),
        &filter,
    );
    let hold = HoldRequest::TtlMs(86_400_000);
    let named = filter.task;
    match bench.ask(&agent(name), Action::TaskClaim(TaskClaim { hold, filter })) {
        Ok(Outcome::Claimed(grant)) => prop_assert_eq!(grant.map(|g| g.task), expected),
        other => {
            let unknown = named.is_some_and(|task| !bench.engine.state().tasks.contains_key(&task));
            prop_assert!(unknown, "{other:?}");
        }
    }
    Ok(())
}
