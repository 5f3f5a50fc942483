//! What one record may do to the state, said without the engine's own code.

use cli_coordinator::engine::Engine;
use cli_coordinator::engine::agents::SessionState;
use cli_coordinator::engine::command::{Action, Command, HoldRequest};
use cli_coordinator::engine::event::Event;
use cli_coordinator::engine::hold::Hold;
use cli_coordinator::engine::ids::{FencingToken, TaskId};
use cli_coordinator::engine::leases::Lease;
use cli_coordinator::engine::outcome::{Answer, Outcome};
use cli_coordinator::engine::state::State;
use cli_coordinator::engine::tasks::{Attempt, TaskState};

use super::violation::{Checked, Invariant, ensure};
use crate::naive_ensure as ensured;
use crate::naive_stuck as stuck;

/// One record and its surroundings.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) before: &'a State,
    pub(crate) after: &'a State,
    pub(crate) command: &'a Command,
    pub(crate) answer: &'a Answer,
    pub(crate) event: Option<&'a Event>,
    /// The request was answered before: nothing may happen.
    pub(crate) repeated: bool,
}

pub(crate) fn check(step: &Step<'_>) -> Checked {
    super::seats::check(step)?;
    check_exclusive(step.after)?;
    check_ensured(step)?;
    check_fence_used(step)?;
    check_sessions(step)?;
    check_attempts(step)?;
    check_leases(step)?;
    check_holders(step.after)?;
    check_told(step)?;
    check_tasks(step)
}

/// An event tells of each task that its record made stuck, or free again, and of no other.
fn check_told(step: &Step<'_>) -> Checked {
    let told = stuck::told(step.event);
    let expected = if step.after.tells_stuck {
        stuck::to_tell(step.before, step.after)
    } else {
        Default::default()
    };
    ensure(told == expected, Invariant::Told, || {
        format!(
            "stuck and free are {expected:?}, told was {told:?}: {:?}",
            step.command
        )
    })
}

/// What a session holds ends with it.
fn check_holders(state: &State) -> Checked {
    let attempts = state.tasks.values().filter_map(|task| task.attempt());
    let leases = state.leases.values().filter(|lease| lease.is_held());
    let holds = attempts.map(|a| a.hold).chain(leases.map(|l| l.hold));
    for session in holds.filter_map(|hold| hold.session()) {
        ensure(
            state.sessions.contains_key(&session),
            Invariant::Expires,
            || format!("session {session} ended and still holds something"),
        )?;
    }
    Ok(())
}

/// No two leases that exclude each other are held, however they overlap.
fn check_exclusive(state: &State) -> Checked {
    let held: Vec<&Lease> = state.leases.values().filter(|l| l.is_held()).collect();
    for (index, one) in held.iter().enumerate() {
        for other in held.iter().skip(index + 1) {
            // What an agent ensures may overlap what it holds already.
            let own = one.agent == other.agent && (one.ensured || other.ensured);
            ensure(
                own || !ensured::exclude(one, other),
                Invariant::Exclusive,
                || {
                    let show = |lease: &Lease| {
                        let (tree, held) = (&lease.tree, ensured::texts(&lease.resources));
                        format!("{} holds {held:?} in {tree:?}", lease.agent)
                    };
                    format!("{} while {}", show(one), show(other))
                },
            )?;
        }
    }
    Ok(())
}

/// Who is told that it holds all it asked for does; who is refused has got nothing; and a lease is only renewed when
/// half of its time is over.
fn check_ensured(step: &Step<'_>) -> Checked {
    let Action::LeaseEnsure(asked) = &step.command.action else {
        return Ok(());
    };
    if step.repeated {
        return Ok(());
    }
    let (Ok(outcome), Some(agent)) = (step.answer, step.command.by.agent()) else {
        let granted = step.after.last.fence != step.before.last.fence;
        let what = || format!("refused, and something was granted: {asked:?}");
        return ensure(!granted, Invariant::Ensured, what);
    };
    let (now, held) = (step.after.now, step.after.leases.values());
    let all = ensured::holds_all(&held, agent, asked);
    ensure(all, Invariant::Ensured, || {
        format!("{agent} was told that it holds {asked:?}, but it does not")
    })?;
    if let Outcome::Ensured(ensured) = outcome {
        let told = ensured.leases.iter().all(|told| {
            let lease = step.after.leases.get(&told.lease);
            lease.is_some_and(|it| it.is_held() && it.fence == told.fence && it.agent == *agent)
        });
        ensure(told, Invariant::Ensured, || {
            format!("{agent} was told of leases that it does not hold: {ensured:?}")
        })?;
    }
    // Those that have lapsed by now are not there any more.
    let before = step.before.leases.values();
    let before = before.filter(|lease| lease.hold.expires_at().is_none_or(|at| at > now));
    let before =
        before.filter(|lease| step.after.leases.get(&lease.id).is_some_and(Lease::is_held));
    let spared = ensured::is_spared(&before, agent, asked, now);
    let same = step.before.leases.iter().all(|(id, lease)| {
        let after = step.after.leases.get(id);
        after.is_none_or(|after| after.hold == lease.hold)
    });
    ensure(!spared || same, Invariant::Spared, || {
        format!("renewed before half of the time was over: {asked:?}")
    })
}

