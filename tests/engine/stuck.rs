//! Tasks that cannot run: that each is known and told of, and that an explanation agrees with claims.

use std::collections::BTreeSet;

use cli_coordinator::engine::Engine;
use cli_coordinator::engine::agents::Presence;
use cli_coordinator::engine::command::*;
use cli_coordinator::engine::event::ChangeKind;
use cli_coordinator::engine::ids::{AgentName, FencingToken, TaskId};
use cli_coordinator::engine::limits::Limits;
use cli_coordinator::engine::outcome::{Outcome, Submitted};
use cli_coordinator::engine::tasks::TaskState;
use cli_coordinator::engine::tasks::explain::Reason;
use cli_coordinator::engine::tasks::stuck::Cause;
use proptest::collection::vec;
use proptest::prelude::*;

use super::bench::{Bench, agent, spec};
use super::strategies;
use crate::naive_stuck as naive;

const NAMES: [&str; 4] = ["ant", "bee", "cat", "never-seen"];

fn names() -> Vec<AgentName> {
    let parsed = NAMES.iter().map(|name| name.parse().expect("an agent"));
    parsed.collect()
}

/// Whether an explanation says that this agent, and this task, would come together.
fn says_claimable(engine: &Engine, task: TaskId, name: &AgentName) -> bool {
    let explanation = engine.explain(task).expect("the task is known");
    let reasons = &explanation.tasks[0].reasons;
    let [reason] = &reasons[..] else {
        assert!(!reasons.is_empty(), "task {task} has no reason");
        return false;
    };
    match reason {
        Reason::Offered { agent, .. } => agent == name,
        Reason::Claimable { able } => {
            let able = [&able.free, &able.busy, &able.away, &able.gone];
            let listed = able.iter().any(|some| some.some.contains(name));
            // An agent that is not known yet can do what requires nothing.
            let known = engine.state().agents.contains_key(name);
            listed || (!known && engine.state().tasks[&task].requires.is_empty())
        }
        _ => false,
    }
}

fn is_claimable(engine: &Engine, task: TaskId, name: &AgentName) -> bool {
    let filter = ClaimFilter {
        task: Some(task),
        ..ClaimFilter::default()
    };
    engine.claim_candidate(name, &filter, &|_| false) == Some(task)
}

proptest! {
    #![proptest_config(super::bench::cases(300))]

    #[test]
    fn what_is_stuck_is_known_and_told_and_explained(
        steps in vec((strategies::actor(), strategies::request_id(), strategies::action(), strategies::later()), 1..60),
    ) {
        let mut bench = Bench::new(Limits::default());
        for (by, request_id, action, later_ms) in steps {
            let before = bench.engine.state().clone();
            let event = bench.apply(by, request_id, action.clone(), later_ms).event;
            let (engine, after) = (&bench.engine, bench.engine.state());
            let stuck = naive::stuck(after);
            let mut roots = engine.roots();
            for task in after.tasks.values() {
                let is_stuck = stuck.contains(&task.id);
                prop_assert_eq!(engine.is_stuck(task), is_stuck, "{:?} after {:?}", task, action);
                let causes = roots.of(task);
                prop_assert_eq!(!causes.is_empty(), is_stuck, "{:?}", causes);
                for cause in causes {
                    let root = &after.tasks[&cause.root];
                    let right = match cause.cause {
                        Cause::DependencyDead => root.state == TaskState::Dead,
                        Cause::DependencyCancelled => root.state == TaskState::Cancelled,
                        Cause::DependencyWithoutAgent => root.id != task.id && stuck.contains(&root.id),
                        Cause::NoAgentWithCapability => root.id == task.id,
                    };
                    prop_assert!(right, "{cause:?} of {task:?}");
                }
                for name in names() {
                    let claimable = is_claimable(engine, task.id, &name);
                    prop_assert_eq!(says_claimable(engine, task.id, &name), claimable, "{:?} by {}", task, name);
                }
            }
            let expected = if after.tells_stuck {
                naive::to_tell(&before, after)
            } else {
                Default::default()
            };
            prop_assert_eq!(naive::told(event.as_deref()), expected, "{:?}", action);
        }
    }
}

