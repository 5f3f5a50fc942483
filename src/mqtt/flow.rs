//! Which events go out next: in order within a project, one project after the other.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};

use super::Source;
use super::cursors::Cursors;
use super::face::Face;
use super::wire::Message;
use crate::driver::core::Moment;
use crate::driver::history::HistoryRead;
use crate::engine::ids::{Cursor, ProjectName};
use crate::planted::{Bug, is_on};
use crate::protocol::events::EventView;

/// Events read from the history at once.
const READ_MAX: usize = 16;
/// How often a standby notes where each project is.
const NOTE_MS: u64 = 10_000;

/// Events after the first cursor, up to the second.
type Range = (Option<Cursor>, Cursor);

/// A publish of an event, or of a gap, on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) project: ProjectName,
    /// Where the project stands once it is acknowledged.
    cursor: Cursor,
    /// The events that readers miss if the broker refuses it.
    range: Range,
    pub(super) is_gap: bool,
}

#[derive(Debug, Default)]
struct Flow {
    /// Every event up to here was acknowledged, or its loss was told.
    acked: Option<Cursor>,
    /// Every event up to here was sent on this connection.
    sent: Option<Cursor>,
    /// Read and not sent yet.
    ready: VecDeque<EventView>,
    /// There was nothing more to read.
    idle: bool,
    /// What the broker refused. The saved cursor stays before it until the gap is told.
    refused: Option<Range>,
    /// An event behind the refused ones was acknowledged, so that the broker will take the gap too.
    tells_refused: bool,
    /// That gap is on its way.
    telling: bool,
    /// Of a standby: where the project was at these times.
    notes: VecDeque<(Moment, Cursor)>,
}

/// All projects.
#[derive(Debug, Default)]
pub(super) struct Flows {
    by_project: BTreeMap<ProjectName, Flow>,
    /// The project that had its turn last.
    last: Option<ProjectName>,
    /// A cursor moved since the last save.
    pub(super) moved: bool,
    noted: Moment,
}

impl Flows {
    pub(super) fn new(cursors: Cursors) -> Self {
        let flow = |cursor| Flow {
            acked: Some(cursor),
            sent: Some(cursor),
            ..Flow::default()
        };
        let flows = cursors.into_iter().map(|(project, at)| (project, flow(at)));
        Self {
            by_project: flows.collect(),
            ..Self::default()
        }
    }

    pub(super) fn cursors(&self) -> Cursors {
        let flows = self.by_project.iter();
        let told = |flow: &Flow| flow.refused.map_or(flow.acked, |(from, _)| from);
        flows
            .filter_map(|(name, flow)| Some((name.clone(), told(flow)?)))
            .collect()
    }

    /// A new connection: what was not acknowledged is sent again.
    pub(super) fn rewind(&mut self) {
        for flow in self.by_project.values_mut() {
            flow.sent = flow.acked;
            flow.ready.clear();
            flow.idle = false;
            flow.tells_refused |= std::mem::take(&mut flow.telling);
        }
    }

    /// There may be new events.
    pub(super) fn news(&mut self, source: &dyn Source) {
        for project in source.projects() {
            self.by_project.entry(project).or_default().idle = false;
        }
    }

    /// How many events wait to be acknowledged.
    pub(super) fn lag(&self, source: &dyn Source) -> u64 {
        let behind = |(name, flow): (&ProjectName, &Flow)| source.count_after(name, flow.acked);
        self.by_project.iter().map(behind).sum()
    }

    /// The next message, of the project whose turn it is.
    pub(super) fn next(&mut self, source: &dyn Source, face: &Face) -> Option<(Step, Message)> {
        loop {
            let from = self.last.as_ref().map_or(Unbounded, Excluded);
            let later = self.by_project.range::<ProjectName, _>((from, Unbounded));
            let mut all = later.chain(self.by_project.iter());
            let (name, _) = all.find(|(_, flow)| !flow.idle || flow.tells_refused)?;
            let name = name.clone();
            // One that has nothing to send becomes idle, so that this ends.
            let flow = self.by_project.get_mut(&name)?;
            if let Some((step, message)) = flow.next(&name, source, face) {
                if is_on(Bug::MqttCursorEarly) {
                    flow.acked = Some(step.cursor);
                    self.moved = true;
                }
                self.last = Some(name);
                return Some((step, message));
            }
        }
    }