/// What was done under a fencing token was done by the holder of the current attempt or lease.
fn check_fence_used(step: &Step<'_>) -> Checked {
    if step.answer.is_err() || step.repeated {
        return Ok(());
    }
    let attempt = |task: TaskId, fence: FencingToken| {
        let current = step.before.tasks.get(&task).and_then(|t| t.attempt());
        let holds =
            current.is_some_and(|a| a.fence == fence && Some(&a.agent) == step.command.by.agent());
        ensure(holds, Invariant::Fenced, || {
            format!(
                "task {task} obeyed fencing token {fence}: {:?}",
                step.command
            )
        })
    };
    let lease = |id, fence| {
        let current = step.before.leases.get(&id).filter(|lease| lease.is_held());
        let holds =
            current.is_some_and(|l| l.fence == fence && Some(&l.agent) == step.command.by.agent());
        ensure(holds, Invariant::Fenced, || {
            format!(
                "lease {id} obeyed fencing token {fence}: {:?}",
                step.command
            )
        })
    };
    match &step.command.action {
        Action::TaskProgress(c) => attempt(c.task, c.fence),
        Action::TaskComplete(c) => attempt(c.task, c.fence),
        Action::TaskFail(c) => attempt(c.task, c.fence),
        Action::TaskRelease(c) => attempt(c.task, c.fence),
        Action::TaskHandoff(c) => attempt(c.task, c.fence),
        Action::LeaseRenew(c) => lease(c.lease, c.fence),
        Action::LeaseRelease(c) => lease(c.lease, c.fence),
        _ => Ok(()),
    }
}

/// A session ends because someone closed it, or because its grace is over.
fn check_sessions(step: &Step<'_>) -> Checked {
    for session in step.before.sessions.values() {
        let closed =
            matches!(&step.command.action, Action::SessionClose(c) if c.session == session.id);
        let over = match session.state {
            SessionState::Grace { until } => until <= step.after.now,
            // Its node lapsed, and then its grace was over, before the record.
            SessionState::Live => {
                let node = step.before.nodes.get(&session.node);
                node.is_some_and(|n| n.until.after_ms(session.grace_ms) <= step.after.now)
            }
        };
        let lives = step.after.sessions.contains_key(&session.id);
        ensure(lives || closed || over, Invariant::TimeProof, || {
            format!("session {} ended before its time: {session:?}", session.id)
        })?;
    }
    for session in step.after.sessions.values() {
        if let SessionState::Grace { until } = session.state {
            let before = step.before.sessions.get(&session.id);
            let fresh = before.is_none_or(|b| b.state == SessionState::Live);
            let due = step.after.now.after_ms(session.grace_ms);
            // Of a node that lapsed, it begins when that fell due.
            let node = step.before.nodes.get(&session.node);
            let lapsed = node.is_some_and(|n| until == n.until.after_ms(session.grace_ms));
            ensure(
                !fresh || until == due || lapsed,
                Invariant::TimeProof,
                || format!("session {} has grace until {until}, not {due}", session.id),
            )?;
        }
    }
    Ok(())
}

/// Whether what held it is over at the time of the record.
fn hold_over(step: &Step<'_>, hold: &Hold) -> bool {
    match hold {
        Hold::Ttl { until, .. } => *until <= step.after.now,
        Hold::Session(session) => !step.after.sessions.contains_key(session),
    }
}

fn agent_removed(step: &Step<'_>, agent: &cli_coordinator::engine::ids::AgentName) -> bool {
    super::seats::removes(step, agent)
}