/// Submits tasks each of which waits for the one before; gives their numbers.
fn chain(bench: &mut Bench, first: Option<TaskId>, length: usize) -> Vec<TaskId> {
    let mut ids: Vec<TaskId> = first.into_iter().collect();
    for _ in 0..length {
        let after = ids.last().copied().map(Dependency::Task);
        let task = TaskSpec {
            after: after.into_iter().collect(),
            ..spec("link")
        };
        ids.extend(bench.submit(&agent("ant"), vec![task]));
    }
    ids
}

fn cancel(bench: &mut Bench, task: TaskId) -> Vec<cli_coordinator::engine::event::Change> {
    let cancel = TaskCancel {
        task,
        reason: Some("not wanted".parse().expect("a note")),
        tells_stuck: false,
    };
    let applied = bench.apply(agent("ant"), None, Action::TaskCancel(cancel), 1);
    applied.answer.expect("its submitter cancels it");
    applied.event.expect("it changes something").changes.clone()
}

#[test]
fn an_event_names_no_more_stuck_tasks_than_it_may_and_counts_the_rest() {
    let mut bench = Bench::new(Limits {
        stuck_changes_per_event_max: 3,
        ..Limits::default()
    });
    let ids = chain(&mut bench, None, 11);
    let changes = cancel(&mut bench, ids[0]);
    let stuck: Vec<_> = changes
        .iter()
        .filter(|change| change.kind == ChangeKind::TaskStuck)
        .collect();
    assert_eq!(stuck.len(), 4);
    assert!(stuck[..3].iter().all(|change| change.root == Some(ids[0])));
    assert_eq!(
        stuck[3].reason.as_deref(),
        Some("7 more tasks are stuck: list the stuck tasks")
    );
    assert_eq!(stuck[3].subject, None);
}

#[test]
fn an_explanation_of_a_long_chain_is_short_and_has_its_end() {
    const LENGTH: usize = 2_000;
    let mut bench = Bench::new(Limits::default());
    let ids = chain(&mut bench, None, LENGTH);
    let last = ids[LENGTH - 1];
    for ended in [false, true] {
        let explanation = bench.engine.explain(last).expect("it is known");
        assert!(explanation.tasks.len() <= 65, "{}", explanation.tasks.len());
        let end = explanation.tasks.last().expect("there is one");
        assert_eq!((end.task.id, end.depth), (ids[0], LENGTH as u64 - 1));
        if !ended {
            cancel(&mut bench, ids[0]);
        }
    }
    let stuck = bench.engine.roots().of(&bench.engine.state().tasks[&last]);
    assert_eq!(stuck.len(), 1);
    assert_eq!(stuck[0].root, ids[0]);
    let explanation = bench.engine.explain(last).expect("it is known");
    let end = &explanation.tasks.last().expect("there is one").reasons;
    let by_whom = matches!(&end[..], [Reason::Cancelled { cancellation: Some(c) }]
        if c.by.as_str() == "ant" && c.reason.is_some());
    assert!(by_whom, "{end:?}");
}

/// A journal from before: the same records give the same events as they did, until one says otherwise.
#[test]
fn records_of_before_tell_nothing_of_stuck_tasks() {
    let mut bench = Bench::new(Limits::default());
    let submit = |tells_stuck| {
        let first = spec("first");
        let second = TaskSpec {
            after: vec![Dependency::Index(0)],
            requires: ["gpu".parse().expect("a capability")].into(),
            ..spec("second")
        };
        let tasks = vec![first, second];
        Action::TaskSubmit(TaskSubmit { tasks, tells_stuck })
    };
    let applied = bench.apply(agent("ant"), None, submit(false), 1);
    let before = serde_json::to_string(&applied.event).expect("events encode");
    assert!(!before.contains("stuck"), "{before}");
    cancel(&mut bench, TaskId(1));
    let state = serde_json::to_string(bench.engine.state()).expect("states encode");
    assert!(
        !state.contains("stuck") && !state.contains("\"cancelled\":{"),
        "{state}"
    );
    // What is stuck is seen all the same.
    assert!(
        bench
            .engine
            .is_stuck(&bench.engine.state().tasks[&TaskId(2)])
    );
    let applied = bench.apply(agent("ant"), None, submit(true), 1);
    let told = naive::told(applied.event.as_deref()).0;
    assert_eq!(told, BTreeSet::from([TaskId(4)]));
}

