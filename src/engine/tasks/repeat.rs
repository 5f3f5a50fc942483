//! A submission under a known idempotency key: the task that it found, and how they differ.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;

use super::super::Engine;
use super::super::command::{Capabilities, Dependency, TaskSpec, TaskSubmit};
use super::super::ids::TaskId;
use super::super::outcome::{KnownTask, Submitted};
use super::super::payload::Payload;
use super::{AsSubmitted, Task, TaskState};

/// Up to which depth payloads are compared as JSON; deeper parts are compared as text.
const JSON_DEPTH_MAX: u32 = 32;

impl Engine {
    /// Adds to each task of a submission what it found and why the task cannot run now. For a `repeated`
    /// request, also how it differs from the one that created the task.
    pub(in super::super) fn describe_submitted(
        &self,
        submit: &TaskSubmit,
        submitted: &mut [Submitted],
        repeated: bool,
    ) {
        let ids: Vec<TaskId> = submitted.iter().map(|given| given.task).collect();
        let mut roots = self.roots();
        for (spec, given) in submit.tasks.iter().zip(submitted) {
            // A repeated request may name a task that was deleted since.
            let Some(task) = self.state.tasks.get(&given.task) else {
                continue;
            };
            given.stuck = roots.of(task);
            if !given.existing && !repeated {
                continue;
            }
            let differs = differences(spec, task, &ids);
            if given.existing || !differs.is_empty() {
                given.found = Some(Box::new(KnownTask {
                    state: task.state.clone(),
                    last_error: task.last_error.clone(),
                    differs,
                }));
            }
        }
    }

    /// The part of a submission that is stored to compare a repetition with it.
    pub(super) fn as_submitted(&self, spec: &TaskSpec) -> Option<Box<AsSubmitted>> {
        let kept = spec.idempotency_key.is_some() && self.tells_stuck();
        kept.then(|| {
            Box::new(AsSubmitted {
                delay_ms: spec.delay_ms,
                concurrency_max: spec.concurrency.as_ref().map(|c| c.max),
                requires_added: Capabilities::new(),
            })
        })
    }
}

/// The fields of a submission that differ from the task, by their names in the protocol.
fn differences(spec: &TaskSpec, task: &Task, ids: &[TaskId]) -> Vec<&'static str> {
    let after: BTreeSet<TaskId> = resolved(&spec.after, ids, task.id).collect();
    let payloads = (spec.payload.as_ref(), task.payload.as_ref());
    let same = [
        ("title", spec.title == task.title),
        ("payload", same_payload(payloads.0, payloads.1)),
        ("priority", spec.priority == task.priority),
        ("requires", same_requires(spec, task)),
        ("labels", spec.labels == task.labels),
        ("after", after == task.after),
        ("delay_ms", same_delay(spec, task)),
        ("attempts_max", spec.attempts_max == task.attempts_max),
        ("backoff_ms", spec.backoff_ms == task.backoff_ms),
        (
            "attempt_timeout_ms",
            spec.attempt_timeout_ms == task.attempt_timeout_ms,
        ),
        ("concurrency", same_concurrency(spec, task)),
    ];
    let differing = same.into_iter().filter(|(_, same)| !same);
    differing.map(|(name, _)| name).collect()
}

/// The dependencies of a specification, without itself.
pub(super) fn resolved(
    after: &[Dependency],
    ids: &[TaskId],
    own: TaskId,
) -> impl Iterator<Item = TaskId> {
    let tasks = after.iter().filter_map(move |dependency| match dependency {
        Dependency::Task(task) => Some(*task),
        Dependency::Index(index) => ids.get(*index as usize).copied(),
    });
    tasks.filter(move |task| *task != own)
}

/// Hand-offs to a capability add to the requirements.
fn same_requires(spec: &TaskSpec, task: &Task) -> bool {
    match &task.as_submitted {
        Some(kept) => {
            let original = task.requires.difference(&kept.requires_added);
            spec.requires.iter().eq(original)
        }
        None if task.handoff.is_some() => spec.requires.is_subset(&task.requires),
        None => spec.requires == task.requires,
    }
}

