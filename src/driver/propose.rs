//! Commands on their way to the journal: proposed, gathered, sent off in batches.

use serde_json::value::RawValue;

use super::connection::ConnectionId;
use super::core::{Core, Moment, Output};
use super::parked::Parked;
use super::secret::Secret;
use crate::engine::command::{Action, Actor, Command};
use crate::engine::ids::{CommandId, JournalTime, ProjectName, RequestId, TaskId};
use crate::journal::Entry;
use crate::protocol::error::RpcError;
use crate::protocol::operations::Operation;

/// A command on its way to the journal.
#[derive(Debug)]
pub(super) struct Proposed {
    pub(super) sequence: u64,
    pub(super) project: ProjectName,
    pub(super) at_ms: JournalTime,
    pub(super) command: Command,
    pub(super) body: Vec<u8>,
}

/// What is to happen when a proposed command has been applied.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) request: Option<RequestOrigin>,
    pub(super) extra: Extra,
    /// A claim or acquire that waits on if it does not get anything.
    pub(super) parked: Option<(u64, Box<Parked>)>,
    pub(super) reserved: Option<TaskId>,
}

/// Where a request came from, to answer it.
#[derive(Debug)]
pub(super) struct RequestOrigin {
    pub(super) connection: ConnectionId,
    pub(super) id: Option<Box<RawValue>>,
    pub(super) operation: Operation,
    pub(super) started: Moment,
}

/// What an answer needs beside the outcome: secrets that never reach the journal.
#[derive(Debug)]
pub(super) enum Extra {
    None,
    Session(Secret),
    Token(Secret),
}

impl Core {
    /// A command of the node itself.
    pub(super) fn propose_own(&mut self, now: Moment, project: &ProjectName, action: Action) {
        let by = Actor::Node(self.config.node.clone());
        let pending = Pending {
            request: None,
            extra: Extra::None,
            parked: None,
            reserved: None,
        };
        self.propose(now, project, by, None, action, pending);
    }

    /// Puts a command into the next batch. The caller flushes.
    pub(super) fn propose(
        &mut self,
        now: Moment,
        project: &ProjectName,
        by: Actor,
        request_id: Option<RequestId>,
        action: Action,
        pending: Pending,
    ) {
        self.ensure_project(project, now);
        self.last_command += 1;
        let sequence = self.last_command;
        let id: CommandId = format!("{}-{sequence}", self.config.node)
            .parse()
            .expect("a node id and a number fit a command id");
        let command = Command {
            id,
            by,
            request_id,
            action,
        };
        let body = serde_json::to_vec(&command).expect("commands always encode as JSON");
        let max = self.config.record_bytes_max;
        if body.len() > max
            && let Some(origin) = &pending.request
        {
            if let (Some(task), Some(known)) = (pending.reserved, self.projects.get_mut(project)) {
                // Nobody stands behind this claim yet: commands are only proposed and refused
                // here within one call.
                known.reserved.remove(&task);
            }
            return self.send_error(
                now,
                origin,
                &RpcError::limit("record_bytes_max", max as u64),
            );
        }
        let at_ms = match self.projects.get_mut(project) {
            Some(project) => project.reading(now),
            None => JournalTime::default(),
        };
        if let Some(request) = &pending.request {
            let claims = u64::from(pending.parked.is_some());
            self.claiming += claims;
            if let (Some(agent), Some(id)) = (command.by.agent(), &command.request_id) {
                let key = (agent.clone(), id.clone());
                *self.repeatable.entry(key).or_default() += 1;
            }
            if let Some(connection) = self.connections.get_mut(&request.connection) {
                let opens = matches!(
                    command.action,
                    Action::SessionOpen(_) | Action::SessionResume(_)
                );
                connection.opening |= opens;
                connection.in_flight += 1;
                connection.claiming += claims;
            }
        }
        self.pending.insert(sequence, pending);
        self.batch.push_back(Proposed {
            sequence,
            project: project.clone(),
            at_ms,
            command,
            body,
        });
        self.metrics.in_flight.inc();
    }

    /// Whether commands wait to be sent off and nothing keeps them.
    pub fn wants_flush(&self) -> bool {
        self.appending.is_empty() && !self.probe.under_way && !self.batch.is_empty()
    }

    /// Sends the next batch off, unless one is on its way: its completion sends the next, so that
    /// under load one sync serves many, and a lone command never waits.
    pub fn flush(&mut self) {
        if !self.wants_flush() {
            return;
        }
        let limits = &self.config.driver;
        let (mut count, mut bytes) = (0, 0);
        for proposed in &self.batch {
            bytes += proposed.body.len() as u64;
            if count > 0 && (count >= limits.batch_commands_max || bytes > limits.batch_bytes_max) {
                break;
            }
            count += 1;
        }
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.appending = self.batch.drain(..count.min(self.batch.len())).collect();
        let entries = self
            .appending
            .iter_mut()
            .map(|proposed| Entry {
                project: proposed.project.clone(),
                at_ms: proposed.at_ms,
                body: std::mem::take(&mut proposed.body),
            })
            .collect();
        self.outputs.push_back(Output::Append(entries));
        #[cfg(feature = "planted-bugs")]
        self.planted_reply_before_sync();
    }
}
