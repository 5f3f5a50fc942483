//! Seats: the agents of one principal, and when a seat is forgotten.
//!
//! A seat comes with its first command and goes by itself, since its CLI session never says goodbye:
//! once it holds nothing, has no session and no unread mail, it is forgotten after `seat_idle_ms`.
//! What a principal may fill (sessions, shares of mailboxes, files) is counted over all its seats, so
//! that a thousand seats of one token take no more than one agent does.

use super::Engine;
use super::agents::{Agent, Presence};
use super::command::Actor;
use super::ids::{AgentName, JournalTime};
use super::limits::{LimitExceeded, check_limit};
use super::messages::Message;
use crate::planted::{Bug, is_on};

impl Engine {
    /// A principal and its seats, as far as the project knows them: first itself, then by seat.
    pub fn agents_of<'a>(&'a self, of: &AgentName) -> impl Iterator<Item = &'a Agent> + use<'a> {
        let principal = of.without_seat();
        let from = self.state.agents.range(principal.clone()..);
        from.map(|(_, agent)| agent)
            .take_while(move |agent| agent.name.has_same_principal(&principal))
    }

    /// Whether the project knows seats of a principal.
    pub fn has_seats(&self, principal: &AgentName) -> bool {
        let mut seats = self.agents_of(principal).filter(|a| a.name.is_seat());
        !principal.is_seat() && seats.next().is_some()
    }

    /// How many seats of a principal have a session.
    pub fn seats_present(&self, principal: &AgentName) -> u64 {
        let all = self.agents_of(principal).map(|agent| &agent.name);
        let present = all.filter(|name| name.is_seat() && self.is_present(name));
        if principal.is_seat() {
            0
        } else {
            present.count() as u64
        }
    }

    /// How an agent is; of a principal, how the most present of its seats is.
    pub fn presence_of(&self, agent: &AgentName) -> Option<Presence> {
        let meant = self.agents_of(agent).filter(|a| agent.covers(&a.name));
        meant.map(|a| a.presence).min()
    }

    pub(super) fn is_present(&self, agent: &AgentName) -> bool {
        self.index.agent_sessions.contains_key(agent)
    }

    /// In whose mailboxes a message to `agent` lands. One to a principal reaches all that are present of
    /// it except the sender. It waits in the principal's own mailbox when none is, for all its seats.
    pub(super) fn addressed(&self, from: &AgentName, agent: &AgentName) -> Vec<AgentName> {
        if agent.is_seat() {
            return vec![agent.clone()];
        }
        let others = self.agents_of(agent).map(|a| &a.name);
        let present = others.filter(|name| *name != from && self.is_present(name));
        let mut present: Vec<AgentName> = present.cloned().collect();
        if is_on(Bug::FirstSeatOnly) {
            present.truncate(1);
        }
        if present.is_empty() {
            present.push(agent.clone());
        }
        present
    }

    pub(super) fn check_sessions_of_principal(&self, of: &AgentName) -> Result<(), LimitExceeded> {
        if !of.is_seat() {
            return Ok(());
        }
        let principal = of.without_seat();
        let from = self.index.agent_sessions.range(principal.clone()..);
        let own = from.take_while(|(agent, _)| agent.has_same_principal(&principal));
        let sessions: usize = own.map(|(_, sessions)| sessions.len()).sum();
        check_limit!(self.limits, sessions_per_principal_max, sessions + 1)
    }

    /// Checks that one more seat of its principal may become known.
    pub(super) fn check_new_seat(&self, seat: &AgentName) -> Result<(), LimitExceeded> {
        if !seat.is_seat() || self.state.agents.contains_key(seat) {
            return Ok(());
        }
        let seats = self.agents_of(seat).filter(|a| a.name.is_seat()).count();
        check_limit!(self.limits, seats_per_principal_max, seats + 1)
    }

    /// Whether a command with a `request_id` is of a seat that may have been forgotten since, and with it
    /// that the request was carried out before.
    pub(super) fn may_be_of_forgotten_seat(&self, by: &Actor, at_ms: JournalTime) -> bool {
        let unknown = |agent: &AgentName| agent.is_seat() && !self.state.agents.contains_key(agent);
        by.agent().is_some_and(unknown)
            && at_ms.after_ms(self.limits.seat_idle_ms) <= self.state.now
    }

    /// Sets when each seat that this record concerned will be forgotten, and clears it while the seat
    /// holds something.
    pub(super) fn settle_seats(&mut self) {
        for name in std::mem::take(&mut self.index.touched_seats) {
            let idle = self.is_idle_seat(&name);
            let forget_at = self.state.now.after_ms(self.limits.seat_idle_ms);
            if let Some(agent) = self.state.agents.get_mut(&name) {
                self.index.remove(&*agent);
                agent.forget_at = idle.then_some(forget_at);
                self.index.insert(&*agent);
            }
        }
    }

    fn is_idle_seat(&self, name: &AgentName) -> bool {
        if is_on(Bug::SeatForgottenEarly) {
            return !self.is_present(name);
        }
        let index = &self.index;
        let holds = index.agent_sessions.contains_key(name)
            || index.agent_tasks.contains_key(name)
            || index.agent_leases.contains_key(name)
            || index.offered.contains_key(name)
            || index.mailboxes.contains_key(name);
        !holds
    }

    pub(super) fn seat_is_forgotten(&mut self, name: &AgentName) {
        if self.is_idle_seat(name) {
            self.agent_leaves(name, Some("its seat was not used any more"));
        } else {
            self.index.touch(name);
        }
    }
}

impl Message {
    /// Whose entry of a message `reader` reads: its own, or that of its principal, whose mailbox all
    /// seats share. What a seat sent or got itself does not come to it a second time that way.
    pub(super) fn read_as(&self, reader: &AgentName) -> Option<AgentName> {
        if self.pending.contains_key(reader) {
            return Some(reader.clone());
        }
        if is_on(Bug::SeatNamesShared) {
            let of_seat = |name: &&AgentName| name.has_same_seat(reader);
            return self.pending.keys().find(of_seat).cloned();
        }
        let shared = reader.without_seat();
        let had = self.from == *reader || self.recipients.contains(reader);
        let is_shared = reader.is_seat() && !had && self.pending.contains_key(&shared);
        is_shared.then_some(shared)
    }

    /// Until when it is hidden from the other readers of the mailbox that `reader` reads it in.
    pub fn taken_until(&self, reader: &AgentName) -> Option<JournalTime> {
        self.pending.get(&self.read_as(reader)?).copied().flatten()
    }
}
