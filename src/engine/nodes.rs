//! Coordinators that share a journal: who is alive, what they understand, and the epochs of the journal.
//!
//! A node is known in a project while it serves sessions there. Its heartbeats are records, so all nodes
//! agree when it is dead: when journal time exceeds its last heartbeat by the time-to-live that it announced.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Engine;
use super::agents::SessionState;
use super::command::{EpochStart, LostReason, NodeAlive};
use super::event::{Change, ChangeKind, Subject};
use super::ids::{Cursor, Epoch, JournalTime, NodeId, PortFingerprint, Position, SessionId};
use super::limits::{Limits, check_limit};
use super::outcome::Refusal;

/// The highest format of commands that this program understands and writes.
///
/// 1: everything an embedded journal has. 2: several coordinators (`node.alive`, `epoch.start`). 3: events
/// report stuck tasks (`tells_stuck`); files, and globs that cover everything below (`file:` and `glob:` in
/// `lease.acquire`); known forms with new fields (see `Action::format`). 4: `lease.ensure`, trees, and seats.
pub const COMMAND_FORMAT: u32 = 4;
/// The first format in which nodes report stuck tasks.
pub const STUCK_FORMAT: u32 = 3;
/// The first format that has `lease.ensure`, and trees.
pub const ENSURE_FORMAT: u32 = 4;
/// The first format in which names of agents may have a seat.
pub const SEAT_FORMAT: u32 = 4;
/// The first format in which a deployment may have more projects than [`PROJECTS_MAX_BEFORE`].
const PROJECTS_FORMAT: u32 = 4;
/// The `projects_max` of older formats.
const PROJECTS_MAX_BEFORE: u64 = 64;

/// A coordinator that serves sessions of the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// When it counts as dead unless it sends another heartbeat.
    pub until: JournalTime,
    /// The highest format of commands that it understands.
    pub command_format: u32,
    /// The fingerprint of its port configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_fingerprint: Option<PortFingerprint>,
}

/// A past epoch, and its last position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastEpoch {
    pub epoch: Epoch,
    pub end: Position,
}

impl Engine {
    /// The newest format of commands that every coordinator of the project understands; newer commands must
    /// not be written yet. `own` is the format of this one.
    pub fn command_format(&self, own: u32) -> u32 {
        let known = self.state.nodes.values().map(|node| node.command_format);
        known.fold(own, u32::min)
    }

    /// How many projects there may be. A coordinator of an older format would refuse the record that creates
    /// one more, and its state would then differ from ours.
    pub(super) fn projects_max(&self) -> u64 {
        let max = self.limits.projects_max;
        if self.command_format(PROJECTS_FORMAT) < PROJECTS_FORMAT {
            return max.min(PROJECTS_MAX_BEFORE);
        }
        max
    }

    /// Whether a cursor belongs to this line of the journal: it is not in a lost tail, and not ahead.
    pub fn holds(&self, cursor: Cursor) -> bool {
        if cursor.epoch == self.state.epoch {
            return cursor.position <= self.state.position;
        }
        let mut past = self.state.epochs.iter();
        past.any(|past| past.epoch == cursor.epoch && cursor.position <= past.end)
    }

    /// The cursor of a record of this line, if its epoch is still known; otherwise the first known cursor.
    pub fn cursor_at(&self, position: Position) -> Cursor {
        let state = &self.state;
        let mut epoch = state.epoch;
        for past in state.epochs.iter().rev() {
            if position > past.end {
                return Cursor { epoch, position };
            }
            epoch = past.epoch;
        }
        let all_known = (state.epochs.len() as u64) < self.limits.epochs_kept_max;
        let epoch = if all_known { epoch } else { Epoch::default() };
        Cursor { epoch, position }
    }

    pub(super) fn check_node_alive(&self, alive: &NodeAlive) -> Result<(), Refusal> {
        if self.state.nodes.contains_key(&alive.node) {
            return Ok(());
        }
        let limits = &self.limits;
        check_limit!(limits, nodes_max, self.state.nodes.len() + 1)?;
        Ok(())
    }

    pub(super) fn node_alive(&mut self, alive: &NodeAlive) {
        let ttl_ms = alive.ttl_ms.min(self.limits.node_ttl_ms_max);
        let node = Node {
            until: self.state.now.after_ms(ttl_ms),
            command_format: alive.command_format,
            port_fingerprint: alive.port_fingerprint.clone(),
        };
        if let Some(before) = self.state.nodes.get(&alive.node) {
            self.index.remove(&(&alive.node, before));
        }
        self.index.insert(&(&alive.node, &node));
        self.state.nodes.insert(alive.node.clone(), node);
    }

    /// A node sent no heartbeat for too long: its sessions are treated as if each had lost its connection.
    pub(super) fn node_lapses(&mut self, node: &NodeId) {
        self.forget_node(node);
        self.strand(|serving| serving == node, LostReason::NodeLost);
    }

    /// This coordinator is the only one on the journal, so every other node is dead.
    pub(super) fn forget_nodes(&mut self) {
        while let Some(node) = self.state.nodes.keys().next().cloned() {
            self.forget_node(&node);
        }
    }

    fn forget_node(&mut self, node: &NodeId) {
        if let Some(known) = self.state.nodes.remove(node) {
            self.index.remove(&(node, &known));
        }
    }

    /// Moves the live sessions of some nodes to their grace period.
    pub(super) fn strand(&mut self, served_by: impl Fn(&NodeId) -> bool, reason: LostReason) {
        let sessions = self.state.sessions.values();
        let stranded: Vec<SessionId> = sessions
            .filter(|s| s.state == SessionState::Live && served_by(&s.node))
            .map(|s| s.id)
            .collect();
        for session in stranded {
            self.session_to_grace(session, reason);
        }
    }

    pub(super) fn check_epoch_start(&self, start: &EpochStart) -> Result<(), Refusal> {
        if start.epoch > self.state.epoch {
            return Ok(());
        }
        let text = format!("epoch {} is not after {}", start.epoch, self.state.epoch);
        Err(Refusal::Conflict(text))
    }

    /// The record that opens an epoch must follow the last one of the epoch before.
    pub(super) fn epoch_start(&mut self, start: &EpochStart) {
        let past = PastEpoch {
            epoch: self.state.epoch,
            end: self.before,
        };
        remember(&mut self.state.epochs, past, &self.limits);
        self.state.epoch = start.epoch;
        let change = Change::new(ChangeKind::EpochStarted).about(Subject::Epoch(start.epoch));
        self.change(change);
    }
}

fn remember(epochs: &mut VecDeque<PastEpoch>, past: PastEpoch, limits: &Limits) {
    epochs.push_back(past);
    while epochs.len() as u64 > limits.epochs_kept_max {
        epochs.pop_front();
    }
}