/// If the delay was not stored, it is known only while the task waits for the first time.
fn same_delay(spec: &TaskSpec, task: &Task) -> bool {
    if let Some(kept) = &task.as_submitted {
        return spec.delay_ms == kept.delay_ms;
    }
    if task.state != TaskState::Blocked || task.state_since != task.submitted_at {
        return true;
    }
    let delay_ms = task
        .not_before
        .map_or(0, |at| at.since_ms(task.submitted_at));
    delay_ms == spec.delay_ms
}

/// If the cap was not stored, only the key is compared: its cap comes from the latest submission.
fn same_concurrency(spec: &TaskSpec, task: &Task) -> bool {
    let key = spec.concurrency.as_ref().map(|c| &c.key);
    let max = spec.concurrency.as_ref().map(|c| c.max);
    let same_max = |kept: &AsSubmitted| kept.concurrency_max == max;
    key == task.concurrency.as_ref() && task.as_submitted.as_deref().is_none_or(same_max)
}

fn same_payload(a: Option<&Payload>, b: Option<&Payload>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => same_json(a.raw(), b.raw(), JSON_DEPTH_MAX),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// Whether two texts are the same JSON: white space and the order of names do not count. Numbers are
/// compared as they are written, so that none is rounded.
fn same_json(a: &RawValue, b: &RawValue, depth: u32) -> bool {
    let (a, b) = (a.get(), b.get());
    if a == b {
        return true;
    }
    if depth == 0 {
        return false;
    }
    match (a.as_bytes().first(), b.as_bytes().first()) {
        (Some(b'{'), Some(b'{')) => {
            let (Some(a), Some(b)) = (parsed::<Members>(a), parsed::<Members>(b)) else {
                return false;
            };
            let same = |(name, value): (&String, &&RawValue)| {
                b.get(name)
                    .is_some_and(|other| same_json(value, other, depth - 1))
            };
            a.len() == b.len() && a.iter().all(same)
        }
        (Some(b'['), Some(b'[')) => {
            let (Some(a), Some(b)) = (parsed::<Vec<&RawValue>>(a), parsed::<Vec<&RawValue>>(b))
            else {
                return false;
            };
            let same = |(a, b): (&&RawValue, &&RawValue)| same_json(a, b, depth - 1);
            a.len() == b.len() && a.iter().zip(&b).all(same)
        }
        (Some(b'"'), Some(b'"')) => {
            parsed::<String>(a).is_some_and(|a| parsed::<String>(b) == Some(a))
        }
        _ => false,
    }
}

type Members<'a> = BTreeMap<String, &'a RawValue>;

fn parsed<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Option<T> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(a: &str, b: &str, same: bool) {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).expect("it is JSON");
        assert_eq!(same_json(&raw(a), &raw(b), JSON_DEPTH_MAX), same, "{a} {b}");
        assert_eq!(same_json(&raw(b), &raw(a), JSON_DEPTH_MAX), same, "{b} {a}");
    }

    #[test]
    fn payloads_are_compared_by_what_they_mean() {
        check(
            r#"{"a":1,"b":[true,null]}"#,
            r#"{ "b" : [ true , null ], "a": 1 }"#,
            true,
        );
        check(r#""A\u00e4""#, "\"A\u{e4}\"", true);
        check("[1,2]", "[2,1]", false);
        check("[1]", "[1,1]", false);
        check(r#"{"a":1}"#, r#"{"a":1,"b":1}"#, false);
        check(r#"{"a":1}"#, r#"{"b":1}"#, false);
        check("1", "1.0", false);
        // Both are the same number to whoever reads them as 64 bits.
        check("123456789012345678901", "123456789012345678902", false);
        check("{}", "[]", false);
        check("null", "false", false);
    }

    #[test]
    fn what_is_nested_too_deep_is_compared_as_text() {
        let nested = |inner: &str| format!("{}{inner}{}", "[".repeat(40_000), "]".repeat(40_000));
        check(&nested("1"), &nested("1"), true);
        check(&nested("1"), &nested("2"), false);
    }
}
