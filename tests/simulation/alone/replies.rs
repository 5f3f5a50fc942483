//! What replies and notifications mean: the promises a client may rely on from then on.

use std::collections::BTreeMap;

use cli_coordinator::engine::command::Role;
use cli_coordinator::engine::ids::{LeaseId, MessageId, Position, ProjectName, TaskId};
use cli_coordinator::engine::state::State;
use serde_json::Value;

use super::client::Client;
use crate::simulation::violation::{Checked, Invariant, broken, ensure};

/// What was acknowledged in one project, as far as it holds for ever.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    tasks: u64,
    leases: u64,
    messages: u64,
    sessions: u64,
    fences: u64,
    revisions: u64,
    done: Vec<u64>,
    released: Vec<u64>,
    acked: Vec<(String, u64)>,
    /// Which grant each fencing token stands for.
    grants: BTreeMap<u64, (char, u64)>,
    events: u64,
}

pub(crate) type AllPromises = BTreeMap<ProjectName, Promises>;

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or(0)
}

impl Promises {
    /// Takes in the answer to a request; the client learns from it.
    pub(crate) fn reply(
        &mut self,
        client: &mut Client,
        method: &str,
        params: &Value,
        result: &Value,
    ) -> Checked {
        match method {
            "session.open" => {
                let session = number(result, "session");
                let secret = result["resume_secret"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                self.sessions = self.sessions.max(session);
                client.session = Some(session);
                client.sessions.retain(|(known, _)| *known != session);
                client.sessions.push((session, secret));
                client.cursor = result["cursor"].as_str().map(str::to_owned);
            }
            "session.close" => client.session = None,
            "task.submit" => self.submitted(client, result),
            "task.submit_many" => {
                for task in result["tasks"].as_array().into_iter().flatten() {
                    self.submitted(client, task);
                }
            }
            "task.claim" => self.claimed(client, &result["claim"])?,
            "task.complete" => {
                self.done.push(number(params, "task"));
                forget(&mut client.attempts, number(params, "task"));
                self.claimed(client, &result["next"])?;
            }
            "task.fail" | "task.release" | "task.handoff" => {
                forget(&mut client.attempts, number(params, "task"));
            }
            "lease.acquire" => {
                let (lease, fence) = (number(result, "lease"), number(result, "fence"));
                self.leases = self.leases.max(lease);
                self.granted('l', lease, fence)?;
                client.leases.push((lease, fence));
            }
            "lease.ensure" => {
                let mut asked = params.clone();
                asked.as_object_mut().map(|it| it.remove("request_id"));
                client.ensured = Some(asked);
                for taken in result["leases"].as_array().into_iter().flatten() {
                    let (lease, fence) = (number(taken, "lease"), number(taken, "fence"));
                    self.leases = self.leases.max(lease);
                    self.granted('l', lease, fence)?;
                    if taken["how"] == "taken" {
                        client.leases.push((lease, fence));
                    }
                }
            }
            "lease.release" if params.get("lease").is_some() => {
                self.released.push(number(params, "lease"));
                forget(&mut client.leases, number(params, "lease"));
            }
            "message.send" => self.messages = self.messages.max(number(result, "message")),
            "message.inbox" => {
                let messages = result["messages"].as_array().into_iter().flatten();
                client.messages = messages.map(|m| number(m, "message")).collect();
            }
            "message.ack" => {
                let agent = client.identity.agent.to_string();
                let acked = result["acked"].as_array().into_iter().flatten();
                let acked = acked.filter_map(Value::as_u64);
                self.acked
                    .extend(acked.map(|message| (agent.clone(), message)));
            }
            "context.put" | "context.delete" => {
                client.revision = number(result, "revision");
                self.revisions = self.revisions.max(client.revision);
            }
            "token.create" => {
                let token = result["token"].as_str().unwrap_or_default();
                client.tokens.push(token.to_owned());
            }
            _ => {}
        }
        Ok(())
    }

    fn submitted(&mut self, client: &mut Client, result: &Value) {
        let task = number(result, "task");
        self.tasks = self.tasks.max(task);
        client.tasks.push(task);
    }

    fn claimed(&mut self, client: &mut Client, claim: &Value) -> Checked {
        if claim.is_null() {
            return Ok(());
        }
        let (task, fence) = (number(claim, "task"), number(claim, "fence"));
        self.granted('t', task, fence)?;
        client.tasks.push(task);
        client.attempts.push((task, fence));
        if client.attempts.len() > 6 {
            client.attempts.remove(0);
        }
        Ok(())
    }

    fn granted(&mut self, kind: char, id: u64, fence: u64) -> Checked {
        self.fences = self.fences.max(fence);
        let known = *self.grants.entry(fence).or_insert((kind, id));
        ensure(known == (kind, id), Invariant::Fenced, || {
            format!("fencing token {fence} was given out for {known:?} and for {kind}{id}")
        })
    }

    /// An event was told; everything up to it is durable.
    pub(crate) fn event(&mut self, position: Position) {
        self.events = self.events.max(position.0);
    }

    /// Whether a recovered state has all that was acknowledged.
    pub(crate) fn check(&self, state: &State) -> Checked {
        let last = &state.last;
        let counters = [
            ("task", self.tasks, last.task.0),
            ("lease", self.leases, last.lease.0),
            ("message", self.messages, last.message.0),
            ("session", self.sessions, last.session.0),
            ("fencing token", self.fences, last.fence.0),
            ("revision", self.revisions, last.revision.0),
            ("event", self.events, state.position.0),
        ];
        for (what, acknowledged, found) in counters {
            ensure(acknowledged <= found, Invariant::Durable, || {
                format!("{what} {acknowledged} was acknowledged, the last one found is {found}")
            })?;
        }
        for task in &self.done {
            let known = state.tasks.get(&TaskId(*task));
            if known.is_some_and(|t| t.state.is_open()) {
                return broken(
                    Invariant::Durable,
                    format!("task {task} was completed and is open"),
                );
            }
        }
        for lease in &self.released {
            ensure(
                !state.leases.contains_key(&LeaseId(*lease)),
                Invariant::Durable,
                || format!("lease {lease} was released and is held"),
            )?;
        }
        for (agent, message) in &self.acked {
            let agent = agent.parse().expect("it was an agent name");
            let known = state.messages.get(&MessageId(*message));
            ensure(
                known.is_none_or(|m| !m.pending.contains_key(&agent)),
                Invariant::Durable,
                || format!("{agent} acknowledged message {message} and has it again"),
            )?;
        }
        Ok(())
    }
}

fn forget(held: &mut Vec<(u64, u64)>, id: u64) {
    held.retain(|(known, _)| *known != id);
}

/// Whether a refusal says what the promise P4 asks of it.
pub(crate) fn check_error(method: &str, role: Role, error: &Value) -> Checked {
    let data = &error["data"];
    let kind = data["kind"].as_str().unwrap_or_default();
    let told = match kind {
        "limit_exceeded" => data["limit"].is_string() && data["max"].is_u64(),
        "overloaded" | "unavailable" => data["retry_after_ms"].is_u64(),
        "cursor_expired" | "epoch_changed" => data["cursor"].is_string(),
        "forbidden" => {
            role != Role::Operator || method == "task.progress" || !error["message"].is_null()
        }
        // A backup may fail for reasons of its own; nothing else may.
        "internal" => method == "server.backup",
        other => !other.is_empty(),
    };
    ensure(told, Invariant::Bounded, || {
        format!("{method} was refused without saying what to do: {error}")
    })
}