    /// The message of a step is too large for this broker: the gap to send instead.
    pub(super) fn too_large(step: Step, face: &Face) -> Option<(Step, Message)> {
        let (after, next) = step.range;
        let message = face.gap(&step.project, after, next, "too_large")?;
        Some((
            Step {
                is_gap: true,
                ..step
            },
            message,
        ))
    }

    /// The broker acknowledged a step, and all earlier ones of this connection.
    pub(super) fn acked(&mut self, step: &Step, refused: bool) {
        let Some(flow) = self.by_project.get_mut(&step.project) else {
            return;
        };
        flow.acked = Some(step.cursor);
        self.moved = true;
        let (from, to) = step.range;
        flow.telling &= !step.is_gap;
        flow.refused = match flow.refused {
            Some((first, last)) if refused => Some((first.min(from), last.max(to))),
            None if refused => Some(step.range),
            // The gap was told; more may have been refused meanwhile.
            Some((first, last)) if step.is_gap && from <= first => {
                (last > to).then_some((Some(to), last))
            }
            other => other,
        };
        flow.tells_refused |= !refused && !step.is_gap && flow.refused.is_some() && !flow.telling;
    }

    /// Another coordinator publishes. This one stays so far behind that it can take over from where the other one
    /// cannot have got stuck without having stepped down.
    pub(super) fn follow(&mut self, now: Moment, source: &dyn Source, behind_ms: u64) {
        if now < self.noted.after_ms(NOTE_MS) {
            return;
        }
        self.noted = now;
        for project in source.projects() {
            let Some(end) = source.end(&project) else {
                continue;
            };
            let flow = self.by_project.entry(project).or_default();
            flow.notes.push_back((now, end));
            while let Some((at, cursor)) = flow.notes.front().copied() {
                if at.after_ms(behind_ms) > now {
                    break;
                }
                flow.notes.pop_front();
                flow.acked = Some(cursor);
                self.moved = true;
            }
        }
    }

    /// The notes of a standby say nothing about a time in which it was not connected, or published itself.
    pub(super) fn forget_notes(&mut self) {
        for flow in self.by_project.values_mut() {
            flow.notes.clear();
        }
    }
}

impl Flow {
    fn next(
        &mut self,
        project: &ProjectName,
        source: &dyn Source,
        face: &Face,
    ) -> Option<(Step, Message)> {
        let step = |cursor, range, is_gap| Step {
            project: project.clone(),
            cursor,
            range,
            is_gap,
        };
        if std::mem::take(&mut self.tells_refused)
            && let Some((after, next)) = self.refused
        {
            self.telling = true;
            let message = face.gap(project, after, next, "refused")?;
            // What was sent before it will have been acknowledged before it.
            let at = self.sent.unwrap_or(next);
            return Some((step(at, (after, next), true), message));
        }
        if self.ready.is_empty() {
            match source.read(project, self.sent, READ_MAX) {
                HistoryRead::Events(events) => self.ready = events.into(),
                HistoryRead::Gap { next, reason } => {
                    let after = self.sent.replace(next);
                    if is_on(Bug::MqttGapSilent) {
                        self.acked = Some(next);
                        return None;
                    }
                    let message = face.gap(project, after, next, reason)?;
                    return Some((step(next, (after, next), true), message));
                }
            }
        }
        let Some(event) = self.ready.pop_front() else {
            self.idle = true;
            return None;
        };
        let after = self.sent.replace(event.cursor);
        let message = face.event(project, &event, source.wall_ms())?;
        Some((step(event.cursor, (after, event.cursor), false), message))
    }
}