/// An attempt ends by its holder, by a cancellation, or when its time is over; and it lasts as
/// long as was asked for.
fn check_attempts(step: &Step<'_>) -> Checked {
    for task in step.before.tasks.values() {
        let Some(attempt) = task.attempt() else {
            continue;
        };
        let later = step.after.tasks.get(&task.id).and_then(|t| t.attempt());
        if later.is_some_and(|l| l.fence == attempt.fence) {
            continue;
        }
        let timed_out = attempt.timeout_at.is_some_and(|at| at <= step.after.now);
        let over = hold_over(step, &attempt.hold) || agent_removed(step, &attempt.agent);
        ensure(
            timed_out || over || ended_by(step, task.id, attempt),
            Invariant::TimeProof,
            || {
                format!(
                    "attempt {attempt:?} of task {} ended by {:?}",
                    task.id, step.command
                )
            },
        )?;
    }
    let granted = step.after.tasks.values().filter_map(|task| task.attempt());
    for attempt in granted.filter(|a| a.fence > step.before.last.fence) {
        check_hold(step, &attempt.hold)?;
    }
    Ok(())
}

fn ended_by(step: &Step<'_>, task: TaskId, attempt: &Attempt) -> bool {
    match &step.command.action {
        Action::TaskComplete(c) => c.task == task && c.fence == attempt.fence,
        Action::TaskFail(c) => c.task == task && c.fence == attempt.fence,
        Action::TaskRelease(c) => c.task == task && c.fence == attempt.fence,
        Action::TaskHandoff(c) => c.task == task && c.fence == attempt.fence,
        Action::TaskCancel(c) => c.task == task,
        _ => false,
    }
}

/// A new hold lasts as long as was asked for.
fn check_hold(step: &Step<'_>, hold: &Hold) -> Checked {
    let asked = match &step.command.action {
        Action::TaskClaim(c) => Some(c.hold),
        Action::TaskComplete(c) => c.next.as_ref().map(|next| next.hold),
        Action::LeaseAcquire(c) => Some(c.hold),
        Action::LeaseEnsure(c) => Some(c.hold),
        _ => None,
    };
    let right = match (asked, hold) {
        (Some(HoldRequest::TtlMs(ttl)), Hold::Ttl { until, .. }) => {
            *until == step.after.now.after_ms(ttl)
        }
        (Some(HoldRequest::Session), Hold::Session(session)) => {
            step.command.by.session() == Some(*session) && step.after.sessions.contains_key(session)
        }
        _ => false,
    };
    ensure(right, Invariant::TimeProof, || {
        format!("{asked:?} became {hold:?}")
    })
}

fn check_leases(step: &Step<'_>) -> Checked {
    for lease in step.before.leases.values().filter(|l| l.is_held()) {
        let later = step.after.leases.get(&lease.id);
        if later.is_some_and(Lease::is_held) {
            continue;
        }
        let ended = match &step.command.action {
            Action::LeaseRelease(c) => c.lease == lease.id,
            Action::LeaseRevoke(c) => c.lease == lease.id,
            Action::LeaseGiveBack(c) => {
                let is_own = Some(&lease.agent) == step.command.by.agent();
                is_own && lease.ensured && ensured::is_given_back(lease, c)
            }
            _ => false,
        };
        let over = hold_over(step, &lease.hold) || agent_removed(step, &lease.agent);
        ensure(ended || over, Invariant::TimeProof, || {
            format!("lease {lease:?} ended by {:?}", step.command)
        })?;
    }
    let granted = step.after.leases.values();
    for lease in granted.filter(|l| l.fence > step.before.last.fence) {
        check_hold(step, &lease.hold)?;
    }
    Ok(())
}

/// Tasks are never lost: they go only once they are finished, and done stays done. A claimed one
/// has done all it waits for, and no key has more running than its cap when one is claimed.
fn check_tasks(step: &Step<'_>) -> Checked {
    for task in step.before.tasks.values() {
        let after = step.after.tasks.get(&task.id);
        let finished = !task.state.is_open() || task.attempt().is_some() || touched(step, task.id);
        ensure(after.is_some() || finished, Invariant::Durable, || {
            format!("task {} was forgotten in state {:?}", task.id, task.state)
        })?;
        let reopened =
            task.state == TaskState::Done && after.is_some_and(|t| t.state != TaskState::Done);
        ensure(!reopened, Invariant::Durable, || {
            format!("task {} is not done any more", task.id)
        })?;
    }
    for task in step.after.tasks.values() {
        let Some(attempt) = task.attempt() else {
            continue;
        };
        let waits = task.waiting_on.is_empty() && task.not_before.is_none();
        ensure(waits, Invariant::Exclusive, || {
            format!("task {} was claimed too early", task.id)
        })?;
        if attempt.fence <= step.before.last.fence {
            continue;
        }
        if let Some(key) = &task.concurrency
            && let Some(cap) = step.after.concurrency.get(key)
        {
            let same = step
                .after
                .tasks
                .values()
                .filter(|t| t.concurrency.as_ref() == Some(key));
            let running = same.filter(|t| t.attempt().is_some()).count();
            ensure(
                running as u64 <= u64::from(*cap),
                Invariant::Exclusive,
                || format!("{running} tasks of key {key} run, at most {cap} may"),
            )?;
        }
    }
    Ok(())
}