/// A coordinator that would fold without telling is alive: then nobody tells.
#[test]
fn an_older_coordinator_is_waited_for() {
    let mut bench = Bench::new(Limits::default());
    let node: Actor = Actor::Node("old-1".parse().expect("a node"));
    let alive = |command_format| {
        Action::NodeAlive(NodeAlive {
            node: "old-1".parse().expect("a node"),
            ttl_ms: 60_000,
            command_format,
            port_fingerprint: None,
        })
    };
    for (format, tells) in [(2, false), (3, true)] {
        bench.ask(&node, alive(format)).expect("it is alive");
        let ids = chain(&mut bench, None, 2);
        let changes = cancel(&mut bench, ids[0]);
        let told = changes.iter().any(|c| c.kind == ChangeKind::TaskStuck);
        assert_eq!(told, tells, "format {format}");
        assert_eq!(
            bench.engine.state().tasks[&ids[0]].cancelled.is_some(),
            tells
        );
    }
}

#[test]
fn an_agent_that_goes_takes_its_capabilities_with_it_and_brings_them_back() {
    let mut bench = Bench::new(Limits::default());
    let able = |names: &[&str]| {
        let capabilities = names.iter().map(|name| name.parse().expect("a capability"));
        Action::AgentUpdate(Box::new(AgentUpdate {
            capabilities: Some(capabilities.collect()),
            ..AgentUpdate::default()
        }))
    };
    // Each has one of the two: nobody has both.
    bench
        .ask(&agent("bee"), able(&["gpu"]))
        .expect("it says so");
    bench
        .ask(&agent("cat"), able(&["arm"]))
        .expect("it says so");
    let both = TaskSpec {
        requires: ["gpu", "arm"]
            .map(|c| c.parse().expect("a capability"))
            .into(),
        ..spec("both")
    };
    let task = bench.submit(&agent("ant"), vec![both])[0];
    let behind = chain(&mut bench, Some(task), 1)[1];
    let stuck = BTreeSet::from([task, behind]);
    let told = |bench: &mut Bench, by: &str, action| {
        let event = bench.apply(agent(by), None, action, 1).event;
        naive::told(event.as_deref())
    };
    let nothing = BTreeSet::new();
    let found = told(&mut bench, "cat", able(&["arm", "gpu"]));
    assert_eq!(found, (nothing.clone(), stuck.clone()));
    let found = told(&mut bench, "bee", able(&[]));
    assert_eq!(found, (nothing.clone(), nothing.clone()));
    let gone = Action::AgentRemove(AgentRemove {
        agent: "cat".parse().expect("an agent"),
    });
    assert_eq!(told(&mut bench, "cat", gone), (stuck.clone(), nothing));
    let causes = bench
        .engine
        .roots()
        .of(&bench.engine.state().tasks[&behind]);
    assert_eq!(causes[0].cause, Cause::DependencyWithoutAgent);
    assert_eq!(causes[0].root, task);
}

fn submitted(bench: &mut Bench, task: &TaskSpec) -> Submitted {
    let submit = TaskSubmit {
        tasks: vec![task.clone()],
        tells_stuck: true,
    };
    match bench.ask(&agent("ant"), Action::TaskSubmit(submit)) {
        Ok(Outcome::Submitted(mut all)) => all.remove(0),
        other => panic!("not submitted: {other:?}"),
    }
}

