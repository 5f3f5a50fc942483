//! Commands before they are durable: proposed, collected, sent in batches.

use std::collections::VecDeque;

use serde_json::value::RawValue;

use super::connection::ConnectionId;
use super::core::{Core, CoreOutput, Moment};
use super::parked::Parked;
use super::project::Project;
use super::secret::IssuedSecret;
use crate::engine::Newest;
use crate::engine::command::{Action, Actor, Command};
use crate::engine::ids::{AgentName, CommandId, JournalTime, ProjectName, RequestId, TaskId};
use crate::journal::Entry;
use crate::journal::shared::{Batch, RECORD_COMMANDS_MAX};
use crate::planted::{Bug, is_on};
use crate::protocol::error::RpcError;
use crate::protocol::operations::{ConnectionRequest, Operation};

/// The most bytes of commands in one append to a shared journal, unless a single command is larger. It bounds
/// what a reader gets at once, because a read asks for a number of records.
const LINE_BATCH_BYTES_MAX: u64 = 131_072;

/// A command that is not durable yet.
#[derive(Debug)]
pub(super) struct Proposed {
    pub(super) sequence: u64,
    pub(super) project: ProjectName,
    pub(super) at_ms: JournalTime,
    /// The newest record that was applied when it was proposed.
    pub(super) behind: Newest,
    /// Boxed, because it is large and moves between queues.
    pub(super) command: Box<Command>,
    pub(super) body: Vec<u8>,
}

/// What to do when a proposed command was applied.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) request: Option<RequestOrigin>,
    pub(super) extra: Extra,
    /// A claim or acquire that is parked again if it gets nothing.
    pub(super) parked: Option<(u64, Box<Parked>)>,
    pub(super) reserved: Option<TaskId>,
}

/// The origin of a request, for its answer.
#[derive(Debug)]
pub(super) struct RequestOrigin {
    pub(super) connection: ConnectionId,
    pub(super) id: Option<Box<RawValue>>,
    pub(super) operation: Operation,
    pub(super) started: Moment,
}

/// What an answer needs beside the outcome: secrets that never reach the journal, and details of the request.
#[derive(Debug)]
pub(super) enum Extra {
    None,
    Session(IssuedSecret),
    Token(IssuedSecret),
    /// The view of the calling agent.
    OwnAgent,
    /// The agent that was removed.
    Removed(AgentName),
    /// The one submitted task, instead of a list.
    OneTask,
    /// A request for events that waited until this node had caught up.
    Events(Box<ConnectionRequest>),
}

