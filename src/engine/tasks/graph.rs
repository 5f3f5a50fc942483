//! Dependencies within one submission: they must have an order.
//!
//! A task can only wait for tasks that exist, so a cycle can only arise inside one submission.

use std::collections::BTreeMap;

use super::super::command::{Dependency, TaskSpec};
use super::super::outcome::Refusal;

/// Refuses a submission whose tasks wait for each other in a circle, and names the circle.
pub(super) fn check_acyclic(tasks: &[TaskSpec]) -> Result<(), Refusal> {
    // The usual submission: one task, or independent tasks.
    let within = |spec: &TaskSpec| {
        spec.after
            .iter()
            .any(|on| matches!(on, Dependency::Index(_)))
    };
    if !tasks.iter().any(within) {
        return Ok(());
    }
    let Some(cycle) = cycle(tasks) else {
        return Ok(());
    };
    let names: Vec<String> = cycle.iter().map(|i| format!("tasks[{i}]")).collect();
    Err(Refusal::Invalid {
        path: format!("tasks[{}].after", cycle.first().copied().unwrap_or(0)),
        problem: format!(
            "the tasks wait for each other in a circle: {}",
            names.join(" → ")
        ),
    })
}

/// Which tasks each one waits for, by index. Specs with the same idempotency key are one task: the
/// first, with its dependencies.
fn dependencies(tasks: &[TaskSpec]) -> Vec<Vec<usize>> {
    let mut first_of = BTreeMap::new();
    let same: Vec<usize> = tasks
        .iter()
        .enumerate()
        .map(|(index, spec)| match &spec.idempotency_key {
            Some(key) => *first_of.entry(key).or_insert(index),
            None => index,
        })
        .collect();
    let of = |index: usize, spec: &TaskSpec| {
        let after = if same[index] == index {
            &spec.after[..]
        } else {
            &[]
        };
        let indices = after.iter().filter_map(|dependency| match dependency {
            Dependency::Index(other) => same.get(*other as usize).copied(),
            Dependency::Task(_) => None,
        });
        indices.collect()
    };
    let specs = tasks.iter().enumerate();
    specs.map(|(index, spec)| of(index, spec)).collect()
}

/// The tasks of one cycle, each waiting for the next, the first repeated at the end.
fn cycle(tasks: &[TaskSpec]) -> Option<Vec<usize>> {
    let dependencies = dependencies(tasks);
    let in_order = ordered(&dependencies);
    let start = in_order.iter().position(|placed| !placed)?;
    // Every task left waits for another one left: following them must come back to one seen.
    let mut path = Vec::new();
    let mut at = start;
    loop {
        if let Some(first) = path.iter().position(|seen| *seen == at) {
            path.drain(..first);
            path.push(at);
            return Some(path);
        }
        path.push(at);
        let mut left = dependencies.get(at)?.iter();
        at = *left.find(|next| in_order.get(**next) == Some(&false))?;
    }
}

/// Which tasks can be put in an order, dependencies first (Kahn).
fn ordered(dependencies: &[Vec<usize>]) -> Vec<bool> {
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); dependencies.len()];
    let mut open: Vec<usize> = vec![0; dependencies.len()];
    for (index, after) in dependencies.iter().enumerate() {
        for dependency in after {
            dependents[*dependency].push(index);
            open[index] += 1;
        }
    }
    let mut free: Vec<usize> = (0..open.len()).filter(|i| open[*i] == 0).collect();
    let mut placed = vec![false; open.len()];
    while let Some(index) = free.pop() {
        placed[index] = true;
        for dependent in &dependents[index] {
            open[*dependent] -= 1;
            if open[*dependent] == 0 {
                free.push(*dependent);
            }
        }
    }
    placed
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn check(after: &[&[u32]], expected: Option<&[usize]>) {
        check_with_keys(after, &[], expected);
    }

    fn check_with_keys(after: &[&[u32]], keys: &[&str], expected: Option<&[usize]>) {
        let tasks: Vec<TaskSpec> = after
            .iter()
            .enumerate()
            .map(|(index, indices)| TaskSpec {
                title: "t".parse().expect("a title"),
                payload: None,
                priority: 0,
                requires: BTreeSet::default(),
                labels: BTreeMap::default(),
                after: indices.iter().map(|i| Dependency::Index(*i)).collect(),
                delay_ms: 0,
                idempotency_key: keys.get(index).map(|key| key.parse().expect("a key")),
                attempts_max: 1,
                backoff_ms: 0,
                attempt_timeout_ms: None,
                concurrency: None,
            })
            .collect();
        assert_eq!(cycle(&tasks).as_deref(), expected);
    }

    #[test]
    fn chains_and_diamonds_have_an_order() {
        check(&[], None);
        check(&[&[1], &[2], &[]], None);
        check(&[&[], &[0], &[0], &[1, 2], &[3, 3]], None);
    }

    #[test]
    fn one_idempotency_key_is_one_task() {
        check_with_keys(&[&[1], &[2], &[]], &["a", "b", "a"], Some(&[0, 1, 0]));
        // What a repetition would wait for counts for nothing.
        check_with_keys(&[&[], &[0], &[1]], &["a", "b", "a"], None);
    }

    #[test]
    fn a_cycle_is_named_without_its_tail() {
        check(&[&[0]], Some(&[0, 0]));
        check(&[&[1], &[2], &[1]], Some(&[1, 2, 1]));
        check(&[&[], &[2, 0], &[3], &[1]], Some(&[1, 2, 3, 1]));
    }
}
