//! Arrivals: records from the stream and from this node's own appends, until they are applied to the state.

use super::planted;
use super::read::{own_sequence, read_batch};
use super::rebuilt::hole;
use super::{AppendFailure, Arrival, Line, LineError, OtherWriters};
use crate::driver::admit::storage_full;
use crate::driver::core::{Core, Moment};
use crate::driver::propose::Proposed;
use crate::driver::wake::Wakes;
use crate::engine::command::{Action, Actor};
use crate::engine::ids::{Cursor, Epoch, NodeId, Position, ProjectName};
use crate::journal::shared::{StreamRecord, end_of, next_end, number_of, positions};
use crate::planted::{Bug, is_on};
use crate::protocol::error::RpcError;

impl Line {
    /// The end of the records that have arrived without a hole behind `applied`.
    fn held_up_to(&self, applied: Position) -> Position {
        let mut reached = applied;
        while self.arrivals.contains_key(&next_end(reached)) {
            reached = next_end(reached);
        }
        reached
    }
}

impl Core {
    /// Takes records that the stream showed, in its order. They may overlap with what is applied.
    pub fn delivered(
        &mut self,
        now: Moment,
        project: &ProjectName,
        records: Vec<StreamRecord>,
    ) -> Result<(), LineError> {
        self.answered(now, project);
        let node = self.config.node.clone();
        let Some(known) = self.projects.get_mut(project) else {
            return Ok(());
        };
        let Some(line) = known.line.as_mut() else {
            return Ok(());
        };
        // While a state is being rebuilt, the records continue that state and not the present one. Applied here,
        // they would be compared with records of a line that may be lost.
        if line.rebuilding.is_some() {
            return self.rebuild_on(project, &records);
        }
        let applied = known.engine.state().position;
        let mut reached = applied;
        for record in records {
            let at = record.at.position;
            // This check comes before records are skipped. A record of another line at an applied position shows that
            // the store lost its tail. Skipped, it would leave this node with a state of its own.
            if at <= applied && !known.engine.holds(record.at) {
                let (project, found) = (project.clone(), record.at);
                return Err(LineError::Replaced { project, found });
            }
            // The stream may repeat what is here already: applied records, and this node's own appends.
            reached = line.held_up_to(reached);
            if at <= reached {
                continue;
            }
            // A hole before this record means that the stream was trimmed: one answer has no hole in itself. This
            // node's own appends behind the hole do not fill it.
            if is_on(Bug::HoleSkipped) {
                reached = end_of(number_of(at) - 1);
            }
            if at > next_end(reached) {
                return Err(hole(project, reached, at));
            }
            reached = at;
            // If the record is not our append under way, another coordinator may have written it. Halves pay only when
            // no other coordinator writes (see `Line::share`).
            if !is_under_way(&node, &record, &line.appending) {
                line.company = OtherWriters::Coordinators;
            }
            line.snapshots.live_bytes += record.batch.as_bytes().len() as u64;
            // An own append that was answered stays as it is: it still knows which requests to answer.
            line.arrivals.entry(at).or_insert(Arrival::Read(record));
        }
        self.apply_arrivals(now, project)
    }