/// Finished and forgotten by one and the same record.
fn touched(step: &Step<'_>, task: TaskId) -> bool {
    matches!(&step.command.action, Action::TaskCancel(c) if c.task == task)
}

/// The most seats that one principal has.
fn seats_most(state: &State) -> u64 {
    let mut counts: std::collections::BTreeMap<&str, u64> = std::collections::BTreeMap::new();
    for (principal, _) in state
        .agents
        .keys()
        .filter_map(|a| a.as_str().split_once('/'))
    {
        *counts.entry(principal).or_default() += 1;
    }
    counts.into_values().max().unwrap_or(0)
}

/// Nothing is larger than its limit.
pub(crate) fn check_limits(engine: &Engine) -> Checked {
    let (state, limits) = (engine.state(), engine.limits());
    let open = state.tasks.values().filter(|t| t.state.is_open()).count();
    let awaited = |id: &TaskId| state.tasks.values().any(|t| t.waiting_on.contains(id));
    let awaited = state.tasks_finished.iter().filter(|id| awaited(id)).count();
    let finished = state.tasks_finished.len() - awaited;
    // Those that were awaited until now are looked for a few at a time.
    let slack = state.tasks_finished.len() as u64 / 8 + 1;
    let finished_max = limits.tasks_finished_max + if awaited > 0 { slack } else { 0 };
    let bodies: u64 = state.messages.values().map(|m| m.body.bytes()).sum();
    let values: u64 = state.context.values().map(|e| e.value.bytes()).sum();
    let payloads: u64 = state
        .tasks
        .values()
        .map(|task| {
            let own = task.payload.iter().chain(&task.result);
            let passed_on = task.handoff.iter().filter_map(|h| h.context.as_ref());
            own.chain(passed_on)
                .map(cli_coordinator::engine::payload::Payload::bytes)
                .sum::<u64>()
        })
        .sum();
    let answers = state
        .answers
        .values()
        .map(std::collections::VecDeque::len)
        .max();
    let events = state
        .history
        .after(state.history.oldest())
        .map_or(0, Iterator::count);
    let sizes = [
        (
            "seats_per_principal_max",
            seats_most(state),
            limits.seats_per_principal_max,
        ),
        ("agents_max", state.agents.len() as u64, limits.agents_max),
        (
            "sessions_max",
            state.sessions.len() as u64,
            limits.sessions_max,
        ),
        ("tasks_open_max", open as u64, limits.tasks_open_max),
        ("tasks_finished_max", finished as u64, finished_max),
        ("tasks_bytes_max", payloads, limits.tasks_bytes_max),
        ("leases_max", state.leases.len() as u64, limits.leases_max),
        ("messages_bytes_max", bodies, limits.messages_bytes_max),
        (
            "messages_finished_max",
            state.messages_finished.len() as u64,
            limits.messages_finished_max,
        ),
        (
            "context_entries_max",
            state.context.len() as u64,
            limits.context_entries_max,
        ),
        ("context_bytes_max", values, limits.context_bytes_max),
        (
            "concurrency_keys_max",
            state.concurrency.len() as u64,
            limits.concurrency_keys_max,
        ),
        (
            "request_ids_per_agent_max",
            answers.unwrap_or(0) as u64,
            limits.request_ids_per_agent_max,
        ),
        (
            "events_history_max",
            events as u64,
            limits.events_history_max,
        ),
        ("tokens_max", state.tokens.len() as u64, limits.tokens_max),
        (
            "projects_max",
            state.projects.len() as u64,
            limits.projects_max,
        ),
    ];
    for (name, size, max) in sizes {
        ensure(size <= max, Invariant::Bounded, || {
            format!("{name} is {max}, there are {size}")
        })?;
    }
    for agent in state.agents.keys() {
        let mail = state
            .messages
            .values()
            .filter(|m| m.pending.contains_key(agent));
        let (count, bytes) = mail.fold((0, 0), |(n, b), m| (n + 1, b + m.body.bytes()));
        ensure(
            count <= limits.mailbox_messages_max,
            Invariant::Bounded,
            || format!("mailbox_messages_max: {agent} has {count}"),
        )?;
        ensure(
            bytes <= limits.mailbox_bytes_max,
            Invariant::Bounded,
            || format!("mailbox_bytes_max: {agent} has {bytes}"),
        )?;
    }
    Ok(())
}
