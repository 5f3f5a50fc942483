//! Records on their way into the state: from the stream, and from this node's own appends.

use super::rebuilt::{hole, read_command};
use super::{AppendFailure, Arrival, Company, Line, LineError};
use crate::driver::admit::storage_full;
use crate::driver::core::{Core, Moment};
use crate::driver::propose::Proposed;
use crate::engine::command::{Action, Actor};
use crate::engine::ids::{Cursor, Epoch, NodeId, Position, ProjectName};
use crate::engine::{Newest, Signals};
use crate::journal::shared::{StreamRecord, next_end, positions};
#[cfg(feature = "planted-bugs")]
use crate::journal::shared::{end_of, number_of};
#[cfg(feature = "planted-bugs")]
use crate::planted::{Bug, is_on as planted};
use crate::protocol::error::RpcError;

impl Line {
    /// The end of the unbroken row that is here behind `applied`.
    fn held_up_to(&self, applied: Position) -> Position {
        let mut reached = applied;
        while self.arrivals.contains_key(&next_end(reached)) {
            reached = next_end(reached);
        }
        reached
    }
}

impl Core {
    /// Records of the stream, in its order. They may overlap with what is applied.
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
        if line.rebuilding.is_some() {
            return self.rebuild_on(project, &records);
        }
        let applied = known.engine.state().position;
        let mut reached = applied;
        for record in records {
            let at = record.at.position;
            if at <= applied && !known.engine.holds(record.at) {
                let (project, found) = (project.clone(), record.at);
                return Err(LineError::Replaced { project, found });
            }
            reached = line.held_up_to(reached);
            if at <= reached {
                continue;
            }
            // Within one answer there is no hole; before its first, only a trimmed stream has one, and
            // what this node appended behind it does not fill it.
            #[cfg(feature = "planted-bugs")]
            if planted(Bug::HoleSkipped) {
                reached = end_of(number_of(at) - 1);
            }
            if at > next_end(reached) {
                return Err(hole(project, reached, at));
            }
            reached = at;
            if !is_under_way(&node, &record, &line.appending) {
                line.company = Company::Coordinators;
            }
            line.snapshots.live_bytes += record.batch.as_bytes().len() as u64;
            line.arrivals.entry(at).or_insert(Arrival::Read(record));
        }
        self.apply_arrivals(now, project)
    }

    /// The last append became the record that ends at `at`. What waits by now goes off before that is
    /// applied by [`Core::apply_arrivals`], if the line is alone; else it goes off with [`Core::flush`],
    /// so that those who are answered now can be in it.
    pub fn stream_appended(
        &mut self,
        now: Moment,
        project: &ProjectName,
        at: Position,
    ) -> Result<(), LineError> {
        self.answered(now, project);
        let applied = self.known(project).unwrap_or_default();
        let given_again = at <= applied.position;
        #[cfg(feature = "planted-bugs")]
        let given_again = given_again && !planted(Bug::OwnAnswerForgotten);
        if given_again {
            // The store lost its end and gives those positions anew: it is no longer the line that is known.
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
        (line.full_until, line.full) = (None, None);
        line.refused_since = None;
        let appended = std::mem::take(&mut line.appending);
        let unbroken = at == next_end(line.appended);
        line.under_way = appended.len() + line.batch.len();
        line.appended = at;
        let bytes: usize = appended.iter().map(|proposed| proposed.body.len()).sum();
        let own = Arrival::Own(appended);
        if line.arrivals.insert(at, own).is_none() {
            line.snapshots.live_bytes += bytes as u64;
        }
        let last = line.arrivals.last_key_value();
        let followed = last.is_some_and(|(last, _)| *last > at);
        line.company = if !unbroken || followed {
            Company::Coordinators
        } else if others {
            Company::Lines
        } else {
            Company::Nobody
        };
        if line.company == Company::Nobody {
            self.flush();
        }
        Ok(())
    }

    /// Where the stream is to be read on: what was appended here is known without being read.
    pub fn follow_from(&self, project: &ProjectName, epoch: Epoch) -> Cursor {
        let applied = self.read_up_to(project);
        let Some(line) = self.line(project) else {
            return applied;
        };
        let position = line.held_up_to(applied.position);
        if position == applied.position {
            return applied;
        }
        // Of this epoch or a later one: with too small an epoch, some are read twice.
        Cursor { epoch, position }
    }

    fn other_lines_at_work(&self, project: &ProjectName) -> bool {
        let others = self.projects.iter().filter(|(name, _)| *name != project);
        let mut lines = others.filter_map(|(_, other)| other.line.as_ref());
        lines.any(|line| !line.batch.is_empty() || !line.appending.is_empty())
    }

    /// The last append came to nothing, or it is not known what it came to.
    pub fn append_failed(&mut self, now: Moment, project: &ProjectName, how: AppendFailure) {
        let full_pause_ms = self.config.sharing.as_ref().map_or(0, |s| s.full_pause_ms);
        let unknown = self.outcome_unknown();
        let Some(line) = self.line_mut(project) else {
            return;
        };
        let appending = std::mem::take(&mut line.appending);
        #[cfg(feature = "planted-bugs")]
        let how = match how {
            AppendFailure::Unknown if planted(Bug::UnknownTriedAgain) => AppendFailure::NotWritten,
            how => how,
        };
        match how {
            AppendFailure::NotWritten => {
                line.refused_since.get_or_insert(now);
                // They go first when the line is up again, or are answered when that takes too long.
                for proposed in appending.into_iter().rev() {
                    line.batch.push_front(proposed);
                }
            }
            AppendFailure::Full => {
                line.full_until = Some(now.after_ms(full_pause_ms));
                line.found_full(now);
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
            AppendFailure::Unknown => {
                for proposed in appending {
                    self.fail_proposed(now, proposed, &unknown);
                }
            }
        }
        // The stream may have shown some of them already.
        let _ = self.apply_arrivals(now, project);
        self.flush();
    }

    /// Applies what has arrived, as far as it is complete.
    pub fn apply_arrivals(&mut self, now: Moment, project: &ProjectName) -> Result<(), LineError> {
        let mut signals = Signals::default();
        let result = loop {
            match self.next_arrival(project) {
                Ok(Some((end, batch))) => {
                    for (position, proposed) in positions(end, batch.len()).zip(batch) {
                        let more = self.apply_arrival(now, &proposed, position);
                        signals.claimable |= more.claimable;
                        signals.leasable |= more.leasable;
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.wake_parked(now, project, signals.claimable, signals.leasable);
        self.maybe_stream_snapshot(now, project);
        self.beat(now, project);
        result
    }

    /// The commands that are next in the line, if they are there and their append was answered, and where
    /// the last of them stands.
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
        #[cfg(feature = "planted-bugs")]
        let next = planted_next(line, next);
        while let Some(entry) = line.arrivals.first_entry() {
            if *entry.key() > next {
                return Ok(None);
            }
            if *entry.key() < next {
                entry.remove();
                continue;
            }
            if let Arrival::Read(record) = entry.get()
                && is_under_way(&node, record, &line.appending)
            {
                #[cfg(feature = "planted-bugs")]
                if planted(Bug::OwnAnswerForgotten) {
                    return planted_strangers(entry.remove(), project, next);
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

    fn apply_arrival(&mut self, now: Moment, proposed: &Proposed, position: Position) -> Signals {
        let project = &proposed.project;
        if let Action::NodeAlive(alive) = &proposed.command.action {
            self.compare_node(project, alive);
        }
        let signals = self.apply_one(now, proposed, position);
        let ours = proposed.command.by == Actor::Node(self.config.node.clone());
        match &proposed.command.action {
            Action::NodeAlive(_) if ours => {
                if let Some(line) = self.line_mut(project) {
                    line.beating = false;
                }
            }
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
        signals
    }

    pub(super) fn outcome_unknown(&self) -> RpcError {
        self.unavailable(
            "the shared journal did not answer: it may have happened or not; the same request with \
             the same request_id has one effect and tells",
        )
    }
}

/// Whether a record is the append that is under way: there is one at a time, and its commands stay together.
fn is_under_way(node: &NodeId, record: &StreamRecord, appending: &[Proposed]) -> bool {
    let Some(first) = appending.first() else {
        return false;
    };
    let read = record.batch.commands().next();
    read.and_then(|(_, body)| own_sequence(node, body)) == Some(first.sequence)
}

/// The commands of a record.
fn read_batch(
    node: &NodeId,
    project: &ProjectName,
    record: &StreamRecord,
) -> Result<Vec<Proposed>, LineError> {
    let proposed = record.commands().map(|read| {
        Ok(Proposed {
            sequence: own_sequence(node, read.body).unwrap_or(0),
            project: project.clone(),
            at_ms: read.at_ms,
            behind: Newest::default(),
            command: Box::new(read_command(project, &read)?),
            body: Vec::new(),
        })
    });
    proposed.collect()
}

/// Which of this node's commands this is, told from its first bytes: a command begins with its id.
fn own_sequence(node: &NodeId, body: &[u8]) -> Option<u64> {
    let rest = body.strip_prefix(br#"{"id":""#)?;
    let rest = rest.strip_prefix(node.as_str().as_bytes())?;
    let rest = rest.strip_prefix(b"-")?;
    let digits = rest.split(|byte| *byte == b'"').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The planted bugs that apply what is ahead of its turn: over a hole, or because it is this node's own.
#[cfg(feature = "planted-bugs")]
fn planted_next(line: &Line, next: Position) -> Position {
    let first = line.arrivals.first_key_value();
    match first {
        Some((at, _)) if planted(Bug::HoleSkipped) => next.max(*at),
        Some((at, Arrival::Own(_))) if planted(Bug::OwnRecordsFirst) => next.max(*at),
        _ => next,
    }
}

/// The planted bug that takes a record of this node's own for another's: nobody is answered.
#[cfg(feature = "planted-bugs")]
fn planted_strangers(
    arrival: Arrival,
    project: &ProjectName,
    at: Position,
) -> Result<Option<(Position, Vec<Proposed>)>, LineError> {
    let Arrival::Read(record) = arrival else {
        return Ok(None);
    };
    let nobody: NodeId = "nobody".parse().expect("the name is valid");
    Ok(Some((at, read_batch(&nobody, project, &record)?)))
}
