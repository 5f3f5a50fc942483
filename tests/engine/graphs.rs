//! Dependency graphs: done in order, cycles refused by name, large ones in bounded work.

use std::collections::{BTreeMap, BTreeSet};

use cli_coordinator::engine::command::{
    Action, ClaimFilter, Dependency, HoldRequest, TaskClaim, TaskComplete, TaskSpec, TaskSubmit,
};
use cli_coordinator::engine::ids::TaskId;
use cli_coordinator::engine::limits::Limits;
use cli_coordinator::engine::outcome::{Outcome, Refusal};
use proptest::collection::vec;
use proptest::prelude::*;

use super::bench::{Bench, agent, spec};

fn specs(after: &[Vec<u32>]) -> Vec<TaskSpec> {
    let of = |after: &Vec<u32>| TaskSpec {
        after: after
            .iter()
            .map(|index| Dependency::Index(*index))
            .collect(),
        ..spec("task")
    };
    after.iter().map(of).collect()
}

/// Claims and completes whatever there is; says in which order.
fn work_off(bench: &mut Bench) -> Vec<TaskId> {
    let ant = agent("ant");
    let claim = || TaskClaim {
        hold: HoldRequest::TtlMs(86_400_000),
        filter: ClaimFilter::default(),
    };
    let mut done = Vec::new();
    let mut next = match bench.ask(&ant, Action::TaskClaim(claim())) {
        Ok(Outcome::Claimed(grant)) => grant,
        other => panic!("a claim is answered: {other:?}"),
    };
    while let Some(grant) = next {
        done.push(grant.task);
        let complete = TaskComplete {
            task: grant.task,
            fence: grant.fence,
            result: None,
            next: Some(claim()),
        };
        next = match bench.ask(&ant, Action::TaskComplete(complete)) {
            Ok(Outcome::Completed { next }) => next,
            other => panic!("the holder completes: {other:?}"),
        };
    }
    done
}

/// Whether any task can be reached from itself.
fn has_cycle(after: &[Vec<u32>]) -> bool {
    (0..after.len()).any(|start| {
        let (mut seen, mut todo) = (BTreeSet::new(), after[start].clone());
        while let Some(at) = todo.pop() {
            if at as usize == start {
                return true;
            }
            if seen.insert(at) {
                todo.extend(after.get(at as usize).into_iter().flatten());
            }
        }
        false
    })
}

proptest! {
    #![proptest_config(super::bench::cases(250))]

    #[test]
    fn a_graph_is_done_in_order(shape in vec(vec(0..1_000u32, 0..5), 1..40)) {
        // Every task waits for earlier ones; then the list is turned round, so it names later ones.
        let count = u32::try_from(shape.len()).expect("it is short");
        let mut after: Vec<Vec<u32>> = Vec::new();
        for (index, picks) in (0..count).zip(&shape) {
            let earlier = picks.iter().filter(|_| index > 0).map(|pick| count - 1 - pick % index);
            after.push(earlier.collect());
        }
        after.reverse();
        let mut bench = Bench::new(Limits::default());
        let ids = bench.submit(&agent("ant"), specs(&after));
        let done = work_off(&mut bench);
        prop_assert_eq!(done.len(), ids.len(), "everything gets done");
        let place: BTreeMap<TaskId, usize> = done.iter().enumerate().map(|(at, id)| (*id, at)).collect();
        for (index, waits_for) in after.iter().enumerate() {
            for other in waits_for {
                prop_assert!(place[&ids[*other as usize]] < place[&ids[index]]);
            }
        }
    }

    #[test]
    fn a_cycle_is_refused_by_name(after in vec(vec(0..12u32, 0..3), 1..12)) {
        let count = u32::try_from(after.len()).expect("it is short");
        let after: Vec<Vec<u32>> = after.iter().map(|list| list.iter().map(|i| i % count).collect()).collect();
        let mut bench = Bench::new(Limits::default());
        let submit = Action::TaskSubmit(TaskSubmit { tasks: specs(&after), tells_stuck: false });
        match bench.ask(&agent("ant"), submit) {
            Ok(_) => prop_assert!(!has_cycle(&after)),
            Err(Refusal::Invalid { problem, .. }) => {
                let (_, named) = problem.split_once(": ").expect("the cycle is named");
                let path: Vec<usize> = named
                    .split(" → ")
                    .map(|task| task.trim_start_matches("tasks[").trim_end_matches(']').parse().expect("an index"))
                    .collect();
                prop_assert!(path.len() > 1 && path.first() == path.last(), "{named}");
                for pair in path.windows(2) {
                    prop_assert!(after[pair[0]].iter().any(|i| *i as usize == pair[1]), "{named}");
                }
                prop_assert!(bench.engine.state().tasks.is_empty());
            }
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }
}

#[test]
fn a_submission_at_every_limit_is_done() {
    let limits = Limits::default();
    let count = u32::try_from(limits.tasks_per_submit_max).expect("it is small");
    let most = u32::try_from(limits.dependencies_per_task_max).expect("it is small");
    // Each waits for as many before it as it may.
    let after: Vec<Vec<u32>> = (0..count)
        .map(|index| (index.saturating_sub(most)..index).collect())
        .collect();
    let mut bench = Bench::new(limits);
    let ids = bench.submit(&agent("ant"), specs(&after));
    assert_eq!(work_off(&mut bench), ids);
    let over: Vec<Vec<u32>> = vec![Vec::new(); count as usize + 1];
    let refused = bench.ask(
        &agent("ant"),
        Action::TaskSubmit(TaskSubmit {
            tasks: specs(&over),
            tells_stuck: false,
        }),
    );
    assert!(matches!(refused, Err(Refusal::Limit(limit)) if limit.limit == "tasks_per_submit_max"));
}

#[test]
fn a_chain_as_long_as_may_be_is_done() {
    const LENGTH: usize = 2_000;
    let mut bench = Bench::new(Limits {
        tasks_open_max: LENGTH as u64,
        ..Limits::default()
    });
    let mut before: Option<TaskId> = None;
    for _ in 0..LENGTH {
        let after = before.map(Dependency::Task).into_iter().collect();
        let ids = bench.submit(
            &agent("ant"),
            vec![TaskSpec {
                after,
                ..spec("task")
            }],
        );
        before = ids.first().copied();
    }
    assert_eq!(work_off(&mut bench).len(), LENGTH);
    assert!(bench.engine.is_consistent());
}