impl Core {
    /// One of the node's own commands.
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
        let opens = matches!(action, Action::SessionOpen(_) | Action::SessionResume(_));
        if opens && self.is_unknown_node(project) {
            // A node without a heartbeat could never be declared dead.
            self.give_sign(now, project);
        }
        self.last_command += 1;
        let sequence = self.last_command;
        let id = CommandId::of(&self.config.node, sequence);
        let command = Box::new(Command {
            id,
            by,
            request_id,
            action,
        });
        let body = serde_json::to_vec(&command).expect("commands always encode as JSON");
        let max = self.config.record_bytes_max;
        if body.len() > max
            && let Some(origin) = &pending.request
        {
            if let Some(known) = self.projects.get_mut(project) {
                // Nothing waits behind this one yet: it is proposed and refused within one call.
                let _ = known.decided(&pending, None);
            }
            return self.send_error(
                now,
                origin,
                &RpcError::limit("record_bytes_max", max as u64),
            );
        }
        let (at_ms, behind) = match self.projects.get_mut(project) {
            Some(project) => (project.reading(now), project.engine.newest()),
            None => Default::default(),
        };
        self.launched(&pending, &command);
        if let Some(known) = self.projects.get_mut(project) {
            known.count_sessions(&command, true);
        }
        self.pending.insert(sequence, pending);
        let proposed = Proposed {
            sequence,
            project: project.clone(),
            at_ms,
            behind,
            command,
            body,
        };
        match self.line_mut(project) {
            Some(line) => line.batch.push_back(proposed),
            None => self.batch.push_back(proposed),
        }
        self.metrics.in_flight.inc();
    }

    /// Counts a command as in progress; `landed` ends that.
    fn launched(&mut self, pending: &Pending, command: &Command) {
        let Some(origin) = &pending.request else {
            return;
        };
        if let (Some(agent), Some(id)) = (command.by.agent(), &command.request_id) {
            let key = (agent.clone(), id.clone());
            *self.repeatable.entry(key).or_default() += 1;
        }
        let claims = u64::from(pending.parked.is_some());
        self.claiming += claims;
        if let Some(connection) = self.connections.get_mut(&origin.connection) {
            let opens = matches!(
                command.action,
                Action::SessionOpen(_) | Action::SessionResume(_)
            );
            connection.opening |= opens;
            connection.in_flight += 1;
            connection.claiming += claims;
        }
    }

    /// How many commands wait to be appended to a shared journal; `None` once they should not wait for
    /// more.
    pub fn gathered(&self) -> Option<usize> {
        let mut lines = self.projects.values().filter_map(|p| p.line.as_ref());
        lines.try_fold(0, |waiting, line| {
            (!line.has_its_share()).then_some(waiting + line.batch.len())
        })
    }

    /// Whether commands can be sent now.
    pub fn wants_flush(&self) -> bool {
        let own = self.appending.is_empty() && !self.probe.under_way && !self.batch.is_empty();
        own || self.projects.values().any(Project::wants_flush)
    }

    /// Sends the next batch, unless one is in progress: its completion sends the next. So under load one sync
    /// serves many commands, and a lone command never waits.
    pub fn flush(&mut self) {
        self.flush_lines();
        if self.sharing() || !self.wants_flush() {
            return;
        }
        let (commands_max, bytes_max) = (self.commands_max(), self.config.driver.batch_bytes_max);
        self.appending = next_batch(&mut self.batch, commands_max, bytes_max);
        let entries = entries_of(&mut self.appending);
        self.outputs.push_back(CoreOutput::Append(entries));
        if is_on(Bug::ReplyBeforeSync) {
            self.reply_before_sync();
        }
    }

    fn commands_max(&self) -> usize {
        usize::try_from(self.config.driver.batch_commands_max).unwrap_or(usize::MAX)
    }

    fn flush_lines(&mut self) {
        let commands_max = self.commands_max();
        for (name, project) in &mut self.projects {
            let Some(line) = project.line.as_mut().filter(|line| line.wants_flush()) else {
                continue;
            };
            let count_max = line.share().min(commands_max).min(RECORD_COMMANDS_MAX);
            line.appending = next_batch(&mut line.batch, count_max, LINE_BATCH_BYTES_MAX);
            // Kept until it is known to be written: if it was not, it is sent again.
            let commands = line.appending.iter().map(|p| (p.at_ms, &*p.body));
            if let Some(batch) = Batch::of_all(commands) {
                self.outputs.push_back(CoreOutput::StreamAppend {
                    project: name.clone(),
                    batch,
                });
            }
        }
    }

    fn sharing(&self) -> bool {
        self.config.sharing.is_some()
    }
}

/// As many commands as one append may carry.
fn next_batch(waiting: &mut VecDeque<Proposed>, count_max: usize, bytes_max: u64) -> Vec<Proposed> {
    let (mut count, mut bytes) = (0, 0);
    for proposed in &*waiting {
        bytes += proposed.body.len() as u64;
        if count > 0 && (count >= count_max || bytes > bytes_max) {
            break;
        }
        count += 1;
    }
    waiting.drain(..count).collect()
}

/// The written form of the commands; their bodies are not needed again.
fn entries_of(batch: &mut [Proposed]) -> Vec<Entry> {
    let entries = batch.iter_mut().map(|proposed| Entry {
        project: proposed.project.clone(),
        at_ms: proposed.at_ms,
        body: std::mem::take(&mut proposed.body),
    });
    entries.collect()
}