#[test]
fn each_field_of_a_repeated_submission_is_compared() {
    let mut bench = Bench::new(Limits::default());
    let other = bench.submit(&agent("ant"), vec![spec("other")])[0];
    let payload = |text: &str| {
        let raw = serde_json::value::RawValue::from_string(text.to_owned()).expect("JSON");
        Some(cli_coordinator::engine::payload::Payload::new(raw))
    };
    let first = TaskSpec {
        payload: payload(r#"{"a":1,"b":2}"#),
        idempotency_key: Some("key".parse().expect("a key")),
        ..spec("first")
    };
    let made = submitted(&mut bench, &first);
    assert!(!made.existing && made.found.is_none());
    let key = || "cap".parse().expect("a key");
    let repeated: Vec<(Vec<&str>, TaskSpec)> = vec![
        (vec![], first.clone()),
        (
            vec![],
            TaskSpec {
                payload: payload(r#"{ "b": 2, "a": 1 }"#),
                ..first.clone()
            },
        ),
        (
            vec!["title"],
            TaskSpec {
                title: "x".parse().expect("a title"),
                ..first.clone()
            },
        ),
        (
            vec!["payload"],
            TaskSpec {
                payload: payload("1"),
                ..first.clone()
            },
        ),
        (
            vec!["payload"],
            TaskSpec {
                payload: None,
                ..first.clone()
            },
        ),
        (
            vec!["priority"],
            TaskSpec {
                priority: 1,
                ..first.clone()
            },
        ),
        (
            vec!["requires"],
            TaskSpec {
                requires: ["gpu".parse().expect("one")].into(),
                ..first.clone()
            },
        ),
        (
            vec!["labels"],
            TaskSpec {
                labels: [("a".parse().expect("a key"), "b".parse().expect("a value"))].into(),
                ..first.clone()
            },
        ),
        (
            vec!["after"],
            TaskSpec {
                after: vec![Dependency::Task(other)],
                ..first.clone()
            },
        ),
        (
            vec!["attempts_max"],
            TaskSpec {
                attempts_max: 9,
                ..first.clone()
            },
        ),
        (
            vec!["backoff_ms"],
            TaskSpec {
                backoff_ms: 9,
                ..first.clone()
            },
        ),
        (
            vec!["attempt_timeout_ms"],
            TaskSpec {
                attempt_timeout_ms: Some(9),
                ..first.clone()
            },
        ),
        (
            vec!["concurrency"],
            TaskSpec {
                concurrency: Some(Concurrency { key: key(), max: 1 }),
                ..first.clone()
            },
        ),
        (
            vec!["title", "payload"],
            TaskSpec {
                idempotency_key: first.idempotency_key.clone(),
                ..spec("y")
            },
        ),
    ];
    for (differs, again) in &repeated {
        let found = submitted(&mut bench, again);
        assert_eq!(found.task, made.task);
        assert_eq!(&found.found.expect("it was there").differs, differs);
    }
    cancel(&mut bench, made.task);
    let found = submitted(&mut bench, &first).found.expect("it is there");
    assert_eq!(found.state, TaskState::Cancelled);
    assert!(found.differs.is_empty(), "{found:?}");
}

#[test]
fn a_delay_is_compared_while_it_lasts_and_two_of_one_key_in_one_submission_are_told_apart() {
    let mut bench = Bench::new(Limits::default());
    let delayed = TaskSpec {
        delay_ms: 1_000,
        idempotency_key: Some("key".parse().expect("a key")),
        ..spec("later")
    };
    let other = TaskSpec {
        delay_ms: 2_000,
        ..delayed.clone()
    };
    let submit = TaskSubmit {
        tasks: vec![delayed.clone(), other.clone(), delayed.clone()],
        tells_stuck: true,
    };
    let request = Some("r".parse().expect("a request id"));
    for _ in 0..2 {
        let action = Action::TaskSubmit(submit.clone());
        let answer = bench.apply(agent("ant"), request.clone(), action, 1).answer;
        let Ok(Outcome::Submitted(tasks)) = answer else {
            panic!("{answer:?}")
        };
        let differs = |at: usize| tasks[at].found.as_ref().map(|found| found.differs.clone());
        assert_eq!(differs(0), None);
        assert_eq!(differs(1), Some(vec!["delay_ms"]));
        assert_eq!(differs(2), Some(vec![]));
    }
    // The delay and the cap that were asked for are kept, whatever has become of them.
    bench.apply(agent("ant"), None, Action::Tick, 5_000);
    let found = submitted(&mut bench, &other).found.expect("it is known");
    assert_eq!(found.differs, ["delay_ms"]);
}

#[test]
fn what_others_change_is_no_difference() {
    let mut bench = Bench::new(Limits::default());
    let capped = |max, key: Option<&str>| TaskSpec {
        concurrency: Some(Concurrency {
            key: "cpu".parse().expect("a key"),
            max,
        }),
        idempotency_key: key.map(|key| key.parse().expect("a key")),
        ..spec("capped")
    };
    let task = submitted(&mut bench, &capped(1, Some("key"))).task;
    // The latest submission sets the cap, and a hand-off adds to what is required.
    submitted(&mut bench, &capped(2, None));
    let claim = Action::TaskClaim(TaskClaim {
        hold: HoldRequest::TtlMs(10_000),
        filter: ClaimFilter::default(),
    });
    bench.ask(&agent("ant"), claim).expect("there is one");
    bench
        .ask(&agent("ant"), handoff_to("gpu", task))
        .expect("it holds it");
    for (differs, again) in [
        (vec![], capped(1, Some("key"))),
        (vec!["concurrency"], capped(2, Some("key"))),
        (
            vec!["requires"],
            TaskSpec {
                requires: ["gpu".parse().expect("a capability")].into(),
                ..capped(1, Some("key"))
            },
        ),
    ] {
        let found = submitted(&mut bench, &again).found.expect("it is known");
        assert_eq!(found.differs, differs);
    }
}

#[test]
fn a_request_id_that_was_used_for_another_submission_is_told() {
    let mut bench = Bench::new(Limits::default());
    let request = Some("r".parse().expect("a request id"));
    let mut ask = |title| {
        let submit = TaskSubmit {
            tasks: vec![spec(title)],
            tells_stuck: true,
        };
        let action = Action::TaskSubmit(submit);
        match bench.apply(agent("ant"), request.clone(), action, 1).answer {
            Ok(Outcome::Submitted(mut all)) => all.remove(0).found.map(|found| found.differs),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ask("a"), None);
    assert_eq!(ask("a"), None);
    assert_eq!(ask("b"), Some(vec!["title"]));
}

fn handoff_to(capability: &str, task: TaskId) -> Action {
    Action::TaskHandoff(Box::new(TaskHandoff {
        task,
        fence: FencingToken(1),
        to: HandoffTarget::Capability(capability.parse().expect("a capability")),
        offer_ms: 0,
        note: None,
        context: None,
        introduces: std::collections::BTreeSet::new(),
    }))
}

/// What the answers say of the moment is not kept with them: it would be part of the state.
#[test]
fn remarks_are_no_part_of_the_state() {
    let mut bench = Bench::new(Limits::default());
    let task = TaskSpec {
        requires: ["gpu".parse().expect("a capability")].into(),
        ..spec("gpu")
    };
    let submit = TaskSubmit {
        tasks: vec![task],
        tells_stuck: true,
    };
    let request = Some("r".parse().expect("a request id"));
    let mut ask = |action: Action| {
        let answer = bench.apply(agent("bee"), request.clone(), action, 1).answer;
        let text = serde_json::to_string(&bench.engine.state().answers).expect("it encodes");
        assert!(!text.contains("gpu") && !text.contains("stuck"), "{text}");
        let again = Engine::from_state(Limits::default(), bench.engine.state().clone());
        assert_eq!(again.state(), bench.engine.state());
        answer
    };
    for _ in 0..2 {
        match ask(Action::TaskSubmit(submit.clone())) {
            Ok(Outcome::Submitted(tasks)) => assert_eq!(tasks[0].stuck.len(), 1),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn handing_a_task_to_nobody_and_retrying_a_stuck_one_is_answered_with_a_warning() {
    let mut bench = Bench::new(Limits::default());
    let ids = chain(&mut bench, None, 2);
    let claim = Action::TaskClaim(TaskClaim {
        hold: HoldRequest::TtlMs(10_000),
        filter: ClaimFilter::default(),
    });
    bench.ask(&agent("ant"), claim).expect("there is one");
    let handoff = handoff_to("gpu", ids[0]);
    let warned = |answer| match answer {
        Ok(Outcome::Queued(stuck)) => stuck.into_iter().map(|s| (s.cause, s.root)).collect(),
        other => panic!("{other:?}"),
    };
    let found: Vec<_> = warned(bench.ask(&agent("ant"), handoff));
    assert_eq!(found, [(Cause::NoAgentWithCapability, ids[0])]);
    cancel(&mut bench, ids[1]);
    let retry = Action::TaskRetry(TaskRetry { task: ids[1] });
    let found: Vec<_> = warned(bench.ask(&agent("ant"), retry));
    assert_eq!(found, [(Cause::DependencyWithoutAgent, ids[0])]);
}

#[test]
fn each_reason_is_found() {
    let mut bench = Bench::new(Limits::default());
    let ant = agent("ant");
    let cap = || {
        Some(Concurrency {
            key: "cpu".parse().expect("a key"),
            max: 1,
        })
    };
    let ids = bench.submit(
        &ant,
        vec![
            TaskSpec {
                concurrency: cap(),
                backoff_ms: 5_000,
                ..spec("runs")
            },
            TaskSpec {
                concurrency: cap(),
                ..spec("capped")
            },
            TaskSpec {
                delay_ms: 60_000,
                ..spec("later")
            },
            TaskSpec {
                requires: ["gpu".parse().expect("one")].into(),
                ..spec("gpu")
            },
            spec("free"),
        ],
    );
    let claim = |task| {
        Action::TaskClaim(TaskClaim {
            hold: HoldRequest::TtlMs(10_000),
            filter: ClaimFilter {
                task: Some(task),
                ..ClaimFilter::default()
            },
        })
    };
    bench.ask(&agent("bee"), claim(ids[0])).expect("it is free");
    let first = |bench: &Bench, task: TaskId| {
        let explanation = bench.engine.explain(task).expect("it is known");
        explanation.tasks[0].reasons[0].clone()
    };
    let bee = || "bee".parse::<AgentName>().expect("an agent");
    assert!(
        matches!(first(&bench, ids[0]), Reason::Claimed { attempt, presence: Some(Presence::Gone), .. } if attempt.agent == bee())
    );
    assert!(
        matches!(first(&bench, ids[1]), Reason::ConcurrencyCap { cap: 1, running, .. } if running.some == [(ids[0], bee())])
    );
    assert!(matches!(first(&bench, ids[2]), Reason::Delayed { .. }));
    assert!(matches!(first(&bench, ids[3]), Reason::NoAgent { .. }));
    assert!(
        matches!(first(&bench, ids[4]), Reason::Claimable { able } if able.gone.count == 2 && able.count() == 2)
    );
    let fail = Action::TaskFail(TaskFail {
        task: ids[0],
        fence: FencingToken(1),
        error: "boom".parse().expect("a note"),
        retry: true,
    });
    bench.ask(&agent("bee"), fail).expect("it holds it");
    assert!(matches!(
        first(&bench, ids[0]),
        Reason::BacksOff {
            failures: 1,
            last_error: Some(_),
            ..
        }
    ));
    // A claim whose time is over is offered to its agent first.
    bench.ask(&agent("bee"), claim(ids[4])).expect("it is free");
    bench.apply(ant.clone(), None, Action::Tick, 10_001);
    assert!(matches!(first(&bench, ids[4]), Reason::Offered { agent, .. } if agent == bee()));
}
