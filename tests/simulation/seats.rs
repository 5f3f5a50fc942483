//! What holds for seats, said from the texts of names alone.

use std::collections::BTreeSet;

use cli_coordinator::engine::command::{Action, Recipient};
use cli_coordinator::engine::ids::{AgentName, MessageId};
use cli_coordinator::engine::outcome::Outcome;
use cli_coordinator::engine::state::State;

use super::rules::Step;
use super::violation::{Checked, Invariant, ensure};

pub(crate) fn check(step: &Step<'_>) -> Checked {
    check_closed(step)?;
    check_reached(step)?;
    check_kept(step)
}

fn principal(name: &AgentName) -> &str {
    let text = name.as_str();
    text.split_once('/')
        .map_or(text, |(principal, _)| principal)
}

/// Whether a command removes an agent: by its name, or all of its principal.
pub(crate) fn removes(step: &Step<'_>, agent: &AgentName) -> bool {
    let Action::AgentRemove(remove) = &step.command.action else {
        return false;
    };
    let named = remove.agent.as_str();
    step.answer.is_ok() && (named == agent.as_str() || named == principal(agent))
}

fn sessions(state: &State, agent: &AgentName) -> usize {
    let sessions = state.sessions.values();
    sessions.filter(|session| session.agent == *agent).count()
}

/// Nobody reads for another principal, and none of its seats the mail of another seat.
fn check_closed(step: &Step<'_>) -> Checked {
    let (Some(by), Ok(outcome), false) = (step.command.by.agent(), step.answer, step.repeated)
    else {
        return Ok(());
    };
    let touched: Vec<MessageId> = match outcome {
        Outcome::Taken(taken) => taken.clone(),
        Outcome::Acked { acked, .. } => acked.clone(),
        Outcome::AckedUpTo { .. } => {
            let left = step.before.messages.keys();
            left.copied()
                .filter(|id| !left_by(step, *id).is_empty())
                .collect()
        }
        _ => return Ok(()),
    };
    for id in touched {
        let owners = match outcome {
            // Whose entry was taken is told by who waits for it.
            Outcome::Taken(_) => waiting(step.after, id),
            _ => left_by(step, id),
        };
        let own = |owner: &&AgentName| **owner == *by || owner.as_str() == principal(by);
        ensure(owners.iter().any(own), Invariant::Closed, || {
            format!("{by} read message {id} that waited for {owners:?}")
        })?;
    }
    Ok(())
}

fn waiting(state: &State, id: MessageId) -> Vec<&AgentName> {
    let message = state.messages.get(&id);
    message.into_iter().flat_map(|m| m.pending.keys()).collect()
}

/// Whose mailbox a message left with this record, before its time was over.
fn left_by<'a>(step: &'a Step<'_>, id: MessageId) -> Vec<&'a AgentName> {
    let Some(before) = step.before.messages.get(&id) else {
        return Vec::new();
    };
    if before.expires_at <= step.after.now {
        return Vec::new();
    }
    let after = waiting(step.after, id);
    let pending = before.pending.keys();
    pending.filter(|agent| !after.contains(agent)).collect()
}

/// A message to a principal reaches each of its agents that has a session, and waits if none has one.
fn check_reached(step: &Step<'_>) -> Checked {
    let (Action::MessageSend(send), Ok(Outcome::Sent(sent)), false) =
        (&step.command.action, step.answer, step.repeated)
    else {
        return Ok(());
    };
    let (Recipient::Agent(to), Some(from)) = (&send.to, step.command.by.agent()) else {
        return Ok(());
    };
    let told: BTreeSet<&AgentName> = sent.recipients.iter().map(|(agent, _)| agent).collect();
    let expected: BTreeSet<&AgentName> = if to.as_str() == principal(to) {
        let known = step.after.agents.keys();
        let present = known.filter(|agent| {
            *agent != from && principal(agent) == to.as_str() && sessions(step.after, agent) > 0
        });
        present.collect()
    } else {
        BTreeSet::new()
    };
    let expected = if expected.is_empty() {
        BTreeSet::from([to])
    } else {
        expected
    };
    ensure(told == expected, Invariant::Reached, || {
        format!("a message to {to} went to {told:?}, not to {expected:?}")
    })
}

/// A message leaves a mailbox because its reader says so, or with the agent. A seat that is forgotten held
/// nothing, and nothing else is forgotten.
fn check_kept(step: &Step<'_>) -> Checked {
    for id in step.before.messages.keys() {
        for agent in left_by(step, *id) {
            let read = matches!(step.command.action, Action::MessageAck(_));
            ensure(read || removes(step, agent), Invariant::Kept, || {
                format!(
                    "message {id} left the mailbox of {agent}: {:?}",
                    step.command
                )
            })?;
        }
    }
    for agent in step.before.agents.keys() {
        if step.after.agents.contains_key(agent) || removes(step, agent) {
            continue;
        }
        let tasks = step.before.tasks.values().filter_map(|task| task.attempt());
        let leases = step.before.leases.values().filter(|lease| lease.is_held());
        let messages = step.before.messages.values();
        let held = sessions(step.before, agent)
            + tasks.filter(|attempt| attempt.agent == *agent).count()
            + leases.filter(|lease| lease.agent == *agent).count()
            + messages.filter(|m| m.pending.contains_key(agent)).count();
        let is_seat = principal(agent) != agent.as_str();
        ensure(is_seat && held == 0, Invariant::Kept, || {
            format!(
                "{agent} was forgotten and held {held} things: {:?}",
                step.command
            )
        })?;
    }
    Ok(())
}
