//! Records on their way into the state: from the stream, and from this node's own appends.

use super::rebuilt::{hole, read_command};
use super::{AppendFailure, Arrival, Company, Line, LineError};
use crate::driver::admit::storage_full;
use crate::driver::core::{Core, Moment};
use crate::driver::propose::Proposed;
use crate::engine::Signals;
use crate::engine::command::{Action, Actor};
use crate::engine::ids::{Cursor, Epoch, NodeId, Position, ProjectName};
use crate::journal::shared::StreamRecord;
#[cfg(feature = "planted-bugs")]
use crate::planted::{Bug, is_on as planted};
use crate::protocol::error::RpcError;

impl Line {
    /// The end of the unbroken row that is here behind `applied`. An append that is not answered stands
    /// in the stream whole, or not at all: what was shown of it tells where it ends.
    fn held_up_to(&self, node: &NodeId, applied: Position) -> Position {
        let mut reached = applied;
        loop {
            while self.arrivals.contains_key(&Position(reached.0 + 1)) {
                reached.0 += 1;
            }
            let behind = self.unanswered_behind(node, reached);
            if behind == 0 {
                return reached;
            }
            reached.0 += behind;
        }
    }

    /// How many entries of the append under way stand behind this record, if that is one of them.
    fn unanswered_behind(&self, node: &NodeId, at: Position) -> u64 {
        let Some(Arrival::Read(record)) = self.arrivals.get(&at) else {
            return 0;
        };
        let own = own_sequence(node, &record.body);
        let behind = self.appending.iter().rev();
        let place = own.and_then(|own| behind.map(|p| p.sequence).position(|at| at == own));
        place.unwrap_or(0) as u64
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
            reached = line.held_up_to(&node, reached);
            if at <= reached {
                continue;
            }
            // Within one answer there is no hole; before its first, only a trimmed stream has one, and
            // what this node appended behind it does not fill it.
            #[cfg(feature = "planted-bugs")]
            if planted(Bug::HoleSkipped) {
                reached.0 = at.0 - 1;
            }
            if at.0 > reached.0 + 1 {
                return Err(hole(project, reached, at));
            }
            reached = at;
            let own = own_sequence(&node, &record.body);
            if !own.is_some_and(|own| is_among(&line.appending, own)) {
                line.company = Company::Coordinators;
            }
            line.snapshots.live_bytes += record.body.len() as u64;
            line.arrivals.entry(at).or_insert(Arrival::Read(record));
        }
        self.apply_arrivals(now, project)
    }

    /// The entries of the last append stand one behind the other, from `first` on. What waits by now
    /// goes off before they are applied by [`Core::apply_arrivals`], if the line is alone; else it goes
    /// off with [`Core::flush`], so that those who are answered now can be in it.
    pub fn stream_appended(
        &mut self,
        now: Moment,
        project: &ProjectName,
        first: Position,
    ) -> Result<(), LineError> {
        self.answered(now, project);
        let applied = self.known(project).unwrap_or_default();
        let given_again = first <= applied.position;
        #[cfg(feature = "planted-bugs")]
        let given_again = given_again && !planted(Bug::OwnAnswerForgotten);
        if given_again {
            // The store lost its end and gives those positions anew: it is no longer the line that is known.
            self.append_failed(now, project, AppendFailure::Unknown);
            let (project, found) = (
                project.clone(),
                Cursor {
                    position: first,
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
        let unbroken = first.0 == line.appended.0 + 1;
        line.under_way = appended.len() + line.batch.len();
        line.appended = Position((first.0 + appended.len() as u64).saturating_sub(1));
        for (place, proposed) in (first.0..).zip(appended) {
            let bytes = proposed.body.len() as u64;
            let own = Arrival::Own(proposed);
            if line.arrivals.insert(Position(place), own).is_none() {
                line.snapshots.live_bytes += bytes;
            }
        }
        let last = line.arrivals.last_key_value();
        let followed = last.is_some_and(|(at, _)| *at > line.appended);
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

    /// Where the stream is to be read on, and whether it is likely to show nothing but what this node
    /// appends. What was appended here is known without being read: the follower passes over it, so
    /// that of a batch that comes back, it reads the first record alone.
    pub fn follow_from(&self, project: &ProjectName, epoch: Epoch) -> (Cursor, bool) {
        let applied = self.read_up_to(project);
        let Some(line) = self.line(project) else {
            return (applied, false);
        };
        let own = line.company != Company::Coordinators;
        let position = line.held_up_to(&self.config.node, applied.position);
        if position == applied.position {
            return (applied, own);
        }
        // Of this epoch or a later one: with too small an epoch, some are read twice.
        (Cursor { epoch, position }, own)
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
                Ok(Some((position, proposed))) => {
                    let more = self.apply_arrival(now, &proposed, position);
                    signals.claimable |= more.claimable;
                    signals.leasable |= more.leasable;
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

    /// The record that is next in the line, if it is there and its append was answered.
    fn next_arrival(
        &mut self,
        project: &ProjectName,
    ) -> Result<Option<(Position, Proposed)>, LineError> {
        let node = self.config.node.clone();
        let Some(known) = self.projects.get_mut(project) else {
            return Ok(None);
        };
        let Some(line) = known.line.as_mut() else {
            return Ok(None);
        };
        let next = Position(known.engine.state().position.0 + 1);
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
                && let Some(own) = own_sequence(&node, &record.body)
                && is_among(&line.appending, own)
            {
                #[cfg(feature = "planted-bugs")]
                if planted(Bug::OwnAnswerForgotten) {
                    return planted_stranger(entry.remove(), project, next);
                }
                return Ok(None);
            }
            let proposed = match entry.remove() {
                Arrival::Own(proposed) => proposed,
                Arrival::Read(record) => Proposed {
                    sequence: own_sequence(&node, &record.body).unwrap_or(0),
                    project: project.clone(),
                    at_ms: record.at_ms,
                    known_ms: record.at_ms,
                    command: Box::new(read_command(project, &record)?),
                    body: Vec::new(),
                },
            };
            return Ok(Some((next, proposed)));
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

fn is_among(appending: &[Proposed], sequence: u64) -> bool {
    appending
        .iter()
        .any(|proposed| proposed.sequence == sequence)
}

/// Which of this node's commands a record is, told from its first bytes: a command begins with its id.
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
fn planted_stranger(
    arrival: Arrival,
    project: &ProjectName,
    at: Position,
) -> Result<Option<(Position, Proposed)>, LineError> {
    let Arrival::Read(record) = arrival else {
        return Ok(None);
    };
    let stranger = Proposed {
        sequence: 0,
        project: project.clone(),
        at_ms: record.at_ms,
        known_ms: record.at_ms,
        command: Box::new(read_command(project, &record)?),
        body: Vec::new(),
    };
    Ok(Some((at, stranger)))
}