    /// The last append became the record that ends at `at`. If the line is alone, the waiting commands are sent
    /// before [`Core::apply_arrivals`] applies that record. Otherwise [`Core::flush`] sends them later, so that
    /// clients that are answered now can join the batch.
    pub fn stream_appended(
        &mut self,
        now: Moment,
        project: &ProjectName,
        at: Position,
    ) -> Result<(), LineError> {
        self.answered(now, project);
        let applied = self.known(project).unwrap_or_default();
        let given_again = at <= applied.position;
        let given_again = given_again && !is_on(Bug::OwnAnswerForgotten);
        if given_again {
            // The store lost its tail and gives applied positions a second time: this is no longer the line that was
            // applied. The append is in a line that this node does not know, so its outcome counts as unknown.
            self.append_failed(now, project, AppendFailure::Unknown);
            let (project, found) = (
                project.clone(),
                Cursor {
                    position: at,
                    ..applied
                },
            );
            return Err(LineError::Replaced { project, found });
        }
        let others = self.other_lines_at_work(project);
        let Some(line) = self.line_mut(project) else {
            return Ok(());
        };
        // The store has just written: it is neither full nor refusing.
        (line.full_until, line.full) = (None, None);
        line.refused_since = None;
        let appended = std::mem::take(&mut line.appending);
        let unbroken = at == next_end(line.appended);
        line.under_way = appended.len() + line.batch.len();
        line.appended = at;
        let bytes: usize = appended.iter().map(|proposed| proposed.body.len()).sum();
        // The own batch replaces a record that the stream showed first: only the batch knows whom to answer. The
        // record was counted when it was read, so its bytes are not counted twice.
        let own = Arrival::Own(appended);
        if line.arrivals.insert(at, own).is_none() {
            line.snapshots.live_bytes += bytes as u64;
        }
        // Another coordinator wrote if records came between our last two appends, or behind this one.
        let last = line.arrivals.last_key_value();
        let followed = last.is_some_and(|(last, _)| *last > at);
        line.company = if !unbroken || followed {
            OtherWriters::Coordinators
        } else if others {
            OtherWriters::Lines
        } else {
            OtherWriters::Nobody
        };
        // Send the other half before this half is applied: the store works on one while we answer the other.
        if line.company == OtherWriters::Nobody {
            self.flush();
        }
        Ok(())
    }

    /// Where to read the stream from: records that this node appended need not be read back.
    pub fn follow_from(&self, project: &ProjectName, epoch: Epoch) -> Cursor {
        let applied = self.read_up_to(project);
        let Some(line) = self.line(project) else {
            return applied;
        };
        let position = line.held_up_to(applied.position);
        if position == applied.position {
            return applied;
        }
        // The record belongs to this epoch or a later one. If the epoch is too small, some records are read twice,
        // which does no harm; if it were too large, records would be missed.
        Cursor { epoch, position }
    }

    fn other_lines_at_work(&self, project: &ProjectName) -> bool {
        let others = self.projects.iter().filter(|(name, _)| *name != project);
        let mut lines = others.filter_map(|(_, other)| other.line.as_ref());
        lines.any(|line| !line.batch.is_empty() || !line.appending.is_empty())
    }

    /// The last append failed, or its outcome is unknown.
    pub fn append_failed(&mut self, now: Moment, project: &ProjectName, how: AppendFailure) {
        let full_pause_ms = self.config.sharing.as_ref().map_or(0, |s| s.full_pause_ms);
        let unknown = self.outcome_unknown();
        let Some(line) = self.line_mut(project) else {
            return;
        };
        let appending = std::mem::take(&mut line.appending);
        let how = planted::outcome(how);
        match how {
            AppendFailure::NotWritten => {
                // Kept from the first refusal on: a store that can be read but not written to comes up again and
                // again, and requests must not start to wait from zero each time.
                line.refused_since.get_or_insert(now);
                // They are sent first when the line is up again, so that commands keep the order in which they were
                // proposed. If that takes too long, they are answered.
                for proposed in appending.into_iter().rev() {
                    line.batch.push_front(proposed);
                }
            }
            AppendFailure::Full => {
                line.full_until = Some(now.after_ms(full_pause_ms));
                line.found_full(now);
                // All lines share one store: a snapshot of any project can free space for this one.
                let others = self
                    .projects
                    .iter_mut()
                    .filter(|(name, _)| *name != project);
                for line in others.filter_map(|(_, other)| other.line.as_mut()) {
                    line.shares_full(now);
                }
                for proposed in appending {
                    self.fail_proposed(now, proposed, &storage_full());
                }
            }
            // Not sent again: if the store has the record after all, the commands would be applied twice. The
            // stream shows whether it is there; the client learns it by repeating its request_id.
            AppendFailure::Unknown => {
                for proposed in appending {
                    self.fail_proposed(now, proposed, &unknown);
                }
            }
        }
        // The stream may have shown this append while it was under way. Its record waited for the answer; now that
        // there is none to wait for, it is applied like that of another coordinator. An unreadable record is
        // reported when it is read again.
        let _ = self.apply_arrivals(now, project);
        self.flush();
    }

    /// Applies what has arrived, up to the first hole or the append under way.
    pub fn apply_arrivals(&mut self, now: Moment, project: &ProjectName) -> Result<(), LineError> {
        let mut wakes = Wakes::default();
        let result = loop {
            match self.next_arrival(project) {
                Ok(Some((end, batch))) => {
                    for (position, proposed) in positions(end, batch.len()).zip(batch) {
                        wakes.add(self.apply_arrival(now, &proposed, position));
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        // Woken once, after all that has arrived: woken after each record, parked requests could be proposed for
        // tasks and leases that a later record of the same batch takes.
        self.wake_parked(now, project, &wakes);
        self.maybe_stream_snapshot(now, project);
        self.beat(now, project);
        result
    }

    /// The next commands in the line and the position of the last one. `None` if they have not arrived, or if
    /// they are the append under way.
    fn next_arrival(
        &mut self,
        project: &ProjectName,
    ) -> Result<Option<(Position, Vec<Proposed>)>, LineError> {
        let node = self.config.node.clone();
        let Some(known) = self.projects.get_mut(project) else {
            return Ok(None);
        };
        let Some(line) = known.line.as_mut() else {
            return Ok(None);
        };
        let next = next_end(known.engine.state().position);
        let next = planted::next(line, next);
        while let Some(entry) = line.arrivals.first_entry() {
            // A hole: the stream has yet to show what is before this record.
            if *entry.key() > next {
                return Ok(None);
            }
            // Applied already, for instance with a rebuilt state.
            if *entry.key() < next {
                entry.remove();
                continue;
            }
            // The stream showed our append before its answer came. Wait for the answer: it may say that fewer
            // replicas have the record than were asked for, and then its requests must not be told success.
            if let Arrival::Read(record) = entry.get()
                && is_under_way(&node, record, &line.appending)
            {
                if is_on(Bug::OwnAnswerForgotten) {
                    return planted::of_strangers(entry.remove(), project, next);
                }
                return Ok(None);
            }
            let batch = match entry.remove() {
                Arrival::Own(batch) => batch,
                Arrival::Read(record) => read_batch(&node, project, &record)?,
            };
            return Ok(Some((next, batch)));
        }
        Ok(None)
    }

    fn apply_arrival(&mut self, now: Moment, proposed: &Proposed, position: Position) -> Wakes {
        let project = &proposed.project;
        // Compared before it is applied: applying replaces what the state knew of that node.
        if let Action::NodeAlive(alive) = &proposed.command.action {
            self.compare_node(project, alive);
        }
        let wakes = self.apply_one(now, proposed, position);
        let ours = proposed.command.by == Actor::Node(self.config.node.clone());
        match &proposed.command.action {
            // Only one heartbeat is under way at a time; from here on the next one may be proposed.
            Action::NodeAlive(_) if ours => {
                if let Some(line) = self.line_mut(project) {
                    line.beating = false;
                }
            }
            // The session may have no connection here: its opening was written although the append was not answered.
            // Nothing else would end it while this node lives.
            Action::SessionOpen(open) if open.node == self.config.node => {
                self.reconcile_sessions(now, project);
            }
            Action::SessionResume(resume) if resume.node == self.config.node => {
                self.reconcile_sessions(now, project);
            }
            Action::EpochStart(_) => {
                if let Some(line) = self.line_mut(project) {
                    line.epochs += 1;
                }
            }
            _ => {}
        }
        wakes
    }

    pub(super) fn outcome_unknown(&self) -> RpcError {
        self.unavailable(
            "the shared journal did not answer, so the outcome is unknown: repeat the request with the same \
             request_id to learn it",
        )
    }
}

/// Whether a record is the append under way. There is one at a time and its commands stay together, so the
/// first command tells.
fn is_under_way(node: &NodeId, record: &StreamRecord, appending: &[Proposed]) -> bool {
    let Some(first) = appending.first() else {
        return false;
    };
    let read = record.batch.commands().next();
    read.and_then(|(_, body)| own_sequence(node, body)) == Some(first.sequence)
}
